// @ts-check
// One connection to the server that comes back by itself. No DOM.

/** @typedef {"connecting" | "open" | "waiting" | "refused"} ConnectionState */

const RETRY_FIRST_MS = 250;
const RETRY_MOST_MS = 10_000;
// A connection that held this long was a good one: the next retry is a quick one again.
const STEADY_MS = 5_000;
// Silence for longer is probed, and without an answer for as long again the connection is dead.
const PROBE_MS = 20_000;
// Close codes with which the server means: do not come back. Their sentences, as not every server
// sends one along.
const REFUSED = new Map([
  [4400, ""],
  [4401, "Your access has ended: the link or the key is not good any more, or you are logged out."],
  [4404, ""],
]);

export class Socket {
  /** @type {() => string} */ #url;
  /** @type {Map<string, ((frame: any) => void)[]>} */ #handlers = new Map();
  /** @type {(state: ConnectionState, reason: string) => void} */ #onState = () => {};
  /** @type {WebSocket | null} */ #socket = null;
  #retryMs = RETRY_FIRST_MS;
  #openedAt = 0;
  #heardAt = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  /** @type {AbortController | null} */ #life = null;

  /** @param {() => string} url asked for each attempt anew, as `since` moves on */
  constructor(url) {
    this.#url = url;
  }

  // Lifecycle

  connect() {
    this.#life = new AbortController();
    const { signal } = this.#life;
    addEventListener("online", () => this.#retryNow(), { signal });
    // Timers sleep in hidden tabs: look again as soon as somebody looks.
    document.addEventListener("visibilitychange", () => this.#retryNow(), { signal });
    const probe = setInterval(() => this.#probe(), PROBE_MS);
    signal.addEventListener("abort", () => clearInterval(probe));
    this.#open();
  }

  disconnect() {
    this.#life?.abort();
    this.#life = null;
    clearTimeout(this.#timer);
    this.#socket?.close();
  }

  // Actions

  /**
   * Call `handler` for frames of one type.
   * @param {string} type
   * @param {(frame: any) => void} handler
   */
  on(type, handler) {
    this.#handlers.set(type, [...(this.#handlers.get(type) ?? []), handler]);
  }

  /** @param {(state: ConnectionState, reason: string) => void} handler */
  onState(handler) {
    this.#onState = handler;
  }

  /**
   * Send a frame; false if there is no connection, and then nothing was sent.
   * @param {{type: string, [field: string]: string}} frame
   */
  send(frame) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(frame));
    return true;
  }

  // Internal

  #open() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#onState("connecting", "");
    const socket = new WebSocket(this.#url());
    this.#socket = socket;
    socket.onopen = () => {
      this.#openedAt = this.#heardAt = Date.now();
      this.#onState("open", "");
    };
    socket.onmessage = (message) => {
      this.#heardAt = Date.now();
      const frame = JSON.parse(message.data);
      for (const handler of this.#handlers.get(frame.type) ?? []) handler(frame);
    };
    socket.onclose = (event) => this.#closed(socket, event);
  }

  /**
   * @param {WebSocket} socket
   * @param {CloseEvent} event
   */
  #closed(socket, event) {
    if (socket !== this.#socket || !this.#life) return;
    const refusal = REFUSED.get(event.code);
    if (refusal !== undefined) return this.#onState("refused", event.reason || refusal);
    if (this.#openedAt && Date.now() - this.#openedAt > STEADY_MS) this.#retryMs = RETRY_FIRST_MS;
    this.#openedAt = 0;
    this.#onState("waiting", event.reason);
    // Not all tabs at the same moment.
    this.#timer = setTimeout(() => this.#open(), this.#retryMs * (0.75 + Math.random() / 2));
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MOST_MS);
  }

  #retryNow() {
    if (this.#timer !== undefined && document.visibilityState === "visible") this.#open();
  }

  #probe() {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    if (Date.now() - this.#heardAt > 2 * PROBE_MS + 5_000) {
      const dead = this.#socket;
      dead.onclose = null; // its own close may take minutes
      dead.close();
      this.#closed(dead, new CloseEvent("close"));
    } else if (Date.now() - this.#heardAt > PROBE_MS - 1_000) {
      this.send({ type: "ping" });
    }
  }
}

/**
 * The address of a socket of this server.
 * @param {string} path
 */
export function socketUrl(path) {
  const url = new URL(path, location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

// @ts-check
// Keeps a notebook and the server's the same: one edit is on its way at a time, what comes up
// meanwhile waits in the document, and what is not acknowledged is kept as a draft.
// The frames are described in docs/events.md.

import { Socket, socketUrl } from "../socket.js";
import { Drafts } from "./drafts.js";

const TYPING_MS = 400;
// A tab with drafts says this often that it lives.
const RENEW_MS = 30_000;
// Much less than the largest frame the server takes, as JSON may double a text.
const EDIT_CHARACTERS = 256_000;
const EDIT_CELLS = 400;
const FRAME_BYTES = 1_000_000;

/**
 * @typedef {import("./cell-store.js").Pending} Pending
 * @typedef {import("./cell-store.js").Row} Row
 * @typedef {{saved: boolean, saving: boolean, offline: boolean, failed: boolean, sentence: string}} SyncState
 *   one of the first four is true
 * @typedef {{edit: string, cells: Pending[], metadata: Record<string, any> | null}} Edit
 * @typedef {Pick<Socket, "connect" | "disconnect" | "on" | "onState" | "send">} Connection
 */

/** @type {Record<string, string>} */
const SENTENCES = {
  saved: "All changes are saved.",
  saving: "Saving…",
  offline: "There is no connection. Changes are kept in this browser and saved once it is back.",
  unkept: "There is no connection, and this browser keeps no drafts: leave the page open.",
  large: "A cell is too large to be saved: split it, or shorten it.",
  unkeptYet: "This browser's storage is full: changes are lost if the page is closed before they are saved.",
};

export class NotebookSync {
  #document;
  #socket;
  #drafts;
  /** @type {Edit | null} on its way to the server */ #edit = null;
  #edits = 0;
  /** All that was changed so far is here, so edits can begin. */ #isLive = false;
  #connection = "connecting";
  #refusal = "";
  #isKept = true;
  /** Cells go one by one after an edit was refused, to find the one it was for. */ #isCareful = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  /** @type {AbortController | null} */ #life = null;
  #shown = "";
  /** @type {(state: SyncState) => void} */ #onState = () => {};
  /** @type {(cellId: string, theirs: Row) => void} */ #onConflict = () => {};
  /** @type {(sentence: string) => void} */ #onWarning = () => {};
  /** @type {() => void} */ #onLive = () => {};

  /**
   * @param {import("./document.js").NotebookDocument} document
   * @param {string} session its id
   * @param {object} [parts]
   * @param {Connection} [parts.socket]
   * @param {Drafts} [parts.drafts]
   */
  constructor(document, session, { socket, drafts = new Drafts(session) } = {}) {
    const path = () => socketUrl(`/ws/notebooks/${session}/?since=${document.version}`);
    this.#document = document;
    this.#socket = socket ?? new Socket(path);
    this.#drafts = drafts;
  }

  // Lifecycle

  connect() {
    this.#life = new AbortController();
    const { signal } = this.#life;
    this.#document.restore(this.#drafts.load());
    signal.addEventListener("abort", this.#document.onEdit((isTyping) => this.#edited(isTyping)));
    this.#socket.on("cells", ({ cells, version, metadata }) => this.#document.applyRows(cells, version, metadata));
    this.#socket.on("live", () => this.#live());
    this.#socket.on("edited", (frame) => this.#saved(frame));
    this.#socket.on("conflict", (frame) => this.#conflicted(frame));
    this.#socket.on("error", (frame) => this.#refused(frame));
    this.#socket.onState((state, reason) => this.#connected(state, reason));
    globalThis.document.addEventListener("visibilitychange", () => this.flush(), { signal });
    addEventListener("pagehide", () => this.flush(), { signal });
    const renewal = setInterval(() => this.#keep(), RENEW_MS);
    signal.addEventListener("abort", () => clearInterval(renewal));
    this.#socket.connect();
  }

  disconnect() {
    this.flush();
    clearTimeout(this.#timer);
    this.#life?.abort();
    this.#socket.disconnect();
  }

  // Actions

  /** Send what waits, now; and keep it in the browser, as the answer may come too late. */
  flush() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#keep();
    this.#send();
  }

  /**
   * End a conflict with one of the two texts.
   * @param {string} cellId
   * @param {"mine" | "theirs"} choice
   */
  resolve(cellId, choice) {
    this.#document.resolve(cellId, choice);
  }

  /** @param {(state: SyncState) => void} handler called whenever it changes */
  onState(handler) {
    this.#onState = handler;
    this.#shown = "";
    this.#show();
  }

  /** @param {(cellId: string, theirs: Row) => void} handler */
  onConflict(handler) {
    this.#onConflict = handler;
  }

  /** @param {(sentence: string) => void} handler for what a person should know once */
  onWarning(handler) {
    this.#onWarning = handler;
  }

  /** @param {() => void} handler called each time all cells are here */
  onLive(handler) {
    this.#onLive = handler;
  }

  // Internal

  /** @param {boolean} isTyping */
  #edited(isTyping) {
    this.#refusal = "";
    if (!isTyping) this.flush();
    else this.#timer ??= setTimeout(() => this.flush(), TYPING_MS);
    this.#show();
  }

  #live() {
    this.#isLive = true;
    this.#onLive();
    this.#send();
  }

  /**
   * @param {string} state
   * @param {string} reason
   */
  #connected(state, reason) {
    this.#connection = state;
    this.#isLive = false;
    // Whether it was applied shows in the cells that come with the next connection.
    this.#edit = null;
    if (state === "refused") this.#refusal = reason || "The server does not offer this notebook any more.";
    this.#show();
  }

  #send() {
    if (this.#edit || !this.#isLive) return this.#show();
    const cells = this.#batch();
    const metadata = this.#document.pendingMetadata();
    if (!cells.length && !metadata) return this.#show();
    const edit = { edit: `${++this.#edits}`, cells, metadata };
    const frame = { type: "edit", edit: edit.edit, cells, ...(metadata && { metadata }) };
    if (this.#socket.send(/** @type {any} */ (frame))) {
      this.#edit = edit;
      this.#document.markSent(cells);
    }
    this.#show();
  }

  /** As much as one frame carries; what no frame carries is put aside. */
  #batch() {
    const most = this.#isCareful ? 1 : EDIT_CELLS;
    let characters = 0;
    /** @type {Pending[]} */ const batch = [];
    for (const cell of this.#document.pending()) {
      const length = cell.source?.length ?? 0;
      if (length > EDIT_CHARACTERS && byteLength(cell) > FRAME_BYTES) {
        this.#document.refuse([cell.id]);
        this.#refusal = SENTENCES.large;
        continue;
      }
      if (batch.length >= most || (batch.length && characters + length > EDIT_CHARACTERS)) break;
      characters += length;
      batch.push(cell);
    }
    return batch;
  }

  /** @param {{edit: string, version: number}} frame */
  #saved({ edit, version }) {
    const sent = this.#answered(edit);
    if (!sent) return;
    this.#document.acknowledge(sent.cells, version, sent.metadata);
    this.#next();
  }

  /** @param {{edit: string, cells: Row[]}} frame */
  #conflicted({ edit, cells }) {
    if (!this.#answered(edit)) return;
    for (const theirs of this.#document.conflict(cells)) this.#onConflict(theirs.id, theirs);
    this.#next();
  }

  /** @param {{message: string, in_reply_to: string | null}} frame */
  #refused({ message, in_reply_to: inReplyTo }) {
    const sent = this.#edit;
    if (inReplyTo !== "edit" || !sent) return;
    this.#edit = null;
    if (sent.cells.length === 1) {
      this.#document.refuse([sent.cells[0].id]);
      this.#refusal = message;
    } else if (sent.cells.length) {
      this.#isCareful = true;
    } else {
      this.#isLive = false; // not even the notebook's own data: wait for the next connection
      this.#refusal = message;
    }
    this.#next();
  }

  /** @param {string} edit */
  #answered(edit) {
    const sent = this.#edit;
    if (sent?.edit !== edit) return null;
    this.#edit = null;
    return sent;
  }

  /** What was typed while the last edit was on its way goes with the timer, if one runs. */
  #next() {
    if (!this.#document.pending().length) this.#isCareful = false;
    if (this.#timer === undefined) this.#send();
    this.#keep();
    this.#show();
  }

  #keep() {
    const isKept = this.#drafts.save(this.#document.drafts());
    if (!isKept && this.#isKept) this.#onWarning(SENTENCES.unkeptYet);
    this.#isKept = isKept;
  }

  #show() {
    const [name, sentence] = this.#now();
    if (`${name} ${sentence}` === this.#shown) return;
    this.#shown = `${name} ${sentence}`;
    const state = { saved: false, saving: false, offline: false, failed: false, sentence };
    this.#onState({ ...state, [name]: true });
  }

  /** @returns {["saved" | "saving" | "offline" | "failed", string]} */
  #now() {
    if (this.#refusal) return ["failed", this.#refusal];
    if (this.#connection === "waiting") return ["offline", this.#isKept ? SENTENCES.offline : SENTENCES.unkept];
    return this.#document.hasUnsaved ? ["saving", SENTENCES.saving] : ["saved", SENTENCES.saved];
  }
}

/** @param {Pending} cell */
function byteLength(cell) {
  return new TextEncoder().encode(JSON.stringify(cell)).length;
}

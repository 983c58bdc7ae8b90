// @ts-check
// A widget's end of its comm: to its kernel by way of the page, and through the session's log back.

import { tell } from "./page.js";

/**
 * @typedef {{kind: string, comm_id: string, data: any, metadata?: any, buffers?: string[]}} Message
 *   as in the log: docs/events.md
 * @typedef {{iopub?: {status?: (message: object) => void}}} Callbacks
 */

// A widget sends its next state when the kernel has taken the last one: when its echo is there or,
// for what is not echoed, after so long.
const NO_ECHO_MS = 1_000;
const OTHERS = "another client's";

export class FrameComm {
  comm_id;
  target_name = "jupyter.widget";
  #sent = 0;
  /** States sent and not yet echoed, the oldest first. @type {{id: string, state: any, free: () => void}[]} */
  #unconfirmed = [];
  /** @type {(message: object) => unknown} */ #onMessage = () => {};
  /** @type {(message: object) => void} */ #onClose = () => {};

  /** @param {string} id */
  constructor(id) {
    this.comm_id = id;
  }

  // What the widgets' library calls

  /** @param {(message: object) => unknown} callback */
  on_msg(callback) {
    this.#onMessage = callback;
  }

  /** @param {(message: object) => void} callback */
  on_close(callback) {
    this.#onClose = callback;
  }

  open() {
    return ""; // the kernel opened it
  }

  /**
   * @param {any} data
   * @param {Callbacks} [callbacks]
   * @param {object} [_metadata]
   * @param {(ArrayBuffer | ArrayBufferView)[]} [buffers]
   * @returns {string} the message's id
   */
  send(data, callbacks, _metadata, buffers = []) {
    const id = `${this.comm_id} ${++this.#sent}`;
    tell({ type: "comm", message: { kind: "msg", comm_id: this.comm_id, data, buffers: buffers.map(toBase64) } });
    this.#expect(id, data, callbacks);
    return id;
  }

  close() {
    tell({ type: "comm", message: { kind: "close", comm_id: this.comm_id, data: {}, buffers: [] } });
    return "";
  }

  // What the kernel says

  /** @param {Message} message */
  receive({ kind, data, metadata = {}, buffers = [] }) {
    const content = { comm_id: this.comm_id, data };
    if (kind === "close") return this.#onClose({ content });
    const parent_header = { msg_id: data?.method === "echo_update" ? this.#confirm(data.state) : "" };
    return this.#onMessage({ content, metadata, parent_header, buffers: buffers.map(fromBase64) });
  }

  // Internal

  /**
   * @param {string} id
   * @param {any} data
   * @param {Callbacks} [callbacks]
   */
  #expect(id, data, callbacks) {
    let isFree = false;
    const free = () => {
      if (!isFree) callbacks?.iopub?.status?.({ content: { execution_state: "idle" } });
      isFree = true;
    };
    if (data?.method === "update") this.#unconfirmed.push({ id, state: JSON.stringify(data.state), free });
    // Not before it was sent: the library counts it only then.
    setTimeout(free, data?.method === "update" ? NO_ECHO_MS : 0);
  }

  /**
   * Whose echo this is. The log does not say which message was echoed, but ours come back in their
   * order, with what they said.
   * @param {any} state
   * @returns {string} the id of our message
   */
  #confirm(state) {
    const place = this.#unconfirmed.findIndex((sent) => isPart(state, JSON.parse(sent.state)));
    if (place < 0) return OTHERS;
    const confirmed = this.#unconfirmed.splice(0, place + 1);
    setTimeout(() => confirmed.forEach(({ free }) => free()));
    return confirmed[place].id;
  }
}

/** @param {any} part @param {any} whole */
function isPart(part, whole) {
  return Object.entries(part).every(([name, value]) => JSON.stringify(whole[name]) === JSON.stringify(value));
}

/** @param {ArrayBuffer | ArrayBufferView} buffer */
function toBase64(buffer) {
  const bytes = ArrayBuffer.isView(buffer)
    ? new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength)
    : new Uint8Array(buffer);
  const pieces = [];
  for (let at = 0; at < bytes.length; at += 0x8000) pieces.push(String.fromCharCode(...bytes.subarray(at, at + 0x8000)));
  return btoa(pieces.join(""));
}

/** @param {string} text */
export function fromBase64(text) {
  return new DataView(Uint8Array.from(atob(text), (character) => character.charCodeAt(0)).buffer);
}

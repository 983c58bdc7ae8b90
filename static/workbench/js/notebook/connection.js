// @ts-check
// The page's connection to its session: the log as it grows, and questions that get answers.

import { Socket, socketUrl } from "../socket.js";

// For an answer; the kernel has 10 seconds for its own.
const ANSWER_MS = 15_000;

export class RequestRefused extends Error {
  /**
   * @param {string} message a sentence for people
   * @param {string} code
   */
  constructor(message, code) {
    super(message);
    this.code = code;
  }
}

export class Connection {
  /** @type {Socket} */ socket;
  #isOpen = false;
  #questions = 0;
  /** @type {Map<string, {resolve: (frame: any) => void, reject: (error: Error) => void}>} */ #waiting = new Map();

  #filesVersion;
  /** @type {(() => void)[]} */ #onFiles = [];

  /**
   * @param {{id: string, files_version: number}} session
   * @param {() => number} lastNumber of the last event the page has
   */
  constructor(session, lastNumber) {
    this.socket = new Socket(() => socketUrl(`/ws/sessions/${session.id}/?since=${lastNumber()}`));
    this.#filesVersion = session.files_version;
    this.socket.on("session", (frame) => this.#filesAt(frame.session.files_version)); // after an interruption
    this.socket.on("files", ({ version }) => this.#filesAt(version));
    for (const type of ["completion", "inspection", "variables", "table", "resources"]) {
      this.socket.on(type, (frame) => this.#answered(frame));
    }
  }

  /**
   * Call `callback` when files have changed, whoever did it.
   * @param {() => void} callback
   */
  onFiles(callback) {
    this.#onFiles.push(callback);
  }

  /**
   * Ask the session something. Rejects with RequestRefused, whose message is a sentence.
   * @param {string} type
   * @param {Record<string, any>} [fields]
   * @returns {Promise<any>}
   */
  ask(type, fields = {}) {
    const question = String(++this.#questions);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#refuse(question, "There was no answer in time.", "timeout"), ANSWER_MS);
      const done = (/** @type {(value: any) => void} */ settle) => (/** @type {any} */ value) => {
        clearTimeout(timer);
        this.#waiting.delete(question);
        settle(value);
      };
      this.#waiting.set(question, { resolve: done(resolve), reject: done(reject) });
      if (!this.send({ type, question, ...fields })) this.#refuse(question, "Not connected.", "offline");
    });
  }

  /**
   * True if the frame was sent; false if there is no connection.
   * @param {any} frame
   */
  send(frame) {
    return this.#isOpen && this.socket.send(frame);
  }

  /**
   * Tell the connection what the socket says of itself: questions of a lost one get no answer.
   * @param {boolean} isOpen
   */
  setOpen(isOpen) {
    this.#isOpen = isOpen;
    if (isOpen) return;
    for (const question of [...this.#waiting.keys()]) this.#refuse(question, "The connection was lost.", "offline");
  }

  /**
   * An error frame; true if it was the answer to a question.
   * @param {any} frame
   */
  failed(frame) {
    if (!this.#waiting.has(frame.question)) return false;
    this.#refuse(frame.question, frame.message, frame.code);
    return true;
  }

  /** @param {number} version */
  #filesAt(version) {
    if (version === this.#filesVersion) return;
    this.#filesVersion = version;
    for (const callback of this.#onFiles) callback();
  }

  /** @param {any} frame */
  #answered(frame) {
    this.#waiting.get(frame.question)?.resolve(frame);
  }

  /**
   * @param {string} question
   * @param {string} message
   * @param {string} code
   */
  #refuse(question, message, code) {
    this.#waiting.get(question)?.reject(new RequestRefused(message, code));
  }
}

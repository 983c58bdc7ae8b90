// @ts-check
// The session's log as the page knows it: what arrives is folded once per drawn frame.

import { emptyState, fold } from "../fold.js";
import { setServerTime } from "../time.js";

/**
 * @typedef {import("../fold.js").State} State
 * @typedef {import("../fold.js").LogEvent} LogEvent
 */

export class SessionLog {
  /** @type {State} */ state = emptyState();
  /** All that had happened when the page came is here. */ isComplete = false;
  /** @type {LogEvent[]} */ #waiting = [];
  #lastNumber = 0;
  #onNews;

  /**
   * @param {{state: string, reason: string}} session what the server wrote into the page
   * @param {() => void} onNews something came, or all is here
   */
  constructor({ state, reason }, onNews) {
    this.state.session = { ...this.state.session, state, reason };
    this.#onNews = onNews;
  }

  /** Number of the last event that has arrived, folded or not. */
  get lastNumber() {
    return this.#lastNumber;
  }

  /** @param {import("../socket.js").Socket} socket */
  listen(socket) {
    socket.on("session", (frame) => {
      setServerTime(frame.now);
      // A log shorter than what the page has is another log: begin again.
      if (frame.session.last_event_number < this.state.number) location.reload();
    });
    socket.on("events", ({ events }) => {
      for (const event of events) this.#waiting.push(event);
      this.#lastNumber = events.at(-1)?.number ?? this.#lastNumber;
      this.#onNews();
    });
  }

  /** There is no more to wait for, as the socket said so or no host answers. */
  complete() {
    this.isComplete = true;
    this.#onNews();
  }

  /**
   * Fold in what has arrived.
   * @returns {LogEvent[]} what that was
   */
  take() {
    const events = this.#waiting;
    if (!events.length) return events;
    this.#waiting = [];
    this.state = fold(this.state, events);
    return events;
  }
}

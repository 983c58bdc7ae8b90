// @ts-check
// Whether isolated frames still answer. Chromium runs all frames of a page in one process that is
// not the page's: a script without end stops all of them, and nothing else. The process ends when
// none of its frames is left, so the others can begin anew.

/**
 * @typedef {object} Watched
 * @property {boolean} isLoaded it is in the document, and may run scripts
 * @property {boolean} isAnswering it said something since it was last asked
 * @property {boolean} isAtWork it began to show something, and has not said that it is done
 * @property {() => void} ask make it answer; from now on it counts as silent
 * @property {(stop: (() => void) | null) => void} offerStop show that it may be stopped; null: no more
 * @property {() => void} unload take it out of the document
 * @property {() => void} reload put it back
 */

const ASK_MS = 4_000;
const SILENT_ASKS = 2; // unanswered in a row: then somebody is told
const END_MS = 1_500; // what a process takes to end; a frame made before that would go into it

export class FrameWatch {
  /** @type {Set<Watched>} */ #frames = new Set();
  /** Unanswered questions in a row. @type {WeakMap<Watched, number>} */ #silent = new WeakMap();
  #timer = 0;

  /** @param {Watched} frame */
  add(frame) {
    this.#frames.add(frame);
    this.#timer ||= setInterval(() => document.hidden || this.#ask(), ASK_MS);
  }

  /** @param {Watched} frame */
  delete(frame) {
    this.#frames.delete(frame);
    if (this.#frames.size) return;
    clearInterval(this.#timer);
    this.#timer = 0;
  }

  // Internal

  #ask() {
    const loaded = [...this.#frames].filter((frame) => frame.isLoaded);
    for (const frame of loaded) {
      this.#silent.set(frame, frame.isAnswering ? 0 : (this.#silent.get(frame) ?? 0) + 1);
      frame.ask();
    }
    const silent = loaded.filter((frame) => (this.#silent.get(frame) ?? 0) >= SILENT_ASKS);
    const atWork = silent.filter((frame) => frame.isAtWork);
    const suspects = new Set(atWork.length ? atWork : silent);
    for (const frame of loaded) frame.offerStop(suspects.has(frame) ? () => this.#stop(suspects) : null);
  }

  /** @param {Set<Watched>} suspects they stay away until somebody wants them back */
  #stop(suspects) {
    const loaded = [...this.#frames].filter((frame) => frame.isLoaded);
    for (const frame of loaded) frame.unload();
    setTimeout(() => {
      for (const frame of loaded) if (!suspects.has(frame) && this.#frames.has(frame)) frame.reload();
    }, END_MS);
  }
}

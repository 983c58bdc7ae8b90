// @ts-check
// Whether isolated frames still answer. Chromium runs the frames of all our pages in one process
// that is none of the pages': a script without end stops all frames, also those in other tabs, and
// nothing else. The process ends when none of its frames is left, so the others can begin anew.

/**
 * @typedef {object} Watched
 * @property {boolean} isLoaded it is in the document, and may run scripts
 * @property {boolean} isReady it listens; before that, none of its output's scripts ran
 * @property {boolean} isAnswering it said something since it was last asked
 * @property {boolean} isAtWork it began to show something, and has not said that it is done
 * @property {() => string} content what it shows, to know it again in another tab
 * @property {() => void} ask make it answer; from now on it counts as silent
 * @property {(stop: (() => void) | null) => void} offerStop show that it may be stopped; null: no more
 * @property {() => void} unload take it out of the document
 * @property {() => void} reload put it back
 */

const ASK_MS = 4_000;
const SILENT_ASKS = 2; // unanswered in a row: then somebody is told
const END_MS = 1_500; // what a process takes to end; a frame made before that would go into it
const CHANNEL = "workbench-frames"; // between the tabs: somebody has stopped these contents

export class FrameWatch {
  /** @type {Set<Watched>} */ #frames = new Set();
  /** Unanswered questions in a row. @type {WeakMap<Watched, number>} */ #silent = new WeakMap();
  #timer = 0;
  /** @type {BroadcastChannel | null} */ #tabs = null;

  /** @param {Watched} frame */
  add(frame) {
    this.#frames.add(frame);
    this.#timer ||= setInterval(() => document.hidden || this.#ask(), ASK_MS);
    this.#tabs ??= this.#openChannel();
  }

  /** @param {Watched} frame */
  delete(frame) {
    this.#frames.delete(frame);
    if (this.#frames.size) return;
    clearInterval(this.#timer);
    this.#timer = 0;
    this.#tabs?.close();
    this.#tabs = null;
  }

  // Internal

  #ask() {
    const loaded = [...this.#frames].filter((frame) => frame.isLoaded);
    for (const frame of loaded) {
      this.#silent.set(frame, frame.isAnswering ? 0 : (this.#silent.get(frame) ?? 0) + 1);
      frame.ask();
    }
    const silent = loaded.filter((frame) => (this.#silent.get(frame) ?? 0) >= SILENT_ASKS);
    const suspects = suspectsOf(silent);
    const told = suspects.size ? suspects : new Set(silent); // then somebody in another tab is at work
    for (const frame of loaded) frame.offerStop(told.has(frame) ? () => this.#stop(suspects) : null);
  }

  /** @param {Set<Watched>} suspects they stay away until somebody wants them back */
  #stop(suspects) {
    this.#tabs?.postMessage([...suspects].map((frame) => frame.content()));
    this.#beginAnew(suspects);
  }

  #openChannel() {
    const tabs = new BroadcastChannel(CHANNEL);
    // In a tab that nobody looks at, frames are not asked: who is at work is all that is known.
    const isSuspect = (/** @type {Watched} */ frame, /** @type {string[]} */ stopped) =>
      frame.isAtWork || (frame.isLoaded && stopped.includes(frame.content()));
    tabs.onmessage = ({ data }) => this.#beginAnew(new Set([...this.#frames].filter((frame) => isSuspect(frame, data))));
    return tabs;
  }

  /** @param {Set<Watched>} suspects */
  #beginAnew(suspects) {
    const loaded = [...this.#frames].filter((frame) => frame.isLoaded);
    for (const frame of loaded) frame.unload();
    setTimeout(() => {
      for (const frame of loaded) if (!suspects.has(frame) && this.#frames.has(frame)) frame.reload();
    }, END_MS);
  }
}

/**
 * Whose scripts it may be: those who began something, or else all that ran any.
 * @param {Watched[]} silent
 */
function suspectsOf(silent) {
  const atWork = silent.filter((frame) => frame.isAtWork);
  return new Set(atWork.length ? atWork : silent.filter((frame) => frame.isReady));
}

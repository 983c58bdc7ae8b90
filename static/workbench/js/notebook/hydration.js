// @ts-check
// Builds the costly parts of cells when they come near the window, the rest when there is time.

/** @typedef {{element: HTMLElement, hydrate: () => void}} Hydratable */

// How near the window a cell is built.
const MARGIN = "800px 0px";
// Milliseconds of work in a row while the browser has nothing better to do.
const SLICE_MS = 8;
// The same when cells are in sight or nearly: a frame's worth of what a person waits for.
const NEAR_SLICE_MS = 24;

const whenIdle = globalThis.requestIdleCallback ?? ((work) => setTimeout(work, 30));

export class Hydration {
  /** @type {Map<Element, Hydratable>} */ #waiting = new Map();
  #isScheduled = false;
  /** Those near the window. @type {Set<Element>} */ #close = new Set();
  #observer = new IntersectionObserver((entries) => this.#near(entries), { rootMargin: MARGIN });

  /** @param {Hydratable} view */
  add(view) {
    this.#waiting.set(view.element, view);
    this.#observer.observe(view.element);
    this.#schedule();
  }

  /** @param {Hydratable} view */
  remove(view) {
    this.#waiting.delete(view.element);
    this.#close.delete(view.element);
    this.#observer.unobserve(view.element);
  }

  /** @param {IntersectionObserverEntry[]} entries */
  #near(entries) {
    const isWorking = this.#close.size > 0;
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting && this.#waiting.has(target)) this.#close.add(target);
      else this.#close.delete(target);
    }
    if (!isWorking) this.#workNear();
  }

  /** Cells grow when they are built, and move others away: those are not built after all. */
  #workNear() {
    const end = performance.now() + NEAR_SLICE_MS;
    for (const element of this.#close) {
      if (performance.now() > end) return void requestAnimationFrame(() => this.#workNear());
      this.#hydrate(this.#waiting.get(element));
    }
  }

  /** @param {Hydratable | undefined} view */
  #hydrate(view) {
    if (!view) return;
    this.remove(view);
    view.hydrate();
  }

  #schedule() {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    whenIdle(() => this.#work());
  }

  #work() {
    this.#isScheduled = false;
    const end = performance.now() + SLICE_MS;
    for (const view of this.#waiting.values()) {
      this.#hydrate(view);
      if (performance.now() > end) break;
    }
    if (this.#waiting.size) this.#schedule();
  }
}

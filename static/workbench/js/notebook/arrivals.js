// @ts-check
// Cells that arrive from elsewhere while somebody reads: a way to them, and never a jump.

import { find, setText } from "../dom.js";

export class Arrivals {
  #button = find("[data-new-output]");
  /** The first cell that came and was not seen. @type {string | null} */ #first = null;
  #count = 0;
  #observer = new IntersectionObserver((entries) => {
    if (entries.some((entry) => entry.isIntersecting)) this.#clear();
  });

  constructor() {
    this.#button.addEventListener("click", () => this.#go());
  }

  /**
   * @param {import("../fold.js").State} before
   * @param {import("../fold.js").State} after
   */
  grown(before, after) {
    if (after.executions.size === before.executions.size) return;
    let place = 0;
    for (const { id, cell } of after.executions.values()) {
      if (place++ < before.executions.size || cell) continue;
      this.#arrived(id);
    }
  }

  /** @param {string} id */
  #arrived(id) {
    const element = document.getElementById(`cell-${id}`);
    if (!element || isVisible(element)) return;
    this.#count += 1;
    this.#first ??= id;
    this.#observer.observe(element);
    setText(this.#button, this.#count === 1 ? "↓ New run" : `↓ ${this.#count} new runs`);
    this.#button.hidden = false;
  }

  #go() {
    const element = document.getElementById(`cell-${this.#first}`);
    this.#clear();
    element?.scrollIntoView({ block: "start" });
    element?.focus({ preventScroll: true });
  }

  #clear() {
    this.#observer.disconnect();
    this.#first = null;
    this.#count = 0;
    this.#button.hidden = true;
  }
}

/** @param {Element} element */
function isVisible(element) {
  const { top, bottom } = element.getBoundingClientRect();
  return bottom > 0 && top < innerHeight - 40;
}

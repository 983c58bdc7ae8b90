// @ts-check
// Follow the newest output, but never move what a person reads.

import { find } from "./dom.js";

// Nearer to the end than this, a person is at the end.
const NEAR_PX = 120;

export class Follower {
  #button = find("[data-new-output]");
  #isAtEnd = true;

  constructor() {
    this.#button.addEventListener("click", () => this.toEnd());
    addEventListener("scroll", () => this.#look(), { passive: true });
    addEventListener("resize", () => this.#isAtEnd && this.toEnd());
  }

  /** Call after the page has grown. */
  grown() {
    if (this.#isAtEnd) this.toEnd();
    else this.#button.hidden = false;
  }

  toEnd() {
    this.#isAtEnd = true;
    this.#button.hidden = true;
    scrollTo({ top: document.documentElement.scrollHeight, behavior: "instant" });
  }

  #look() {
    const { scrollHeight } = document.documentElement;
    this.#isAtEnd = scrollHeight - scrollY - innerHeight < NEAR_PX;
    if (this.#isAtEnd) this.#button.hidden = true;
  }
}

// @ts-check
// Where code is written and sent off.

import { find, showProblem } from "./dom.js";

export class Composer {
  #element = find("[data-composer]");
  #form = /** @type {HTMLFormElement} */ (find("form", this.#element));
  #field = /** @type {HTMLTextAreaElement} */ (find("textarea", this.#element));
  #problem = find("[data-composer-problem]", this.#element);
  #run;
  /** What was sent last, in case it comes back. */
  #sent = "";
  /** Code sent from here, the oldest first, and where in it the arrow keys are. */
  /** @type {string[]} */ #history = [];
  #at = 0;

  /** @param {(code: string) => boolean} run false if there is no connection */
  constructor(run) {
    this.#run = run;
    this.#form.addEventListener("submit", (event) => this.#submit(event));
    this.#field.addEventListener("keydown", (event) => this.#key(event));
    this.#field.addEventListener("input", () => this.#fit());
  }

  /** @param {boolean} isShown */
  show(isShown) {
    if (this.#element.hidden !== isShown) return;
    this.#element.hidden = !isShown;
    if (isShown && matchMedia("(hover: hover)").matches) this.#field.focus({ preventScroll: true });
  }

  /**
   * The server did not take what was sent: give it back, unless something new is being written.
   * @param {string} sentence
   */
  refused(sentence) {
    showProblem(this.#problem, sentence);
    if (!this.#field.value) this.#set(this.#sent);
  }

  /** @param {Event} event */
  #submit(event) {
    event.preventDefault();
    const code = this.#field.value;
    if (!code.trim()) return;
    if (!this.#run(code)) {
      showProblem(this.#problem, "Not connected. The code stays here until the connection is back.");
      return;
    }
    showProblem(this.#problem, "");
    this.#sent = code;
    this.#history.push(code);
    this.#at = this.#history.length;
    this.#set("");
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const isRun = event.key === "Enter" && (event.shiftKey || event.ctrlKey || event.metaKey);
    if (isRun && !event.isComposing) {
      event.preventDefault();
      this.#form.requestSubmit();
    } else if (event.key === "Tab" && !event.shiftKey && this.#field.value.trim()) {
      event.preventDefault();
      this.#field.setRangeText("    ", this.#field.selectionStart, this.#field.selectionEnd, "end");
      this.#fit();
    } else if (event.key === "Escape") {
      this.#field.blur();
    } else if (event.key === "ArrowUp" || event.key === "ArrowDown") {
      this.#recall(event);
    }
  }

  /** Arrow keys walk through what was sent, as long as it is not edited. @param {KeyboardEvent} event */
  #recall(event) {
    if (this.#field.value !== (this.#history[this.#at] ?? "")) return;
    const at = this.#at + (event.key === "ArrowUp" ? -1 : 1);
    if (at < 0 || at > this.#history.length) return;
    event.preventDefault();
    this.#at = at;
    this.#set(this.#history[at] ?? "");
  }

  /** @param {string} code */
  #set(code) {
    this.#field.value = code;
    this.#fit();
  }

  #fit() {
    this.#field.style.height = "auto";
    this.#field.style.height = `${this.#field.scrollHeight}px`;
  }
}

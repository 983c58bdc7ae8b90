// @ts-check
// The dialog in which a session is opened: its name, if the person has one, and its kernel.

import { request } from "./api.js";
import { find, setText, showProblem } from "./dom.js";
import { freshName } from "./fresh-name.js";
import { sessionPath } from "./words.js";

/** @typedef {{name: string, display_name: string, language: string, version: string}} Kernel */

// Codes of errors that the name is the cause of, and the kernel.
const OF_NAME = new Set(["invalid_value", "conflict"]);
const OF_KERNEL = new Set(["kernelspec_not_found", "kernel_start_failed"]);

export class NewSession {
  #dialog = /** @type {HTMLDialogElement} */ (find("[data-new-session]"));
  #name = /** @type {HTMLInputElement} */ (find("[name=identifier]", this.#dialog));
  #kernel = /** @type {HTMLSelectElement} */ (find("[name=kernel]", this.#dialog));
  #submit = /** @type {HTMLButtonElement} */ (find("[type=submit]", this.#dialog));
  #suggested = "";
  /** @type {() => Set<string>} */ #taken;

  /** @param {() => Set<string>} taken the names of the live sessions */
  constructor(taken) {
    this.#taken = taken;
    find("form", this.#dialog).addEventListener("submit", (event) => this.#submitted(event));
    find("[data-cancel]", this.#dialog).addEventListener("click", () => this.#dialog.close());
    this.#name.addEventListener("input", () => this.#checkName());
    this.#dialog.addEventListener("click", ({ target }) => {
      if (target === this.#dialog) this.#dialog.close();
    });
  }

  open() {
    this.#suggested = freshName(this.#taken());
    this.#name.value = "";
    this.#name.placeholder = this.#suggested;
    for (const field of ["identifier", "kernel", "session"]) this.#say(field, "");
    this.#busy(false);
    this.#dialog.showModal();
    this.#name.focus();
    this.#listKernels();
  }

  async #listKernels() {
    try {
      const { kernelspecs } = await request("GET", "kernelspecs");
      const chosen = this.#kernel.value;
      this.#kernel.replaceChildren(...kernelspecs.map(kernelOption));
      if (kernelspecs.some((/** @type {Kernel} */ { name }) => name === chosen)) this.#kernel.value = chosen;
    } catch (error) {
      this.#say("kernel", `${/** @type {Error} */ (error).message} The usual kernel is used.`);
    }
  }

  /** True if the name can be had. */
  #checkName() {
    const name = this.#name.value.trim();
    const isTaken = this.#taken().has(name);
    this.#say("identifier", isTaken ? "A live session has this name. Choose another one." : "");
    return !isTaken;
  }

  /** @param {SubmitEvent} event */
  async #submitted(event) {
    event.preventDefault();
    if (!this.#checkName()) return this.#name.focus();
    this.#say("session", "");
    this.#busy(true);
    const identifier = this.#name.value.trim() || this.#suggested;
    try {
      const session = await request("POST", "sessions", { json: { identifier, kernel: this.#kernel.value } });
      location.assign(sessionPath(session));
    } catch (error) {
      this.#refused(/** @type {import("./api.js").ApiError} */ (error));
    }
  }

  /** @param {import("./api.js").ApiError} error */
  #refused({ code, message }) {
    this.#busy(false);
    const field = OF_NAME.has(code) ? "identifier" : OF_KERNEL.has(code) ? "kernel" : "session";
    this.#say(field, message);
    if (field !== "session") find(`[name=${field}]`, this.#dialog).focus();
  }

  /** @param {boolean} isBusy */
  #busy(isBusy) {
    this.#submit.disabled = isBusy;
    setText(this.#submit, isBusy ? "Opening…" : "Open session");
  }

  /**
   * @param {string} field what the sentence stands beside
   * @param {string} sentence empty: nothing is wrong with it
   */
  #say(field, sentence) {
    showProblem(find(`[data-problem-of=${field}]`, this.#dialog), sentence);
    const input = this.#dialog.querySelector(`[name=${field}]`);
    if (input) input.ariaInvalid = String(Boolean(sentence));
  }
}

/** @param {Kernel} kernel */
function kernelOption({ name, display_name, version }) {
  return new Option([display_name, version].filter(Boolean).join(" "), name);
}

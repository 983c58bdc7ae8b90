// @ts-check
// One execution: state -> element.

import { find, fromTemplate, setText } from "./dom.js";
import { OutputsView } from "./outputs.js";
import { duration, elapsed, exact, ordinal } from "./time.js";
import { originName, stateWord } from "./words.js";

/** @typedef {import("./fold.js").Execution} Execution */

export class ExecutionView {
  element = fromTemplate("execution");
  #outputs = new OutputsView(find("[data-outputs]", this.element));
  #answer = /** @type {HTMLFormElement} */ (find("[data-answer]", this.element));
  #field = /** @type {HTMLInputElement} */ (find("[data-text]", this.element));
  /** @type {Execution | null} */ #execution = null;
  #place = 0;

  /**
   * @param {object} actions
   * @param {(id: string) => void} actions.cancel
   * @param {(text: string) => boolean} actions.answer false if it could not be sent
   */
  constructor({ cancel, answer }) {
    find("[data-cancel]", this.element).addEventListener("click", () => {
      if (this.#execution) cancel(this.#execution.id);
    });
    this.#answer.addEventListener("submit", (event) => {
      event.preventDefault();
      if (answer(this.#field.value)) this.#answer.hidden = true;
    });
  }

  /**
   * @param {Execution} execution
   * @param {number} place in the queue, 0 if it does not wait
   */
  update(execution, place) {
    const isSame = execution === this.#execution && place === this.#place;
    if (isSame) return;
    const before = this.#execution;
    [this.#execution, this.#place] = [execution, place];
    if (!before) this.#first(execution);
    this.element.dataset.state = execution.state;
    this.element.ariaBusy = String(execution.state === "running");
    setText(find("[data-number]", this.element), number(execution));
    find("[data-cancel]", this.element).hidden = execution.state !== "queued";
    this.#showReason(execution);
    if (before?.input !== execution.input) this.#ask(execution.input);
    this.#outputs.update(execution.outputs);
    this.tick();
  }

  /** Called about once a second: the time that runs. */
  tick() {
    if (!this.#execution) return;
    const state = find("[data-state]", this.element);
    setText(state, sentence(this.#execution, this.#place));
  }

  /** The input field has opened: the server did not take the answer. */
  askAgain() {
    if (this.#execution?.input) this.#answer.hidden = false;
  }

  /** @param {Execution} execution */
  #first(execution) {
    this.element.id = `execution-${execution.id}`;
    this.element.ariaLabel = execution.kind === "command" ? "Command" : "Run";
    this.element.dataset.kind = execution.kind;
    setText(find("[data-code]", this.element), execution.code.replace(/\n+$/, ""));
    const badge = find("[data-origin]", this.element);
    setText(badge, originName(execution.origin));
    badge.hidden = execution.origin === "browser" || !execution.origin;
    if (execution.queuedAt) find("[data-state]", this.element).title = exact(execution.queuedAt);
  }

  /** @param {Execution} execution */
  #showReason({ reason }) {
    const element = find("[data-reason]", this.element);
    setText(element, reason);
    element.hidden = !reason;
  }

  /** @param {Execution["input"]} input */
  #ask(input) {
    this.#answer.hidden = !input;
    if (!input) return;
    setText(find("[data-prompt]", this.element), input.prompt);
    this.#field.type = input.password ? "password" : "text";
    this.#field.value = "";
    this.#field.ariaLabel = input.prompt || "Input";
    const isIdle = document.activeElement === document.body || !document.activeElement;
    if (isIdle) this.#field.focus({ preventScroll: true });
  }
}

/** @param {Execution} execution */
function number({ kind, executionCount, state }) {
  if (kind === "command") return "$";
  return `In [${executionCount ?? (state === "running" ? "*" : " ")}]`;
}

/**
 * @param {Execution} execution
 * @param {number} place
 */
function sentence(execution, place) {
  const { state, startedAt, durationSeconds, exitCode } = execution;
  if (state === "queued") return place > 0 ? `queued, ${ordinal(place)}` : "queued";
  if (execution.input) return "waits for input";
  if (state === "running") return startedAt ? `running ${elapsed(startedAt)}` : "running";
  const took = durationSeconds === null ? "" : duration(durationSeconds);
  const code = exitCode ? `exit code ${exitCode}` : "";
  const word = state === "succeeded" ? "" : stateWord(state);
  return [word, code, took].filter(Boolean).join(" · ") || "done";
}

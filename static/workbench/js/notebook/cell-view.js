// @ts-check
// One cell: its state -> its element. What is done to it is told to the notebook.

import { find, fromTemplate, setText } from "../dom.js";
import { outputsOfNotebook } from "../outputs/imported.js";
import { OutputsView } from "../outputs/outputs.js";
import { originName } from "../words.js";
import { cellLabel, countMark, stateSentence, timesSentence } from "./cell-facts.js";
import { CellSource } from "./cell-source.js";

/** @typedef {import("../fold.js").Execution} Execution */
/** @typedef {import("./cell-store.js").Cell} NotebookCell */

/**
 * @typedef {import("./cell-source.js").SourceContext & {
 *   outputs: any,
 *   act: (id: string, action: string, button: HTMLElement) => void,
 *   setSource: (id: string, text: string) => void,
 *   answer: (text: string) => boolean,
 * }} CellContext
 */

export class CellView {
  element = fromTemplate("cell");
  /** @type {NotebookCell} */ cell;
  /** @type {CellSource} */ source;
  #context;
  #outputs;
  #answer = /** @type {HTMLFormElement} */ (find("[data-answer]", this.element));
  #field = /** @type {HTMLInputElement} */ (find("[data-text]", this.element));
  /** @type {Execution | null} */ #execution = null;
  /** @type {any} */ #imported = null;
  #about = { place: 0, lastSeconds: /** @type {number | null} */ (null) };
  #place = 0;
  #isHydrated = false;
  #isSending = false;

  /**
   * @param {NotebookCell} cell
   * @param {CellContext} context
   */
  constructor(cell, context) {
    this.cell = cell;
    this.#context = context;
    this.element.id = `cell-${cell.id}`;
    this.element.dataset.cell = cell.id;
    this.#outputs = new OutputsView(find("[data-outputs]", this.element), context.outputs);
    this.source = new CellSource({
      place: find("[data-source]", this.element),
      rendered: find("[data-rendered]", this.element),
      id: cell.id,
      context,
      onChange: (text) => context.setSource(this.cell.id, text),
    });
    if (!context.mayWrite) withoutButton(this.element);
    this.element.addEventListener("click", (event) => this.#click(event));
    this.#answer.addEventListener("submit", (event) => {
      event.preventDefault();
      if (context.answer(this.#field.value)) this.#answer.hidden = true;
    });
  }

  /**
   * @param {NotebookCell} cell
   * @param {Execution | null} execution the run it shows
   * @param {object} about
   * @param {number} about.place of the run in the queue, from 1; 0 if it does not wait
   * @param {number | null} about.lastSeconds
   * @param {number} index of the cell, from 0
   */
  update(cell, execution, about, index) {
    const isNew = cell !== this.cell || !this.element.dataset.kind;
    const isOtherRun = execution !== this.#execution;
    const before = this.#execution;
    const isElsewhere = about.place !== this.#about.place || about.lastSeconds !== this.#about.lastSeconds;
    this.#about = about;
    if (isOtherRun) this.#isSending = false;
    [this.cell, this.#execution] = [cell, execution];
    if (isNew) this.#showCell();
    if (isNew || isOtherRun || index !== this.#place) {
      this.#place = index;
      this.element.ariaLabel = cellLabel(this.#kind(), index + 1, execution);
    }
    if (isNew || isOtherRun) this.#showRun(before);
    if (isNew || isOtherRun || isElsewhere) this.tick();
  }

  /** Build what is costly, once; called when the cell comes near, or when there is time. */
  hydrate() {
    if (this.#isHydrated) return;
    this.#isHydrated = true;
    this.source.update(this.cell.source, this.#kind(), this.cell.metadata?.attachments);
    this.#showOutputs();
  }

  /** Called about once a second: the time that runs. */
  tick() {
    const execution = this.#execution;
    const node = find("[data-state]", this.element);
    const text = this.#isSending ? "sending…" : execution ? stateSentence(execution, this.#about) : "";
    setText(node, text);
  }

  /** It was sent off, and the server has not said so yet. */
  sending() {
    this.#isSending = true;
    this.element.dataset.state = "queued";
    this.tick();
  }

  /** The server did not take it. */
  notSent() {
    if (!this.#isSending) return;
    this.#isSending = false;
    this.element.dataset.state = this.#execution?.state ?? "";
    this.tick();
  }

  /** The input field has opened: the server did not take the answer. */
  askAgain() {
    if (this.#execution?.input) this.#answer.hidden = false;
  }

  /** @param {boolean} isShown */
  showConflict(isShown) {
    find("[data-conflict]", this.element).hidden = !isShown;
  }

  destroy() {
    this.source.destroy();
    this.#outputs.destroy();
    this.element.remove();
  }

  #kind() {
    return this.cell.isCommand ? "command" : this.cell.kind;
  }

  #showCell() {
    this.element.dataset.kind = this.#kind();
    const isHidden = Boolean(this.cell.metadata?.jupyter?.outputs_hidden ?? this.cell.metadata?.collapsed);
    this.element.classList.toggle("outputs-hidden", isHidden);
    if (this.#isHydrated) this.source.update(this.cell.source, this.#kind(), this.cell.metadata?.attachments);
    this.element.classList.toggle("edited", this.cell.isEditedSinceRun);
    if (this.#isHydrated && !this.#execution) this.#showOutputs();
  }

  /** @param {Execution | null} before */
  #showRun(before) {
    const execution = this.#execution;
    const badge = find("[data-origin]", this.element);
    this.element.dataset.state = execution?.input ? "asks" : execution?.state ?? "";
    this.element.ariaBusy = String(execution?.state === "running");
    setText(find("[data-number]", this.element), countMark(execution));
    setText(badge, originName(execution?.origin ?? ""));
    badge.hidden = !execution?.origin || execution.origin === "browser";
    find("[data-do=cancel]", this.element).hidden = execution?.state !== "queued";
    find("[data-state]", this.element).title = execution ? timesSentence(execution) : "";
    setText(find("[data-reason]", this.element), execution?.reason ?? "");
    find("[data-reason]", this.element).hidden = !execution?.reason;
    if (before?.input !== execution?.input) this.#ask(execution?.input ?? null);
    if (this.#isHydrated) this.#showOutputs();
  }

  #showOutputs() {
    const { outputs: imported } = this.cell;
    if (this.#execution) this.#outputs.update(this.#execution.outputs);
    else if (imported !== this.#imported) this.#outputs.update(outputsOfNotebook(imported ?? []));
    this.#imported = this.#execution ? null : imported;
  }

  /** @param {Execution["input"]} input */
  #ask(input) {
    this.#answer.hidden = !input;
    if (!input) return;
    setText(find("[data-prompt]", this.element), input.prompt);
    this.#field.type = input.password ? "password" : "text";
    this.#field.value = "";
    this.#field.ariaLabel = input.prompt || "Input";
    const active = document.activeElement;
    const isIdle = active === document.body || !active || this.element.contains(active);
    if (isIdle) this.#field.focus({ preventScroll: true });
  }

  /** @param {MouseEvent} event */
  #click(event) {
    const button = event.target instanceof Element && event.target.closest("[data-do]");
    if (button instanceof HTMLElement) this.#context.act(this.cell.id, button.dataset.do ?? "", button);
  }
}

/** The run's number alone, where others have a button. @param {HTMLElement} cell */
function withoutButton(cell) {
  const button = find(".run-cell", cell);
  const place = document.createElement("span");
  place.className = button.className;
  place.append(find("[data-number]", button));
  button.replaceWith(place);
}

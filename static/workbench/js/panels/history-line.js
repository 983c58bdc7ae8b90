// @ts-check
// One run in the history: a line that opens to its code and what came of it.

import { find, fromTemplate, setText } from "../dom.js";
import { staticCode } from "../editor/static-code.js";
import { copyText } from "../outputs/clipboard.js";
import { clock, duration, exact } from "../time.js";
import { originName, stateWord } from "../words.js";
import { firstLine, lastLines, moreLines } from "./run-facts.js";

/** @typedef {import("../fold.js").Execution} Execution */

const OUTPUT_LINES = 12;
const COPIED_MS = 1_500;

export class HistoryLine {
  element = fromTemplate("history-run");
  #workbench;
  #open = find(".run-open", this.element);
  #body = find("[data-body]", this.element);
  /** @type {Execution | null} */ #execution = null;

  /** @param {any} workbench */
  constructor(workbench) {
    this.#workbench = workbench;
    this.#open.addEventListener("click", () => this.#toggle(this.#body.hidden));
    const on = (/** @type {string} */ name, /** @type {(button: HTMLElement) => void} */ act) => {
      const button = find(`[data-do="${name}"]`, this.element);
      button.addEventListener("click", () => act(button));
    };
    on("go", () => workbench.notebook.focus(this.#cell()));
    on("insert", () => workbench.notebook.insert(this.#execution?.code ?? ""));
    on("copy", (button) => this.#copy(button));
  }

  /** @param {Execution} execution */
  update(execution) {
    this.#execution = execution;
    const { code, state, queuedAt, startedAt, reason } = execution;
    this.element.dataset.state = execution.input ? "asks" : state;
    setText(find("[data-code]", this.element), firstLine(code) || "(nothing)");
    const more = moreLines(code);
    setText(find("[data-more]", this.element), more ? `+${more}` : "");
    setText(find("[data-facts]", this.element), factsOf(execution));
    const times = [queuedAt && `queued ${exact(queuedAt)}`, startedAt && `started ${exact(startedAt)}`, reason];
    this.#open.title = times.filter(Boolean).join("\n");
    if (!this.#body.hidden) this.#drawBody();
  }

  /** @param {boolean} isOpen */
  #toggle(isOpen) {
    this.#body.hidden = !isOpen;
    this.#open.ariaExpanded = String(isOpen);
    if (isOpen) this.#drawBody();
  }

  #drawBody() {
    if (!this.#execution) return;
    const { code, kind } = this.#execution;
    const language = kind === "command" ? "shell" : this.#workbench.session.language ?? "python";
    const place = find("[data-whole]", this.element);
    if (place.dataset.code !== code) place.replaceChildren(staticCode(code, language));
    place.dataset.code = code;
    const output = find("[data-output]", this.element);
    const text = lastLines(this.#execution, OUTPUT_LINES);
    setText(output, text);
    output.hidden = !text;
    const isThere = this.#workbench.notebook.cells().some((/** @type {{id: string}} */ { id }) => id === this.#cell());
    const go = /** @type {HTMLButtonElement} */ (find('[data-do="go"]', this.element));
    go.disabled = !isThere;
    go.title = isThere ? "" : "Its cell was deleted.";
  }

  #cell() {
    return this.#workbench.notebook.cellOf(this.#execution?.id);
  }

  /** @param {HTMLElement} button */
  async #copy(button) {
    const isDone = await copyText(this.#execution?.code ?? "").then(() => true, () => false);
    setText(button, isDone ? "Copied" : "Cannot copy");
    setTimeout(() => setText(button, "Copy"), COPIED_MS);
  }
}

/** @param {Execution} execution */
function factsOf({ state, input, origin, queuedAt, durationSeconds, exitCode, kind }) {
  const word = input ? "waits for input" : state === "succeeded" ? "" : stateWord(state);
  const code = exitCode ? `exit code ${exitCode}` : "";
  const when = queuedAt ? clock(queuedAt) : "";
  const took = durationSeconds === null ? "" : duration(durationSeconds);
  const who = [originName(origin), kind === "command" ? "command" : ""].filter(Boolean).join(" ");
  return [word, code, who, when, took].filter(Boolean).join(" · ");
}

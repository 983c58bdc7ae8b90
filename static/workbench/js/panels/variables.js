// @ts-check
// The variables of the session: read again after each run, while somebody looks.

import { copyText } from "../outputs/clipboard.js";
import { find, fromTemplate, setText } from "../dom.js";
import { isLive } from "../fold.js";
import { sizeText } from "./files-model.js";
import { LongList } from "./long-list.js";
import { coalesced } from "./soon.js";
import { TableDialog } from "./table-dialog.js";
import { changedNames, matching, mayHaveChanged, shapeText, shownSize } from "./variables-model.js";

/** @typedef {import("./variables-model.js").Variable} Variable */

// Cells that are run together end within moments of each other.
const SOON_MS = 250;
const RETRY_MS = 2_000;
const COPIED_MS = 1_500;
// Errors that say nothing about the variables: those that are shown stay.
const PASSING = new Set(["offline", "timeout", "kernel_busy", "host_unavailable"]);

/** @param {any} workbench */
export function variablesPanel(workbench) {
  const panel = new VariablesPanel(workbench);
  return {
    id: "variables",
    title: "Variables",
    element: panel.element,
    shown: () => panel.shown(),
    hidden: () => panel.hidden(),
  };
}

class VariablesPanel {
  element = fromTemplate("variables-panel");
  #workbench;
  #table;
  #list;
  #filter = /** @type {HTMLInputElement} */ (find("[data-filter]", this.element));
  /** As the server listed them; null before it did. @type {Variable[] | null} */ #variables = null;
  #isCut = false;
  #isShown = false;
  /** What `mayHaveChanged` said when they were read. */
  #readAt = "";
  /** @type {Promise<void> | null} */ #reading = null;
  #soon = coalesced(() => this.#follow(), SOON_MS);
  #retry = coalesced(() => this.#isShown && this.#refresh(), RETRY_MS);

  /** @param {any} workbench */
  constructor(workbench) {
    this.#workbench = workbench;
    this.#table = new TableDialog(workbench);
    this.#list = new LongList(find("[data-list]", this.element), {
      key: (/** @type {Variable} */ { name }) => name,
      make: () => new VariableLine({ open: (name) => this.#table.open(name) }),
      focus: ".variable-name",
    });
    this.#filter.addEventListener("input", () => this.#draw());
    find('[data-do="refresh"]', this.element).addEventListener("click", () => this.#refresh());
    workbench.onState(() => this.#isShown && this.#soon());
  }

  shown() {
    this.#isShown = true;
    this.#follow();
  }

  hidden() {
    this.#isShown = false;
  }

  #follow() {
    if (this.#isShown && mayHaveChanged(this.#workbench.state) !== this.#readAt) this.#refresh();
  }

  #refresh() {
    if (!isLive(this.#workbench.state)) return this.#end();
    this.#reading ??= this.#read().finally(() => {
      this.#reading = null;
      this.#soon(); // a run may have ended meanwhile
    });
  }

  #end() {
    this.#readAt = mayHaveChanged(this.#workbench.state);
    this.#variables = null;
    this.#say("This session has ended, and its variables with it.");
    this.#draw();
  }

  async #read() {
    const state = mayHaveChanged(this.#workbench.state);
    this.element.ariaBusy = "true";
    try {
      const answer = await this.#workbench.ask("variables");
      this.#take(answer.variables, answer.is_cut);
    } catch (error) {
      this.#refused(/** @type {Error & {code: string}} */ (error));
    }
    this.#readAt = state;
    this.element.ariaBusy = "false";
  }

  /**
   * @param {Variable[]} variables
   * @param {boolean} isCut
   */
  #take(variables, isCut) {
    const changed = changedNames(this.#variables, variables);
    [this.#variables, this.#isCut] = [variables, isCut];
    this.#say("");
    this.#draw();
    for (const name of changed) this.#list.line(name)?.element.classList.add("is-changed");
    setText(find("[data-news]", this.element), changed.size ? `${changed.size} changed` : "");
  }

  /** @param {Error & {code: string}} error */
  #refused({ code, message }) {
    if (code === "offline") this.#retry();
    if (code === "offline" && !this.#variables) return;
    if (!PASSING.has(code)) this.#variables = null;
    this.#say(message);
    this.#draw();
  }

  /** @param {string} sentence empty: nothing is wrong */
  #say(sentence) {
    const place = find("[data-sentence]", this.element);
    setText(place, sentence);
    place.hidden = !sentence;
  }

  #draw() {
    const all = this.#variables ?? [];
    const shown = matching(all, this.#filter.value);
    const isTold = !find("[data-sentence]", this.element).hidden;
    this.#list.update(shown);
    find("[data-skeleton]", this.element).hidden = this.#variables !== null || isTold;
    find("[data-empty]", this.element).hidden = this.#variables === null || all.length > 0;
    find("[data-no-match]", this.element).hidden = !all.length || shown.length > 0;
    const cut = find("[data-cut]", this.element);
    cut.hidden = !this.#isCut || !all.length;
    setText(cut, `Only the first ${all.length.toLocaleString()} are listed.`);
  }
}

class VariableLine {
  element = fromTemplate("variable");
  #name = find(".variable-name", this.element);
  #value = find("[data-value]", this.element);
  /** @type {Variable | null} */ #variable = null;

  /** @param {{open: (name: string) => void}} actions */
  constructor({ open }) {
    this.#name.addEventListener("click", () => {
      if (this.#variable?.is_table) open(this.#variable.name);
      else this.#expand(!this.element.classList.contains("is-expanded"));
    });
    const copy = find('[data-do="copy"]', this.element);
    copy.addEventListener("click", () => this.#copy(copy));
    this.#name.addEventListener("keydown", (event) => {
      if (event.key === "c" && !event.ctrlKey && !event.metaKey) this.#copy(copy);
    });
    this.element.addEventListener("animationend", () => this.element.classList.remove("is-changed"));
  }

  /** @param {Variable} variable */
  update(variable) {
    this.#variable = variable;
    const { name, type, shape, size_bytes, value, is_table } = variable;
    setText(find("[data-name]", this.element), name);
    setText(find("[data-type]", this.element), [type, shapeText(shape)].filter(Boolean).join(" "));
    setText(find("[data-size]", this.element), shownSize(size_bytes, sizeText));
    setText(this.#value, value);
    this.#value.title = value;
    this.element.classList.toggle("is-table", is_table);
    if (is_table) this.#name.removeAttribute("aria-expanded");
    else this.#name.ariaExpanded = String(this.element.classList.contains("is-expanded"));
    this.#name.title = is_table ? "Show as a table" : "Show more of the value";
  }

  /** @param {boolean} isExpanded */
  #expand(isExpanded) {
    this.element.classList.toggle("is-expanded", isExpanded);
    this.#name.ariaExpanded = String(isExpanded);
  }

  /** @param {HTMLElement} button */
  async #copy(button) {
    const isDone = await copyText(this.#variable?.name ?? "").then(() => true, () => false);
    button.dataset.state = isDone ? "done" : "failed";
    button.title = isDone ? "Copied" : "The browser does not let this page copy.";
    setTimeout(() => {
      delete button.dataset.state;
      button.title = "Copy the name (C)";
    }, COPIED_MS);
  }
}

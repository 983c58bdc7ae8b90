// @ts-check
// The bar that finds and replaces in a notebook. It says which match is meant and what shall be
// marked; the page shows that.

import { find, fromTemplate, setText } from "../dom.js";
import { firstFrom, MATCHES_MOST, replaced, search } from "./find.js";

/**
 * @typedef {import("./find.js").Match} Match
 * @typedef {{from: number, to: number}} Range
 * @typedef {Map<string, {ranges: Range[], current: number}>} Marks by cell; `current` is the index
 *   of the range that stands out, -1 for none
 * @typedef {object} FindBarOptions
 * @property {HTMLElement} parent
 * @property {import("./document.js").NotebookDocument} document
 * @property {() => {cellId: string, offset: number} | null} where the search begins
 * @property {(marks: Marks) => void} onMarks empty once the bar is closed
 * @property {(match: Match) => void} onShow bring it into view; the bar keeps the focus
 * @property {(match: Match | null) => void} onClose where the person goes on
 */

const SWITCHES = /** @type {const} */ (["isCase", "isWord", "isRegex"]);

export class FindBar {
  element = fromTemplate("find-bar");
  #options;
  #field = /** @type {HTMLInputElement} */ (find("[data-find-text]", this.element));
  #replacement = /** @type {HTMLInputElement} */ (find("[data-find-replacement]", this.element));
  /** @type {Match[]} */ #matches = [];
  #current = -1;
  /** What was done last, shown instead of the count until the next search. */ #done = "";
  /** Frame in which the next search happens, 0 for none. */ #frame = 0;
  /** @type {AbortController | null} null while closed */ #life = null;

  /** @param {FindBarOptions} options */
  constructor(options) {
    this.#options = options;
    this.element.hidden = true;
    options.parent.append(this.element);
    this.element.addEventListener("keydown", (event) => this.#key(event));
    this.element.addEventListener("click", (event) => this.#click(event));
    this.#field.addEventListener("input", () => this.#search({ isNew: true }));
  }

  get isOpen() {
    return this.#life !== null;
  }

  // Actions

  /**
   * Open, or come back to it.
   * @param {{replace?: boolean, text?: string}} [how] `text` is what is selected, if anything is
   */
  open({ replace = false, text = "" } = {}) {
    if (!this.#life) this.#follow();
    if (replace) this.#showReplace(true);
    if (text && !text.includes("\n")) this.#field.value = text;
    this.element.hidden = false;
    this.#field.focus();
    this.#field.select();
    this.#search({ isNew: true });
  }

  close() {
    if (!this.#life) return;
    this.#life.abort();
    this.#life = null;
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.element.hidden = true;
    this.#options.onMarks(new Map());
    this.#options.onClose(this.#matches[this.#current] ?? null);
  }

  next() {
    this.#go(1);
  }

  previous() {
    this.#go(-1);
  }

  replaceOne() {
    const match = this.#matches[this.#current];
    if (!match) return;
    const changes = this.#replacedBy([match]);
    const at = { cellId: match.cellId, offset: match.to };
    const before = this.#options.document.cell(match.cellId)?.source.length ?? 0;
    this.#options.document.setSources(changes);
    at.offset += (this.#options.document.cell(match.cellId)?.source.length ?? 0) - before;
    this.#search({ from: at, isNew: true });
  }

  replaceAll() {
    const count = this.#matches.length;
    const changes = this.#replacedBy(this.#matches);
    if (!changes.length) return;
    this.#options.document.setSources(changes, "Replace all");
    this.#search({});
    const cells = changes.length === 1 ? "1 cell" : `${changes.length} cells`;
    this.#done = `Replaced ${count.toLocaleString()} in ${cells}`;
    this.#count("");
  }

  // Internal

  /** Texts change while the bar is open: search again, once a frame at most. */
  #follow() {
    this.#life = new AbortController();
    const stop = this.#options.document.onChange(() => {
      this.#frame ||= requestAnimationFrame(() => this.#search({}));
    });
    this.#life.signal.addEventListener("abort", stop);
  }

  /**
   * @param {{isNew?: boolean, from?: {cellId: string, offset: number} | null}} how `isNew`: go to
   *   the first match from there; otherwise stay where one is
   */
  #search({ isNew = false, from }) {
    const { document, where } = this.#options;
    const before = this.#matches[this.#current];
    this.#frame = 0;
    if (isNew) this.#done = "";
    const { matches, problem } = search(document.cells, this.#query());
    this.#matches = matches;
    const here = before && { cellId: before.cellId, offset: before.from };
    const start = from ?? here ?? where() ?? { cellId: "", offset: 0 };
    const place = { index: document.indexOf(start.cellId), offset: start.offset };
    this.#current = firstFrom(matches, place, (id) => document.indexOf(id));
    this.#show(problem, isNew);
  }

  /** @param {1 | -1} step over the end it goes on at the other one */
  #go(step) {
    const count = this.#matches.length;
    if (!count) return;
    this.#done = "";
    this.#current = (this.#current + step + count) % count;
    this.#show("", true);
  }

  /**
   * @param {string} problem
   * @param {boolean} isMove a person looks for it: bring it into view
   */
  #show(problem, isMove) {
    this.#count(problem);
    this.#options.onMarks(this.#marks());
    const match = this.#matches[this.#current];
    if (match && isMove) this.#options.onShow(match);
  }

  /** @param {string} problem */
  #count(problem) {
    const count = this.#matches.length;
    const all = count === MATCHES_MOST ? `${count.toLocaleString()}+` : count.toLocaleString();
    const words = count ? `${(this.#current + 1).toLocaleString()} of ${all}` : "No results";
    setText(find("[data-find-count]", this.element), problem || this.#done || (this.#field.value ? words : ""));
    this.#field.setAttribute("aria-invalid", String(Boolean(problem)));
    this.element.classList.toggle("nothing", Boolean(this.#field.value) && !count && !this.#done);
    for (const button of this.element.querySelectorAll("[data-find-needs]")) {
      /** @type {HTMLButtonElement} */ (button).disabled = !count;
    }
  }

  #marks() {
    /** @type {Marks} */ const marks = new Map();
    this.#matches.forEach(({ cellId, from, to }, i) => {
      const mark = marks.get(cellId) ?? { ranges: [], current: -1 };
      if (i === this.#current) mark.current = mark.ranges.length;
      mark.ranges.push({ from, to });
      marks.set(cellId, mark);
    });
    return marks;
  }

  /** @param {Match[]} matches */
  #replacedBy(matches) {
    return replaced(this.#options.document.cells, matches, this.#replacement.value, this.#query());
  }

  /** @returns {import("./find.js").Query} */
  #query() {
    const [isCase, isWord, isRegex] = SWITCHES.map((name) => this.#switch(name).ariaPressed === "true");
    return { text: this.#field.value, isCase, isWord, isRegex };
  }

  /** @param {string} name */
  #switch(name) {
    return find(`[data-find-switch=${name}]`, this.element);
  }

  /** @param {boolean} isShown */
  #showReplace(isShown) {
    find("[data-find-replace-row]", this.element).hidden = !isShown;
    find("[data-find-do=more]", this.element).ariaExpanded = String(isShown);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    event.stopPropagation(); // the keys of cells do not count here
    const isField = event.target === this.#field || event.target === this.#replacement;
    const letter = event.ctrlKey || event.metaKey ? event.key.toLowerCase() : "";
    if (event.key === "Escape") this.close();
    else if (letter === "h") this.open({ replace: true });
    else if (letter === "f") this.open();
    else if (event.key === "F3" || letter === "g") this.#go(event.shiftKey ? -1 : 1);
    else if (event.key === "Enter" && isField) this.#enter(event);
    else return;
    event.preventDefault();
  }

  /** @param {KeyboardEvent} event */
  #enter({ target, shiftKey, ctrlKey, metaKey, altKey }) {
    if (target === this.#field) this.#go(shiftKey ? -1 : 1);
    else if (ctrlKey || metaKey || altKey) this.replaceAll();
    else this.replaceOne();
  }

  /** @param {MouseEvent} event */
  #click(event) {
    const button = event.target instanceof Element ? event.target.closest("button") : null;
    if (button?.dataset.findSwitch) {
      button.ariaPressed = String(button.ariaPressed !== "true");
      this.#search({ isNew: true });
    }
    /** @type {Record<string, () => void>} */ const actions = {
      next: () => this.next(),
      previous: () => this.previous(),
      close: () => this.close(),
      replace: () => this.replaceOne(),
      all: () => this.replaceAll(),
      more: () => this.#showReplace(Boolean(find("[data-find-replace-row]", this.element).hidden)),
    };
    actions[button?.dataset.findDo ?? ""]?.();
  }
}

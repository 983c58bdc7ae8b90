// @ts-check
// A table of the session in a dialog, page by page. The session sorts and searches: it has all rows.

import { find, fromTemplate, setText } from "../dom.js";
import { gridHead, gridRows, nextSort, orderOf } from "./table-grid.js";

/**
 * @typedef {import("./table-grid.js").Sort} Sort
 * @typedef {import("./table-grid.js").TablePage} TablePage
 */

const ROWS_PER_PAGE = 100;
const TYPING_MS = 250;

export class TableDialog {
  #workbench;
  #dialog = /** @type {HTMLDialogElement} */ (fromTemplate("table-dialog"));
  #search = /** @type {HTMLInputElement} */ (find("[data-search]", this.#dialog));
  #box = find("[data-box]", this.#dialog);
  #name = "";
  /** @type {Sort} */ #sort = { column: "", isDescending: false };
  /** Where the pages up to this one begin: a page may have fewer rows than were asked for. */
  #offsets = [0];
  /** @type {TablePage | null} */ #page = null;
  /** Questions are numbered: only the answer to the last one counts. */
  #asked = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;

  /** @param {any} workbench */
  constructor(workbench) {
    this.#workbench = workbench;
    document.body.append(this.#dialog);
    this.#dialog.addEventListener("click", ({ target }) => {
      if (target === this.#dialog) this.#dialog.close();
    });
    this.#dialog.addEventListener("close", () => (this.#asked += 1));
    this.#search.addEventListener("input", () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#restart(), TYPING_MS);
    });
    find('[data-do="next"]', this.#dialog).addEventListener("click", () => this.#next());
    find('[data-do="previous"]', this.#dialog).addEventListener("click", () => this.#previous());
  }

  /** @param {string} name of the variable */
  open(name) {
    this.#name = name;
    this.#sort = { column: "", isDescending: false };
    this.#search.value = "";
    this.#page = null;
    this.#say("");
    setText(find("[data-name]", this.#dialog), name);
    setText(find("[data-facts]", this.#dialog), "");
    find("table", this.#dialog).hidden = true;
    find("[data-pager]", this.#dialog).hidden = true;
    this.#dialog.showModal();
    this.#box.focus();
    this.#restart();
  }

  // Pages

  #restart() {
    this.#offsets = [0];
    this.#read();
  }

  #next() {
    if (!this.#page) return;
    this.#offsets.push(this.#page.offset + this.#page.rows.length);
    this.#read();
  }

  #previous() {
    if (this.#offsets.length > 1) this.#offsets.pop();
    this.#read();
  }

  async #read() {
    const asked = ++this.#asked;
    this.#dialog.ariaBusy = "true";
    const { column, isDescending } = this.#sort;
    const fields = {
      name: this.#name, offset: this.#offsets.at(-1), limit: ROWS_PER_PAGE,
      sort: column, descending: isDescending, search: this.#search.value.trim(),
    };
    try {
      const page = await this.#workbench.ask("table", fields);
      if (asked === this.#asked) this.#show(page);
    } catch (error) {
      if (asked === this.#asked) this.#say(/** @type {Error} */ (error).message);
    }
    if (asked === this.#asked) this.#dialog.ariaBusy = "false";
  }

  // Drawing

  /** @param {TablePage} page */
  #show(page) {
    this.#page = page;
    this.#say("");
    const table = /** @type {HTMLTableElement} */ (find("table", this.#dialog));
    const focused = columnOf(document.activeElement);
    table.tHead?.replaceChildren(gridHead(page.columns, this.#sort, (column) => this.#sortBy(column)));
    table.tBodies[0].replaceChildren(...gridRows(page));
    table.hidden = false;
    this.#box.scrollTop = 0;
    if (focused) find(`[data-column="${CSS.escape(focused)}"]`, table).focus();
    this.#tell(page);
  }

  /** @param {string} column */
  #sortBy(column) {
    this.#sort = nextSort(this.#sort, column);
    this.#restart();
  }

  /** @param {TablePage} page */
  #tell(page) {
    const isSearched = Boolean(this.#search.value.trim());
    setText(find("[data-facts]", this.#dialog), factsOf(page, isSearched));
    const end = page.offset + page.rows.length;
    const rows = page.rows.length
      ? `${(page.offset + 1).toLocaleString()}–${end.toLocaleString()} of ${page.total_rows.toLocaleString()}`
      : "";
    setText(find("[data-place]", this.#dialog), [rows, orderOf(this.#sort)].filter(Boolean).join(" · "));
    this.#enable("previous", page.offset > 0);
    this.#enable("next", page.rows.length > 0 && end < page.total_rows);
    find("[data-pager]", this.#dialog).hidden = false;
    if (!page.rows.length) this.#say(isSearched ? "No row has this in it." : "This table has no rows.");
  }

  /**
   * @param {string} name
   * @param {boolean} isEnabled
   */
  #enable(name, isEnabled) {
    const button = /** @type {HTMLButtonElement} */ (find(`[data-do="${name}"]`, this.#dialog));
    const hadFocus = button === document.activeElement;
    button.disabled = !isEnabled;
    if (hadFocus && !isEnabled) this.#box.focus(); // a disabled button loses it to the whole page
  }

  /** @param {string} sentence empty: there is a table to see */
  #say(sentence) {
    const place = find("[data-sentence]", this.#dialog);
    setText(place, sentence);
    place.hidden = !sentence;
  }
}

/** The column whose header has the focus. @param {Element | null} element */
function columnOf(element) {
  return element instanceof HTMLElement ? element.dataset.column : undefined;
}

/**
 * @param {TablePage} page
 * @param {boolean} isSearched
 */
function factsOf({ total_rows, total_columns, columns }, isSearched) {
  const plural = (/** @type {number} */ n, /** @type {string} */ word) => `${n.toLocaleString()} ${word}${n === 1 ? "" : "s"}`;
  const rows = `${plural(total_rows, "row")}${isSearched ? " found" : ""}`;
  const all = total_columns ?? columns.length;
  const wide = all > columns.length ? `the first ${columns.length} of ${plural(all, "column")}` : plural(all, "column");
  return `${rows}, ${wide}`;
}

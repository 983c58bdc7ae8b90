// @ts-check
// The cells on the page: their order, which are selected, and whether one is being edited.

import { CellView } from "./cell-view.js";
import { Hydration } from "./hydration.js";

/** @typedef {import("./cell-store.js").Cell} NotebookCell */

export class NotebookView {
  #list;
  #context;
  /** @type {Map<string, CellView>} */ #views = new Map();
  /** @type {string[]} */ #order = [];
  #hydration = new Hydration();
  /** @type {string | null} */ #active = null;
  /** The other end of the selection. @type {string | null} */ #anchor = null;
  /** @type {() => void} */ onSelect = () => {};

  /**
   * @param {HTMLElement} list
   * @param {import("./cell-view.js").CellContext & {refresh: () => void}} context
   */
  constructor(list, context) {
    this.#list = list;
    this.#context = context;
    list.addEventListener("focusin", (event) => this.#focused(event));
    list.addEventListener("mousedown", (event) => this.#pressed(event));
    list.addEventListener("dblclick", (event) => this.#doubled(event));
  }

  // What is on the page

  /**
   * Make the page show these cells.
   * @param {readonly NotebookCell[]} cells
   * @param {(cell: NotebookCell) => {execution: import("../fold.js").Execution | null, place: number, lastSeconds: number | null}} runOf
   */
  update(cells, runOf) {
    const ids = cells.map((cell) => cell.id);
    this.#removeOthers(new Set(ids));
    cells.forEach((cell, index) => {
      const view = this.#views.get(cell.id) ?? this.#add(cell);
      const { execution, place, lastSeconds } = runOf(cell);
      view.update(cell, execution, { place, lastSeconds }, index);
    });
    this.#arrange(ids);
  }

  /** @param {string} id */
  view(id) {
    return this.#views.get(id) ?? null;
  }

  get views() {
    return this.#views.values();
  }

  // Selection

  get active() {
    return this.#active;
  }

  /** The selected cells' ids, in order. */
  get selection() {
    const from = this.#order.indexOf(this.#anchor ?? "");
    const to = this.#order.indexOf(this.#active ?? "");
    if (to < 0) return [];
    return this.#order.slice(Math.min(from < 0 ? to : from, to), Math.max(from, to) + 1);
  }

  /** Whether somebody writes in a cell. */
  get isEditing() {
    const { activeElement } = document;
    return activeElement instanceof Element && Boolean(activeElement.closest(".cell .cm-editor"));
  }

  /**
   * Select a cell, and give it the focus.
   * @param {string | null} id
   * @param {{extend?: boolean, focus?: boolean, scroll?: boolean}} [how]
   */
  select(id, { extend = false, focus = true, scroll = true } = {}) {
    if (id !== null && !this.#known(id)) return;
    const before = this.#active;
    if (!extend) this.#anchor = id;
    this.#active = id;
    this.#markSelection();
    const view = id === null ? null : this.#views.get(id);
    if (view && focus) view.element.focus({ preventScroll: true });
    if (view && scroll) view.element.scrollIntoView({ block: "nearest" });
    if (before !== id) this.onSelect();
  }

  /**
   * Select the cell that many places further on.
   * @param {number} step
   * @param {{extend?: boolean}} [how]
   */
  step(step, how) {
    const at = this.#order.indexOf(this.#active ?? "");
    const to = at < 0 ? 0 : Math.min(Math.max(at + step, 0), this.#order.length - 1);
    this.select(this.#order[to] ?? null, how);
  }

  /** @param {number} step */
  neighbour(step) {
    const at = this.#order.indexOf(this.#active ?? "");
    return at < 0 ? null : this.#order[at + step] ?? null;
  }

  get first() {
    return this.#order[0] ?? null;
  }

  get last() {
    return this.#order.at(-1) ?? null;
  }

  selectAll() {
    this.#anchor = this.first;
    this.select(this.last, { extend: true, scroll: false });
  }

  /**
   * Write in a cell.
   * @param {string} id
   * @param {"start" | "end" | number | null} [at]
   */
  edit(id, at = null) {
    const view = this.#known(id);
    if (!view || !this.#context.mayWrite) return;
    this.select(id, { focus: false });
    view.hydrate();
    view.source.edit(at);
  }

  // Internal

  /** A cell that has just been made is drawn first. @param {string} id */
  #known(id) {
    if (!this.#views.has(id)) this.#context.refresh();
    return this.#views.get(id);
  }

  /** @param {NotebookCell} cell */
  #add(cell) {
    const view = new CellView(cell, this.#context);
    this.#views.set(cell.id, view);
    this.#hydration.add(view);
    return view;
  }

  /** @param {Set<string>} ids */
  #removeOthers(ids) {
    for (const [id, view] of this.#views) {
      if (ids.has(id)) continue;
      this.#hydration.remove(view);
      this.#views.delete(id);
      const hadFocus = view.element.contains(document.activeElement);
      if (id === this.#active) this.#moveOn(id, ids, hadFocus);
      view.destroy();
    }
  }

  /**
   * The active cell goes: the one after it, or the last before it, takes its place.
   * @param {string} id
   * @param {Set<string>} left
   * @param {boolean} hadFocus
   */
  #moveOn(id, left, hadFocus) {
    const at = this.#order.indexOf(id);
    const isLeft = (/** @type {string} */ each) => left.has(each) && this.#views.has(each);
    const next = this.#order.slice(at + 1).find(isLeft) ?? this.#order.slice(0, at).findLast(isLeft);
    this.select(next ?? null, { focus: hadFocus, scroll: false });
  }

  /** Bring the elements into order, moving as few as possible. @param {string[]} ids */
  #arrange(ids) {
    const isSame = ids.length === this.#order.length && ids.every((id, at) => id === this.#order[at]);
    if (isSame) return;
    let next = null;
    for (const id of ids.toReversed()) {
      const { element } = /** @type {CellView} */ (this.#views.get(id));
      if (element.nextElementSibling !== next || element.parentNode !== this.#list) this.#insert(element, next);
      next = element;
    }
    this.#order = ids;
    this.#markSelection();
  }

  /**
   * @param {HTMLElement} element
   * @param {Element | null} next
   */
  #insert(element, next) {
    const focused = element.contains(document.activeElement) ? document.activeElement : null;
    this.#list.insertBefore(element, next);
    // A moved element loses the focus.
    if (focused instanceof HTMLElement) focused.focus({ preventScroll: true });
  }

  #markSelection() {
    const selected = new Set(this.selection);
    for (const [id, { element }] of this.#views) {
      element.classList.toggle("selected", selected.has(id));
      element.classList.toggle("active", id === this.#active);
      element.tabIndex = id === this.#active ? 0 : -1;
    }
    const first = this.#active === null && this.first ? this.#views.get(this.first) : null;
    if (first) first.element.tabIndex = 0; // the Tab key must lead somewhere
  }

  /** @param {Event} event */
  #focused({ target }) {
    const id = cellOf(target);
    if (id && id !== this.#active) this.select(id, { focus: false, scroll: false });
  }

  /** @param {MouseEvent} event */
  #pressed(event) {
    const id = cellOf(event.target);
    if (!id) return;
    if (event.shiftKey && id !== this.#active) {
      event.preventDefault();
      this.select(id, { extend: true, scroll: false });
      return;
    }
    if (this.selection.length > 1) this.select(id, { focus: false, scroll: false });
    const source = event.target instanceof Element && event.target.closest("[data-source]");
    const view = this.#views.get(id);
    if (!source || !view || view.source.editor || !this.#context.mayWrite) return;
    // The first press makes the editor; the caret goes where the person pressed.
    const { clientX, clientY } = event;
    event.preventDefault();
    this.edit(id);
    view.source.editor?.focusAt?.(clientX, clientY);
  }

  /** @param {MouseEvent} event */
  #doubled({ target }) {
    const id = cellOf(target);
    if (id && target instanceof Element && target.closest("[data-rendered]") && !target.closest("a")) this.edit(id);
  }
}

/** @param {EventTarget | null} target */
function cellOf(target) {
  const cell = target instanceof Element ? target.closest("[data-cell]") : null;
  return cell instanceof HTMLElement ? cell.dataset.cell ?? null : null;
}

// @ts-check
// The columns beside the notebook: each shows one of its panels. On a phone they are sheets.

import { find } from "../dom.js";

/**
 * @typedef {object} Panel
 * @property {string} id
 * @property {string} title
 * @property {HTMLElement} element
 * @property {() => void} [shown] called each time somebody can see it from now on
 * @property {() => void} [hidden] called when nobody can any more
 */

const NARROW = matchMedia("(max-width: 900px)");

export class Side {
  #element;
  #name;
  #panels;
  /** @type {Map<string, HTMLButtonElement>} */ #tabs = new Map();
  /** @type {Panel | null} the one somebody can see */ #shown = null;
  #chosen = "";
  /** What had the focus before the side was opened. @type {Element | null} */ #before = null;

  /**
   * @param {"left" | "right"} name
   * @param {Panel[]} panels
   * @param {{isOpen: boolean}} options whether it is open unless the person chose otherwise
   */
  constructor(name, panels, { isOpen }) {
    this.#name = name;
    this.#panels = panels;
    this.#element = find(`[data-side=${name}]`);
    this.#build();
    const stored = read(name);
    this.#choose(stored.panel ?? panels[0].id);
    this.#open((stored.isOpen ?? isOpen) && !NARROW.matches);
    document.addEventListener("click", (event) => this.#click(event));
    this.#element.addEventListener("keydown", (event) => this.#key(event));
  }

  toggle() {
    const { activeElement } = document;
    const hadFocus = this.#element.contains(activeElement);
    this.#open(this.#element.hidden);
    this.#store();
    if (!this.#element.hidden) {
      this.#before = activeElement;
      this.#tabs.get(this.#chosen)?.focus();
    } else if (hadFocus) {
      this.#giveBack();
    }
  }

  /** @param {string} id */
  has(id) {
    return this.#tabs.has(id);
  }

  /**
   * Show a panel, opening the side if need be.
   * @param {string} id
   */
  show(id) {
    this.#choose(id);
    this.#open(true);
    this.#store();
  }

  /** Close the sheet that covers the notebook on a phone. */
  uncover() {
    if (NARROW.matches) this.#open(false);
  }

  /** The focus goes back to where it came from, or else to the cell that is worked on. */
  #giveBack() {
    const isThere = this.#before?.isConnected && this.#before !== document.body;
    const next = isThere ? this.#before : document.querySelector(".cell.active, .cell, [data-add-end] button");
    if (next instanceof HTMLElement) next.focus({ preventScroll: true });
  }

  #build() {
    const list = document.createElement("div");
    list.role = "tablist";
    list.className = "tabs";
    list.ariaLabel = this.#element.ariaLabel;
    for (const { id, title, element } of this.#panels) {
      const tab = document.createElement("button");
      tab.type = "button";
      tab.role = "tab";
      tab.id = `tab-${id}`;
      tab.textContent = title;
      tab.setAttribute("aria-controls", `panel-${id}`);
      tab.addEventListener("click", () => this.show(id));
      this.#tabs.set(id, tab);
      list.append(tab);
      element.id = `panel-${id}`;
      element.role = "tabpanel";
      element.setAttribute("aria-labelledby", tab.id);
      element.classList.add("panel");
    }
    const close = document.createElement("button");
    close.type = "button";
    close.className = "button quiet icon side-close";
    close.ariaLabel = "Close";
    close.append(/** @type {Node} */ (document.querySelector("#close-icon")?.cloneNode(true) ?? "×"));
    close.addEventListener("click", () => this.toggle());
    const head = document.createElement("div");
    head.className = "side-head";
    head.append(list, close);
    this.#element.append(head, ...this.#panels.map(({ element }) => element));
  }

  /** @param {string} id */
  #choose(id) {
    this.#chosen = this.#tabs.has(id) ? id : this.#panels[0].id;
    for (const panel of this.#panels) {
      const isChosen = panel.id === this.#chosen;
      const tab = /** @type {HTMLButtonElement} */ (this.#tabs.get(panel.id));
      tab.ariaSelected = String(isChosen);
      tab.tabIndex = isChosen ? 0 : -1;
      panel.element.hidden = !isChosen;
    }
    this.#tell();
  }

  /** @param {boolean} isOpen */
  #open(isOpen) {
    this.#element.hidden = !isOpen;
    document.body.classList.toggle(`${this.#name}-open`, isOpen);
    for (const button of document.querySelectorAll(`[data-side-switch=${this.#name}]`)) {
      button.setAttribute("aria-expanded", String(isOpen));
    }
    this.#tell();
  }

  /** Tell the panels which of them can be seen. */
  #tell() {
    const panel = this.#panels.find(({ id }) => id === this.#chosen) ?? null;
    const visible = this.#element.hidden ? null : panel;
    if (visible === this.#shown) return;
    this.#shown?.hidden?.();
    this.#shown = visible;
    visible?.shown?.();
  }

  /** @param {MouseEvent} event */
  #click({ target }) {
    if (!(target instanceof Element)) return;
    if (target.closest(`[data-side-switch=${this.#name}]`)) this.toggle();
    else if (NARROW.matches && !this.#element.hidden && target === this.#element.parentElement) this.toggle();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const isTab = event.target instanceof Element && event.target.role === "tab";
    if (event.key === "Escape" && (isTab || NARROW.matches) && !event.defaultPrevented) return this.toggle();
    const step = isTab ? { ArrowLeft: -1, ArrowRight: 1 }[event.key] : undefined;
    if (!step) return;
    event.preventDefault();
    const ids = this.#panels.map(({ id }) => id);
    const next = ids[(ids.indexOf(this.#chosen) + step + ids.length) % ids.length];
    this.show(next);
    this.#tabs.get(next)?.focus();
  }

  #store() {
    if (NARROW.matches) return; // a sheet is opened for the moment
    const value = { isOpen: !this.#element.hidden, panel: this.#chosen };
    try {
      localStorage.setItem(`workbench-side-${this.#name}`, JSON.stringify(value));
    } catch {
      // It holds until the page is left, then.
    }
  }
}

/** @param {string} name */
function read(name) {
  try {
    return JSON.parse(localStorage.getItem(`workbench-side-${name}`) ?? "{}") ?? {};
  } catch {
    return {};
  }
}

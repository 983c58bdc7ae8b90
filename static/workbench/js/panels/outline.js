// @ts-check
// The headings of the notebook's text, to see where one is and to go elsewhere.

import { find, fromTemplate, setText } from "../dom.js";
import { Roving } from "../roving.js";
import { headingsOf, nested } from "./outline-model.js";
import { coalesced } from "./soon.js";

/** @typedef {import("./outline-model.js").Heading} Heading */

// Text cells change with each key that is pressed in one.
const FOLLOW_MS = 150;
// A heading counts as read once it is this near to the top of what can be seen.
const READ_FROM_PX = 120;

/** @param {any} workbench */
export function outlinePanel(workbench) {
  const panel = new OutlinePanel(workbench);
  return {
    id: "outline",
    title: "Outline",
    element: panel.element,
    shown: () => panel.shown(),
    hidden: () => panel.hidden(),
  };
}

class OutlinePanel {
  element = fromTemplate("outline-panel");
  #workbench;
  #list = find("[data-list]", this.element);
  #roving = new Roving(this.#list, ".outline-heading");
  /** @type {Heading[]} */ #headings = [];
  /** @type {HTMLElement[]} one for each heading */ #buttons = [];
  #drawn = "";
  /** Ends the listening of the time in which it is shown. */
  #life = new AbortController();
  #isMarking = false;

  /** @param {any} workbench */
  constructor(workbench) {
    this.#workbench = workbench;
    const follow = coalesced(() => this.#draw(), FOLLOW_MS);
    workbench.notebook.onChange(follow);
    this.#draw();
  }

  shown() {
    this.#life = new AbortController();
    document.addEventListener("scroll", () => this.#markSoon(), { passive: true, signal: this.#life.signal });
    this.#mark();
  }

  hidden() {
    this.#life.abort();
  }

  #draw() {
    this.#headings = headingsOf(this.#workbench.notebook.cells());
    find("[data-empty]", this.element).hidden = this.#headings.length > 0;
    const drawn = JSON.stringify(this.#headings);
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    const focused = this.#buttons.findIndex((button) => button === document.activeElement);
    this.#buttons = [];
    this.#list.replaceChildren(...nested(this.#headings).map((node) => this.#item(node)));
    this.#buttons[focused]?.focus();
    this.#roving.settle();
    this.#mark();
  }

  /**
   * @param {import("./outline-model.js").Node} node
   * @returns {HTMLElement}
   */
  #item({ heading, below }) {
    const item = fromTemplate("outline-item");
    const button = find("button", item);
    setText(button, heading.text);
    button.title = heading.text;
    button.addEventListener("click", () => this.#go(heading));
    this.#buttons.push(button);
    const list = find("ul", item);
    list.append(...below.map((node) => this.#item(node)));
    list.hidden = !below.length;
    return item;
  }

  /** @param {Heading} heading */
  #go(heading) {
    this.#workbench.notebook.focus(heading.cell);
    placeOf(heading)?.scrollIntoView({ block: "start" });
  }

  #markSoon() {
    if (this.#isMarking) return;
    this.#isMarking = true;
    requestAnimationFrame(() => {
      this.#isMarking = false;
      this.#mark();
    });
  }

  /** Mark the heading under which the person reads: the last one above the line. */
  #mark() {
    const at = this.#headings.findLastIndex(isPassed);
    this.#buttons.forEach((button, place) => {
      if (place === at) button.setAttribute("aria-current", "location");
      else button.removeAttribute("aria-current");
    });
    this.#buttons[at]?.scrollIntoView({ block: "nearest" });
  }
}

/**
 * Whether a heading stands above the line. Only of the cell that crosses it the inside is
 * measured: the browser would have to lay out the others, which nobody sees, for it.
 * @param {Heading} heading
 */
function isPassed(heading) {
  const cell = cellElement(heading)?.getBoundingClientRect();
  if (!cell || cell.top >= READ_FROM_PX) return false;
  return cell.bottom < READ_FROM_PX || (placeOf(heading)?.getBoundingClientRect().top ?? 0) < READ_FROM_PX;
}

/**
 * Where a heading is on the page: itself, or its cell while that is being written.
 * @param {Heading} heading
 */
function placeOf(heading) {
  const cell = cellElement(heading);
  const rendered = cell?.querySelector("[data-rendered]:not([hidden])");
  return rendered?.querySelectorAll("h1, h2, h3, h4, h5, h6")[heading.nth] ?? cell;
}

/** @param {Heading} heading */
function cellElement({ cell }) {
  return document.querySelector(`[data-cell="${CSS.escape(cell)}"]`);
}

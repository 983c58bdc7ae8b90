// @ts-check
// What the kernel knows of the name at the caret, in a box beside it. Asked for once it is small
// and goes with the next key; asked for twice it is larger, says more, and stays until Escape.

import { keymap, Prec, showTooltip, StateEffect, StateField } from "../../../vendor/editor.js";
import { preNode } from "../outputs/line-node.js";
import { toCodePoints } from "./offsets.js";

/**
 * @typedef {{found: boolean, data: Record<string, any>}} Answer
 * @typedef {(code: string, cursor: number, detail: 0 | 1) => Promise<Answer>} Inspect rejects with
 *   a sentence
 * @typedef {(data: Record<string, any>) => Node} Render a mime bundle, made harmless
 * @typedef {{pos: number, isPinned: boolean, create: () => {dom: HTMLElement}}} Box `create` is the
 *   same for as long as the box is: by it CodeMirror knows that it need not draw it anew
 */

/** @type {any} */ const setBox = StateEffect.define();
/** @type {any} */ const boxField = StateField.define({
  create: () => null,
  update(/** @type {Box | null} */ box, /** @type {any} */ transaction) {
    for (const effect of transaction.effects) if (effect.is(setBox)) return effect.value;
    if (!box) return null;
    if (!transaction.docChanged && !transaction.selection) return box;
    return box.isPinned ? { ...box, pos: transaction.changes.mapPos(box.pos) } : null;
  },
  provide: (/** @type {any} */ field) => showTooltip.from(field),
});

/** Room for boxes in an editor, and Escape to close them. */
export function inspectionBoxes() {
  return [boxField, Prec.highest(keymap.of([{ key: "Escape", run: closeBox }]))];
}

/**
 * Say a sentence at the caret, until the next key.
 * @param {any} view
 * @param {string} sentence
 * @returns {() => void} take it away, if it is still there
 */
export function say(view, sentence) {
  const shown = box(view, false, plain(sentence));
  show(view, shown);
  return () => {
    if (view.state.field(boxField)?.create === shown.create) view.dispatch({ effects: setBox.of(null) });
  };
}

/** Asks for one editor; a later question makes the answers to earlier ones worthless. */
export class Inspection {
  /** @type {Inspect} */ #inspect;
  /** @type {Render} */ #render;
  #questions = 0;

  /**
   * @param {Inspect} inspect
   * @param {Render} [render]
   */
  constructor(inspect, render = renderText) {
    this.#inspect = inspect;
    this.#render = render;
  }

  /**
   * Ask about the name at the caret; a second time while the box is open for more.
   * @param {any} view
   */
  async ask(view) {
    const question = ++this.#questions;
    const { doc, selection } = view.state;
    const code = doc.toString();
    const isMore = view.state.field(boxField) !== null;
    const cursor = toCodePoints(code, selection.main.head);
    const content = await this.#answer(code, cursor, isMore ? 1 : 0);
    if (question !== this.#questions || view.state.doc !== doc) return;
    show(view, box(view, isMore, content));
  }

  /**
   * @param {string} code
   * @param {number} cursor
   * @param {0 | 1} detail
   */
  async #answer(code, cursor, detail) {
    try {
      const { found, data } = await this.#inspect(code, cursor, detail);
      return found ? this.#render(data) : plain("The kernel knows nothing of this name.");
    } catch (error) {
      return plain(error instanceof Error ? error.message : String(error));
    }
  }
}

/**
 * @param {any} view
 * @param {Box} shown
 */
function show(view, shown) {
  if (!view.dom.isConnected) return;
  view.dispatch({ effects: setBox.of(shown) });
}

/** @param {any} view */
function closeBox(view) {
  if (!view.state.field(boxField)) return false;
  view.dispatch({ effects: setBox.of(null) });
  view.focus();
  return true;
}

/**
 * @param {any} view
 * @param {boolean} isPinned
 * @param {Node} content
 * @returns {Box}
 */
function box(view, isPinned, content) {
  const element = document.createElement("div");
  element.className = isPinned ? "inspection pinned" : "inspection";
  element.tabIndex = -1;
  element.role = "dialog";
  element.ariaLabel = "About this name";
  element.ariaLive = "polite";
  element.append(content);
  element.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.preventDefault();
    event.stopPropagation();
    closeBox(view);
  });
  if (isPinned) element.prepend(closeButton(view));
  return { pos: view.state.selection.main.head, isPinned, create: () => ({ dom: element }) };
}

/** @param {any} view */
function closeButton(view) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "button quiet small inspection-close";
  button.textContent = "Close";
  button.title = "Close (Escape)";
  button.addEventListener("click", () => closeBox(view));
  return button;
}

/** @param {Record<string, any>} data */
function renderText(data) {
  return preNode(String(data["text/plain"] ?? ""));
}

/** @param {string} sentence */
function plain(sentence) {
  const node = document.createElement("p");
  node.className = "inspection-sentence";
  node.textContent = sentence;
  return node;
}

// @ts-check
// The editor of one cell: CodeMirror with the workbench's keys, look, completion and inspection.
// Offsets are UTF-16 units everywhere but in questions to the kernel.

import {
  bracketMatching, Compartment, crosshairCursor, drawSelection, dropCursor, EditorState, EditorView,
  highlightSpecialChars, history, indentOnInput, indentUnit, lineNumbers, placeholder, rectangularSelection,
  syntaxHighlighting, tooltips, Transaction,
} from "../../../vendor/editor.js";
import { completion } from "./completion.js";
import { Inspection, inspectionBoxes, say } from "./inspection.js";
import { editorKeys } from "./keys.js";
import { isProse, languageExtensions } from "./languages.js";
import { marksEffect, matchMarks } from "./matches.js";
import { difference } from "./offsets.js";
import { highlightStyle } from "./theme.js";
import { typingOver } from "./typing.js";

export { staticCode } from "./static-code.js";

const INDENT = "    ";

/**
 * @typedef {object} EditorOptions
 * @property {HTMLElement} parent
 * @property {string} text
 * @property {string} language such as "python", "markdown", "text"; unknown ones have no colours
 * @property {string} [label] for people who do not see it
 * @property {string} [placeholder] shown while it is empty
 * @property {boolean} [readOnly]
 * @property {boolean} [lineNumbers]
 * @property {(text: string) => void} [onChange] after what a person did, not after `setText`
 * @property {(direction: "up" | "down") => boolean} [onLeave] the caret is pressed over the edge;
 *   true if it has gone elsewhere
 * @property {import("./completion.js").Complete} [complete]
 * @property {import("./inspection.js").Inspect} [inspect]
 * @property {import("./inspection.js").Render} [renderInspection] default: plain text with its colours
 * @property {any} [keys] more of CodeMirror's, before ours
 */

export class CodeEditor {
  #view;
  #options;
  #language = new Compartment();
  #readOnly = new Compartment();
  #lineNumbers = new Compartment();

  /** @param {EditorOptions} options */
  constructor(options) {
    this.#options = options;
    const state = EditorState.create({ doc: options.text, extensions: this.#extensions(options) });
    this.#view = new EditorView({ state, parent: options.parent });
  }

  // State

  /** @returns {string} */
  get text() {
    return this.#view.state.doc.toString();
  }

  get element() {
    return this.#view.dom;
  }

  get hasFocus() {
    return this.#view.hasFocus;
  }

  /** @returns {{from: number, to: number, head: number}} */
  get selection() {
    const { from, to, head } = this.#view.state.selection.main;
    return { from, to, head };
  }

  /** True if there is no line above the caret, as it is shown: long lines are several. */
  get atFirstLine() {
    return this.#isAtEdge(0);
  }

  get atLastLine() {
    return this.#isAtEdge(this.#view.state.doc.length);
  }

  // Actions

  /**
   * Show another text. The caret, the selection and what can be undone stay where they can.
   * @param {string} text
   */
  setText(text) {
    const before = this.text;
    if (text === before) return;
    // Not in the history: that is of what was done in this editor.
    const annotations = [Transaction.addToHistory.of(false), Transaction.remote.of(true)];
    this.#view.dispatch({ changes: difference(before, text), annotations });
  }

  /** @param {"start" | "end" | number} [at] without it the caret stays where it was */
  focus(at) {
    this.#view.focus();
    if (at === undefined) return;
    const { length } = this.#view.state.doc;
    const offset = { start: 0, end: length }[at] ?? Math.min(Number(at), length);
    this.select(offset, offset);
  }

  /**
   * Put the caret where somebody points.
   * @param {number} x of the viewport, in px
   * @param {number} y
   */
  focusAt(x, y) {
    this.focus(this.#view.posAtCoords({ x, y }, false));
  }

  /**
   * @param {number} from
   * @param {number} [to]
   */
  select(from, to = from) {
    this.#view.dispatch({ selection: { anchor: from, head: to }, scrollIntoView: true });
  }

  /** @param {string} language */
  setLanguage(language) {
    this.#options = { ...this.#options, language };
    this.#view.dispatch({ effects: this.#language.reconfigure(this.#languageExtensions()) });
  }

  /** @param {boolean} isReadOnly */
  setReadOnly(isReadOnly) {
    this.#view.dispatch({ effects: this.#readOnly.reconfigure(readOnly(isReadOnly)) });
  }

  /** @param {boolean} isOn */
  setLineNumbers(isOn) {
    this.#view.dispatch({ effects: this.#lineNumbers.reconfigure(isOn ? lineNumbers() : []) });
  }

  /**
   * Mark what a search has found; an empty list takes the marks away.
   * @param {{from: number, to: number}[]} ranges in order
   * @param {number} [current] index of the one that stands out, -1 for none
   */
  highlightMatches(ranges, current = -1) {
    const effects = [marksEffect(ranges, current, this.#view.state.doc.length)];
    if (ranges[current]) effects.push(EditorView.scrollIntoView(ranges[current].from, { y: "nearest" }));
    this.#view.dispatch({ effects });
  }

  destroy() {
    this.#view.destroy();
  }

  // Internal

  /** @param {EditorOptions} options */
  #extensions(options) {
    return [
      options.keys ?? [],
      EditorView.cspNonce.of(styleNonce()),
      EditorState.allowMultipleSelections.of(true),
      indentUnit.of(INDENT),
      history(), indentOnInput(), bracketMatching(), highlightSpecialChars(), dropCursor(),
      drawSelection(), rectangularSelection(), crosshairCursor(),
      EditorView.lineWrapping,
      // Cells may clip what floats over them.
      tooltips({ parent: document.body }),
      syntaxHighlighting(highlightStyle),
      matchMarks,
      typingOver(),
      inspectionBoxes(),
      EditorView.editorAttributes.of({ class: "code-editor" }),
      EditorView.updateListener.of((/** @type {any} */ update) => this.#updated(update)),
      options.placeholder ? placeholder(options.placeholder) : [],
      this.#lineNumbers.of(options.lineNumbers ? lineNumbers() : []),
      this.#readOnly.of(readOnly(options.readOnly ?? false)),
      this.#language.of(this.#languageExtensions()),
      // Not with the language: what has begun to complete would not find its state any more.
      options.complete ? completion(options.complete, () => this.#isCode, (sentence) => say(this.#view, sentence)) : [],
    ];
  }

  #languageExtensions() {
    const { language, label, complete, inspect, renderInspection } = this.#options;
    const isCode = this.#isCode;
    const inspection = isCode && inspect ? new Inspection(inspect, renderInspection) : null;
    return [
      languageExtensions(language),
      editorKeys({
        canComplete: isCode && complete !== undefined,
        inspect: inspection && ((view) => inspection.ask(view)),
        leave: (_view, direction) => this.#leave(direction),
      }),
      EditorView.contentAttributes.of({
        "aria-label": label ?? "Code",
        ...(isCode ? { autocapitalize: "off", autocorrect: "off", spellcheck: "false" } : { spellcheck: "true" }),
      }),
    ];
  }

  get #isCode() {
    return !isProse(this.#options.language);
  }

  /** @param {any} update */
  #updated(update) {
    const isOurs = (/** @type {any} */ transaction) => transaction.annotation(Transaction.remote);
    if (!update.docChanged || update.transactions.every(isOurs)) return;
    this.#options.onChange?.(this.text);
  }

  /** @param {"up" | "down"} direction */
  #leave(direction) {
    const { ranges, main } = this.#view.state.selection;
    if (ranges.length > 1 || !main.empty) return false;
    const isAtEdge = direction === "up" ? this.atFirstLine : this.atLastLine;
    return isAtEdge && (this.#options.onLeave?.(direction) ?? false);
  }

  /** @param {number} edge the first or the last offset */
  #isAtEdge(edge) {
    const { doc, selection } = this.#view.state;
    const { head } = selection.main;
    if (doc.lineAt(head).number !== doc.lineAt(edge).number) return false;
    const [caret, end] = [this.#view.coordsAtPos(head, selection.main.assoc || 1), this.#view.coordsAtPos(edge)];
    return !caret || !end || Math.abs(caret.top - end.top) < (caret.bottom - caret.top) / 2;
  }
}

/** @param {boolean} isReadOnly */
function readOnly(isReadOnly) {
  return [EditorState.readOnly.of(isReadOnly), EditorView.editable.of(!isReadOnly)];
}

/** The page's policy lets styles in that carry this word, which is a new one in each response. */
function styleNonce() {
  const meta = document.querySelector('meta[name="style-nonce"]');
  return /** @type {HTMLElement | null} */ (meta)?.nonce || meta?.getAttribute("content") || "";
}

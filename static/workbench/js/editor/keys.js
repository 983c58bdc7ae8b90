// @ts-check
// The keys of an editor, beyond those that every editor has. What runs cells or leaves them is the
// page's: it hears every key that is not used here.

import {
  acceptCompletion, closeBracketsKeymap, completionStatus, defaultKeymap, EditorSelection, historyKeymap, indentLess,
  indentMore, keymap, startCompletion,
} from "../../../vendor/editor.js";

// The page runs cells with these.
const OF_THE_PAGE = new Set(["Mod-Enter"]);
// Where there may be something to say about the name, or the call, at the caret.
const AFTER_NAME = /[\p{L}\p{N}_.,()\]]\s?$/u;

/**
 * @param {object} actions
 * @param {boolean} actions.canComplete
 * @param {((view: any) => void) | null} actions.inspect
 * @param {(view: any, direction: "up" | "down") => boolean} actions.leave true if the caret has
 *   gone elsewhere
 */
export function editorKeys({ canComplete, inspect, leave }) {
  return keymap.of([
    { key: "Tab", run: (/** @type {any} */ view) => tab(view, canComplete) },
    { key: "Shift-Tab", run: (/** @type {any} */ view) => shiftTab(view, inspect) },
    { key: "ArrowUp", run: (/** @type {any} */ view) => leave(view, "up") },
    { key: "ArrowDown", run: (/** @type {any} */ view) => leave(view, "down") },
    ...closeBracketsKeymap,
    ...defaultKeymap.filter(({ key }) => !OF_THE_PAGE.has(key ?? "")).map(withoutShiftEnter),
    ...historyKeymap,
  ]);
}

/**
 * @param {any} view
 * @param {boolean} canComplete
 */
function tab(view, canComplete) {
  if (completionStatus(view.state) === "active") {
    acceptCompletion(view); // not what has only just appeared, but Tab must not leave the cell then
    return true;
  }
  if (view.state.selection.ranges.some((/** @type {any} */ range) => !range.empty)) return indentMore(view);
  if (canComplete && /\S/.test(before(view))) return startCompletion(view);
  view.dispatch(view.state.changeByRange((/** @type {any} */ range) => indented(view, range)), { userEvent: "input" });
  return true;
}

/**
 * Spaces up to the next stop.
 * @param {any} view
 * @param {any} range
 */
function indented(view, range) {
  const { state } = view;
  const column = range.head - state.doc.lineAt(range.head).from;
  const spaces = state.tabSize - (column % state.tabSize);
  const insert = " ".repeat(spaces);
  return { changes: { from: range.head, insert }, range: EditorSelection.cursor(range.head + spaces) };
}

/**
 * @param {any} view
 * @param {((view: any) => void) | null} inspect
 */
function shiftTab(view, inspect) {
  if (!inspect || !view.state.selection.main.empty || !AFTER_NAME.test(before(view))) return indentLess(view);
  inspect(view);
  return true;
}

/**
 * The line up to the caret.
 * @param {any} view
 */
function before(view) {
  const { head } = view.state.selection.main;
  return view.state.doc.sliceString(view.state.doc.lineAt(head).from, head);
}

/** @param {any} binding */
function withoutShiftEnter(binding) {
  return binding.key === "Enter" ? { ...binding, shift: undefined } : binding;
}

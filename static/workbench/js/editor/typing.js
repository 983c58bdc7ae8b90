// @ts-check
// Typing over selected code. Left to itself, the browser gives the new text the look of the old one
// as an inline style, which the page's policy forbids and the console complains of.

import { EditorView } from "../../../vendor/editor.js";

/** Replaces what is selected in the editor's own state, where styles are not the browser's. */
export function typingOver() {
  return EditorView.domEventHandlers({ beforeinput: replaceSelected });
}

/**
 * True if it was done. What is composed (accents, Chinese) stays the browser's.
 * @param {InputEvent} event
 * @param {any} view
 */
function replaceSelected(event, view) {
  const { data: text, inputType, isComposing, cancelable } = event;
  const { main } = view.state.selection;
  if (inputType !== "insertText" || !text || isComposing || !cancelable || main.empty || view.state.readOnly) return false;
  const typed = () => view.state.update(view.state.replaceSelection(text), { userEvent: "input.type", scrollIntoView: true });
  // Others may know better: brackets go around what is selected.
  const handlers = view.state.facet(EditorView.inputHandler);
  const isHandled = handlers.some((/** @type {any} */ handle) => handle(view, main.from, main.to, text, typed));
  if (!isHandled) view.dispatch(typed());
  return true;
}

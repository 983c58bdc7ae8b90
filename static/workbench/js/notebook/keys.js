// @ts-check
// The keyboard of the notebook: which key presses are commands.

import { Keymap } from "./keymap.js";

const isMac = /mac|iphone|ipad/i.test(navigator.platform);
// Where keys belong to the element, not to the notebook.
const OWN_KEYS = "input, textarea, select, dialog, [contenteditable], [popover], [role=tree], [role=tablist], .panel";
// Keys that press a button or follow a link that has the focus.
const PRESSING = new Set(["Enter", " "]);

/**
 * @param {object} notebook
 * @param {import("./notebook-view.js").NotebookView} notebook.view
 * @param {(id: string) => void} notebook.command
 * @param {(id: string) => boolean} notebook.can
 */
export function listenToKeys({ view, command, can }) {
  const keymap = new Keymap({ isMac });
  // In the capture phase: the editor must not see what is a command.
  document.addEventListener("keydown", (event) => {
    if (event.isComposing || event.defaultPrevented) return;
    const mode = modeOf(event, view);
    if (!mode) return;
    // What floats over the text is closed first.
    if (mode === "edit" && event.key === "Escape" && document.querySelector(".cm-tooltip")) return;
    const id = keymap.command(event, mode);
    if (id === null) return;
    if (id && !can(id)) return;
    done(event);
    if (id) command(id);
  }, { capture: true });
}

/**
 * @param {KeyboardEvent} event
 * @param {import("./notebook-view.js").NotebookView} view
 * @returns {import("./keymap.js").Mode | null} null: the key is not for the notebook
 */
function modeOf(event, view) {
  if (view.isEditing) return "edit";
  const { target } = event;
  if (!(target instanceof Element)) return null;
  if (document.querySelector("dialog[open], :popover-open")) return null;
  const isMeantForAll = (event.ctrlKey || event.metaKey) && (event.altKey ? /^b$/i : /^[bfhps]$/i).test(event.key);
  if (target.closest(OWN_KEYS)) return isMeantForAll && !target.closest("dialog") ? "command" : null;
  if (target.closest("button, a, summary") && PRESSING.has(event.key)) return null;
  // Text that is selected is to be copied, not the cell.
  if ((event.ctrlKey || event.metaKey) && /^[acx]$/i.test(event.key) && !getSelection()?.isCollapsed) return null;
  return "command";
}

/** @param {Event} event */
function done(event) {
  event.preventDefault();
  event.stopPropagation();
}

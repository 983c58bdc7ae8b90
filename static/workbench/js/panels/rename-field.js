// @ts-check
// Changing a file's name in its row: Enter keeps it, Escape does not.

import { find, showProblem } from "../dom.js";

/**
 * Put a field in the place of the name, until it is settled.
 * @param {HTMLElement} node the row
 * @param {{name: string, is_directory: boolean}} file
 * @param {(name: string) => Promise<string>} save answers with what is wrong; empty: nothing
 */
export function renameIn(node, file, save) {
  const field = /** @type {HTMLInputElement} */ (find("[data-rename]", node));
  const problem = find("[data-row-problem]", node);
  const life = new AbortController();
  const end = (/** @type {boolean} */ refocus) => {
    if (life.signal.aborted) return;
    life.abort();
    node.classList.remove("is-renaming");
    field.hidden = true;
    showProblem(problem, "");
    if (refocus) node.focus();
  };
  const keep = async (/** @type {boolean} */ refocus) => {
    const name = field.value.trim();
    if (!name || name === file.name) return end(refocus);
    field.readOnly = true;
    const wrong = await save(name);
    field.readOnly = false;
    if (!wrong) return end(refocus);
    showProblem(problem, wrong);
    field.focus();
  };
  field.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key === "Enter" && !event.isComposing) keep(true);
    if (event.key === "Escape") end(true);
  }, { signal: life.signal });
  field.addEventListener("blur", () => !field.readOnly && (problem.hidden ? keep(false) : end(false)), { signal: life.signal });
  field.value = file.name;
  field.hidden = false;
  node.classList.add("is-renaming");
  field.focus();
  const dot = file.is_directory ? -1 : file.name.lastIndexOf(".");
  field.setSelectionRange(0, dot > 0 ? dot : file.name.length);
}

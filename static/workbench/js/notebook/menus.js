// @ts-check
// What is in the menus.

import { openMenu } from "./menu.js";

/** @typedef {(id: string) => NonNullable<import("./menu.js").Item>} MakeItem */

/**
 * @param {HTMLElement} button
 * @param {import("./menu.js").Item[]} items
 */
export function openMenuOf(button, items) {
  openMenu(button, items);
}

/** @param {MakeItem} item */
export function runMenu(item) {
  return [
    item("run-cell"), item("run-advance"), item("run-insert"), null,
    item("run-all"), item("run-above"), item("run-below"), null,
    item("restart-run-all"), item("cancel-queued"),
  ];
}

/** @param {MakeItem} item */
export function moreMenu(item) {
  return [
    item("run-all"), item("restart"), item("restart-run-all"), null,
    item("undo"), item("redo"), item("find"), item("replace"), null,
    item("import"), item("export-ipynb"), item("export-py"), item("export-html"), null,
    item("palette"), item("shortcuts"), item("notify"), null,
    item("share"),
    { ...item("close-session"), danger: true },
  ];
}

/**
 * The menu of one cell, which is selected first.
 * @param {MakeItem} item
 * @param {() => void} select
 */
export function cellMenu(item, select) {
  const ids = ["run-above", "run-below", "", "add-above", "add-code", "add-text", "", "to-text", "to-code", "merge", "toggle-output", "", "cut", "copy", "paste", "", "delete"];
  select();
  return ids.map((id) => (id ? item(id) : null));
}

// @ts-check
// Tables of an output: a box to scroll in, numbers to the right, sorted by a click on a header.

import { make } from "./make.js";
import { isNumeric, sortedPlaces } from "./sort.js";

// Tables with more cells than this stay as they came.
const CELLS_MOST = 200_000;

/**
 * Dress every table below `root` that is not inside another one.
 * @param {ParentNode} root
 */
export function dressTables(root) {
  for (const table of root.querySelectorAll("table")) {
    if (table.parentElement?.closest("table")) continue;
    const box = make("div", "table-box");
    table.removeAttribute("border");
    table.replaceWith(box);
    box.append(table);
    box.tabIndex = 0; // what scrolls must be within reach of the keyboard
    box.role = "region";
    box.ariaLabel = table.caption?.textContent?.trim() || "Table";
    dress(table);
  }
}

/** @param {HTMLTableElement} table */
function dress(table) {
  const rows = bodyRows(table);
  if (!rows.length || rows.length * rows[0].cells.length > CELLS_MOST) return;
  if (!isRegular(rows)) return alignCells(table);
  for (let column = 0; column < rows[0].cells.length; column++) {
    const heads = headsOf(table, column, rows[0].cells.length);
    if (isNumeric(texts(rows, column))) {
      for (const cell of [...heads, ...rows.map(({ cells }) => cells[column])]) cell.classList.add("is-number");
    }
    const head = heads.findLast(({ textContent }) => textContent?.trim());
    if (head && rows.length > 1) makeSortable(table, head, column);
  }
}

/**
 * The cells above a column: pandas writes the names of columns and of the index in two rows.
 * @param {HTMLTableElement} table
 * @param {number} column
 * @param {number} width of the table, in cells
 */
function headsOf(table, column, width) {
  const rows = [...(table.tHead?.rows ?? [])].filter(({ cells }) => cells.length === width);
  return rows.map(({ cells }) => cells[column]).filter(({ colSpan, rowSpan }) => colSpan === 1 && rowSpan === 1);
}

/** Columns are not known where cells span: each cell for itself, then. @param {HTMLTableElement} table */
function alignCells(table) {
  for (const cell of table.querySelectorAll("td")) {
    if (isNumeric([cell.textContent?.trim() ?? ""])) cell.classList.add("is-number");
  }
}

/** @param {HTMLTableElement} table */
function bodyRows(table) {
  const bodies = [...table.tBodies];
  return bodies.length === 1 ? [...bodies[0].rows] : [];
}

/** Rows that can change places: no cell spans, and all have as many. @param {HTMLTableRowElement[]} rows */
function isRegular(rows) {
  const width = rows[0].cells.length;
  return rows.every(({ cells }) =>
    cells.length === width && [...cells].every(({ colSpan, rowSpan }) => colSpan === 1 && rowSpan === 1));
}

/**
 * @param {HTMLTableRowElement[]} rows
 * @param {number} column
 */
function texts(rows, column) {
  return rows.map((row) => row.cells[column].textContent?.trim() ?? "");
}

/**
 * @param {HTMLTableElement} table
 * @param {HTMLTableCellElement} head
 * @param {number} column
 */
function makeSortable(table, head, column) {
  const sort = make("button", "sort", ...head.childNodes);
  sort.type = "button";
  sort.title = "Sort";
  head.append(sort);
  head.ariaSort = "none";
  sort.addEventListener("click", () => sortBy(table, head, column));
}

/** The order in which the rows came. @type {WeakMap<HTMLTableElement, HTMLTableRowElement[]>} */
const ORIGINAL = new WeakMap();

/**
 * Ascending, then descending, then as it came.
 * @param {HTMLTableElement} table
 * @param {HTMLTableCellElement} head
 * @param {number} column
 */
function sortBy(table, head, column) {
  const rows = ORIGINAL.get(table) ?? bodyRows(table);
  ORIGINAL.set(table, rows);
  const next = head.ariaSort === "none" ? "ascending" : head.ariaSort === "ascending" ? "descending" : "none";
  for (const other of table.tHead?.querySelectorAll("th[aria-sort], td[aria-sort]") ?? []) other.ariaSort = "none";
  head.ariaSort = next;
  const places = sortedPlaces(texts(rows, column), next === "descending");
  const sorted = next === "none" ? rows : places.map((place) => rows[place]);
  table.tBodies[0].append(...sorted);
}

/** A table as a spreadsheet takes it: tabs between cells. @param {HTMLTableElement} table */
export function tabSeparated(table) {
  const cell = (/** @type {HTMLTableCellElement} */ { textContent }) => textContent?.trim().replaceAll(/[\t\n]+/g, " ");
  return [...table.rows].map((row) => [...row.cells].map(cell).join("\t")).join("\n");
}

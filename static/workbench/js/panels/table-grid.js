// @ts-check
// A page of a table as elements: a head that sorts, rows with their index.

import { find, fromTemplate, setText } from "../dom.js";

/**
 * @typedef {{name: string, type: string, is_number: boolean}} Column
 * @typedef {{columns: Column[], total_columns: number, index: string[], rows: string[][], total_rows: number, offset: number}} TablePage
 * @typedef {{column: string, isDescending: boolean}} Sort an empty column: the table's own order
 */

// Cells with longer texts say all of it in a title.
const TITLE_FROM = 40;

/**
 * Up, then down, then as it came.
 * @param {Sort} sort
 * @param {string} column
 * @returns {Sort}
 */
export function nextSort(sort, column) {
  if (sort.column !== column) return { column, isDescending: false };
  return sort.isDescending ? { column: "", isDescending: false } : { column, isDescending: true };
}

/** In words; "" for the table's own order. @param {Sort} sort */
export function orderOf({ column, isDescending }) {
  return column && `by ${column}, ${isDescending ? "largest" : "smallest"} first`;
}

/**
 * @param {Column[]} columns
 * @param {Sort} sort
 * @param {(column: string) => void} sortBy
 */
export function gridHead(columns, sort, sortBy) {
  const row = document.createElement("tr");
  const corner = document.createElement("td");
  row.append(corner, ...columns.map((column) => headCell(column, sort, sortBy)));
  return row;
}

/** @param {TablePage} page */
export function gridRows({ columns, index, rows }) {
  return rows.map((cells, at) => {
    const row = document.createElement("tr");
    const head = document.createElement("th");
    head.scope = "row";
    head.textContent = index[at];
    row.append(head, ...cells.map((text, place) => bodyCell(text, columns[place])));
    return row;
  });
}

/**
 * @param {Column} column
 * @param {Sort} sort
 * @param {(column: string) => void} sortBy
 */
function headCell({ name, type, is_number }, sort, sortBy) {
  const head = /** @type {HTMLTableCellElement} */ (fromTemplate("grid-column"));
  const button = /** @type {HTMLButtonElement} */ (find("button", head));
  setText(find("[data-name]", head), name || "–");
  setText(find("[data-type]", head), type);
  head.classList.toggle("is-number", is_number);
  button.title = `${name}: ${type}`;
  button.dataset.column = name;
  button.disabled = !name; // the session sorts by name
  if (name && name === sort.column) head.ariaSort = sort.isDescending ? "descending" : "ascending";
  button.addEventListener("click", () => sortBy(name));
  return head;
}

/**
 * @param {string} text
 * @param {Column | undefined} column
 */
function bodyCell(text, column) {
  const cell = document.createElement("td");
  cell.textContent = text;
  if (column?.is_number) cell.className = "is-number";
  if (text.length > TITLE_FROM) cell.title = text;
  return cell;
}

// @ts-check
// The beginning of a table, with columns that sort.

import { find, fromTemplate, setText } from "../dom.js";
import { isNumeric, sortedPlaces } from "../outputs/sort.js";

/** @typedef {{columns: string[], rows: string[][], total_rows: number | null, total_columns: number, is_cut: boolean}} TablePreview */

/**
 * The table, and a sentence about what is not in it (empty: all is).
 * @param {TablePreview} preview
 */
export function previewTable(preview) {
  const node = fromTemplate("preview-table");
  const body = find("tbody", node);
  const rows = preview.rows.map((cells, place) => rowNode(cells, place + 1));
  const columns = preview.columns.map((_, place) => preview.rows.map((cells) => cells[place]));
  columns.forEach((texts, place) => {
    if (isNumeric(texts)) for (const row of rows) row.cells[place + 1].classList.add("is-number");
  });
  body.append(...rows);
  const heads = preview.columns.map((name, place) => headNode(name, isNumeric(columns[place])));
  heads.forEach((head, place) => {
    find("button", head).addEventListener("click", () => {
      const order = nextOrder(head.ariaSort);
      for (const each of heads) each.ariaSort = null;
      head.ariaSort = order;
      const places = order ? sortedPlaces(columns[place], order === "descending") : rows.keys();
      body.append(...[...places].map((at) => rows[at]));
    });
  });
  find("thead tr", node).append(...heads);
  return { node, note: note(preview) };
}

/** Up, then down, then as it was. @param {string | null} order */
function nextOrder(order) {
  if (order === null) return "ascending";
  return order === "ascending" ? "descending" : null;
}

/**
 * @param {string} name
 * @param {boolean} isNumber
 */
function headNode(name, isNumber) {
  const head = /** @type {HTMLTableCellElement} */ (fromTemplate("preview-column"));
  setText(find("[data-name]", head), name || "–");
  head.classList.toggle("is-number", isNumber);
  return head;
}

/**
 * @param {string[]} cells
 * @param {number} number
 */
function rowNode(cells, number) {
  const row = document.createElement("tr");
  const head = document.createElement("th");
  head.scope = "row";
  head.textContent = String(number);
  row.append(head, ...cells.map(cellNode));
  return row;
}

/** @param {string} text */
function cellNode(text) {
  const cell = document.createElement("td");
  cell.textContent = text;
  if (text.length > 40) cell.title = text;
  return cell;
}

/** @param {TablePreview} preview */
function note({ columns, rows, total_rows, total_columns, is_cut }) {
  const plural = (/** @type {number} */ count, /** @type {string} */ word) => `${count.toLocaleString()} ${word}${count === 1 ? "" : "s"}`;
  if (!is_cut) return `${plural(rows.length, "row")}, ${plural(total_columns, "column")}`;
  const all = total_rows === null ? "a great many rows" : plural(total_rows, "row");
  const wide = total_columns > columns.length ? `, and ${columns.length} of ${plural(total_columns, "column")}` : "";
  return `The first ${rows.length.toLocaleString()} of ${all}${wide}. Sorting orders the rows shown.`;
}

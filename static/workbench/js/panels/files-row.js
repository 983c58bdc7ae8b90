// @ts-check
// One row of the tree of files.

import { find, setText } from "../dom.js";
import { ago, exact } from "../time.js";
import { sizeText } from "./files-model.js";

/**
 * @param {HTMLElement} node
 * @param {import("./files-model.js").FileRow | import("./files-model.js").MoreRow} row
 * @param {boolean} isOpen
 */
export function drawRow(node, row, isOpen) {
  node.ariaLevel = String(row.level);
  node.style.setProperty("--level", String(row.level - 1));
  if (row.file) drawFile(node, row, isOpen);
  else setText(find("[data-more]", node), `Show more (${row.hidden.toLocaleString()} left)`);
}

/**
 * @param {HTMLElement} node
 * @param {import("./files-model.js").FileRow} row
 * @param {boolean} isOpen
 */
function drawFile(node, { file, place, count }, isOpen) {
  node.ariaPosInSet = String(place);
  node.ariaSetSize = String(count);
  node.ariaExpanded = file.is_directory ? String(isOpen) : null;
  node.dataset.kind = kindOf(file);
  node.classList.toggle("is-hidden-file", file.name.startsWith("."));
  const size = file.is_directory ? "" : sizeText(file.size_bytes);
  node.title = [file.name, size, `changed ${exact(file.modified_at)}`].filter(Boolean).join("\n");
  node.ariaLabel = file.is_directory ? `${file.name}, folder` : `${file.name}, ${size}`;
  setText(find("[data-name]", node), file.name);
  setText(find("[data-size]", node), size);
  setText(find("[data-time]", node), ago(file.modified_at));
}

/** Which picture it gets. @param {import("./files-model.js").FileInfo} file */
function kindOf(file) {
  if (file.is_directory) return "folder";
  if (file.content_type.startsWith("image/")) return "image";
  if (/\.(csv|tsv|tab|parquet|xlsx?)$/i.test(file.name)) return "table";
  if (/\.(py|ipynb|js|ts|sh|r|jl|c|cpp|rs|go|java|sql|html|css)$/i.test(file.name)) return "code";
  return "file";
}

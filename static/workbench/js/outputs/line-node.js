// @ts-check
// One line of terminal text -> DOM, with its colours and links.

import { PLAIN } from "./ansi.js";
import { splitLinks } from "./links.js";
import { make, outsideLink } from "./make.js";
import { Terminal } from "./terminal.js";

/** @typedef {import("./terminal.js").Piece} Piece */

// Characters of one line on the page.
const CHARACTERS_SHOWN = 20_000;
const SWITCHES = /** @type {const} */ (["bold", "dim", "italic", "underline", "strike"]);

/** @param {Piece[]} pieces */
export function lineNode(pieces) {
  const line = document.createElement("div");
  let left = CHARACTERS_SHOWN;
  for (const piece of pieces) {
    if (left <= 0) break;
    line.append(pieceNode(piece, left));
    left -= piece.text.length;
  }
  if (left < 0) line.append(make("span", "cut", " … (line cut)"));
  if (!pieces.length) line.append(document.createElement("br"));
  return line;
}

/**
 * All of a text as a `<pre>`. For short texts; long and growing ones have a TextView.
 * @param {string} text
 */
export function preNode(text) {
  const terminal = new Terminal();
  terminal.write(text.trimEnd());
  return make("pre", "", ...terminal.lines.map(lineNode));
}

/**
 * @param {Piece} piece
 * @param {number} most characters
 */
function pieceNode({ text, style }, most) {
  const shown = text.slice(0, most);
  if (style === PLAIN) return linked(shown);
  const span = make("span", "", linked(shown));
  span.className = SWITCHES.filter((name) => style[name]).map((name) => `ansi-${name}`).join(" ");
  const [fg, bg] = style.inverse ? [style.bg ?? "bg", style.fg ?? "fg"] : [style.fg, style.bg];
  colour(span, "fg", fg);
  colour(span, "bg", bg);
  return span;
}

/** @param {string} text */
function linked(text) {
  const parts = splitLinks(text);
  if (parts.length === 1 && !parts[0].isLink) return document.createTextNode(text);
  const nodes = document.createDocumentFragment();
  for (const part of parts) nodes.append(part.isLink ? outsideLink(part.text, part.text) : part.text);
  return nodes;
}

/**
 * @param {HTMLElement} span
 * @param {"fg" | "bg"} side
 * @param {number | string | null} value
 */
function colour(span, side, value) {
  if (value === null) return;
  if (typeof value === "string" && value.startsWith("#")) {
    span.style.setProperty(side === "fg" ? "--fore" : "--back", value); // the style sheet fits it to the theme
    span.classList.add(`ansi-${side}-any`);
  } else {
    span.classList.add(`ansi-${side}-${value}`);
  }
}

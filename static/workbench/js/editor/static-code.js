// @ts-check
// Code as an editor would show it, without the cost of one. css/editor.css gives both the same
// measures, so that the switch moves nothing.

import { highlightCode } from "../../../vendor/editor.js";
import { grammar } from "./languages.js";
import { highlightStyle } from "./theme.js";

// To colour longer texts takes too long before somebody even looks at them.
const CHARACTERS_COLOURED = 50_000;

/**
 * @typedef {{ranges: {from: number, to: number}[], current: number}} Marks what a search has found:
 *   in order, and the index of the one that stands out
 */

/**
 * @param {string} text
 * @param {string} language
 * @param {Marks} [marks]
 * @returns {HTMLElement}
 */
export function staticCode(text, language, marks) {
  const node = document.createElement("div");
  node.className = "static-code";
  node.append(...lines(text, language, marks));
  return node;
}

/**
 * @param {string} text
 * @param {string} language
 * @param {Marks} [marks]
 */
function lines(text, language, marks) {
  const made = [newLine()];
  let offset = 0;
  const put = (/** @type {string} */ piece, /** @type {string} */ classes) => {
    const parts = marks ? marked(piece, offset, marks) : [{ part: piece, mark: "" }];
    made[made.length - 1].append(...parts.map(({ part, mark }) => styled(part, classes, mark)));
    offset += piece.length;
  };
  const end = () => {
    made.push(newLine());
    offset++;
  };
  const parser = text.length <= CHARACTERS_COLOURED ? grammar(language)?.parser : null;
  if (parser) {
    highlightCode(text, parser.parse(text), highlightStyle, put, end);
  } else {
    text.split("\n").forEach((line, i) => {
      if (i) end();
      if (line) put(line, "");
    });
  }
  for (const line of made) if (!line.firstChild) line.append(document.createElement("br"));
  return made;
}

/**
 * A piece of text, cut where marks begin and end.
 * @param {string} piece
 * @param {number} offset of the piece
 * @param {Marks} marks
 */
function marked(piece, offset, { ranges, current }) {
  const parts = [];
  let done = 0;
  ranges.forEach((range, i) => {
    const [from, to] = [Math.max(range.from - offset, done), Math.min(range.to - offset, piece.length)];
    if (from >= to) return;
    if (from > done) parts.push({ part: piece.slice(done, from), mark: "" });
    parts.push({ part: piece.slice(from, to), mark: i === current ? "match current" : "match" });
    done = to;
  });
  if (done < piece.length) parts.push({ part: piece.slice(done), mark: "" });
  return parts;
}

function newLine() {
  const line = document.createElement("div");
  line.className = "cm-line";
  return line;
}

/**
 * @param {string} text
 * @param {string} classes of the word
 * @param {string} mark
 */
function styled(text, classes, mark) {
  if (!classes && !mark) return text;
  const span = document.createElement("span");
  span.className = classes;
  span.textContent = text;
  if (!mark) return span;
  const outer = document.createElement("span");
  outer.className = mark;
  outer.append(span);
  return outer;
}

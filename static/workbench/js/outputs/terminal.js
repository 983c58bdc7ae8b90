// @ts-check
// Text as a terminal shows it: carriage returns overwrite (progress bars), escape sequences
// colour and move, and everything else of the kind is dropped. Pure, no DOM.

import { PLAIN, applySgr } from "./ansi.js";

/** @typedef {{text: string, style: Readonly<import("./ansi.js").Style>}} Piece */

// How far up the cursor may go: what nested progress bars need, and no more.
const ROWS_UP_MOST = 100;
// How far right it may be sent; text itself may be longer.
const COLUMNS_MOST = 1_000;
const TOKENS =
  /\x1b\[([0-9;:?]*)[ -/]*([@-~])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-~]|[\n\r\b\x1b]|[\x00-\x07\x0b-\x1f\x7f]|[^\x00-\x08\x0a-\x1f\x7f]+/g;
// The beginning of a sequence whose end is still to come.
const UNFINISHED = /\x1b(?:\[[0-9;:?]*[ -/]*|\][^\x07\x1b]{0,1000}\x1b?|[ -/]*)?$/;

export class Terminal {
  /** @type {Piece[][]} */ lines = [[]];
  #row = 0;
  #column = 0;
  /** @type {Readonly<import("./ansi.js").Style>} */ #style = PLAIN;
  #held = "";

  /**
   * Write text; what it may cut a sequence of is held back until the next call.
   * @param {string} text
   * @returns {number} the first line that changed
   */
  write(text) {
    text = this.#held + text;
    this.#held = UNFINISHED.exec(text.slice(-1100))?.[0] ?? "";
    if (this.#held) text = text.slice(0, -this.#held.length);
    let first = this.#row;
    for (const [token, parameters, final] of text.matchAll(TOKENS)) {
      this.#take(token, parameters, final);
      if (this.#row < first) first = this.#row;
    }
    return first;
  }

  /**
   * @param {string} token
   * @param {string | undefined} parameters
   * @param {string | undefined} final
   */
  #take(token, parameters, final) {
    if (final !== undefined) this.#control(parameters ?? "", final);
    else if (token === "\n") this.#newLine();
    else if (token === "\r") this.#column = 0;
    else if (token === "\b") this.#column = Math.max(0, this.#column - 1);
    else if (token >= " " || token[0] === "\t") this.#put(token);
  }

  #newLine() {
    this.#row += 1;
    this.#column = 0;
    if (this.#row === this.lines.length) this.lines.push([]);
  }

  /**
   * @param {string} parameters
   * @param {string} final
   */
  #control(parameters, final) {
    const asked = Number.parseInt(parameters, 10) || 1;
    const count = Math.min(asked, "ABEF".includes(final) ? ROWS_UP_MOST : COLUMNS_MOST);
    if (final === "m") this.#style = applySgr(this.#style, parameters);
    else if (final === "A") this.#row = Math.max(0, this.#row - count);
    else if (final === "B") this.#row = Math.min(this.lines.length - 1, this.#row + count);
    else if (final === "C") this.#column = Math.min(this.#column + count, COLUMNS_MOST);
    else if (final === "D") this.#column = Math.max(0, this.#column - count);
    else if (final === "E" || final === "F") this.#lead(final, count);
    else if (final === "G") this.#column = count - 1;
    else if (final === "J") this.#eraseBelow(parameters);
    else if (final === "K") this.#erase(parameters);
  }

  /**
   * To the beginning of a line below (E) or above (F).
   * @param {string} final
   * @param {number} count
   */
  #lead(final, count) {
    this.#control(String(count), final === "E" ? "B" : "A");
    this.#column = 0;
  }

  /** From the cursor to the end. Clearing a whole screen means nothing here. @param {string} parameters */
  #eraseBelow(parameters) {
    if (parameters !== "" && parameters !== "0") return;
    this.lines.length = this.#row + 1;
    this.#erase("");
  }

  /** @param {string} parameters */
  #erase(parameters) {
    const line = this.lines[this.#row];
    if (parameters === "2") this.lines[this.#row] = [];
    else if (parameters === "1") this.lines[this.#row] = [blank(this.#column), ...slice(line, this.#column)];
    else this.lines[this.#row] = slice(line, 0, this.#column);
  }

  /** @param {string} text */
  #put(text) {
    let line = this.lines[this.#row];
    const length = lengthOf(line);
    const after = this.#column + text.length;
    if (this.#column === length) {
      join(line, { text, style: this.#style });
    } else {
      const gap = this.#column > length ? [blank(this.#column - length)] : [];
      line = [...slice(line, 0, this.#column), ...gap, { text, style: this.#style }, ...slice(line, after)];
      this.lines[this.#row] = line;
    }
    this.#column = after;
  }
}

/** @param {Piece[]} line */
function lengthOf(line) {
  let length = 0;
  for (const { text } of line) length += text.length;
  return length;
}

/**
 * A text's lines without styles, as they stand once all of it is written.
 * @param {Piece[][]} lines
 */
export function plainText(lines) {
  return lines.map((line) => line.map(({ text }) => text).join("")).join("\n");
}

/**
 * Append a piece, to the last one if they look the same.
 * @param {Piece[]} line
 * @param {Piece} piece
 */
function join(line, piece) {
  const last = line.at(-1);
  if (last?.style === piece.style) line[line.length - 1] = { text: last.text + piece.text, style: last.style };
  else line.push(piece);
}

/**
 * @param {Piece[]} line
 * @param {number} from
 * @param {number} [to]
 */
function slice(line, from, to = Infinity) {
  const pieces = [];
  let at = 0;
  for (const { text, style } of line) {
    const part = text.slice(Math.max(0, from - at), Math.max(0, to - at));
    if (part) pieces.push({ text: part, style });
    at += text.length;
  }
  return pieces;
}

/**
 * @param {number} length
 * @returns {Piece}
 */
function blank(length) {
  return { text: " ".repeat(length), style: PLAIN };
}

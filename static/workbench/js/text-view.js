// @ts-check
// Text output as DOM. What is on the page stays there: new text only touches the lines it changes.

import { PLAIN } from "./ansi.js";
import { Terminal } from "./terminal.js";

// Lines of one output on the page; the newest are shown, a button shows all.
const LINES_SHOWN = 2_000;
// Characters of one line on the page.
const CHARACTERS_SHOWN = 20_000;
// Lines put on the page at once when all are asked for.
const LINES_PER_FRAME = 5_000;

export class TextView {
  /** @type {HTMLElement} */ element = document.createElement("div");
  #terminal = new Terminal();
  #text = document.createElement("pre");
  #more = document.createElement("button");
  #chunksWritten = 0;
  /** Index of the first line on the page. */
  #first = 0;
  #isAll = false;

  /** @param {string} className */
  constructor(className) {
    this.element.className = `text ${className}`;
    this.#more.type = "button";
    this.#more.className = "button quiet small more-lines";
    this.#more.hidden = true;
    this.#more.addEventListener("click", () => this.#showAll());
    this.element.append(this.#more, this.#text);
  }

  /** @param {string[]} chunks all of them, the ones written before as well */
  update(chunks) {
    if (chunks.length === this.#chunksWritten) return;
    const text = chunks.slice(this.#chunksWritten).join("");
    this.#chunksWritten = chunks.length;
    const changed = this.#terminal.write(text);
    const last = this.#lineCount();
    const first = this.#isAll ? this.#first : Math.max(this.#first, last - LINES_SHOWN);
    this.#drop(first - this.#first);
    this.#draw(Math.max(changed, first), last);
  }

  /** A last, empty line is only where the cursor stands. */
  #lineCount() {
    const { lines } = this.#terminal;
    return lines.at(-1)?.length ? lines.length : lines.length - 1;
  }

  /** @param {number} count */
  #drop(count) {
    if (count <= 0) return;
    this.#first += count;
    if (count >= this.#text.childNodes.length) this.#text.replaceChildren();
    else for (let i = 0; i < count; i++) this.#text.firstChild?.remove();
    this.#more.hidden = false;
    this.#more.textContent = `Show all: ${this.#first.toLocaleString()} earlier lines`;
  }

  /**
   * @param {number} from
   * @param {number} to
   */
  #draw(from, to) {
    const { childNodes } = this.#text;
    while (childNodes.length > Math.max(0, to - this.#first)) this.#text.lastChild?.remove();
    const added = document.createDocumentFragment();
    for (let i = from; i < to; i++) {
      const line = lineNode(this.#terminal.lines[i]);
      const old = childNodes[i - this.#first];
      if (old) old.replaceWith(line);
      else added.append(line);
    }
    this.#text.append(added);
  }

  #showAll() {
    this.#isAll = true;
    const from = Math.max(0, this.#first - LINES_PER_FRAME);
    const lines = this.#terminal.lines.slice(from, this.#first).map(lineNode);
    this.#text.prepend(...lines);
    this.#first = from;
    this.#more.hidden = from === 0;
    if (from > 0) requestAnimationFrame(() => this.#showAll());
  }
}

/** @param {import("./terminal.js").Piece[]} pieces */
function lineNode(pieces) {
  const line = document.createElement("div");
  let left = CHARACTERS_SHOWN;
  for (const piece of pieces) {
    if (left <= 0) break;
    line.append(pieceNode(piece, left));
    left -= piece.text.length;
  }
  if (left < 0) line.append(" … (line cut)");
  if (!pieces.length) line.append(document.createElement("br"));
  return line;
}

/**
 * @param {import("./terminal.js").Piece} piece
 * @param {number} most characters
 */
function pieceNode({ text, style }, most) {
  const shown = text.slice(0, most);
  if (style === PLAIN) return document.createTextNode(shown);
  const span = document.createElement("span");
  span.textContent = shown;
  const names = ["bold", "dim", "italic", "underline", "strike"];
  span.className = names.filter((name) => style[/** @type {"bold"} */ (name)]).map((n) => `ansi-${n}`).join(" ");
  const [fg, bg] = style.inverse ? [style.bg ?? "bg", style.fg ?? "fg"] : [style.fg, style.bg];
  colour(span, "fg", fg);
  colour(span, "bg", bg);
  return span;
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

// @ts-check
// The headings of a notebook's text cells. Pure.

/**
 * @typedef {{id: string, kind: string, source: string}} TextCell
 * @typedef {{cell: string, nth: number, level: number, text: string}} Heading
 *   `nth` in its cell, from 0
 * @typedef {{heading: Heading, below: Node[]}} Node
 */

// CommonMark: up to three spaces, one to six signs, then a space or nothing more.
const HEADING = /^ {0,3}(#{1,6})(?:[ \t]+(.*))?$/;
const CLOSING_SIGNS = /(?:^|[ \t]+)#+[ \t]*$/;
const FENCE = /^ {0,3}(`{3,}|~{3,})(.*)$/;

/**
 * @param {readonly TextCell[]} cells in order
 * @returns {Heading[]}
 */
export function headingsOf(cells) {
  return cells.flatMap(({ id, kind, source }) =>
    kind === "markdown" ? headingsIn(source).map((heading, nth) => ({ cell: id, nth, ...heading })) : []);
}

/**
 * The headings of one text, outside of fenced code.
 * @param {string} source
 */
export function headingsIn(source) {
  const found = [];
  let fence = "";
  for (const line of source.split(/\r?\n/)) {
    const [, signs = "", info = ""] = FENCE.exec(line) ?? [];
    if (fence) {
      if (signs.startsWith(fence) && !info.trim()) fence = "";
      continue;
    }
    // A tick in what follows means that it is code within a line.
    if (signs && !(signs[0] === "`" && info.includes("`"))) {
      fence = signs;
      continue;
    }
    const heading = HEADING.exec(line);
    const text = heading && plain((heading[2] ?? "").replace(CLOSING_SIGNS, ""));
    if (heading) found.push({ level: heading[1].length, text: text || "–" });
  }
  return found;
}

/**
 * Each heading with those below it: the following ones of a deeper level.
 * @param {Heading[]} headings
 * @returns {Node[]}
 */
export function nested(headings) {
  /** @type {Node[]} */ const roots = [];
  /** @type {Node[]} */ const path = [];
  for (const heading of headings) {
    const node = { heading, below: [] };
    while (path.length && /** @type {Node} */ (path.at(-1)).heading.level >= heading.level) path.pop();
    (path.at(-1)?.below ?? roots).push(node);
    path.push(node);
  }
  return roots;
}

/** Without the signs for links, pictures, code and emphasis. @param {string} text */
function plain(text) {
  return text
    .replaceAll(/!?\[([^\]]*)\]\([^)]*\)/g, "$1")
    .replaceAll(/(\*\*|__|~~|`)(.+?)\1/g, "$2")
    .replaceAll(/(^|[^\w*])\*(?!\s)([^*]+)\*(?![\w*])/g, "$1$2")
    .replaceAll(/(^|\W)_(?!\s)([^_]+)_(?!\w)/g, "$1$2")
    .replaceAll(/\\([!-/:-@[-`{-~])/g, "$1")
    .trim();
}

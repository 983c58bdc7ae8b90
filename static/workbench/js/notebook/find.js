// @ts-check
// Find and replace in the texts of a notebook's cells. Pure.

// More are not counted: nobody goes through them one by one.
export const MATCHES_MOST = 10_000;

/**
 * @typedef {{text: string, isCase: boolean, isWord: boolean, isRegex: boolean}} Query
 * @typedef {{id: string, source: string}} Searched
 * @typedef {{cellId: string, from: number, to: number, groups: (string | undefined)[],
 *   names: Record<string, string | undefined>}} Match offsets in UTF-16 units
 * @typedef {{matches: Match[], problem: string}} Found `problem` is a sentence, "" if there is none
 */

/**
 * All matches, in the order of the cells. Empty ones (as of "x*") do not count.
 * @param {readonly Searched[]} cells
 * @param {Query} query
 * @returns {Found}
 */
export function search(cells, query) {
  if (!query.text) return { matches: [], problem: "" };
  const { pattern, problem } = compiled(query);
  if (!pattern) return { matches: [], problem };
  /** @type {Match[]} */ const matches = [];
  for (const { id, source } of cells) {
    for (const match of source.matchAll(pattern)) {
      if (match[0]) matches.push(found(id, match));
      if (matches.length === MATCHES_MOST) return { matches, problem };
    }
  }
  return { matches, problem };
}

/**
 * The texts of the cells after replacing these matches, which are those of the texts as they are.
 * @param {readonly Searched[]} cells
 * @param {Match[]} matches in order
 * @param {string} replacement with `isRegex`, "$1", "$<name>", "$&" and "\n", "\t" stand for more
 * @param {Query} query
 * @returns {{id: string, source: string}[]} those that change
 */
export function replaced(cells, matches, replacement, { isRegex }) {
  const byCell = grouped(matches);
  return cells.flatMap(({ id, source }) => {
    let [text, end] = ["", 0];
    for (const match of byCell.get(id) ?? []) {
      text += source.slice(end, match.from) + (isRegex ? expanded(replacement, match) : replacement);
      end = match.to;
    }
    const after = text + source.slice(end);
    return after === source ? [] : [{ id, source: after }];
  });
}

/**
 * The first match at or behind a place; the first of all if there is none. -1 without matches.
 * @param {Match[]} matches
 * @param {{index: number, offset: number}} place a cell's index, and an offset in its text
 * @param {(cellId: string) => number} indexOf
 */
export function firstFrom(matches, place, indexOf) {
  const at = matches.findIndex(({ cellId, from }) => {
    const index = indexOf(cellId);
    return index > place.index || (index === place.index && from >= place.offset);
  });
  return at < 0 && matches.length ? 0 : at;
}

/**
 * @param {Query} query
 * @returns {{pattern: RegExp | null, problem: string}}
 */
function compiled({ text, isCase, isWord, isRegex }) {
  const inner = isRegex ? `(?:${text})` : text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
  const source = isWord ? `(?<![\\p{L}\\p{N}_])${inner}(?![\\p{L}\\p{N}_])` : inner;
  try {
    if (isRegex) new RegExp(text, "u"); // or else brackets of ours would complete those of the person
    return { pattern: new RegExp(source, isCase ? "gmu" : "gmiu"), problem: "" };
  } catch (error) {
    const reason = String(/** @type {Error} */ (error).message).split(": ").at(-1);
    return { pattern: null, problem: `This pattern is not valid: ${reason?.toLowerCase()}.` };
  }
}

/**
 * @param {string} cellId
 * @param {RegExpMatchArray} match
 * @returns {Match}
 */
function found(cellId, match) {
  const from = match.index ?? 0;
  return { cellId, from, to: from + match[0].length, groups: [...match], names: match.groups ?? {} };
}

/**
 * @param {string} replacement
 * @param {Match} match
 */
function expanded(replacement, { groups, names }) {
  const parts = /\$(?:(\$)|(&)|(\d{1,2})|<([^>]+)>)|\\([nt\\])/g;
  return replacement.replace(parts, (whole, dollar, all, number, name, escape) => {
    if (dollar) return "$";
    if (all) return groups[0] ?? "";
    if (number) return Number(number) < groups.length ? groups[Number(number)] ?? "" : whole;
    if (name) return names[name] ?? "";
    return { n: "\n", t: "\t", "\\": "\\" }[/** @type {"n"} */ (escape)];
  });
}

/**
 * By cell, in order.
 * @param {Match[]} matches
 */
function grouped(matches) {
  /** @type {Map<string, Match[]>} */ const groups = new Map();
  for (const match of matches) {
    const group = groups.get(match.cellId);
    if (group) group.push(match);
    else groups.set(match.cellId, [match]);
  }
  return groups;
}

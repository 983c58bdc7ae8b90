// @ts-check
// The kernel counts characters, the editor UTF-16 units: "🙂" is one of the first, two of the
// second. Pure.

/**
 * @param {string} text
 * @param {number} offset in UTF-16 units
 */
export function toCodePoints(text, offset) {
  let count = 0;
  for (let i = 0; i < offset; count++) i += width(text, i);
  return count;
}

/**
 * The end of the text for what lies behind it.
 * @param {string} text
 * @param {number} count of characters
 */
export function toUtf16(text, count) {
  let offset = 0;
  for (let i = 0; i < count && offset < text.length; i++) offset += width(text, offset);
  return offset;
}

/**
 * What turns one text into another, as short as it can be in one piece.
 * @param {string} before
 * @param {string} after
 * @returns {{from: number, to: number, insert: string}}
 */
export function difference(before, after) {
  const most = Math.min(before.length, after.length);
  let start = 0;
  while (start < most && before[start] === after[start]) start++;
  let end = 0;
  while (end < most - start && before.at(-1 - end) === after.at(-1 - end)) end++;
  return { from: start, to: before.length - end, insert: after.slice(start, after.length - end) };
}

/**
 * @param {string} text
 * @param {number} at
 */
function width(text, at) {
  return (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1;
}

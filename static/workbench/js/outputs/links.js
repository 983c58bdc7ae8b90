// @ts-check
// Addresses in text. Pure, no DOM.

const ADDRESS = /https:\/\/[^\s<>"'`\\^{|}\x00-\x1f]+/g;
const AFTER = /[.,;:!?*_]+$/;

/**
 * Cut a text into plain parts and addresses (https only: a click must not lead into the clear).
 * @param {string} text
 * @returns {{text: string, isLink: boolean}[]}
 */
export function splitLinks(text) {
  if (!text.includes("https://")) return [{ text, isLink: false }];
  const parts = [];
  let at = 0;
  for (const { 0: match, index } of text.matchAll(ADDRESS)) {
    const address = trimmed(match);
    if (!isAddress(address)) continue;
    if (index > at) parts.push({ text: text.slice(at, index), isLink: false });
    parts.push({ text: address, isLink: true });
    at = index + address.length;
  }
  if (at < text.length) parts.push({ text: text.slice(at), isLink: false });
  return parts;
}

/** Without what belongs to the sentence: "(see https://a.example/b)." @param {string} match */
function trimmed(match) {
  let address = match.replace(AFTER, "");
  for (const [open, close] of ["()", "[]"]) {
    while (address.endsWith(close) && count(address, close) > count(address, open)) {
      address = address.slice(0, -1).replace(AFTER, "");
    }
  }
  return address;
}

/**
 * @param {string} text
 * @param {string} character
 */
function count(text, character) {
  return text.split(character).length - 1;
}

/** A host, and whatever follows it. @param {string} address */
function isAddress(address) {
  return address.length < 2_000 && /^https:\/\/[\p{L}\p{N}[][\p{L}\p{N}.:[\]_-]*(?:[/?#]|$)/u.test(address);
}

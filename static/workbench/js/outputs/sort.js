// @ts-check
// Sorting a table by what its cells say. Pure, no DOM.

const NUMBER = /^[-+−]?(?:\d{1,3}(?:[, \u00a0\u202f]\d{3})+|\d+)?(?:\.\d*)?(?:e[-+]?\d+)?$/i;
const UNIT = /^[$€£¥]\s*|\s*%$/g;
// What stands for no value, or for rows left out.
const BLANK = new Set(["", "nan", "none", "nat", "null", "<na>", "...", "…", "-", "–"]);
const BLANK_LONGEST = 4;

const COLLATOR = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });

/** @param {string} text */
export function isBlank(text) {
  return text.length <= BLANK_LONGEST && BLANK.has(text.toLowerCase());
}

/**
 * The number a cell shows, null if it shows none: "-1,234.5", "3e8", "12 %", "$ 5", "inf".
 * @param {string} text
 */
export function numberOf(text) {
  const bare = text.trim().replaceAll(UNIT, "");
  if (/^[-+]?inf(?:inity)?$/i.test(bare)) return bare.startsWith("-") ? -Infinity : Infinity;
  if (!/\d/.test(bare) || !NUMBER.test(bare)) return null;
  return Number(bare.replace("−", "-").replaceAll(/[, \u00a0\u202f]/g, ""));
}

/**
 * Whether every cell that says anything says a number, and one does.
 * @param {string[]} texts
 */
export function isNumeric(texts) {
  let hasNumber = false;
  for (const text of texts) {
    if (isBlank(text)) continue;
    if (numberOf(text) === null) return false;
    hasNumber = true;
  }
  return hasNumber;
}

/**
 * The places of the rows in sorted order. Equal rows keep theirs; blanks come last either way.
 * @param {string[]} texts
 * @param {boolean} descending
 * @returns {number[]}
 */
export function sortedPlaces(texts, descending) {
  const numeric = isNumeric(texts);
  const keys = numeric ? texts.map(numberOf) : texts;
  const blank = texts.map(isBlank);
  const sign = descending ? -1 : 1;
  const compare = (/** @type {any} */ a, /** @type {any} */ b) =>
    numeric ? Math.sign(a - b || 0) : COLLATOR.compare(a, b);
  return texts.map((_, place) => place).sort((a, b) => {
    if (blank[a] || blank[b]) return Number(blank[a]) - Number(blank[b]);
    return sign * compare(keys[a], keys[b]);
  });
}

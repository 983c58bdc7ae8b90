// @ts-check
// SGR escape sequences (colours, bold …) -> how a piece of text looks. Pure, no DOM.

/**
 * A colour is an index of the theme's 16, or "#rrggbb"; null is the text's own.
 * @typedef {object} Style
 * @property {number | string | null} fg
 * @property {number | string | null} bg
 * @property {boolean} bold
 * @property {boolean} dim
 * @property {boolean} italic
 * @property {boolean} underline
 * @property {boolean} inverse
 * @property {boolean} strike
 */

/** @type {Readonly<Style>} */
export const PLAIN = Object.freeze({
  fg: null, bg: null, bold: false, dim: false,
  italic: false, underline: false, inverse: false, strike: false,
});

/** @type {Record<number, Partial<Style>>} */
const SWITCHES = {
  1: { bold: true }, 2: { dim: true }, 3: { italic: true }, 4: { underline: true },
  7: { inverse: true }, 9: { strike: true }, 21: { underline: true },
  22: { bold: false, dim: false }, 23: { italic: false }, 24: { underline: false },
  27: { inverse: false }, 29: { strike: false }, 39: { fg: null }, 49: { bg: null },
};

/**
 * The style after one SGR sequence.
 * @param {Readonly<Style>} before
 * @param {string} parameters between "ESC [" and "m"
 * @returns {Readonly<Style>}
 */
export function applySgr(before, parameters) {
  const codes = parameters.split(/[;:]/).map(Number);
  let style = before;
  for (let i = 0; i < codes.length; i++) {
    const code = codes[i];
    if (code === 38 || code === 48) {
      const [colour, used] = extended(codes, i + 1);
      i += used;
      if (colour !== undefined) style = { ...style, [code === 38 ? "fg" : "bg"]: colour };
    } else {
      style = code === 0 ? PLAIN : { ...style, ...(SWITCHES[code] ?? basic(code)) };
    }
  }
  return style;
}

/**
 * @param {number} code
 * @returns {Partial<Style>}
 */
function basic(code) {
  if (code >= 30 && code <= 37) return { fg: code - 30 };
  if (code >= 40 && code <= 47) return { bg: code - 40 };
  if (code >= 90 && code <= 97) return { fg: code - 90 + 8 };
  if (code >= 100 && code <= 107) return { bg: code - 100 + 8 };
  return {};
}

/**
 * A colour of 256 or of all, and how many codes it took.
 * @param {number[]} codes
 * @param {number} at
 * @returns {[number | string | undefined, number]}
 */
function extended(codes, at) {
  if (codes[at] === 5) return [indexed(codes[at + 1]), 2];
  if (codes[at] === 2) return [hex(codes[at + 1], codes[at + 2], codes[at + 3]), 4];
  return [undefined, 0];
}

/** @param {number} index */
function indexed(index) {
  if (!(index >= 0 && index <= 255)) return undefined;
  if (index < 16) return index;
  if (index >= 232) {
    const grey = 8 + (index - 232) * 10;
    return hex(grey, grey, grey);
  }
  const level = (/** @type {number} */ n) => (n ? 55 + n * 40 : 0);
  const cube = index - 16;
  return hex(level(Math.floor(cube / 36)), level(Math.floor(cube / 6) % 6), level(cube % 6));
}

/** @param {number[]} parts */
function hex(...parts) {
  if (!parts.every((part) => part >= 0 && part <= 255)) return undefined;
  return `#${parts.map((part) => Math.floor(part).toString(16).padStart(2, "0")).join("")}`;
}

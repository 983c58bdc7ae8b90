// @ts-check
// The size of a picture, read from its first bytes: its place is kept before it is decoded.
// Pure, no DOM.

/**
 * In CSS pixels; null if it is not known before the browser has decoded the picture.
 * @typedef {{width: number, height: number} | null} Size
 * @param {string} type
 * @param {string} content base64, or the markup of an SVG
 * @returns {Size}
 */
export function pictureSize(type, content) {
  try {
    if (type === "image/svg+xml") return svgSize(content);
    if (type === "image/png") return pngSize(atob(content.slice(0, 32)));
    if (type === "image/gif") return gifSize(atob(content.slice(0, 16)));
  } catch {
    // Not base64: the browser will say that it is broken.
  }
  return null;
}

/** @param {string} bytes @returns {Size} */
function pngSize(bytes) {
  if (!bytes.startsWith("\x89PNG") || bytes.length < 24) return null;
  return checked(bigEndian(bytes, 16), bigEndian(bytes, 20));
}

/** @param {string} bytes @returns {Size} */
function gifSize(bytes) {
  if (!bytes.startsWith("GIF8")) return null;
  const at = (/** @type {number} */ place) => bytes.charCodeAt(place) + 256 * bytes.charCodeAt(place + 1);
  return checked(at(6), at(8));
}

/** @param {string} markup @returns {Size} */
function svgSize(markup) {
  const tag = /<svg\b[^>]*>/i.exec(markup)?.[0] ?? "";
  const [width, height] = [length(tag, "width"), length(tag, "height")];
  if (width && height) return checked(width, height);
  const box = /\bviewBox\s*=\s*["']([^"']+)["']/i.exec(tag)?.[1].trim().split(/[\s,]+/).map(Number);
  return box?.length === 4 ? checked(box[2], box[3]) : null;
}

const UNITS = { "": 1, px: 1, pt: 4 / 3, pc: 16, in: 96, cm: 96 / 2.54, mm: 96 / 25.4 };

/**
 * @param {string} tag
 * @param {string} name
 */
function length(tag, name) {
  const [, number, unit] = new RegExp(`\\s${name}\\s*=\\s*["']\\s*([\\d.]+)\\s*(px|pt|pc|in|cm|mm|)\\s*["']`, "i").exec(tag) ?? [];
  return number ? Number(number) * UNITS[/** @type {keyof typeof UNITS} */ (unit.toLowerCase())] : 0;
}

/**
 * @param {number} width
 * @param {number} height
 * @returns {Size}
 */
function checked(width, height) {
  return width > 0 && height > 0 && width < 65_536 && height < 65_536
    ? { width: Math.round(width), height: Math.round(height) } : null;
}

/**
 * @param {string} bytes
 * @param {number} at
 */
function bigEndian(bytes, at) {
  let value = 0;
  for (let i = 0; i < 4; i++) value = value * 256 + bytes.charCodeAt(at + i);
  return value;
}

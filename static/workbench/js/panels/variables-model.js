// @ts-check
// What the list of variables shows. Pure.

/** @typedef {{name: string, type: string, shape: string, size_bytes: number | null, value: string, is_table: boolean}} Variable */

// Smaller ones are not worth saying.
const SIZE_FROM_BYTES = 1_000;

/**
 * "1,234 × 6" for "(1234, 6)"; a shape that is no list of numbers stays as it is.
 * @param {string} shape
 */
export function shapeText(shape) {
  const sizes = shape.replaceAll(/[()\s]/g, "").split(",").filter(Boolean);
  if (!sizes.every((size) => /^\d+$/.test(size))) return shape;
  return sizes.map((size) => Number(size).toLocaleString()).join(" × ");
}

/**
 * @param {number | null} bytes
 * @param {(bytes: number) => string} format
 */
export function shownSize(bytes, format) {
  return bytes !== null && bytes >= SIZE_FROM_BYTES ? format(bytes) : "";
}

/**
 * Those whose name or type has the text in it.
 * @param {Variable[]} variables
 * @param {string} text
 */
export function matching(variables, text) {
  const wanted = text.trim().toLowerCase();
  return variables.filter(({ name, type }) => `${name} ${type}`.toLowerCase().includes(wanted));
}

/**
 * The names of those that are new or look different; none if there was no list before.
 * @param {Variable[] | null} before
 * @param {Variable[]} after
 */
export function changedNames(before, after) {
  if (!before) return new Set();
  const seen = new Map(before.map((variable) => [variable.name, JSON.stringify(variable)]));
  return new Set(after.filter((each) => seen.get(each.name) !== JSON.stringify(each)).map(({ name }) => name));
}

/**
 * Changes whenever variables may have: a run has ended, or the kernel is another one.
 * @param {import("../fold.js").State} state
 */
export function mayHaveChanged({ executions, session }) {
  let ended = 0;
  for (const { state } of executions.values()) if (state !== "queued" && state !== "running") ended += 1;
  return `${ended} ${session.state} ${session.since}`;
}

// @ts-check
// Where a cell stands: a text between those of its neighbours, compared by code units. Pure.
// An execution without a cell of its own stands at its event's number, padded to HEAD digits.

const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const VALUES = new Map([...DIGITS].map((digit, value) => [digit, BigInt(value)]));
const BASE = 62n;
const HEAD = 12;
// The server's column holds no more characters.
const LONGEST = 200;
// Free places wanted around a new one, so that two tabs hardly ever choose the same.
const ROOM = 4_000n;

/**
 * The position of the event with this number.
 * @param {number} number
 */
export function ofEvent(number) {
  return String(number).padStart(HEAD, "0");
}

/**
 * A position strictly between two; null if there is none, or only one that would be too long.
 * People mostly add below what they have just added: it lies nearer to `after`, and leaves more
 * room on that side.
 * @param {string | null} after null: the beginning
 * @param {string | null} before null: the end
 * @param {() => number} [random]
 */
export function between(after, before, random = Math.random) {
  return placed(after, before, 6, random);
}

/**
 * A position behind the last cell, and before whatever runs from now on.
 * @param {string | null} last the last cell's
 * @param {number} eventNumber of the last event in the log
 * @param {() => number} [random]
 */
export function atEnd(last, eventNumber, random = Math.random) {
  const after = [last ?? "", ofEvent(eventNumber)].sort(compare)[1];
  const next = ofEvent(eventNumber + 1);
  // Thousands of cells may come here one after the other: each takes a small share of the room.
  return placed(after, after < next ? next : null, 1_000, random);
}

/**
 * So many positions between two, in order and about evenly; null if they do not fit.
 * @param {string | null} after
 * @param {string | null} before
 * @param {number} count
 * @returns {string[] | null}
 */
export function spread(after, before, count) {
  const range = roomBetween(after, before, ROOM * BigInt(count + 1));
  if (!range) return null;
  const step = (range.high - range.low) / BigInt(count + 1);
  return Array.from({ length: count }, (_, i) => written(range.low + step * BigInt(i + 1), range.length));
}

/**
 * @param {string} a
 * @param {string} b
 */
export function compare(a, b) {
  return a < b ? -1 : Number(a > b);
}

/**
 * @param {string | null} after
 * @param {string | null} before
 * @param {number} share the new position is about a `share`th of the way up
 * @param {() => number} random
 */
function placed(after, before, share, random) {
  const range = roomBetween(after, before, ROOM * BigInt(share));
  if (!range) return null;
  const slice = Number((range.high - range.low) / BigInt(share));
  return written(range.low + BigInt(1 + Math.floor((0.5 + random() / 2) * (slice - 2))), range.length);
}

/**
 * Both ends as numbers of so many digits that at least `wanted` lie between.
 * @param {string | null} after
 * @param {string | null} before
 * @param {bigint} wanted
 */
function roomBetween(after, before, wanted) {
  if (before !== null && (after ?? "") >= before) return null;
  for (let length = HEAD + 1; length <= LONGEST; length++) {
    const low = valueOf(after ?? "", length);
    const high = before === null ? endAfter(after ?? "", length) : valueOf(before, length);
    if (high - low >= wanted) return { low, high, length };
  }
  return null;
}

/**
 * The next whole number of events, as the end of what has none.
 * @param {string} after
 * @param {number} length
 */
function endAfter(after, length) {
  return (valueOf(after, HEAD) + 1n) * BASE ** BigInt(length - HEAD);
}

/**
 * @param {string} position
 * @param {number} length
 */
function valueOf(position, length) {
  let value = 0n;
  for (let i = 0; i < length; i++) value = value * BASE + (VALUES.get(position[i] ?? "0") ?? 0n);
  return value;
}

/**
 * @param {bigint} value
 * @param {number} length
 */
function written(value, length) {
  let text = "";
  // A last "0" would say nothing: another text would stand for the same place.
  for (let rest = value % BASE ? value : value + 1n; text.length < length; rest /= BASE) {
    text = DIGITS[Number(rest % BASE)] + text;
  }
  return text;
}

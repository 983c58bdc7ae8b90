// @ts-check
// Names for sessions that nobody named: easier to remember, and to say, than numbers. Pure.

const FIRST = [
  "amber", "brisk", "calm", "clear", "copper", "dusty", "early", "gentle", "golden", "green",
  "high", "ivory", "late", "light", "mild", "misty", "plain", "quick", "quiet", "silver",
];
const SECOND = [
  "anchor", "aspen", "birch", "brook", "canyon", "cedar", "cove", "delta", "ember", "fern",
  "harbor", "heron", "lark", "maple", "meadow", "orbit", "otter", "pebble", "ridge", "willow",
];

/**
 * A name that is not taken, such as "quiet-heron".
 * @param {Set<string>} taken
 * @param {() => number} [random] from 0 up to 1
 */
export function freshName(taken, random = Math.random) {
  const pick = (/** @type {string[]} */ words) => words[Math.floor(random() * words.length)];
  const name = `${pick(FIRST)}-${pick(SECOND)}`;
  if (!taken.has(name)) return name;
  let n = 2;
  while (taken.has(`${name}-${n}`)) n += 1;
  return `${name}-${n}`;
}

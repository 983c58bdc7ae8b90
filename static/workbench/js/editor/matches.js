// @ts-check
// Marks on what a search has found.

import { Decoration, EditorView, StateEffect, StateField } from "../../../vendor/editor.js";

/** @typedef {{from: number, to: number}} Range in UTF-16 units */

const MATCH = Decoration.mark({ class: "match" });
const CURRENT = Decoration.mark({ class: "match current" });
/** @type {any} */ const setRanges = StateEffect.define();

/** @type {any} */
export const matchMarks = StateField.define({
  create: () => Decoration.none,
  update(/** @type {any} */ marks, /** @type {any} */ transaction) {
    for (const effect of transaction.effects) if (effect.is(setRanges)) return effect.value;
    return marks.map(transaction.changes);
  },
  provide: (/** @type {any} */ field) => EditorView.decorations.from(field),
});

/**
 * @param {Range[]} ranges in order; empty ones are left out
 * @param {number} current index of the one that stands out, -1 for none
 * @param {number} length of the text
 */
export function marksEffect(ranges, current, length) {
  const marks = ranges.map(({ from, to }, i) => ({ from, to: Math.min(to, length), mark: i === current ? CURRENT : MATCH }));
  const real = marks.filter(({ from, to }) => from < to);
  return setRanges.of(Decoration.set(real.map(({ from, to, mark }) => mark.range(from, to))));
}

// @ts-check
// What can be taken back of a notebook's structure. Steps say what a cell was and what it became,
// and only take back what still is as they left it: others may have changed it since. Pure.

import { isSame } from "./cell-store.js";

/**
 * @typedef {import("./cell-store.js").Fields} Fields
 * @typedef {import("./cell-store.js").Change} Change
 * @typedef {{id: string, before: Fields, after: Fields}} Step
 * @typedef {{title: string, steps: Step[], seam?: Seam}} Entry
 * @typedef {{upper: string, lower: string, by: string}} Seam where a cell was split, and what
 *   stood between the parts
 * @typedef {(id: string) => (Fields | null)} Look a cell's content now
 */

const ENTRIES_KEPT = 200;

export class UndoStack {
  /** @type {Entry[]} */ #done = [];
  /** @type {Entry[]} */ #undone = [];

  /** @param {Entry} entry */
  push(entry) {
    this.#undone = [];
    this.#done.push(entry);
    if (this.#done.length > ENTRIES_KEPT) this.#done.shift();
  }

  /** What undo would take back, "" if nothing. */
  get undoTitle() {
    return this.#done.at(-1)?.title ?? "";
  }

  /** What redo would do again, "" if nothing. */
  get redoTitle() {
    return this.#undone.at(-1)?.title ?? "";
  }

  /**
   * @param {Look} look
   * @returns {Change[]} empty if there is nothing to take back
   */
  undo(look) {
    return this.#turn(this.#done, this.#undone, (entry) => {
      if (entry.seam) mend(entry, look);
      return changes(entry.steps.map(({ id, before, after }) => ({ id, before: after, after: before })), look);
    });
  }

  /**
   * @param {Look} look
   * @returns {Change[]}
   */
  redo(look) {
    return this.#turn(this.#undone, this.#done, (entry) => changes(entry.steps, look));
  }

  /**
   * Entries of which nothing is left are passed over.
   * @param {Entry[]} from
   * @param {Entry[]} to
   * @param {(entry: Entry) => Change[]} act
   */
  #turn(from, to, act) {
    for (let entry = from.pop(); entry; entry = from.pop()) {
      const made = act(entry);
      if (!made.length) continue;
      to.push(entry);
      return made;
    }
    return [];
  }
}

/**
 * @param {Step[]} steps
 * @param {Look} look
 * @returns {Change[]}
 */
function changes(steps, look) {
  return steps.flatMap(({ id, before, after }) => {
    const now = look(id);
    const names = Object.keys(after).filter((name) => now && isSame(field(now, name), field(before, name)));
    if (!names.length) return [];
    return [{ id, ...Object.fromEntries(names.map((name) => [name, field(after, name)])) }];
  });
}

/**
 * Both parts may have been written on since the split: what is taken back is the split alone.
 * @param {Entry} entry
 * @param {Look} look
 */
function mend(entry, look) {
  const { upper, lower, by } = /** @type {Seam} */ (entry.seam);
  const [first, second] = [look(upper), look(lower)];
  const step = entry.steps.find(({ id }) => id === lower);
  if (!step || !first || !second || first.is_deleted || second.is_deleted) return;
  step.after = { source: second.source };
  step.before = { source: `${first.source}${by}${second.source}` };
}

/**
 * @param {Fields} fields
 * @param {string} name
 */
function field(fields, name) {
  return /** @type {Record<string, unknown>} */ (fields)[name];
}

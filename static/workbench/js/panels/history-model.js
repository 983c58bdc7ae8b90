// @ts-check
// Which runs the history shows. Pure.

import { searchedText } from "./run-facts.js";

/** @typedef {import("../fold.js").Execution} Execution */
/** @typedef {{text: string, group: string, origin: string}} Wanted empty: any */

/** States that people look for together, by the name of their group. @type {Record<string, string[]>} */
const GROUPS = {
  succeeded: ["succeeded"],
  failed: ["failed"],
  stopped: ["interrupted", "timed_out", "cancelled", "lost"],
  unfinished: ["running", "queued"],
};

/** A run that changes is another object, so a text once made stays true. @type {WeakMap<Execution, string>} */
const SEARCHED = new WeakMap();

/**
 * The runs that are wanted, the newest first.
 * @param {Iterable<Execution>} executions in the order in which they were queued
 * @param {Wanted} wanted
 */
export function matchingRuns(executions, { text, group, origin }) {
  const words = text.trim().toLowerCase();
  const states = GROUPS[group];
  return [...executions].reverse().filter((execution) =>
    (!states || states.includes(execution.state)) &&
    (!origin || execution.origin === origin) &&
    (!words || searched(execution).includes(words)));
}

/**
 * The origins that occur, in order.
 * @param {Iterable<Execution>} executions
 */
export function originsOf(executions) {
  const origins = new Set();
  for (const { origin } of executions) if (origin) origins.add(origin);
  return /** @type {string[]} */ ([...origins].sort());
}

/** @param {Execution} execution */
function searched(execution) {
  const text = SEARCHED.get(execution) ?? searchedText(execution);
  SEARCHED.set(execution, text);
  return text;
}

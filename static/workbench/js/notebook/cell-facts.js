// @ts-check
// What a cell says of its run, in words. Pure.

import { clock, duration, elapsed, exact, ordinal } from "../time.js";
import { stateWord } from "../words.js";

/** @typedef {import("../fold.js").Execution} Execution */

/**
 * @param {Execution} execution
 * @param {object} about
 * @param {number} about.place in the queue, from 1; 0 if it does not wait
 * @param {number | null} about.lastSeconds how long the run before took; null if unknown
 * @returns {string}
 */
export function stateSentence(execution, { place, lastSeconds }) {
  const { state, startedAt, durationSeconds, exitCode } = execution;
  if (state === "queued") return place > 0 ? `queued, ${ordinal(place)}` : "queued";
  if (execution.input) return "waits for input";
  if (state === "running") return [startedAt ? `running ${elapsed(startedAt)}` : "running", last(lastSeconds)].filter(Boolean).join(" · ");
  const took = durationSeconds === null ? "" : duration(durationSeconds);
  const code = exitCode ? `exit code ${exitCode}` : "";
  const word = state === "succeeded" ? "" : stateWord(state);
  const when = endOf(execution);
  return [word, code, took, when && clock(when)].filter(Boolean).join(" · ") || "done";
}

/**
 * The exact times, for a title.
 * @param {Execution} execution
 */
export function timesSentence({ queuedAt, startedAt, origin }) {
  const times = [queuedAt && `queued ${exact(queuedAt)}`, startedAt && `started ${exact(startedAt)}`];
  return [...times.filter(Boolean), origin && `through ${origin}`].join("\n");
}

/**
 * What a screen reader calls the cell: "Code cell 3 of 12, failed".
 * @param {string} kind
 * @param {number} place from 1
 * @param {Execution | null} execution
 */
export function cellLabel(kind, place, execution) {
  const name = { markdown: "Text", raw: "Raw text", command: "Command" }[kind] ?? "Code";
  return `${name} cell ${place}${execution ? `, ${stateWord(execution.state)}` : ""}`;
}

/**
 * In [n], as a number in the gutter; "*" while it runs, "$" for a command.
 * @param {Execution | null} execution
 */
export function countMark(execution) {
  if (!execution) return "";
  if (execution.kind === "command") return "$";
  return String(execution.executionCount ?? (execution.state === "running" ? "*" : ""));
}

/** @param {number | null} seconds */
function last(seconds) {
  return seconds === null || seconds < 1 ? "" : `last ${duration(seconds)}`;
}

/** @param {Execution} execution */
function endOf({ startedAt, durationSeconds }) {
  if (!startedAt || durationSeconds === null) return "";
  return new Date(Date.parse(startedAt) + durationSeconds * 1000).toISOString();
}

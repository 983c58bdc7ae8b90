// @ts-check
// What the panels say of a run, in words. Pure.

import { plainText, Terminal } from "../outputs/terminal.js";

/**
 * @typedef {import("../fold.js").Execution} Execution
 * @typedef {import("../fold.js").Output} Output
 */

const ESCAPES = /\x1b\[[0-9;:?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)/g;
// Characters of one output that are looked at, its end: the rest is for the cell to show.
const OUTPUT_READ = 200_000;

/** The first line that says something; "" if none does. @param {string} code */
export function firstLine(code) {
  return code.split("\n").find((line) => line.trim())?.trim() ?? "";
}

/** Lines besides the first. @param {string} code */
export function moreLines(code) {
  return Math.max(0, code.trim().split("\n").length - 1);
}

/**
 * An output as text, with its escape sequences; "" if it has none.
 * @param {Output} output
 */
export function outputText(output) {
  if (output.kind === "stream") return endOf(output.chunks);
  if (output.kind === "error") return endOf(output.traceback.length ? [output.traceback.join("\n")] : [`${output.ename}: ${output.evalue}`]);
  if (output.kind === "truncated") return "";
  const text = output.data["text/plain"] ?? "";
  return endOf(Array.isArray(text) ? text : [String(text)]);
}

/**
 * What is searched of a run: its code and outputs, in lower case, without colours.
 * @param {Execution} execution
 */
export function searchedText({ code, outputs }) {
  return [code, ...outputs.map(outputText)].join("\n").replaceAll(ESCAPES, "").toLowerCase();
}

/**
 * The last lines of a run's outputs as a terminal would show them.
 * @param {Execution} execution
 * @param {number} most lines
 */
export function lastLines({ outputs }, most) {
  const lines = outputs.flatMap((output) => {
    const terminal = new Terminal();
    terminal.write(outputText(output));
    return plainText(terminal.lines).replace(/\n$/, "").split("\n");
  });
  while (lines.length && !lines.at(-1)?.trim()) lines.pop();
  const shown = lines.slice(-most).join("\n");
  return lines.length > most ? `…\n${shown}` : shown;
}

/** @param {string[]} chunks */
function endOf(chunks) {
  const kept = [];
  let room = OUTPUT_READ;
  for (let at = chunks.length - 1; at >= 0 && room > 0; at--) {
    kept.unshift(chunks[at].slice(-room));
    room -= chunks[at].length;
  }
  return kept.join("");
}

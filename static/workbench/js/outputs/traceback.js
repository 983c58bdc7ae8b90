// @ts-check
// A traceback -> what a person wants to see of it first. Pure, no DOM.

/**
 * @typedef {object} Part
 * @property {"own" | "library" | "text"} kind a frame of the person's code, a frame of a library,
 *   or what stands between frames
 * @property {string} text with its escape sequences
 * @property {string} library the name of the library, "" unless it is one
 * @typedef {Part | {kind: "folded", frames: Part[], summary: string}} Shown
 */

// Parts shown at once; an even number.
const PARTS_MOST = 8;

const ESCAPES = /\x1b\[[0-9;:?]*[ -/]*[@-~]/g;
const RULE = /^-{20,}$/;
const HEADER = /^[\w.]+\s{2,}Traceback \(most recent call last\)$/;
const FRAME = /^\s*(?:File|Cell|Input)\s+(?:"([^"]+)"|(In\s*\[\d+\])|(.+?))(?::\d+\b|, (?:line|in) |\s|$)/;
const PACKAGE = /\/(?:site|dist)-packages\/([\w-]+)/;
const PYTHON = /\/lib(?:64)?\/python3[^/]*\/|\/ipykernel_launcher|^<frozen /;
// What the server adds to a kernel: patience.py, inside.py.
const OURS = "<workbench>";
const COMPILED = /^(?!\/|~)([\w-]+)\/.*\.(?:pyx|pxi|pxd|pyi)$/;

/** @param {string} text */
export function withoutEscapes(text) {
  return text.replaceAll(ESCAPES, "");
}

/**
 * The parts of a traceback, frames of libraries that follow each other folded into one. The
 * headline, which is shown by itself, is left out.
 * @param {{ename: string, evalue: string, traceback: string[]}} error
 * @returns {Shown[]}
 */
export function foldTraceback({ ename, evalue, traceback }) {
  const lines = Array.isArray(traceback) ? traceback.map(String) : [];
  const parts = lines.flatMap(partsOf).filter(({ text }) => !isFrill(text));
  dropHeadline(parts, ename, evalue);
  // A traceback of libraries alone says nothing when folded.
  return shortened(parts.some(({ kind }) => kind === "own") ? folded(parts) : parts);
}

/**
 * A recursion without end has thousands of frames: its ends tell enough.
 * @param {Shown[]} parts
 * @returns {Shown[]}
 */
function shortened(parts) {
  if (parts.length <= PARTS_MOST) return parts;
  const [head, tail] = [parts.slice(0, PARTS_MOST / 2), parts.slice(-PARTS_MOST / 2)];
  const frames = parts.slice(PARTS_MOST / 2, -PARTS_MOST / 2).flatMap((part) => (part.kind === "folded" ? part.frames : part));
  return [...head, { kind: "folded", frames, summary: `${frames.length.toLocaleString("en")} more frames` }, ...tail];
}

/**
 * One element of IPython's traceback is one frame; Python's own has all of them in one text.
 * @param {string} element
 * @returns {Part[]}
 */
function partsOf(element) {
  if (!withoutEscapes(element).startsWith("Traceback (most recent")) return [partOf(element)];
  return element.split(/\n(?=(?: {2}File ")|\S)/).map(partOf);
}

/**
 * @param {string} text
 * @returns {Part}
 */
function partOf(text) {
  const [, quoted, cell, bare] = FRAME.exec(withoutEscapes(text)) ?? [];
  const path = quoted ?? bare;
  if (cell === undefined && path === undefined) return { kind: "text", text, library: "" };
  const library = cell === undefined ? libraryOf(path) : "";
  return { kind: library ? "library" : "own", text, library };
}

/** The library a path belongs to, "" if it is the person's own. @param {string} path */
function libraryOf(path) {
  const named = PACKAGE.exec(path)?.[1] ?? COMPILED.exec(path)?.[1];
  if (named) return named;
  if (path === OURS) return "Workbench";
  return PYTHON.test(path) ? "Python" : "";
}

/** @param {string} text */
function isFrill(text) {
  const bare = withoutEscapes(text).trim();
  return bare === "" || RULE.test(bare) || HEADER.test(bare) || bare === "Traceback (most recent call last):";
}

/**
 * @param {Part[]} parts
 * @param {string} ename
 * @param {string} evalue
 */
function dropHeadline(parts, ename, evalue) {
  const last = parts.at(-1);
  if (!last) return;
  const bare = withoutEscapes(last.text).trimEnd();
  const line = bare.slice(bare.lastIndexOf(`${ename}:`));
  if (bare === ename || bare.startsWith(`${ename}: `) || bare === `${ename}: ${evalue}`.trimEnd()) parts.pop();
  else if (line.startsWith(`${ename}:`) && bare.lastIndexOf(`\n${ename}:`) > 0) last.text = cutLine(last.text, ename);
}

/**
 * A syntax error's frame ends with the headline: without it, escape sequences and all.
 * @param {string} text
 * @param {string} ename
 */
function cutLine(text, ename) {
  const lines = text.trimEnd().split("\n");
  const at = lines.findLastIndex((line) => withoutEscapes(line).startsWith(`${ename}:`));
  return lines.slice(0, at).join("\n");
}

/**
 * @param {Part[]} parts
 * @returns {Shown[]}
 */
function folded(parts) {
  /** @type {Shown[]} */ const shown = [];
  /** @type {Part[]} */ let run = [];
  const flush = () => {
    if (run.length) shown.push({ kind: "folded", frames: run, summary: summary(run) });
    run = [];
  };
  for (const part of parts) {
    if (part.kind === "library") run.push(part);
    else flush(), shown.push(part);
  }
  flush();
  return shown;
}

/** @param {Part[]} frames */
function summary(frames) {
  const names = [...new Set(frames.map(({ library }) => library))];
  return `${frames.length} ${frames.length === 1 ? "frame" : "frames"} in ${names.join(", ")}`;
}

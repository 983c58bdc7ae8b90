// @ts-check
// What a mime bundle offers, in order of preference. Pure, no DOM.

import { needsScript } from "./html-kind.js";

/**
 * @typedef {{data: Record<string, any>, metadata: Record<string, any>}} Bundle
 * @typedef {"frame" | "html" | "markdown" | "latex" | "image" | "json" | "text"} Way how it is shown
 * @typedef {{type: string, way: Way}} Choice
 */

const WIDGET = "application/vnd.jupyter.widget-view+json";
const JSON_TYPE = /^application\/(?:[\w.-]+\+)?json$/;
/** Types that only a script can show; they run in an isolated frame. */
const SCRIPTED = [
  /^application\/vnd\.jupyter\.widget-view\+json$/,
  /^application\/vnd\.plotly\.v1\+json$/,
  /^application\/vnd\.vega(?:lite)?\.v\d+[+.]json$/,
  /^application\/vnd\.bokehjs_(?:exec|load)\.v0\+json$/,
];
/** @type {[string, Way][]} */
const SIMPLE = [
  ["text/markdown", "markdown"],
  ["text/latex", "latex"],
  ["image/svg+xml", "image"],
  ["image/png", "image"],
  ["image/jpeg", "image"],
  ["image/gif", "image"],
  ["image/webp", "image"],
];
const SCRIPT_TYPES = ["application/javascript", "text/javascript"];
const BOKEH = /^application\/vnd\.bokehjs_(?:exec|load)\.v0\+json$/;
const BOKEH_LOAD = "application/vnd.bokehjs_load.v0+json";

/**
 * The ways to show a bundle, the best first. Empty if there is none.
 * @param {Bundle} bundle
 * @param {{canIsolate: boolean}} options whether there are isolated frames
 * @returns {Choice[]}
 */
export function choices({ data }, { canIsolate }) {
  const types = Object.keys(data).filter((type) => data[type] !== undefined && data[type] !== null);
  /** @type {Choice[]} */ const found = [];
  const add = (/** @type {string} */ type, /** @type {Way} */ way) => found.push({ type, way });
  if (canIsolate) for (const type of scripted(types)) add(type, "frame");
  if (types.includes("text/html")) {
    const isScripted = needsScript(text(data["text/html"]));
    if (!isScripted) add("text/html", "html");
    else if (canIsolate) add("text/html", "frame");
  }
  if (canIsolate) for (const type of types) if (SCRIPT_TYPES.includes(type)) add(type, "frame");
  for (const [type, way] of SIMPLE) if (types.includes(type)) add(type, way);
  for (const type of types) if (JSON_TYPE.test(type) && type !== WIDGET) add(type, "json");
  if (types.includes("text/plain")) add("text/plain", "text");
  return found;
}

/** @param {string[]} types */
function scripted(types) {
  return SCRIPTED.flatMap((pattern) => types.filter((type) => pattern.test(type)));
}

/** A picture's bundle and the like have data; streams and errors have none. @param {any} output */
export function isBundle(output) {
  return output.kind === "display" || output.kind === "result";
}

/**
 * Outputs that belong into one frame: a script is about the HTML just before it, which Bokeh and
 * many others send as an output of its own.
 * @template {import("../fold.js").Output} T
 * @param {T[]} outputs
 * @returns {T[][]}
 */
export function grouped(outputs) {
  /** @type {T[][]} */ const groups = [];
  for (const output of outputs) {
    const before = groups.at(-1);
    if (before && isScript(output) && before.every(isPage)) before.push(output);
    else groups.push([output]);
  }
  return groups;
}

/** @param {import("../fold.js").Output} output */
function isScript(output) {
  if (!isBundle(output)) return false;
  const types = Object.keys(/** @type {any} */ (output).data);
  return !types.includes("text/html") && types.some((type) => SCRIPT_TYPES.includes(type) || BOKEH.test(type));
}

/** @param {import("../fold.js").Output} output */
function isPage(output) {
  return isScript(output) || (isBundle(output) && "text/html" in /** @type {any} */ (output).data);
}

/**
 * Whether outputs that come later in the session need this one first: the code of BokehJS, which
 * is loaded once.
 * @param {Bundle} bundle
 */
export function isPrelude({ data }) {
  return BOKEH_LOAD in data;
}

/** A bundle's text may come in lines. @param {unknown} content */
export function text(content) {
  if (Array.isArray(content)) return content.join("");
  return typeof content === "string" ? content : JSON.stringify(content) ?? "";
}

/** A bundle's JSON may come as text. @param {unknown} content @returns {unknown} */
export function parsed(content) {
  if (typeof content !== "string") return content;
  try {
    return JSON.parse(content);
  } catch {
    return content;
  }
}

/** @param {number} count */
export function bytes(count) {
  if (count < 1024) return `${count} ${count === 1 ? "byte" : "bytes"}`;
  return count < 1024 ** 2 ? `${(count / 1024).toFixed(0)} KiB` : `${(count / 1024 ** 2).toFixed(1)} MiB`;
}

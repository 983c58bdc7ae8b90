// @ts-check
// Bokeh sends its library once per session and then, for each plot, a script that expects it. A
// frame asks for the library, which has megabytes, when it shows something that may use it.

import { tell } from "./page.js";
import { runScript } from "./scripts.js";

const WAIT_MS = 15_000;
const MENTION = /\bBokeh\b/;

/** Who waits for the page's answer. @type {((outputs: {data: Record<string, any>}[]) => void)[]} */ const asked = [];

/** The library, of an earlier output (output_notebook()). @param {string} code */
export async function bokehLoad(code) {
  if ("Bokeh" in window) return;
  const place = document.createElement("div");
  place.hidden = true;
  document.body.append(place);
  runScript(place, code);
  await until(() => "Bokeh" in window, WAIT_MS);
}

/** Load the library if earlier outputs brought it, for code that may need it. @param {string} code */
export async function bokehIfNeeded(code) {
  if ("Bokeh" in window || !MENTION.test(code)) return;
  /** @type {{data: Record<string, any>}[]} */
  const outputs = await new Promise((resolve) => {
    asked.push(resolve);
    tell({ type: "preludes" });
  });
  for (const { data } of outputs) await bokehLoad(joined(data["application/vnd.bokehjs_load.v0+json"] ?? ""));
}

/** @param {{outputs: {data: Record<string, any>}[]}} answer of the page */
export function receivePreludes({ outputs }) {
  for (const resolve of asked.splice(0)) resolve(outputs);
}

/**
 * @param {HTMLElement} element
 * @param {unknown} _content empty: the script has a type of its own
 * @param {{data: Record<string, any>}} output
 */
export async function bokehRun(element, _content, { data }) {
  const code = joined(data["application/javascript"] ?? "");
  await bokehIfNeeded("Bokeh");
  if (!("Bokeh" in window)) {
    throw new Error("BokehJS is not loaded. Run bokeh.io.output_notebook() again; without internet, with resources=INLINE.");
  }
  element.append(...places(code));
  runScript(element, code);
}

/** @param {unknown} source */
function joined(source) {
  return Array.isArray(source) ? source.join("") : String(source);
}

/**
 * The elements a plot is drawn into. Bokeh sends them as HTML of their own, which may have been
 * shown elsewhere.
 * @param {string} code
 */
function places(code) {
  const roots = code.match(/"roots":\{("[^{}]*")\}/)?.[1] ?? "";
  return [...roots.matchAll(/"([^"]+)":"([^"]+)"/g)]
    .filter(([, , place]) => !document.getElementById(place))
    .map(([, id, place]) => {
      const element = document.createElement("div");
      element.id = place;
      element.dataset.rootId = id;
      element.style.display = "contents";
      return element;
    });
}

/**
 * @param {() => boolean} condition
 * @param {number} milliseconds
 * @returns {Promise<boolean>} whether it came true in that time
 */
async function until(condition, milliseconds) {
  const end = performance.now() + milliseconds;
  while (!condition() && performance.now() < end) await new Promise((resolve) => setTimeout(resolve, 50));
  return condition();
}

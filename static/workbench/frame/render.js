// @ts-check
// Mime bundles to DOM, with everything that scripts can do: here that harms nobody.

import { bokehIfNeeded, bokehLoad, bokehRun } from "./bokeh.js";
import { bundle, load, loadStyle, runHtml, runScript } from "./scripts.js";
import { showWidget } from "./widgets.js";
import { TextView } from "../js/outputs/text-view.js";

/**
 * @typedef {{data: Record<string, any>, metadata?: Record<string, any>}} Output
 * @typedef {(element: HTMLElement, content: any, output: Required<Output>) => unknown} Renderer
 */

/** The best first. @type {[RegExp, Renderer][]} */
const RENDERERS = [
  [/^application\/vnd\.jupyter\.widget-view\+json$/, widget],
  [/^application\/vnd\.plotly\.v1\+json$/, plotly],
  [/^application\/vnd\.vega(lite)?\.v\d+[+.]json$/, vega],
  [/^application\/vnd\.bokehjs_load\.v0\+json$/, (_element, code) => bokehLoad(text(code))],
  [/^application\/vnd\.bokehjs_exec\.v0\+json$/, bokehRun],
  [/^text\/html$/, html],
  [/^(?:application|text)\/javascript$/, javascript],
  [/^text\/markdown$/, markdown],
  [/^text\/latex$/, latex],
  [/^image\/svg\+xml$/, (element, svg) => runHtml(element, text(svg))],
  [/^image\/(?:png|jpeg|gif|webp|avif|bmp)$/, image],
  [/^text\/plain$/, (element, content) => element.append(plain(text(content)))],
  [/^application\/(?:[\w.-]+\+)?json$/, (element, content) => element.append(plain(JSON.stringify(content, null, 2)))],
];

/**
 * Show the best of what a bundle offers.
 * @param {Output} output
 * @param {HTMLElement} element
 */
export async function render({ data, metadata = {} }, element) {
  for (const [pattern, renderer] of RENDERERS) {
    const type = Object.keys(data).find((name) => pattern.test(name));
    if (type === undefined) continue;
    element.dataset.type = type;
    await renderer(element, data[type], { data, metadata });
    return;
  }
}

/** Text as a terminal shows it. @param {string} content @param {string} [name] its class */
export function plain(content, name = "plain") {
  const view = new TextView(name);
  view.update([content]);
  return view.element;
}

/** @type {Renderer} */
async function widget(element, { model_id: id }, { data }) {
  if (await showWidget(element, String(id))) return;
  element.append(plain(text(data["text/plain"] ?? "A widget")));
  const note = document.createElement("p");
  note.className = "note";
  note.textContent = "This widget is not in the session any more. Run its code again to see it.";
  element.append(note);
}

/** @type {Renderer} */
async function html(element, content) {
  await bokehIfNeeded(text(content));
  await runHtml(element, text(content));
}

/** @type {Renderer} */
async function javascript(element, code) {
  await bokehIfNeeded(text(code));
  runScript(element, text(code));
}

/** @type {Renderer} */
async function plotly(element, figure) {
  await load(bundle("plotly"));
  const { data = [], layout = {}, config = {}, frames } = structuredClone(figure);
  const Plotly = /** @type {any} */ (window).Plotly;
  await Plotly.newPlot(element, { data, layout, frames, config: { responsive: true, ...config } });
}

/** @type {Renderer} */
async function vega(element, spec, { data, metadata }) {
  await load(bundle("vega"));
  const type = /** @type {string} */ (element.dataset.type);
  const mode = type.includes("vegalite") ? "vega-lite" : "vega";
  const options = metadata[type]?.embed_options ?? metadata.embed_options ?? {};
  const embed = /** @type {any} */ (window).vegaEmbed;
  const { view } = await embed(element, structuredClone(spec), { mode, ...options });
  view.description?.(text(data["text/plain"] ?? "Chart").slice(0, 200));
}

/** @type {Renderer} */
async function markdown(element, content) {
  const { markdownIt } = await import(bundle("markdown"));
  await runHtml(element, markdownIt({ html: true, linkify: true }).render(text(content)));
}

/** @type {Renderer} */
async function latex(element, content) {
  const [{ default: katex }] = await Promise.all([import(bundle("katex")), loadStyle(bundle("katexStyle"))]);
  const formula = text(content).trim().replace(/^\$\$?|\$\$?$/g, "");
  katex.render(formula, element, { displayMode: /^\s*(?:\$\$|\\begin)/.test(text(content)), throwOnError: false });
}

/** @type {Renderer} */
function image(element, base64, { data, metadata }) {
  const type = /** @type {string} */ (element.dataset.type);
  const node = document.createElement("img");
  node.src = `data:${type};base64,${text(base64).replaceAll(/\s/g, "")}`;
  node.alt = text(data["text/plain"] ?? "Picture");
  const { width, height } = metadata[type] ?? metadata;
  if (width > 0) node.width = width;
  if (height > 0) node.height = height;
  element.append(node);
  return node.decode().catch(() => undefined);
}

/** A bundle's text may come in lines. @param {unknown} content */
export function text(content) {
  if (Array.isArray(content)) return content.join("");
  return typeof content === "string" ? content : JSON.stringify(content) ?? "";
}

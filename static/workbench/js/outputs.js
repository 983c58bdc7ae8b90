// @ts-check
// Outputs -> DOM. Everything here comes from code that runs: it enters the page as text, or as an
// image (where SVG cannot run scripts), never as markup.

import { TextView } from "./text-view.js";

/** @typedef {import("./fold.js").Output} Output */

/** What can be shown of a mime bundle, in order of preference. */
/** @type {[string, (content: any, bundle: any) => HTMLElement][]} */
const RENDERERS = [
  ["image/svg+xml", (svg, bundle) => image(`data:image/svg+xml;charset=utf-8,${encodeURIComponent(text(svg))}`, "image/svg+xml", bundle)],
  ["image/png", (base64, bundle) => image(dataUrl("image/png", base64), "image/png", bundle)],
  ["image/jpeg", (base64, bundle) => image(dataUrl("image/jpeg", base64), "image/jpeg", bundle)],
  ["image/gif", (base64, bundle) => image(dataUrl("image/gif", base64), "image/gif", bundle)],
  ["image/webp", (base64, bundle) => image(dataUrl("image/webp", base64), "image/webp", bundle)],
  ["text/plain", (content) => plain(text(content), "plain")],
];

/** The outputs of one execution, in order; keeps what did not change. */
export class OutputsView {
  #element;
  /** @type {Map<number, {output: Output, node: HTMLElement, view: TextView | null}>} */ #shown = new Map();

  /** @param {HTMLElement} element */
  constructor(element) {
    this.#element = element;
  }

  /** @param {Output[]} outputs */
  update(outputs) {
    const keys = new Set(outputs.map((output) => output.key));
    for (const [key, { node }] of this.#shown) {
      if (keys.has(key)) continue;
      node.remove();
      this.#shown.delete(key);
    }
    outputs.forEach((output, place) => this.#show(output, place));
  }

  /**
   * @param {Output} output
   * @param {number} place
   */
  #show(output, place) {
    const shown = this.#shown.get(output.key);
    if (shown) {
      if (output.kind === "stream") shown.view?.update(output.chunks);
      return;
    }
    const view = output.kind === "stream" ? new TextView(output.name) : null;
    if (output.kind === "stream") view?.update(output.chunks);
    const node = view ? view.element : nodeOf(output);
    this.#shown.set(output.key, { output, node, view });
    this.#element.insertBefore(node, this.#element.children[place] ?? null);
  }
}

/** @param {Exclude<Output, {kind: "stream"}>} output */
function nodeOf(output) {
  if (output.kind === "error") return traceback(output);
  if (output.kind === "truncated") return note(`${bytes(output.droppedBytes)} of output were left out here: there was too much.`);
  const found = RENDERERS.find(([type]) => output.data[type] !== undefined);
  if (found) return found[1](output.data[found[0]], output);
  const types = Object.keys(output.data).join(", ");
  return note(types ? `An output of a kind this page does not show: ${types}.` : "An empty output.");
}

/** @param {import("./fold.js").ErrorOutput} error */
function traceback({ ename, evalue, traceback: lines }) {
  const content = lines?.length ? lines.join("\n") : `${ename}: ${evalue}`;
  return plain(content, "traceback");
}

/**
 * @param {string} content
 * @param {string} className
 */
function plain(content, className) {
  const view = new TextView(className);
  view.update([content]);
  return view.element;
}

/**
 * @param {string} url
 * @param {string} type
 * @param {any} bundle
 */
function image(url, type, bundle) {
  const node = document.createElement("img");
  node.className = "picture";
  node.decoding = "async";
  node.alt = text(bundle.data["text/plain"] ?? "") || "Picture";
  const { width, height } = bundle.metadata[type] ?? bundle.metadata;
  if (width > 0) node.width = width;
  if (height > 0) node.height = height;
  node.src = url;
  return node;
}

/** @param {string} sentence */
function note(sentence) {
  const node = document.createElement("p");
  node.className = "note";
  node.textContent = sentence;
  return node;
}

/** A bundle's text may come in lines. @param {unknown} content */
function text(content) {
  if (Array.isArray(content)) return content.join("");
  return typeof content === "string" ? content : JSON.stringify(content);
}

/**
 * @param {string} type
 * @param {unknown} base64
 */
function dataUrl(type, base64) {
  return `data:${type};base64,${text(base64).replaceAll(/\s/g, "")}`;
}

/** @param {number} count */
function bytes(count) {
  if (count < 1024) return `${count} bytes`;
  return count < 1024 ** 2 ? `${(count / 1024).toFixed(0)} KiB` : `${(count / 1024 ** 2).toFixed(1)} MiB`;
}

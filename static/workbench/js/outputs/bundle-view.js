// @ts-check
// One rich output: the best way to show it, and its text on request.

import { choices, parsed, text } from "./bundle.js";
import { copyPicture, copyText, download } from "./clipboard.js";
import { jsonTree } from "./json-tree.js";
import { make, note, outputBox } from "./make.js";
import { renderMarkdown } from "./markdown.js";
import { latexNode } from "./math.js";
import { pictureAddress, pictureNode } from "./picture.js";
import { sanitise } from "./sanitise.js";
import { dressTables, tabSeparated } from "./table.js";
import { TextView } from "./text-view.js";
import { toolbar } from "./toolbar.js";

/**
 * @typedef {import("./bundle.js").Bundle} Bundle
 * @typedef {import("./bundle.js").Choice} Choice
 * @typedef {import("./toolbar.js").Tool} Tool
 * @typedef {object} Frame an isolated frame, see isolated.js
 * @property {HTMLElement} element
 * @property {(outputs: Bundle[]) => void} show
 * @property {() => void} destroy
 * @typedef {object} FrameHooks
 * @property {number} key of the first output; a frame keeps to outputs that are imported, or not
 * @property {() => number} keyNow of what it shows by now
 * @property {(sentence: string) => void} onProblem
 * @typedef {object} OutputOptions
 * @property {(hooks: FrameHooks) => Frame} [frameFor] makes a frame for what needs a script;
 *   without it, such outputs are shown as well as they can be
 * @property {import("./sanitise.js").FileAddress} [fileAddress] where files of the workspace are
 */

export class BundleView {
  /** @type {HTMLElement} */ element;
  /** Kept once decoded: pictures that replace each other do not flicker. @type {Promise<unknown> | null} */ ready = null;
  /** @type {Bundle[]} */ #bundles;
  /** @type {OutputOptions} */ #options;
  /** @type {Choice | undefined} */ #choice;
  #key;
  #content = make("div", "output-content");
  /** @type {Frame | null} */ #frame = null;
  /** @type {HTMLElement | null} */ #asText = null;

  /**
   * @param {Bundle[]} bundles what is shown together; only a frame shows more than one
   * @param {number} key of the first
   * @param {OutputOptions} options
   */
  constructor(bundles, key, options) {
    this.#bundles = bundles;
    this.#options = options;
    this.#key = key;
    this.#choice = this.#best(bundles);
    this.element = outputBox(this.#choice?.way ?? "none", this.#content);
    this.#show();
    const tools = this.#tools();
    if (tools.length) this.element.append(toolbar(tools));
  }

  /**
   * Show something else in the same frame.
   * @param {Bundle[]} bundles
   * @param {number} key
   * @returns {boolean} false if that needs another view
   */
  become(bundles, key) {
    if (!this.#frame || this.#best(bundles)?.way !== "frame") return false;
    [this.#bundles, this.#key] = [bundles, key];
    this.#frame.show(bundles);
    return true;
  }

  destroy() {
    this.#frame?.destroy();
  }

  /** @param {Bundle[]} bundles */
  #best(bundles) {
    const canIsolate = Boolean(this.#options.frameFor);
    const each = bundles.map((bundle) => choices(bundle, { canIsolate })[0]);
    return each.find((choice) => choice?.way === "frame") ?? each[0];
  }

  #show() {
    const choice = this.#choice;
    if (choice?.way === "frame") return this.#showFrame();
    this.#content.replaceChildren(choice ? this.#node(choice) : unknown(this.#bundles[0]));
    const picture = this.#picture;
    this.ready = picture?.decode?.().catch(() => {}) ?? null;
  }

  #showFrame() {
    const onProblem = (/** @type {string} */ sentence) => this.#content.append(note(sentence));
    this.#frame = this.#options.frameFor?.({ key: this.#key, keyNow: () => this.#key, onProblem }) ?? null;
    if (!this.#frame) return;
    this.#content.append(this.#frame.element);
    this.#frame.show(this.#bundles);
  }

  /** @param {Choice} choice */
  #node({ type, way }) {
    const bundle = this.#bundles[0];
    const content = bundle.data[type];
    const { fileAddress } = this.#options;
    if (way === "image") return pictureNode(bundle, type);
    if (way === "html") return htmlNode(text(content), fileAddress);
    if (way === "latex") return latexNode(text(content));
    if (way === "json") return jsonTree(parsed(content));
    if (way === "text") return plain(text(content));
    const node = make("div");
    renderMarkdown(text(content), node, { fileAddress });
    return node;
  }

  get #picture() {
    const picture = this.#content.querySelector(":scope > .picture");
    return picture instanceof HTMLImageElement ? picture : null;
  }

  /** @returns {Tool[]} */
  #tools() {
    if (!this.#choice) return [];
    const { type, way } = this.#choice;
    /** @type {Tool[]} */ const tools = [];
    const copied = way === "image" ? null : this.#source(type, way);
    if (way === "image") tools.push({ sign: "copy", title: "Copy the picture", act: () => this.#copyPicture() });
    else if (copied !== null) tools.push({ sign: "copy", title: "Copy", act: () => copyText(this.#tableText() ?? copied) });
    if (way === "image") tools.push({ sign: "download", title: "Save the picture", act: () => this.#save(type) });
    if (way !== "text" && this.#plain() !== null) {
      tools.push({ sign: "text", title: "View as text", act: () => this.#switch(), isSwitch: true });
    }
    return tools;
  }

  /**
   * @param {string} type
   * @param {string} way
   */
  #source(type, way) {
    const content = this.#bundles[0].data[type];
    if (way === "json") return JSON.stringify(parsed(content), null, 2) ?? "";
    if (way === "frame" || way === "html") return this.#plain() ?? (way === "html" ? text(content) : null);
    return text(content);
  }

  #plain() {
    const content = this.#bundles[0].data["text/plain"];
    return content === undefined ? null : text(content);
  }

  /** A table is copied as spreadsheets take it. */
  #tableText() {
    const tables = this.#content.querySelectorAll("table");
    return tables.length === 1 ? tabSeparated(tables[0]) : null;
  }

  #copyPicture() {
    if (!this.#picture) throw new Error("There is no picture.");
    return copyPicture(this.#picture);
  }

  /** @param {string} type */
  #save(type) {
    const ending = type === "image/svg+xml" ? "svg" : type === "image/jpeg" ? "jpg" : type.slice("image/".length);
    download(pictureAddress(type, this.#bundles[0].data[type]), `picture.${ending}`);
  }

  #switch() {
    if (!this.#asText) this.element.append((this.#asText = plain(this.#plain() ?? "")));
    const isText = this.#content.hidden;
    this.#content.hidden = !isText;
    this.#asText.hidden = isText;
  }
}

/**
 * @param {string} html
 * @param {import("./sanitise.js").FileAddress} [fileAddress]
 */
function htmlNode(html, fileAddress) {
  const node = make("div", "html", sanitise(html, { fileAddress }));
  dressTables(node);
  return node;
}

/** @param {string} content */
function plain(content) {
  const view = new TextView("plain");
  view.update([content]);
  return view.element;
}

/** @param {Bundle} bundle */
function unknown({ data }) {
  const types = Object.keys(data).join(", ");
  return note(types ? `An output of a kind this page does not show: ${types}.` : "An empty output.");
}

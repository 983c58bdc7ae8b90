// @ts-check
// The outputs of one cell -> DOM. Everything here comes from code that runs: it enters the page
// as text, as an image, as markup that was taken apart, or it stays in an isolated frame.

import { BundleView } from "./bundle-view.js";
import { bytes, grouped, isBundle } from "./bundle.js";
import { copyText } from "./clipboard.js";
import { errorNode, errorText } from "./error-view.js";
import { note, outputBox } from "./make.js";
import { TextView } from "./text-view.js";
import { toolbar } from "./toolbar.js";

/**
 * @typedef {import("../fold.js").Output} Output
 * @typedef {import("../fold.js").MimeOutput} MimeOutput
 * @typedef {import("./bundle-view.js").OutputOptions} OutputOptions
 * @typedef {object} View one output, or several that share a frame
 * @property {HTMLElement} element
 * @property {(outputs: Output[]) => boolean} update false if it cannot become these
 * @property {Promise<unknown> | null} [ready] when a picture is decoded
 * @property {() => void} [destroy]
 * @typedef {{outputs: Output[], view: View}} Shown
 */

// How long the height stays when outputs go: others often take their place at once.
const HOLD_MS = 400;

/** The outputs of one execution, in order; keeps what did not change. */
export class OutputsView {
  #element;
  /** @type {OutputOptions} */ #options;
  /** By the key of the first output. @type {Map<number, Shown>} */ #shown = new Map();
  #release = 0;

  /**
   * @param {HTMLElement} element
   * @param {OutputOptions} [options]
   */
  constructor(element, options = {}) {
    this.#element = element;
    this.#options = options;
  }

  /** @param {Output[]} outputs */
  update(outputs) {
    const before = this.#shown;
    this.#shown = new Map();
    const fresh = grouped(outputs).map((group, place) => this.#take(group, place, before));
    const leaving = [...before.values()].filter((each) => !fresh.includes(each.view));
    if (leaving.length) this.#hold();
    this.#arrange(fresh, leaving.map(({ view }) => view));
  }

  /** Ends what runs in frames. */
  destroy() {
    clearTimeout(this.#release);
    for (const { view } of this.#shown.values()) view.destroy?.();
    this.#shown.clear();
    this.#element.replaceChildren();
  }

  /**
   * @param {Output[]} group
   * @param {number} place
   * @param {Map<number, Shown>} before
   */
  #take(group, place, before) {
    const known = before.get(group[0].key) ?? successor(group[0], [...before.values()][place]);
    const isKept = known !== undefined && (isSame(known.outputs, group) || known.view.update(group));
    const view = isKept ? known.view : viewOf(group, this.#options);
    this.#shown.set(group[0].key, { outputs: group, view });
    return view;
  }

  /**
   * Put the views in place. Those that stay are never moved: a frame that moves begins anew.
   * @param {View[]} views
   * @param {View[]} leaving
   */
  #arrange(views, leaving) {
    const old = new Map(leaving.map((view) => [[...this.#element.children].indexOf(view.element), view]));
    let at = /** @type {Element | null} */ (this.#element.firstElementChild);
    views.forEach((view, place) => {
      while (at && isGoing(at, leaving)) at = at.nextElementSibling;
      if (view.element === at) at = at.nextElementSibling;
      else this.#element.insertBefore(view.element, at);
      const gone = old.get(place);
      if (gone?.ready && view.ready && !view.element.hidden) swap(gone, view);
    });
    for (const view of leaving) {
      view.destroy?.();
      if (!view.element.dataset.swapped) view.element.remove();
    }
  }

  #hold() {
    clearTimeout(this.#release);
    this.#element.style.minHeight = `${this.#element.offsetHeight}px`;
    this.#release = setTimeout(() => (this.#element.style.minHeight = ""), HOLD_MS);
  }
}

/**
 * A display that was updated has a new key; a frame can go on with the new content.
 * @param {Output} output
 * @param {Shown | undefined} there what is shown in its place now
 */
function successor(output, there) {
  const old = there?.outputs[0];
  if (output.kind !== "display" || old?.kind !== "display" || output.displayId === null) return undefined;
  return old.displayId === output.displayId ? there : undefined;
}

/**
 * @param {Output[]} before
 * @param {Output[]} now
 */
function isSame(before, now) {
  return before.length === now.length && before.every((output, place) => isUnchanged(output, now[place]));
}

/**
 * @param {Output} before
 * @param {Output} now
 */
function isUnchanged(before, now) {
  if (before === now) return before.kind !== "stream"; // its chunks may have grown
  if (before.key !== now.key || before.kind !== now.kind) return false;
  if (now.kind === "error") return /** @type {any} */ (before).traceback === now.traceback;
  return isBundle(now) ? /** @type {any} */ (before).data === /** @type {any} */ (now).data : now.kind === "truncated";
}

/**
 * @param {Element} element
 * @param {View[]} leaving
 */
function isGoing(element, leaving) {
  return leaving.some((view) => view.element === element) || /** @type {HTMLElement} */ (element).dataset.swapped === "1";
}

/**
 * A picture that takes another's place is shown once it is decoded.
 * @param {View} gone
 * @param {View} view
 */
function swap(gone, view) {
  gone.element.dataset.swapped = "1";
  view.element.hidden = true;
  void view.ready?.then(() => {
    gone.element.remove();
    view.element.hidden = false;
  });
}

/**
 * @param {Output[]} outputs
 * @param {OutputOptions} options
 * @returns {View}
 */
function viewOf(outputs, options) {
  const [output] = outputs;
  if (output.kind === "stream") return streamView(output);
  if (output.kind === "error") return errorView(output);
  if (output.kind === "truncated") return fixed(note(`${bytes(output.droppedBytes)} of output were left out here: there was too much.`));
  const view = new BundleView(/** @type {MimeOutput[]} */ (outputs), output.key, options);
  const update = (/** @type {Output[]} */ next) => next.every(isBundle) && view.become(/** @type {MimeOutput[]} */ (next), next[0].key);
  return { element: view.element, ready: view.ready, update, destroy: () => view.destroy() };
}

/** @param {import("../fold.js").StreamOutput} output @returns {View} */
function streamView({ name, chunks }) {
  const view = new TextView(name === "stderr" ? "stderr" : "stdout", { isTail: true });
  const first = chunks[0];
  view.update(chunks);
  const copy = { sign: /** @type {const} */ ("copy"), title: "Copy", act: () => copyText(view.text()) };
  const element = outputBox("stream", view.element, toolbar([copy]));
  const update = (/** @type {Output[]} */ [next]) => {
    if (next.kind !== "stream" || next.name !== name || next.chunks[0] !== first) return false;
    view.update(next.chunks);
    return true;
  };
  return { element, update };
}

/** @param {import("../fold.js").ErrorOutput} error @returns {View} */
function errorView(error) {
  const copy = { sign: /** @type {const} */ ("copy"), title: "Copy the error", act: () => copyText(errorText(error)) };
  const element = outputBox("error", errorNode(error), toolbar([copy]));
  return { element, update: () => false };
}

/** @param {HTMLElement} content @returns {View} */
function fixed(content) {
  return { element: outputBox("note", content), update: () => false };
}

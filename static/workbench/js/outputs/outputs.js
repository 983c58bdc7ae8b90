// @ts-check
// The outputs of one cell -> DOM. Everything here comes from code that runs: it enters the page
// as text, as an image, as markup that was taken apart, or it stays in an isolated frame.

import { BundleView } from "./bundle-view.js";
import { bytes, grouped, isBundle } from "./bundle.js";
import { copyText } from "./clipboard.js";
import { errorNode, errorText } from "./error-view.js";
import { button, note, outputBox } from "./make.js";
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
// Outputs of one cell on the page; the newest are shown, a button shows as many more.
const MOST_SHOWN = 200;

/** The outputs of one execution, in order; keeps what did not change. */
export class OutputsView {
  #element;
  /** @type {OutputOptions} */ #options;
  /** By the key of the first output. @type {Map<number, Shown>} */ #shown = new Map();
  #release = 0;
  /** @type {Output[]} */ #outputs = [];
  #room = MOST_SHOWN;
  #more = button("", () => this.#showMore(), "button quiet small more-lines");
  /** In place of those that are not shown. @type {View} */ #earlier = fixed(this.#more);

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
    this.#outputs = outputs;
    const before = this.#shown;
    const old = [...before.values()];
    this.#shown = new Map();
    const groups = grouped(outputs);
    const earlier = Math.max(0, groups.length - this.#room);
    const fresh = groups.slice(earlier).map((group, place) => this.#take(group, before, old[place]));
    const leaving = old.map(({ view }) => view).filter((view) => !fresh.includes(view));
    if (leaving.length) this.#hold();
    if (!earlier) this.#earlier.element.remove();
    else this.#more.textContent = `Show ${Math.min(earlier, MOST_SHOWN)} of ${earlier.toLocaleString()} earlier outputs`;
    this.#arrange(earlier ? [this.#earlier, ...fresh] : fresh, leaving);
  }

  /** Ends what runs in frames. */
  destroy() {
    clearTimeout(this.#release);
    for (const { view } of this.#shown.values()) view.destroy?.();
    this.#shown.clear();
    this.#element.replaceChildren();
  }

  #showMore() {
    this.#room += MOST_SHOWN;
    this.update(this.#outputs);
  }

  /**
   * @param {Output[]} group
   * @param {Map<number, Shown>} before
   * @param {Shown | undefined} there what was in its place
   */
  #take(group, before, there) {
    const known = before.get(group[0].key) ?? successor(group[0], there);
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

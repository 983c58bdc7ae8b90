// @ts-check
// One number over the last minutes: its value large, its course as a line, a limit if there is one.

import { find, fromTemplate, setText } from "../dom.js";
import { svg } from "../svg.js";
import { nearest, niceTicks, paths, place } from "./chart-scale.js";

/**
 * @typedef {import("./chart-scale.js").Point} Point
 * @typedef {object} Shown
 * @property {Point[]} points the oldest first
 * @property {number} from in milliseconds, the left edge; the right one is `to`
 * @property {number} to
 * @property {number | null} limit null if there is none
 */

const HEIGHT = 88;
// For the marks of the axes: above the highest line, below the lowest.
const ABOVE = 14;
const BELOW = 18;
const MINUTE_MS = 60_000;
// A limit far above would press the line flat: from this part of it on, it is in the picture.
const LIMIT_SHARE = 0.5;

export class Chart {
  element = fromTemplate("chart");
  #title;
  #format;
  #least;
  #picture = find("[data-picture]", this.element);
  #cursor = svg("line", { class: "chart-cursor", y1: ABOVE, y2: ABOVE + HEIGHT });
  #width = 0;
  /** @type {Shown | null} */ #shown = null;
  /** Where the person points, in parts of the width; null if nowhere. @type {number | null} */ #pointer = null;

  /**
   * @param {object} about
   * @param {string} about.title
   * @param {(value: number) => string} about.format a value with its unit
   * @param {number} about.least the highest value the axis has at least
   */
  constructor({ title, format, least }) {
    this.#title = title;
    this.#format = format;
    this.#least = least;
    setText(find("[data-title]", this.element), title);
    new ResizeObserver(([{ contentRect }]) => this.#resize(contentRect.width)).observe(this.#picture);
    this.#picture.addEventListener("pointermove", ({ clientX }) => {
      this.#point((clientX - this.#picture.getBoundingClientRect().left) / this.#width);
    });
    this.#picture.addEventListener("pointerleave", () => this.#point(null));
  }

  /** @param {Shown} shown */
  update(shown) {
    this.#shown = shown;
    this.#draw();
    this.#tell();
  }

  /** @param {number} width */
  #resize(width) {
    this.#width = Math.floor(width);
    this.#draw();
  }

  /** @param {number | null} pointer */
  #point(pointer) {
    this.#pointer = pointer;
    this.#tell();
  }

  /** The value in words: that of now, or that at which somebody points. */
  #tell() {
    const { points = [], limit = null, from = 0, to = 1 } = this.#shown ?? {};
    const last = points.at(-1);
    const pointed = this.#pointer === null ? null : nearest(points, from + this.#pointer * (to - from));
    const value = pointed ?? last;
    setText(find("[data-value]", this.element), value ? this.#format(value.value) : "–");
    const of = limit === null ? "" : `of ${this.#format(limit)}`;
    setText(find("[data-about]", this.element), pointed ? agoText(to - pointed.at) : of);
    this.#cursor.style.display = pointed ? "" : "none";
    if (!pointed) return;
    const x = ((pointed.at - from) / (to - from)) * this.#width;
    this.#cursor.setAttribute("x1", String(x));
    this.#cursor.setAttribute("x2", String(x));
  }

  #draw() {
    if (!this.#shown || this.#width <= 0) return;
    const { points, from, to, limit } = this.#shown;
    const highest = Math.max(this.#least, ...points.map(({ value }) => value));
    const isLimited = limit !== null && highest >= limit * LIMIT_SHARE;
    const ticks = niceTicks(isLimited ? Math.max(highest, limit) : highest);
    const scale = { from, to, top: ticks.at(-1) ?? 1, width: this.#width, height: HEIGHT };
    const { line, area } = paths(points, scale);
    const now = points.at(-1);
    const label = `${this.#title} over the last ${Math.round((to - from) / MINUTE_MS)} minutes${now ? `, now ${this.#format(now.value)}` : ""}`;
    const plot = svg(
      "g", { transform: `translate(0 ${ABOVE})` },
      svg("path", { class: "chart-area", d: area }), svg("path", { class: "chart-line", d: line }),
    );
    if (isLimited) plot.append(this.#limitLine(place({ at: from, value: limit }, scale).y));
    const whole = svg(
      "svg", { role: "img", "aria-label": label, width: this.#width, height: ABOVE + HEIGHT + BELOW },
      ...this.#marks(ticks, scale), ...this.#times(scale), plot, this.#cursor,
    );
    this.#picture.replaceChildren(whole);
  }

  /**
   * @param {number[]} ticks
   * @param {import("./chart-scale.js").Scale} scale
   */
  #marks(ticks, scale) {
    return ticks.flatMap((value) => {
      const y = Math.round(place({ at: scale.from, value }, scale).y + ABOVE) + 0.5;
      const line = svg("line", { class: "chart-grid", x1: 0, x2: scale.width, y1: y, y2: y });
      return value ? [line, svg("text", { class: "chart-mark", x: 0, y: y - 3 }, this.#format(value))] : [line];
    });
  }

  /** @param {import("./chart-scale.js").Scale} scale */
  #times({ from, to, width }) {
    const minutes = Math.round((to - from) / MINUTE_MS);
    const y = ABOVE + HEIGHT + BELOW - 4;
    return [
      svg("text", { class: "chart-mark", x: 0, y }, `${minutes} min ago`),
      svg("text", { class: "chart-mark", x: width, y, "text-anchor": "end" }, "now"),
    ];
  }

  /** @param {number} y */
  #limitLine(y) {
    const line = svg("line", { class: "chart-limit", x1: 0, x2: this.#width, y1: y, y2: y });
    const text = svg("text", { class: "chart-limit-mark", x: this.#width, y: y - 3, "text-anchor": "end" }, "limit");
    return svg("g", {}, line, text);
  }
}

/** @param {number} ms */
function agoText(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  const [minutes, rest] = [Math.floor(seconds / 60), String(seconds % 60).padStart(2, "0")];
  return seconds < 2 ? "now" : `${minutes}:${rest} ago`;
}

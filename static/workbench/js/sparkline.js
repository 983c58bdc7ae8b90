// @ts-check
// A line of the size of a word: how a number went lately.

import { svg } from "./svg.js";

const WIDTH = 56;
const HEIGHT = 16;
// Half of the line's own width, so that it is whole at the edges.
const EDGE = 1;
// Values the server sends at most: with fewer, the line begins further right.
const VALUES = 30;

/**
 * The values as a path from left to right, the newest at the right edge; "" for fewer than two.
 * The scale begins at 0: a small change must not look like a great one.
 * @param {number[]} values oldest first
 * @param {{width?: number, height?: number, most?: number}} [box] `most`: values when it is full
 */
export function sparkPath(values, { width = WIDTH, height = HEIGHT, most = VALUES } = {}) {
  if (values.length < 2) return "";
  const top = Math.max(...values, 1);
  const step = width / Math.max(most - 1, 1);
  const places = values.map((value, at) => {
    const x = width - (values.length - 1 - at) * step;
    const y = height - EDGE - (value / top) * (height - 2 * EDGE);
    return `${x.toFixed(1)} ${y.toFixed(1)}`;
  });
  return `M${places.join("L")}`;
}

/** The area below such a line. @param {string} path */
function areaBelow(path) {
  const left = path.slice(1, path.indexOf(" "));
  return `${path}V${HEIGHT}H${left}Z`;
}

export class Sparkline {
  #area = svg("path", { class: "spark-area" });
  #line = svg("path", { class: "spark-line" });
  #drawn = "";
  element = svg(
    "svg", { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: WIDTH, height: HEIGHT, "aria-hidden": "true" },
    this.#area, this.#line,
  );

  /** @param {number[]} values */
  update(values) {
    const path = sparkPath(values);
    if (path === this.#drawn) return;
    this.#drawn = path;
    this.#line.setAttribute("d", path);
    this.#area.setAttribute("d", path && areaBelow(path));
  }
}

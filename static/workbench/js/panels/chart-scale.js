// @ts-check
// From numbers to places in a chart. Pure.

/** @typedef {{at: number, value: number}} Point `at` in milliseconds */
/** @typedef {{from: number, to: number, top: number, width: number, height: number}} Scale */

// A longer silence between two samples is a gap in the line.
const GAP_MS = 8_000;
const STEPS = [1, 2, 2.5, 5, 10];

/**
 * Round numbers from 0 up to at least `most`: the marks of an axis.
 * @param {number} most above 0
 * @param {number} [parts] so many steps at most
 */
export function niceTicks(most, parts = 3) {
  const unit = 10 ** Math.floor(Math.log10(most / parts));
  const step = unit * /** @type {number} */ (STEPS.find((each) => each * unit * parts >= most) ?? 10);
  const count = Math.max(1, Math.ceil(most / step - 1e-9));
  return Array.from({ length: count + 1 }, (_, at) => at * step);
}

/**
 * @param {Point} point
 * @param {Scale} scale
 */
export function place({ at, value }, { from, to, top, width, height }) {
  const x = ((at - from) / (to - from)) * width;
  const y = height - (Math.min(value, top) / top) * height;
  return { x: Math.round(x * 10) / 10, y: Math.round(y * 10) / 10 };
}

/**
 * The line through the points, and the area below it. Points before the scale are left out.
 * @param {Point[]} points the oldest first
 * @param {Scale} scale
 */
export function paths(points, scale) {
  let [line, area] = ["", ""];
  for (const run of runsOf(points.filter(({ at }) => at >= scale.from))) {
    const places = run.map((point) => place(point, scale));
    const drawn = places.map(({ x, y }) => `${x} ${y}`).join("L");
    // A lone point is a line of no length, which a round cap makes visible.
    line += `M${drawn}${run.length === 1 ? "h0" : ""}`;
    area += `M${places[0].x} ${scale.height}L${drawn}V${scale.height}Z`;
  }
  return { line, area };
}

/**
 * The point nearest in time; null if there is none.
 * @param {Point[]} points
 * @param {number} at
 */
export function nearest(points, at) {
  let best = points[0] ?? null;
  for (const point of points) if (Math.abs(point.at - at) < Math.abs(best.at - at)) best = point;
  return best;
}

/** @param {Point[]} points */
function runsOf(points) {
  /** @type {Point[][]} */ const runs = [];
  for (const point of points) {
    const last = runs.at(-1)?.at(-1);
    if (last && point.at - last.at <= GAP_MS) runs.at(-1)?.push(point);
    else runs.push([point]);
  }
  return runs;
}

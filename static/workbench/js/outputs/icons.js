// @ts-check
// The signs on an output's buttons.

const SVG = "http://www.w3.org/2000/svg";
const PATHS = {
  copy: "M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z",
  download: "M8 2v8.5M4.5 7.5 8 11l3.5-3.5M2.5 13.5h11",
  text: "M2.5 3.5h11M2.5 6.5h7M2.5 9.5h11M2.5 12.5h5",
  done: "m3 8.5 3.5 3.5L13 4.5",
};

/** @type {Map<string, SVGElement>} */ const drawn = new Map();

/** @param {keyof typeof PATHS} name */
export function icon(name) {
  const original = drawn.get(name) ?? draw(name);
  drawn.set(name, original);
  return original.cloneNode(true); // a page has thousands of them
}

/** @param {keyof typeof PATHS} name */
function draw(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

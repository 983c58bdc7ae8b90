// @ts-check
// Colours that an output brings along, made readable on both themes.

/** @type {CanvasRenderingContext2D | null | undefined} */
let canvas;

/**
 * Give an element the colours asked for. A background without a text colour gets one that can be
 * read on it; a text colour alone becomes `--fore`, which the style sheet fits to the theme.
 * @param {HTMLElement} element
 * @param {string} fore any CSS colour, or ""
 * @param {string} back
 */
export function paint(element, fore, back) {
  if (back) element.style.backgroundColor = back;
  if (fore && back) element.style.color = fore;
  else if (back) readableOn(element, back);
  else if (fore) element.style.setProperty("--fore", fore);
}

/**
 * @param {HTMLElement} element
 * @param {string} back
 */
function readableOn(element, back) {
  const light = lightness(back);
  if (light !== null) element.style.color = light > 0.5 ? "#1b1e22" : "#fff";
}

/**
 * How light a colour is, from 0 to 1; null if it is mostly transparent or no colour.
 * @param {string} colour
 */
export function lightness(colour) {
  canvas ??= document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  if (!canvas || !CSS.supports("color", colour)) return null;
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = "rgb(0 0 0 / 0)";
  canvas.fillStyle = colour;
  canvas.fillRect(0, 0, 1, 1);
  const [red, green, blue, alpha] = canvas.getImageData(0, 0, 1, 1).data;
  return alpha < 128 ? null : (0.299 * red + 0.587 * green + 0.114 * blue) / 255;
}

// @ts-check
// An isolated output: shows what the page sends, and says how high it is. The page's side, and
// what the two say to each other, is js/outputs/isolated.js.

import { receivePreludes } from "./bokeh.js";
import { tell, listen } from "./page.js";
import { render } from "./render.js";
import { endWidgets, receiveComm, receiveModels } from "./widgets.js";

// The page lets a frame grow so far; what is higher scrolls inside.
const MOST_HEIGHT = 10_000;
// Content may be as high as its window and a little more: then it grows whenever the page gives it
// the room it asked for. After so often in a row it has had enough.
const MOST_ECHOES = 4;
// Browsers report it when a size changes twice in one frame. It harms nothing.
const HARMLESS = /^ResizeObserver loop/;
const root = /** @type {HTMLElement} */ (document.getElementById("outputs"));
let shows = 0; // how often something was to be shown: what is overtaken stops
let isShowing = true; // nothing is there yet
let lastHeight = -1;
let echoes = 0;

/** @param {{outputs: any[], theme: string}} message */
async function show({ outputs, theme }) {
  const mine = ++shows;
  follow(theme);
  isShowing = true;
  echoes = 0;
  tell({ type: "showing" });
  await sent();
  if (mine !== shows) return;
  root.replaceChildren();
  for (const output of outputs) {
    const element = document.createElement("div");
    element.className = "output";
    root.append(element);
    await attempt(() => render(output, element), element);
    if (mine !== shows) return;
  }
  isShowing = false;
  measure();
  tell({ type: "shown" });
}

/** Messages leave when the task ends: before code comes that may never end. @returns {Promise<void>} */
function sent() {
  return new Promise((resolve) => setTimeout(resolve));
}

/**
 * @param {() => Promise<void>} act
 * @param {HTMLElement} element
 */
async function attempt(act, element) {
  try {
    await act();
  } catch (error) {
    const sentence = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    const note = document.createElement("pre");
    note.className = "problem";
    note.textContent = sentence;
    element.append(note);
  }
}

/** @param {string} theme */
function follow(theme) {
  document.documentElement.dataset.theme = theme;
}

/** While something new is drawn the page keeps the old height, unless more is needed. */
function measure() {
  const height = Math.ceil(root.getBoundingClientRect().height);
  if (height === lastHeight || (isShowing && height < innerHeight)) return;
  document.documentElement.classList.toggle("is-cut", height > MOST_HEIGHT || echoes > MOST_ECHOES);
  if (height > lastHeight && echoes > MOST_ECHOES) return;
  lastHeight = height;
  tell({ type: "size", height });
}

/** Called when the window has become as high as was asked for: who grows by that, echoes. */
function resized() {
  echoes = root.getBoundingClientRect().height > lastHeight + 1 ? echoes + 1 : 0;
}

/** A link leads out of the frame, which may not go elsewhere itself. @param {MouseEvent} event */
function openOutside({ target }) {
  const link = target instanceof Element && target.closest("a[href]");
  if (!(link instanceof HTMLAnchorElement) || link.getAttribute("href")?.startsWith("#")) return;
  if (!/^https?:$/.test(link.protocol)) return;
  Object.assign(link, { target: "_blank", rel: "noopener noreferrer" });
}

new ResizeObserver(measure).observe(root);
addEventListener("resize", resized);
document.addEventListener("click", openOutside, { capture: true });
addEventListener("error", ({ message }) => HARMLESS.test(message) || tell({ type: "problem", text: message || "A script failed." }));
addEventListener("unhandledrejection", ({ reason }) => tell({ type: "problem", text: String(reason) }));

listen({
  show,
  theme: ({ theme }) => follow(theme),
  models: receiveModels,
  comm: ({ message }) => receiveComm(message),
  ended: endWidgets,
  preludes: receivePreludes,
  ping: () => tell({ type: "pong" }),
});
tell({ type: "ready" });

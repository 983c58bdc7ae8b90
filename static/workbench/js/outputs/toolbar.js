// @ts-check
// What can be done with one output: copy it, save it, see it as text.

import { icon } from "./icons.js";
import { make } from "./make.js";

// How long a button says that it has worked.
const DONE_MS = 1_500;

/**
 * @typedef {object} Tool
 * @property {"copy" | "download" | "text"} sign
 * @property {string} title
 * @property {() => unknown} act may answer a promise; what it throws is told
 * @property {boolean} [isSwitch] whether it is on or off, rather than done once
 */

/** @param {Tool[]} tools */
export function toolbar(tools) {
  const bar = make("div", "output-tools", ...tools.map(toolButton));
  bar.role = "toolbar";
  bar.ariaLabel = "Output";
  bar.querySelectorAll("button").forEach((each, place) => (each.tabIndex = place === 0 ? 0 : -1));
  bar.addEventListener("keydown", (event) => step(bar, event));
  return bar;
}

/** @param {Tool} tool */
function toolButton({ sign, title, act, isSwitch = false }) {
  const button = make("button", "output-tool");
  button.type = "button";
  button.append(icon(sign));
  button.title = button.ariaLabel = title;
  if (isSwitch) button.ariaPressed = "false";
  button.addEventListener("click", async () => {
    try {
      await act();
      if (isSwitch) button.ariaPressed = String(button.ariaPressed !== "true");
      else tell(button, "done", sign === "copy" ? "Copied" : "Saved", title, sign);
    } catch (error) {
      tell(button, sign, error instanceof Error ? error.message : "That did not work.", title, sign);
    }
  });
  return button;
}

/**
 * @param {HTMLButtonElement} button
 * @param {"copy" | "download" | "text" | "done"} shown
 * @param {string} sentence
 * @param {string} title
 * @param {Tool["sign"]} sign
 */
function tell(button, shown, sentence, title, sign) {
  const said = make("span", "said", sentence);
  said.role = "status";
  button.replaceChildren(icon(shown), said);
  setTimeout(() => {
    button.replaceChildren(icon(sign));
    button.title = button.ariaLabel = title;
  }, DONE_MS);
}

/**
 * One stop for the tab key; arrows go on from there.
 * @param {HTMLElement} bar
 * @param {KeyboardEvent} event
 */
function step(bar, event) {
  const way = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!way) return;
  const buttons = [...bar.querySelectorAll("button")];
  const at = buttons.findIndex((each) => each === document.activeElement);
  const next = buttons[(at + way + buttons.length) % buttons.length];
  event.preventDefault();
  event.stopPropagation();
  for (const each of buttons) each.tabIndex = each === next ? 0 : -1;
  next.focus();
}

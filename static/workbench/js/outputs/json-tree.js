// @ts-check
// JSON as a tree whose branches are built when they are opened.

import { button, make } from "./make.js";

// Members shown at a time, and characters of one text.
const MEMBERS_SHOWN = 100;
const CHARACTERS_SHOWN = 2_000;
// A tree of no more members than this stands open from the start.
const MEMBERS_OPEN = 20;

/** @param {unknown} value */
export function jsonTree(value) {
  const tree = make("div", "json", branch(null, value));
  const root = tree.firstElementChild;
  if (root instanceof HTMLDetailsElement && size(value) <= MEMBERS_OPEN) root.open = true;
  return tree;
}

/**
 * @param {string | null} name
 * @param {unknown} value
 * @returns {HTMLElement}
 */
function branch(name, value) {
  if (typeof value !== "object" || value === null || size(value) === 0) return leaf(name, value);
  const details = make("details", "", make("summary", "", ...label(name), make("span", "json-size", sizeText(value))));
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) details.append(members(value));
  });
  return details;
}

/** @param {object} value */
function members(value) {
  const list = make("div", "json-members");
  const entries = Object.entries(value);
  const grow = () => {
    const from = list.querySelectorAll(":scope > :not(button)").length;
    const shown = entries.slice(from, from + MEMBERS_SHOWN);
    more.before(...shown.map(([name, member]) => branch(name, member)));
    const left = entries.length - from - shown.length;
    more.hidden = left === 0;
    more.textContent = `Show ${Math.min(left, MEMBERS_SHOWN)} of ${left.toLocaleString()} more`;
  };
  const more = button("", grow, "button quiet small more-lines");
  list.append(more);
  grow();
  return list;
}

/**
 * @param {string | null} name
 * @param {unknown} value
 */
function leaf(name, value) {
  const kind = value === null ? "null" : typeof value;
  const content = kind === "object" ? (Array.isArray(value) ? "[]" : "{}") : JSON.stringify(value) ?? "";
  const shown = content.length > CHARACTERS_SHOWN ? `${content.slice(0, CHARACTERS_SHOWN)} …` : content;
  return make("div", "json-leaf", ...label(name), make("span", `json-${kind}`, shown));
}

/** @param {string | null} name */
function label(name) {
  return name === null ? [] : [make("span", "json-name", name), make("span", "json-colon", ": ")];
}

/** @param {unknown} value */
function size(value) {
  return typeof value === "object" && value !== null ? Object.keys(value).length : 0;
}

/** @param {unknown} value */
function sizeText(value) {
  const count = size(value).toLocaleString();
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  return `${open} ${count} ${size(value) === 1 ? "item" : "items"} ${close}`;
}

// @ts-check
// A menu that opens at a button: a list of commands, with keyboard, Escape and click outside.

import { find } from "../dom.js";

/** @typedef {{title: string, keys?: string, disabled?: boolean, danger?: boolean, isHidden?: boolean, run: () => void} | null} Item null is a line */

const GAP_PX = 4;

/**
 * Open a menu at a button; focus goes back there when it closes.
 * @param {HTMLElement} button
 * @param {Item[]} items
 */
export function openMenu(button, items) {
  const menu = find("[data-menu-place]");
  menu.replaceChildren(...shownOf(items).map((item) => itemNode(menu, item)));
  menu.showPopover();
  place(menu, button.getBoundingClientRect());
  const life = new AbortController();
  menu.addEventListener("keydown", (event) => walk(menu, event), { signal: life.signal });
  menu.addEventListener("toggle", (event) => {
    if (/** @type {ToggleEvent} */ (event).newState !== "closed") return;
    life.abort();
    button.setAttribute("aria-expanded", "false");
    if (menu.contains(document.activeElement) || document.activeElement === document.body) button.focus();
  }, { signal: life.signal });
  button.setAttribute("aria-expanded", "true");
  entries(menu)[0]?.focus();
}

/**
 * Without what is not for this person, and without the lines that part nothing then.
 * @param {Item[]} items
 */
export function shownOf(items) {
  const left = items.filter((item) => !item?.isHidden);
  return left.filter((item, at) => item || (left[at - 1] && left.slice(at).some(Boolean)));
}

/**
 * @param {HTMLElement} menu
 * @param {DOMRect} at
 */
function place(menu, at) {
  const { width, height } = menu.getBoundingClientRect();
  const left = Math.min(at.left, innerWidth - width - GAP_PX);
  const below = at.bottom + GAP_PX;
  const top = below + height > innerHeight ? Math.max(GAP_PX, at.top - height - GAP_PX) : below;
  menu.style.left = `${Math.max(GAP_PX, left)}px`;
  menu.style.top = `${top}px`;
}

/**
 * @param {HTMLElement} menu
 * @param {Item} item
 */
function itemNode(menu, item) {
  if (!item) {
    const line = document.createElement("hr");
    return line;
  }
  const node = document.createElement("button");
  node.type = "button";
  node.role = "menuitem";
  node.tabIndex = -1;
  node.disabled = Boolean(item.disabled);
  node.classList.toggle("danger", Boolean(item.danger));
  node.append(item.title);
  if (item.keys) {
    const keys = document.createElement("kbd");
    keys.textContent = item.keys;
    node.append(keys);
  }
  node.addEventListener("click", () => {
    menu.hidePopover();
    item.run();
  });
  return node;
}

/** @param {HTMLElement} menu */
function entries(menu) {
  return /** @type {HTMLElement[]} */ ([...menu.querySelectorAll("[role=menuitem]:not(:disabled)")]);
}

/**
 * @param {HTMLElement} menu
 * @param {KeyboardEvent} event
 */
function walk(menu, event) {
  const all = entries(menu);
  const at = all.indexOf(/** @type {HTMLElement} */ (document.activeElement));
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[event.key];
  if (event.key === "Tab") menu.hidePopover();
  if (to === undefined) return;
  event.preventDefault();
  event.stopPropagation();
  all[(to + all.length) % all.length]?.focus();
}

// @ts-check
// Elements made in one line. Text goes in as text, never as markup.

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {string} [className]
 * @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function make(tag, className = "", ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

/**
 * @param {string} label
 * @param {() => void} act
 * @param {string} [className]
 */
export function button(label, act, className = "button quiet small") {
  const element = make("button", className, label);
  element.type = "button";
  element.addEventListener("click", act);
  return element;
}

/** A sentence about an output, in place of it or beside it. @param {(Node | string)[]} content */
export function note(...content) {
  return make("p", "note", ...content);
}

/**
 * A link out of the page. What it leads to learns nothing of us, and cannot reach back.
 * @param {string} address
 * @param {string} label
 */
export function outsideLink(address, label) {
  const link = make("a", "", label);
  link.href = address;
  link.target = "_blank";
  link.rel = "noopener noreferrer";
  return link;
}

/**
 * The box of one output. Where nothing hovers, a tap must be able to choose it.
 * @param {string} way how it is shown
 * @param {Node[]} children
 */
export function outputBox(way, ...children) {
  const box = make("div", "output", ...children);
  box.dataset.way = way;
  if (matchMedia("(hover: none)").matches) box.tabIndex = -1;
  return box;
}

// @ts-check
// Small helpers around the document.

/**
 * The one element that matches; an error if there is none, as the template is then not ours.
 * @param {string} selector
 * @param {ParentNode} [root]
 * @returns {HTMLElement}
 */
export function find(selector, root = document) {
  const found = root.querySelector(selector);
  if (!(found instanceof HTMLElement)) throw new Error(`Nothing matches ${selector}`);
  return found;
}

/**
 * A fresh copy of a template's only element.
 * @param {string} id
 * @returns {HTMLElement}
 */
export function fromTemplate(id) {
  const template = /** @type {HTMLTemplateElement} */ (find(`template#${id}`));
  return /** @type {HTMLElement} */ (template.content.firstElementChild?.cloneNode(true));
}

/**
 * Set an element's text, touching the document only if it differs.
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * What the server wrote with `json_script`.
 * @param {string} id
 * @returns {any}
 */
export function readJson(id) {
  return JSON.parse(find(`#${id}`).textContent ?? "null");
}

/**
 * Show a sentence beside what it is about; an empty one hides the place again.
 * @param {HTMLElement} element
 * @param {string} text
 */
export function showProblem(element, text) {
  setText(element, text);
  element.hidden = !text;
}

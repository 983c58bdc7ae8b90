// @ts-check
// What the browser's tab says: its title, and its icon.

const icon = /** @type {HTMLLinkElement | null} */ (document.querySelector("link[rel=icon]"));
const idleIcon = icon?.getAttribute("href") ?? "";
const busyIcon = icon?.dataset.busy ?? idleIcon;

/**
 * @param {string} name
 * @param {boolean} isRunning
 */
export function showTab(name, isRunning) {
  const title = isRunning ? `● running – ${name}` : `${name} – Workbench`;
  if (document.title !== title) document.title = title;
  const href = isRunning ? busyIcon : idleIcon;
  if (icon && icon.getAttribute("href") !== href) icon.setAttribute("href", href);
}

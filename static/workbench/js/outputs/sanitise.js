// @ts-check
// HTML from code -> nodes that can do nothing. DOMPurify takes out what runs; what is left loses
// what could be mistaken for ours (ids, names, classes) and whatever would be fetched.

import { DOMPurify } from "../../../vendor/markdown.js";
import { applySheet, applyStyle, declarations } from "./inline-style.js";
import { make, outsideLink } from "./make.js";

/** @typedef {(path: string, options?: {isInline: boolean}) => string} FileAddress where a file of the workspace is */

// Styles wait here while the markup is parsed: the page's policy would report them as they are.
const STYLE_ATTRIBUTE = /(<[a-z][^<>]*?\s)style(\s*=\s*["'])/gi;
const HELD = "data-held-style";
const ADDRESS = "data-held-address";

const POLICY = {
  USE_PROFILES: { html: true },
  RETURN_DOM_FRAGMENT: true,
  FORBID_TAGS: [
    "style", "form", "input", "button", "textarea", "select", "option", "optgroup", "datalist", "fieldset",
    "label", "dialog", "audio", "video", "source", "track", "picture", "map", "area", "slot", "template",
  ],
  FORBID_ATTR: ["style", "srcset", "background", "poster", "usemap", "autofocus", "tabindex", "contenteditable", "accesskey", "popover"],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  ADD_ATTR: [HELD, ADDRESS],
  ADD_URI_SAFE_ATTR: [HELD, ADDRESS], // neither is an address as long as it has this name
  ALLOWED_URI_REGEXP: /^(?:https?:|mailto:|[^a-z]|[a-z+.-]+(?:[^a-z+.:-]|$))/i,
};
const SHEETS = /<\s*style\b[^>]*>([\s\S]*?)<\s*\/\s*style\s*>/gi;
const OUTSIDE = /^(?:[a-z][a-z\d+.-]*:|\/\/|\\)/i;
const WORKSPACE = /^\/(?:mnt\/data|home\/work)\//;

const purifier = DOMPurify(window);
purifier.addHook("uponSanitizeElement", (/** @type {Node} */ node) => {
  if (!(node instanceof Element)) return;
  // A picture is fetched as soon as it has an address in our document: only its own data stays.
  if (node.nodeName === "IMG" && !isData(node.getAttribute("src") ?? "")) hold(node, "src", ADDRESS);
  hold(node, "style", HELD);
});

/**
 * Move an attribute to a name that means nothing to the browser.
 * @param {Element} node
 * @param {string} name
 * @param {string} under
 */
function hold(node, name, under) {
  const value = node.getAttribute(name);
  if (value === null) return;
  node.removeAttribute(name);
  node.setAttribute(under, value);
}

/**
 * @param {string} html
 * @param {{fileAddress?: FileAddress, keepClasses?: string[]}} [options]
 * @returns {DocumentFragment}
 */
export function sanitise(html, { fileAddress, keepClasses = [] } = {}) {
  const sheets = [...html.matchAll(SHEETS)].map(([, text]) => text);
  const held = html.replaceAll(SHEETS, "").replaceAll(STYLE_ATTRIBUTE, `$1${HELD}$2`);
  const nodes = /** @type {DocumentFragment} */ (
    /** @type {unknown} */ (purifier.sanitize(held, POLICY))
  );
  for (const sheet of sheets) applySheet(nodes, sheet);
  for (const element of nodes.querySelectorAll("*")) plain(/** @type {HTMLElement} */ (element), keepClasses);
  for (const link of nodes.querySelectorAll("a")) outward(link, fileAddress);
  for (const picture of nodes.querySelectorAll("img")) ownPicture(picture, fileAddress);
  return nodes;
}

/**
 * @param {HTMLElement} element
 * @param {string[]} keepClasses
 */
function plain(element, keepClasses) {
  const style = declarations(element.getAttribute(HELD) ?? "");
  const kept = keepClasses.filter((name) => element.classList.contains(name));
  for (const name of ["id", "name", "class", HELD]) element.removeAttribute(name);
  element.classList.add(...kept);
  if (element.tagName !== "IMG") element.removeAttribute(ADDRESS); // from the code, not from us
  if (style) applyStyle(element, style);
  if (element.style.getPropertyValue("--fore")) element.classList.add("ansi-fg-any");
}

/**
 * @param {HTMLAnchorElement} link
 * @param {FileAddress} [fileAddress]
 */
function outward(link, fileAddress) {
  const address = link.getAttribute("href");
  if (address === null || address.startsWith("#")) return;
  if (!OUTSIDE.test(address)) {
    const path = workspacePath(address);
    if (path === null || !fileAddress) return link.removeAttribute("href");
    link.href = fileAddress(path, { isInline: false });
  }
  link.target = "_blank";
  link.rel = "noopener noreferrer";
}

/**
 * Pictures come from the output itself or from the workspace; anything else would tell a stranger
 * that somebody looks, so the reader decides.
 * @param {HTMLImageElement} picture
 * @param {FileAddress} [fileAddress]
 */
function ownPicture(picture, fileAddress) {
  picture.decoding = "async";
  const address = picture.getAttribute(ADDRESS);
  if (address === null) return;
  picture.removeAttribute(ADDRESS);
  const path = OUTSIDE.test(address) ? null : workspacePath(address);
  if (path !== null && fileAddress) {
    picture.addEventListener("error", () => picture.replaceWith(make("span", "note", `There is no picture ${path}.`)));
    picture.src = fileAddress(path, { isInline: true });
  } else picture.replaceWith(outsidePicture(address, picture.alt));
}

/**
 * @param {string} address
 * @param {string} alt
 */
function outsidePicture(address, alt) {
  const name = alt || "A picture";
  if (!/^https:\/\//i.test(address) || !URL.canParse(address)) return make("span", "note", `${name} (not shown)`);
  const { hostname } = new URL(address);
  return make("span", "note", `${name} from `, outsideLink(address, hostname), " (not loaded)");
}

/** The path in the workspace, null if it is an address of the site. @param {string} address */
function workspacePath(address) {
  if (address.startsWith("/") && !WORKSPACE.test(address)) return null;
  try {
    return decodeURIComponent(address.replace(WORKSPACE, "").replace(/[?#].*$/, "").replace(/^\.\//, ""));
  } catch {
    return null; // a stray % sign
  }
}

/** @param {string} address */
function isData(address) {
  return /^\s*data:image\//i.test(address);
}

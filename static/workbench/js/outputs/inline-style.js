// @ts-check
// The part of an output's own styles that is let in. It goes through the CSS object model, one
// property at a time: the page's policy allows nothing else, and nothing else is needed.

import { paint } from "./colours.js";

// What tables may bring along; all else about them is ours.
const OF_TABLES = ["font-weight", "text-align"];
// What other HTML may: nothing that leaves its box, moves, or fetches.
const OF_HTML = [
  ...OF_TABLES, "font-style", "font-size", "font-family", "text-decoration", "text-transform", "line-height",
  "letter-spacing", "white-space", "vertical-align", "display", "flex-direction", "flex-wrap", "flex-grow",
  "flex-basis", "justify-content", "align-items", "gap", "grid-template-columns", "width", "max-width",
  "min-width", "height", "max-height", "min-height", "overflow", "overflow-x", "overflow-y", "margin-top",
  "margin-bottom", "margin-left", "margin-right", "padding-top", "padding-bottom", "padding-left",
  "padding-right", "border-top", "border-bottom", "border-left", "border-right", "border-radius",
  "list-style-type", "opacity",
];
const FETCHING = /url|image|src|var|attr|expression/i;
// More rules than this are not looked at.
const RULES_MOST = 5_000;
const ID = /^#([\w-]+)$/;
const SIMPLE_SELECTOR = /^[\w\s#.,>-]{1,20000}$/;
// What pandas says of every table, which ours says better.
const PLAIN_FRAME = /^\.dataframe\b/;

/**
 * @param {HTMLElement} element
 * @param {CSSStyleDeclaration} style
 */
export function applyStyle(element, style) {
  const isInTable = element.closest("table") !== null;
  for (const property of isInTable ? OF_TABLES : OF_HTML) {
    const value = style.getPropertyValue(property);
    if (value && !FETCHING.test(value)) element.style.setProperty(property, value);
  }
  paint(element, colourOf(style, "color"), colourOf(style, "background-color"));
}

/** The declarations of a style attribute's text. @param {string} text */
export function declarations(text) {
  if (!text) return null;
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(`x { ${text.replaceAll(/[{}]/g, "")} }`);
  const rule = sheet.cssRules[0];
  return rule instanceof CSSStyleRule ? rule.style : null;
}

/**
 * Apply a style sheet to the elements below `root`: what pandas' Styler sends, a rule per cell.
 * @param {ParentNode} root
 * @param {string} text
 */
export function applySheet(root, text) {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(text);
  const byId = new Map([...root.querySelectorAll("[id]")].map((element) => [element.id, element]));
  for (const rule of [...sheet.cssRules].slice(0, RULES_MOST)) {
    if (!(rule instanceof CSSStyleRule) || !isMeant(rule.selectorText)) continue;
    for (const element of matches(root, byId, rule.selectorText)) {
      if (element instanceof HTMLElement) applyStyle(element, rule.style);
    }
  }
}

/** @param {string} selectors */
function isMeant(selectors) {
  return SIMPLE_SELECTOR.test(selectors) && !PLAIN_FRAME.test(selectors);
}

/**
 * @param {ParentNode} root
 * @param {Map<string, Element>} byId
 * @param {string} selectors
 */
function matches(root, byId, selectors) {
  return selectors.split(",").flatMap((selector) => {
    const id = ID.exec(selector.trim())?.[1];
    if (id !== undefined) return byId.get(id) ?? [];
    return [...root.querySelectorAll(selector)];
  });
}

/**
 * @param {CSSStyleDeclaration} style
 * @param {string} property
 */
function colourOf(style, property) {
  const value = style.getPropertyValue(property);
  return FETCHING.test(value) || /inherit|initial|unset|revert|currentcolor|transparent/i.test(value) ? "" : value;
}

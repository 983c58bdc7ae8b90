// @ts-check
// Markdown -> DOM: of cells, and of outputs. HTML inside stays text.

import { markdownIt } from "../../../vendor/markdown.js";
import { make } from "./make.js";
import { drawFormula } from "./math.js";
import { mathRules } from "./math-rules.js";
import { sanitise } from "./sanitise.js";
import { dressTables } from "./table.js";

/**
 * @typedef {object} MarkdownOptions
 * @property {import("./sanitise.js").FileAddress} [fileAddress] where relative addresses lead
 * @property {string} [prefix] what the ids of headings begin with; none have ids without it
 * @property {Record<string, Record<string, string>>} [attachments] pictures inside a cell: name -> type -> base64
 * @typedef {{level: number, text: string, id: string}} Heading
 */

const MATH_CLASSES = ["math-inline", "math-block"];
/** Made when first needed: it takes a while. @type {any} */ let parser = null;

function parserOf() {
  if (parser) return parser;
  parser = markdownIt({ html: false, linkify: true, typographer: false }).use(mathRules);
  parser.linkify.set({ fuzzyLink: false, fuzzyEmail: false, fuzzyIP: false });
  parser.core.ruler.push("attachments", attach);
  return parser;
}

/**
 * Show Markdown in an element.
 * @param {string} text
 * @param {HTMLElement} into
 * @param {MarkdownOptions} [options]
 * @returns {Heading[]} in order
 */
export function renderMarkdown(text, into, { fileAddress, prefix = "", attachments = {} } = {}) {
  const html = parserOf().render(text, { attachments });
  const nodes = sanitise(html, { fileAddress, keepClasses: MATH_CLASSES });
  into.classList.add("markdown");
  dressTables(nodes);
  for (const item of nodes.querySelectorAll("li")) asTask(item);
  const headings = nameHeadings(nodes, prefix);
  for (const link of nodes.querySelectorAll("a[href^='#']")) pointInside(link, prefix);
  drawFormulas(nodes);
  into.replaceChildren(nodes);
  return headings;
}

/** Pictures that a notebook file carries inside its cells. @param {any} state of the parser */
function attach({ tokens, env }) {
  for (const { children } of tokens) {
    for (const token of children ?? []) {
      const name = token.type === "image" ? /^attachment:(.+)$/.exec(token.attrGet("src") ?? "")?.[1] : undefined;
      const bundle = name === undefined ? undefined : env.attachments?.[decoded(name)];
      const [type, base64] = Object.entries(bundle ?? {})[0] ?? [];
      if (type?.startsWith("image/")) token.attrSet("src", `data:${type};base64,${base64}`);
    }
  }
}

/** @param {string} name */
function decoded(name) {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

/** "[x] done" at the beginning of an item is a box. @param {HTMLLIElement} item */
function asTask(item) {
  const paragraph = item.firstElementChild?.tagName === "P" ? item.firstElementChild : item;
  const first = paragraph.firstChild;
  const [mark, state] = /^\s*\[([ xX])\]\s+/.exec(first?.nodeType === Node.TEXT_NODE ? first.nodeValue ?? "" : "") ?? [];
  if (!first || mark === undefined) return;
  first.nodeValue = (first.nodeValue ?? "").slice(mark.length);
  const box = make("input");
  box.type = "checkbox";
  box.checked = state !== " ";
  box.disabled = true;
  box.ariaLabel = "Done";
  paragraph.prepend(box, " ");
  item.classList.add("task");
}

/**
 * @param {ParentNode} nodes
 * @param {string} prefix
 * @returns {Heading[]}
 */
function nameHeadings(nodes, prefix) {
  const taken = new Set();
  return [...nodes.querySelectorAll("h1, h2, h3, h4, h5, h6")].map((heading) => {
    const text = heading.textContent?.trim() ?? "";
    let slug = slugOf(text);
    for (let count = 2; taken.has(slug); count++) slug = `${slugOf(text)}-${count}`;
    taken.add(slug);
    if (prefix) heading.id = `${prefix}-${slug}`;
    return { level: Number(heading.tagName[1]), text, id: heading.id };
  });
}

/** @param {string} text */
function slugOf(text) {
  return text.toLowerCase().replaceAll(/[^\p{L}\p{N}]+/gu, "-").replaceAll(/^-|-$/g, "") || "section";
}

/**
 * @param {Element} link
 * @param {string} prefix
 */
function pointInside(link, prefix) {
  const slug = slugOf(decoded(link.getAttribute("href")?.slice(1) ?? ""));
  if (prefix) link.setAttribute("href", `#${prefix}-${slug}`);
  else link.removeAttribute("href");
}

/** @param {ParentNode} nodes */
function drawFormulas(nodes) {
  for (const name of MATH_CLASSES) {
    const isBlock = name === "math-block";
    for (const code of nodes.querySelectorAll(`code.${name}`)) {
      const holder = make(isBlock ? "div" : "span", "math", code.textContent ?? "");
      (isBlock ? code.parentElement ?? code : code).replaceWith(holder);
      void drawFormula(holder, holder.textContent ?? "", isBlock);
    }
  }
}

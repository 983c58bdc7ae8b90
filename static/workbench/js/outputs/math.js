// @ts-check
// Formulas -> DOM, by KaTeX, which is fetched when the first formula is shown.

import { make } from "./make.js";

const STYLE_SHEET = new URL("../../../vendor/katex.css", import.meta.url);
// What a formula may be: no commands that reach the page, and an end to expanding macros.
const LIMITS = { throwOnError: true, trust: false, strict: "ignore", maxExpand: 1_000, maxSize: 100 };
// Delimiters around the whole of a text/latex output.
const WRAPPERS = [/^\$\$([\s\S]+)\$\$$/, /^\\\[([\s\S]+)\\\]$/, /^\\\(([\s\S]+)\\\)$/, /^\$([^$]+)\$$/];

/** @type {Promise<any> | null} */ let loading = null;

function load() {
  loading ??= import("../../../vendor/katex.js").then((katex) => {
    const link = make("link");
    link.rel = "stylesheet";
    link.href = STYLE_SHEET.href;
    document.head.append(link);
    return katex;
  });
  loading.catch(() => (loading = null)); // the next formula tries again
  return loading;
}

/** The source of a formula without what stands around it. @param {string} source */
export function unwrapped(source) {
  const text = source.trim();
  for (const pattern of WRAPPERS) {
    const inside = pattern.exec(text)?.[1];
    if (inside !== undefined && !/\$/.test(inside)) return { tex: inside, isBlock: !/^\$[^$]|^\\\(/.test(text) };
  }
  return { tex: text, isBlock: true };
}

/**
 * Draw a formula into an element that shows its source until then, and if it has an error.
 * @param {HTMLElement} element
 * @param {string} tex
 * @param {boolean} isBlock
 */
export async function drawFormula(element, tex, isBlock) {
  try {
    const { render } = await load();
    const drawn = make("span", isBlock ? "formula is-block" : "formula");
    render(tex, drawn, { ...LIMITS, displayMode: isBlock });
    element.replaceChildren(drawn);
    element.classList.add("is-drawn");
  } catch (error) {
    element.classList.add("is-broken");
    element.title = error instanceof Error ? error.message : "This formula cannot be shown.";
  }
}

/** @param {string} source of a text/latex output */
export function latexNode(source) {
  const { tex, isBlock } = unwrapped(source);
  const node = make("div", "latex", make("code", "", source));
  void drawFormula(node, tex, isBlock);
  return node;
}

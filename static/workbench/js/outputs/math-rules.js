// @ts-check
// Formulas in Markdown: $…$, $$…$$, \(…\), \[…\] and \begin{…}…\end{…}. Pure, no DOM.
// They become <code> elements with a class; KaTeX draws them later.

const BLOCKS = /** @type {const} */ ([["$$", "$$"], ["\\[", "\\]"]]);
// A formula is no longer than this; so that text full of beginnings is not searched to its end for each.
const LINES_MOST = 200;
const CHARACTERS_MOST = 5_000;
const ENVIRONMENT = /^\\begin\{([a-zA-Z]+\*?)\}/;

/** A markdown-it plugin. @param {any} md */
export function mathRules(md) {
  // Before the rule of the backslash, which would eat the one of "\(".
  md.inline.ruler.before("escape", "math", inlineMath);
  md.block.ruler.before("fence", "math", blockMath, { alt: ["paragraph", "blockquote", "list"] });
  const { escapeHtml } = md.utils;
  md.renderer.rules.math_inline = (/** @type {any[]} */ tokens, /** @type {number} */ at) =>
    `<code class="math-inline">${escapeHtml(tokens[at].content)}</code>`;
  md.renderer.rules.math_block = (/** @type {any[]} */ tokens, /** @type {number} */ at) =>
    `<pre><code class="math-block">${escapeHtml(tokens[at].content)}</code></pre>`;
}

/**
 * @param {any} state
 * @param {boolean} silent
 */
function inlineMath(state, silent) {
  const found = formulaAt(state.src, state.pos, state.posMax);
  if (!found) return false;
  if (!silent) {
    const token = state.push("math_inline", "", 0);
    token.content = found.isBlock ? `\\displaystyle ${found.tex}` : found.tex;
  }
  state.pos = found.end;
  return true;
}

/**
 * The formula that begins at a place of a text, null if none does.
 * @param {string} src
 * @param {number} at
 * @param {number} [most] where the text ends
 * @returns {{tex: string, end: number, isBlock: boolean} | null}
 */
export function formulaAt(src, at, most = src.length) {
  const two = src.slice(at, at + 2);
  if (two === "\\(") return delimited(src, at, most, "\\)", false);
  if (two === "\\[") return delimited(src, at, most, "\\]", true);
  if (two === "$$") return delimited(src, at, most, "$$", true);
  return src[at] === "$" ? dollars(src, at, most) : null;
}

/**
 * @param {string} src
 * @param {number} at
 * @param {number} most
 * @param {string} close
 * @param {boolean} isBlock
 */
function delimited(src, at, most, close, isBlock) {
  const end = src.slice(0, at + CHARACTERS_MOST).indexOf(close, at + 2);
  const tex = end < 0 ? "" : src.slice(at + 2, end).trim();
  return tex && end + 2 <= most ? { tex, end: end + 2, isBlock } : null;
}

/**
 * "$5 and $6" is money: no space inside the dollars, no digit after them.
 * @param {string} src
 * @param {number} at
 * @param {number} most
 */
function dollars(src, at, most) {
  if (/\s/.test(src[at + 1] ?? " ") || src[at - 1] === "$") return null;
  for (let end = src.indexOf("$", at + 1); end > 0 && end < Math.min(most, at + CHARACTERS_MOST); end = src.indexOf("$", end + 1)) {
    if (isEscaped(src, end)) continue;
    if (/\s/.test(src[end - 1]) || /\d/.test(src[end + 1] ?? "")) return null;
    return { tex: src.slice(at + 1, end), end: end + 1, isBlock: false };
  }
  return null;
}

/**
 * @param {string} src
 * @param {number} at
 */
function isEscaped(src, at) {
  let slashes = 0;
  while (src[at - 1 - slashes] === "\\") slashes += 1;
  return slashes % 2 === 1;
}

/**
 * @param {any} state
 * @param {number} startLine
 * @param {number} endLine
 * @param {boolean} silent
 */
function blockMath(state, startLine, endLine, silent) {
  if (state.sCount[startLine] - state.blkIndent >= 4) return false; // code
  const start = state.bMarks[startLine] + state.tShift[startLine];
  if (!/^(?:\$\$|\\[[b])/.test(state.src.slice(start, start + 2))) return false;
  const lines = state.getLines(startLine, Math.min(endLine, startLine + LINES_MOST), state.blkIndent, false);
  const block = blockAt(lines);
  if (!block) return false;
  if (silent) return true;
  const token = state.push("math_block", "", 0);
  token.block = true;
  token.content = block.tex;
  token.map = [startLine, startLine + block.lines];
  state.line = startLine + block.lines;
  return true;
}

/**
 * The formula that fills the lines a text begins with, null if there is none.
 * @param {string} text
 * @returns {{tex: string, lines: number} | null}
 */
export function blockAt(text) {
  const environment = ENVIRONMENT.exec(text)?.[1];
  const pair = BLOCKS.find(([open]) => text.startsWith(open));
  const close = environment ? `\\end{${environment}}` : pair?.[1];
  if (!close) return null;
  const end = text.indexOf(close, 2);
  if (end < 0 || /^[^\n]*\S/.test(text.slice(end + close.length))) return null;
  const tex = environment ? text.slice(0, end + close.length) : text.slice(2, end);
  if (!tex.trim() || /\n\s*\n/.test(tex)) return null;
  return { tex: tex.trim(), lines: text.slice(0, end + close.length).split("\n").length };
}

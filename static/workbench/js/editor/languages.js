// @ts-check
// The languages of kernels and cells, by the names that kernels give them.

import { closeBrackets, julia, markdown, python, r, shell } from "../../../vendor/editor.js";

/** @type {Record<string, any>} */
const LANGUAGES = { python: python().language, markdown, shell, r, julia };
/** @type {Record<string, string>} */
const NAMES = { ipython: "python", python3: "python", bash: "shell", sh: "shell", zsh: "shell" };
const PROSE = new Set(["markdown", "text", "raw"]);

/**
 * A language's grammar; null for text, and for languages that are not in the bundle.
 * @param {string} name such as "python" or "R"
 */
export function grammar(name) {
  const lower = name.toLowerCase();
  return LANGUAGES[NAMES[lower] ?? lower] ?? null;
}

/**
 * True for what people write rather than program.
 * @param {string} name
 */
export function isProse(name) {
  return PROSE.has(name.toLowerCase());
}

/**
 * What an editor needs to know of a language.
 * @param {string} name
 */
export function languageExtensions(name) {
  const brackets = isProse(name) ? [] : closeBrackets();
  if (grammar(name) === LANGUAGES.python) return [python(), brackets];
  return [grammar(name) ?? [], brackets];
}

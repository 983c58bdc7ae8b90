// What cells are edited with: the parts of CodeMirror 6 that the workbench uses.
import { parser as markdownParser, GFM, parseCode } from "@lezer/markdown";
import { defineLanguageFacet, Language, languageDataProp, StreamLanguage } from "@codemirror/language";
import { pythonLanguage } from "@codemirror/lang-python";
import { julia as juliaMode } from "@codemirror/legacy-modes/mode/julia";
import { r as rMode } from "@codemirror/legacy-modes/mode/r";
import { shell as shellMode } from "@codemirror/legacy-modes/mode/shell";

// Only what static/workbench/js/editor/ imports: each browser loads all of it.
export { Compartment, EditorSelection, EditorState, Prec, StateEffect, StateField, Transaction } from "@codemirror/state";
export {
  crosshairCursor, Decoration, drawSelection, dropCursor, EditorView, highlightSpecialChars, keymap, lineNumbers,
  placeholder, rectangularSelection, showTooltip, tooltips,
} from "@codemirror/view";
export { defaultKeymap, history, historyKeymap, indentLess, indentMore } from "@codemirror/commands";
export {
  acceptCompletion, autocompletion, closeBrackets, closeBracketsKeymap, completionStatus, startCompletion,
} from "@codemirror/autocomplete";
export { bracketMatching, HighlightStyle, indentOnInput, indentUnit, syntaxHighlighting } from "@codemirror/language";
export { highlightCode, tags } from "@lezer/highlight";
export { python } from "@codemirror/lang-python";

export const shell = StreamLanguage.define(shellMode);
export const r = StreamLanguage.define(rMode);
export const julia = StreamLanguage.define(juliaMode);

const FENCED = { python: pythonLanguage, py: pythonLanguage, python3: pythonLanguage, r, julia, shell, bash: shell, sh: shell };
const markdownData = defineLanguageFacet({ commentTokens: { block: { open: "<!--", close: "-->" } } });

/** Markdown, with code in fences; HTML inside is plain text (its grammars are larger than all the rest). */
export const markdown = new Language(
  markdownData,
  markdownParser.configure([
    GFM,
    parseCode({ codeParser: (info) => FENCED[info.trim().split(/\s/)[0].toLowerCase()]?.parser ?? null }),
    { props: [languageDataProp.add((type) => (type.isTop ? markdownData : undefined))] },
  ]),
  [],
  "markdown",
);

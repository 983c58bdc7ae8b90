// @ts-check
// Which words of code look alike. Their colours, for both themes, are in css/editor.css: classes
// instead of generated styles, so that code looks the same in an editor and without one.

import { HighlightStyle, tags } from "../../../vendor/editor.js";

export const highlightStyle = HighlightStyle.define([
  { tag: [tags.keyword, tags.modifier, tags.operatorKeyword, tags.self, tags.null, tags.bool], class: "tok-keyword" },
  { tag: [tags.string, tags.special(tags.string), tags.regexp, tags.character], class: "tok-string" },
  { tag: [tags.escape, tags.special(tags.brace)], class: "tok-escape" },
  { tag: [tags.number, tags.atom], class: "tok-number" },
  { tag: [tags.comment], class: "tok-comment" },
  { tag: [tags.function(tags.variableName), tags.function(tags.propertyName)], class: "tok-function" },
  { tag: [tags.function(tags.definition(tags.variableName)), tags.className, tags.definition(tags.className)], class: "tok-definition" },
  { tag: [tags.meta, tags.standard(tags.variableName), tags.special(tags.variableName)], class: "tok-builtin" },
  { tag: [tags.typeName, tags.tagName, tags.attributeName], class: "tok-type" },
  { tag: tags.heading, class: "tok-heading" },
  { tag: tags.strong, class: "tok-strong" },
  { tag: tags.emphasis, class: "tok-emphasis" },
  { tag: tags.strikethrough, class: "tok-strike" },
  { tag: [tags.link, tags.url], class: "tok-link" },
  { tag: tags.monospace, class: "tok-mono" },
  { tag: [tags.processingInstruction, tags.contentSeparator, tags.quote, tags.labelName], class: "tok-mark" },
  { tag: tags.invalid, class: "tok-invalid" },
]);

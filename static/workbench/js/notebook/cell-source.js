// @ts-check
// The text of one cell: shown as it will look in the editor, and an editor only once it is needed.
// A text cell shows its Markdown until it is edited.

import { CodeEditor, staticCode } from "../editor/editor.js";
import { renderMarkdown } from "../outputs/markdown.js";

/**
 * @typedef {object} SourceContext
 * @property {string} language of the session's kernel
 * @property {((path: string) => string) | undefined} fileAddress where relative addresses in text lead
 * @property {boolean} mayWrite
 * @property {() => boolean} areLinesNumbered
 * @property {(direction: "up" | "down") => boolean} leave the caret goes over the edge of the text
 * @property {(code: string, cursor: number) => Promise<any>} complete
 * @property {(code: string, cursor: number, detail: 0 | 1) => Promise<any>} inspect
 */

export class CellSource {
  #place;
  #rendered;
  #id;
  #context;
  #onChange;
  /** @type {CodeEditor | null} */ #editor = null;
  #text = "";
  #kind = "";
  #isEditing = false;
  /** @type {Record<string, any>} */ #attachments = {};

  /**
   * @param {object} parts
   * @param {HTMLElement} parts.place where code stands
   * @param {HTMLElement} parts.rendered where text stands
   * @param {string} parts.id of the cell
   * @param {SourceContext} parts.context
   * @param {(text: string) => void} parts.onChange
   */
  constructor({ place, rendered, id, context, onChange }) {
    [this.#place, this.#rendered, this.#id] = [place, rendered, id];
    [this.#context, this.#onChange] = [context, onChange];
  }

  /** The editor, if there is one. */
  get editor() {
    return this.#editor;
  }

  /**
   * @param {string} text
   * @param {string} kind "code", "markdown", "raw" or "command"
   * @param {Record<string, any>} [attachments] pictures that came with a text cell
   */
  update(text, kind, attachments = {}) {
    this.#attachments = attachments;
    const isSame = text === this.#text && kind === this.#kind;
    const isOtherKind = kind !== this.#kind;
    [this.#text, this.#kind] = [text, kind];
    if (isSame) return;
    if (isOtherKind) this.#editor?.setLanguage(this.#language());
    if (this.#editor) {
      if (this.#editor.text !== text) this.#editor.setText(text);
    } else {
      this.#drawStatic();
    }
    if (kind === "markdown" && !this.#isEditing) this.#drawMarkdown();
    this.#choose();
  }

  /**
   * Begin to edit.
   * @param {"start" | "end" | number | null} at the caret; null leaves it
   */
  edit(at = null) {
    this.#isEditing = true;
    this.#choose();
    if (!this.#editor) this.#make();
    this.#editor?.focus(at ?? undefined);
  }

  /** Show Markdown as text again. */
  render() {
    this.#isEditing = false;
    if (this.#kind === "markdown") this.#drawMarkdown();
    this.#choose();
  }

  /**
   * Mark what a search has found; an empty list takes the marks away.
   * @param {{from: number, to: number}[]} ranges
   * @param {number} current index of the one that stands out, -1 for none
   */
  mark(ranges, current) {
    if (!ranges.length && !this.#editor) return;
    if (!this.#editor) this.#make();
    this.#editor?.highlightMatches(ranges, current);
    if (this.#kind !== "markdown" || this.#isEditing) return;
    // A match in a text cell is seen in its source.
    this.#place.hidden = !ranges.length;
    this.#rendered.hidden = ranges.length > 0;
  }

  /** @param {boolean} isOn */
  showLineNumbers(isOn) {
    this.#place.classList.toggle("numbered", isOn);
    this.#editor?.setLineNumbers(isOn);
  }

  destroy() {
    this.#editor?.destroy();
    this.#editor = null;
  }

  #make() {
    this.#place.replaceChildren();
    this.#editor = new CodeEditor({
      parent: this.#place,
      text: this.#text,
      readOnly: !this.#context.mayWrite,
      language: this.#language(),
      lineNumbers: this.#context.areLinesNumbered(),
      label: this.#kind === "markdown" ? "Text of the cell" : "Code of the cell",
      onChange: (text) => {
        this.#text = text;
        this.#onChange(text);
      },
      complete: this.#context.complete,
      inspect: this.#context.inspect,
      onLeave: this.#context.leave,
    });
  }

  #language() {
    if (this.#kind === "code") return this.#context.language;
    return { markdown: "markdown", command: "shell" }[this.#kind] ?? "text";
  }

  #drawStatic() {
    const node = staticCode(this.#text, this.#language());
    this.#place.replaceChildren(node);
  }

  #drawMarkdown() {
    this.#rendered.replaceChildren();
    if (this.#text.trim()) {
      const { fileAddress } = this.#context;
      renderMarkdown(this.#text, this.#rendered, { fileAddress, prefix: `${this.#id}-`, attachments: this.#attachments });
      return;
    }
    const hint = document.createElement("p");
    hint.className = "hint";
    hint.textContent = `An empty text cell.${this.#context.mayWrite ? " Double-click or press Enter to write." : ""}`;
    this.#rendered.append(hint);
  }

  #choose() {
    const isText = this.#kind === "markdown" && !this.#isEditing;
    this.#rendered.hidden = !isText;
    this.#place.hidden = isText;
  }
}

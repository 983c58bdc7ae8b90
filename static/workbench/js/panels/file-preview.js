// @ts-check
// A file looked at in a dialog: text with line numbers, a picture, a table that can be sorted.

import { request, sessionRoute } from "../api.js";
import { find, fromTemplate, setText } from "../dom.js";
import { ago, exact } from "../time.js";
import { mountPath, sizeText } from "./files-model.js";
import { previewTable } from "./preview-table.js";

/** @typedef {import("./files-model.js").FileInfo} FileInfo */

export class FilePreview {
  #session;
  #dialog;
  /** The request that counts; those before it do not any more. */
  #asked = new AbortController();
  /** @type {FileInfo | null} */ #file = null;

  /**
   * @param {string} session its id
   * @param {{copy: (file: FileInfo, button: HTMLElement) => void, download: (file: FileInfo) => void}} actions
   */
  constructor(session, actions) {
    this.#session = session;
    this.#dialog = /** @type {HTMLDialogElement} */ (fromTemplate("file-preview"));
    document.body.append(this.#dialog);
    const copy = find('[data-do="copy"]', this.#dialog);
    copy.addEventListener("click", () => this.#file && actions.copy(this.#file, copy));
    find('[data-do="download"]', this.#dialog).addEventListener("click", () => this.#file && actions.download(this.#file));
    this.#dialog.addEventListener("click", (event) => {
      if (event.target === this.#dialog) this.#dialog.close();
    });
    this.#dialog.addEventListener("keydown", (event) => event.stopPropagation());
    // The event comes later than the close: it may be open for another file by then.
    this.#dialog.addEventListener("close", () => this.#dialog.open || this.#asked.abort());
  }

  /** @param {FileInfo} file */
  async open(file) {
    this.#asked.abort();
    const { signal } = (this.#asked = new AbortController());
    this.#file = file;
    this.#head(file);
    this.#show(fromTemplate("preview-waiting"));
    if (!this.#dialog.open) this.#dialog.showModal();
    try {
      const query = { path: file.path };
      const preview = await request("GET", sessionRoute(this.#session, "files/preview", query), { signal });
      if (!signal.aborted) this.#render(file, preview);
    } catch (error) {
      if (!signal.aborted) this.#say(/** @type {Error} */ (error).message);
    }
  }

  /** @param {FileInfo} file */
  #head(file) {
    setText(find("[data-name]", this.#dialog), file.name);
    const facts = find("[data-facts]", this.#dialog);
    setText(facts, `${sizeText(file.size_bytes)} · changed ${ago(file.modified_at)}`);
    facts.title = exact(file.modified_at);
    setText(find("[data-path]", this.#dialog), mountPath(file.path));
    this.#note("");
  }

  /**
   * @param {FileInfo} file
   * @param {any} preview as the server answers
   */
  #render(file, preview) {
    if (preview.kind === "text") this.#text(preview);
    else if (preview.kind === "table") this.#table(preview);
    else if (preview.kind === "image") this.#image(file);
    else this.#say(preview.reason);
  }

  /** @param {{text: string, is_cut: boolean}} preview */
  #text({ text, is_cut }) {
    if (!text) return this.#say("This file is empty.");
    const node = fromTemplate("preview-text");
    const lines = text.replace(/\n$/, "").split("\n").length;
    setText(find("[data-numbers]", node), Array.from({ length: lines }, (_, at) => at + 1).join("\n"));
    setText(find("[data-text]", node), text);
    this.#show(node);
    this.#note(is_cut ? `The first ${lines.toLocaleString()} lines. Download the file to see the rest.` : "");
  }

  /** @param {import("./preview-table.js").TablePreview} preview */
  #table(preview) {
    const { node, note } = previewTable(preview);
    this.#show(node);
    this.#note(note);
  }

  /** @param {FileInfo} file */
  #image(file) {
    const node = fromTemplate("preview-image");
    const image = /** @type {HTMLImageElement} */ (find("img", node));
    image.alt = file.name;
    image.onload = () => image.naturalWidth && this.#note(`${image.naturalWidth} × ${image.naturalHeight} pixels`);
    image.onerror = () => this.#say("This picture is broken, or not what its name says.");
    // The time makes a changed picture a new one.
    const query = { path: file.path, inline: "1", at: file.modified_at };
    image.src = sessionRoute(this.#session, "files/content", query);
    this.#show(node);
  }

  /** @param {string} sentence */
  #say(sentence) {
    const node = fromTemplate("preview-none");
    setText(node, sentence);
    this.#show(node);
    this.#note("");
  }

  /** @param {HTMLElement} node */
  #show(node) {
    find("[data-body]", this.#dialog).replaceChildren(node);
  }

  /** @param {string} text */
  #note(text) {
    const note = find("[data-note]", this.#dialog);
    setText(note, text);
    note.hidden = !text;
  }
}

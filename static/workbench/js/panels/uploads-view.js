// @ts-check
// The list of uploads below the tree: how far each is, and what can be done about it.

import { find, fromTemplate, setText } from "../dom.js";
import { sizeText } from "./files-model.js";

/** @typedef {import("./upload-queue.js").Upload} Upload */
/** @typedef {import("./upload-queue.js").UploadQueue} UploadQueue */

// Finished ones stay so long that one sees them end.
const DONE_MS = 3_000;
// Rows drawn at once; the line above them counts all.
const MOST_ROWS = 40;
/** What comes first in a list that is too long. @type {Record<string, number>} */
const ORDER = { sending: 0, exists: 1, failed: 2, cancelled: 3, waiting: 4, done: 5 };

export class UploadsView {
  #element;
  #queue;
  /** @type {Map<Upload, HTMLElement>} */ #rows = new Map();
  #isDrawing = false;

  /**
   * @param {HTMLElement} element
   * @param {UploadQueue} queue
   */
  constructor(element, queue) {
    this.#element = element;
    this.#queue = queue;
    find("[data-clear]", element).addEventListener("click", () => this.#clear(() => true));
    find("[data-replace-all]", element).addEventListener("click", () => {
      for (const upload of queue.uploads) if (upload.state === "exists") queue.retry(upload, true);
    });
  }

  /** Draw soon: once per frame, however much happens. @param {Upload} [upload] what changed */
  changed(upload) {
    if (upload?.state === "done") setTimeout(() => this.#clear((each) => each === upload), DONE_MS);
    if (this.#isDrawing) return;
    this.#isDrawing = true;
    requestAnimationFrame(() => this.#draw());
  }

  /** @param {(upload: Upload) => boolean} which */
  #clear(which) {
    this.#queue.clear(which);
    this.changed();
  }

  #draw() {
    this.#isDrawing = false;
    const { uploads } = this.#queue;
    this.#element.hidden = !uploads.length;
    setText(find("[data-summary]", this.#element), summary(uploads));
    const isBusy = uploads.some((each) => each.state === "sending" || each.state === "waiting");
    find("[data-clear]", this.#element).hidden = isBusy;
    find("[data-replace-all]", this.#element).hidden = uploads.filter((each) => each.state === "exists").length < 2;
    this.#drawRows([...uploads].sort((a, b) => ORDER[a.state] - ORDER[b.state]).slice(0, MOST_ROWS));
  }

  /** @param {Upload[]} chosen */
  #drawRows(chosen) {
    const shown = new Set(chosen);
    for (const [upload, row] of this.#rows) {
      if (shown.has(upload)) continue;
      row.remove();
      this.#rows.delete(upload);
    }
    const list = find("[data-upload-list]", this.#element);
    for (const upload of this.#queue.uploads) {
      if (!shown.has(upload)) continue;
      if (!this.#rows.has(upload)) {
        const row = this.#newRow(upload);
        this.#rows.set(upload, row);
        list.append(row);
      }
      drawUpload(/** @type {HTMLElement} */ (this.#rows.get(upload)), upload);
    }
  }

  /** @param {Upload} upload */
  #newRow(upload) {
    const row = fromTemplate("upload-row");
    const on = (/** @type {string} */ name, /** @type {() => void} */ act) =>
      find(`[data-do="${name}"]`, row).addEventListener("click", act);
    on("cancel", () => this.#queue.cancel(upload));
    on("retry", () => this.#queue.retry(upload));
    on("replace", () => this.#queue.retry(upload, true));
    on("dismiss", () => this.#clear((each) => each === upload));
    return row;
  }
}

/**
 * @param {HTMLElement} row
 * @param {Upload} upload
 */
function drawUpload(row, upload) {
  const { state, file, sentBytes } = upload;
  const part = state === "done" ? 1 : file.size ? Math.min(1, sentBytes / file.size) : 0;
  row.dataset.state = state;
  const name = find("[data-name]", row);
  setText(name, upload.path.slice(upload.path.lastIndexOf("/") + 1));
  name.title = upload.path;
  setText(find("[data-fact]", row), fact(upload));
  const bar = /** @type {HTMLProgressElement} */ (find("[data-bar]", row));
  bar.value = part;
  bar.hidden = state !== "sending" && state !== "waiting";
  bar.ariaLabel = `Uploading ${upload.path}`;
  const isActive = state === "sending" || state === "waiting";
  find('[data-do="cancel"]', row).hidden = !isActive;
  find('[data-do="retry"]', row).hidden = state !== "failed" && state !== "cancelled";
  find('[data-do="replace"]', row).hidden = state !== "exists";
  find('[data-do="dismiss"]', row).hidden = isActive;
}

/** @param {Upload} upload */
function fact({ state, file, sentBytes, bytesPerSecond, problem }) {
  if (state === "waiting") return `Waiting · ${sizeText(file.size)}`;
  if (state === "cancelled") return "Cancelled";
  if (state === "done") return `Uploaded · ${sizeText(file.size)}`;
  if (state !== "sending") return problem;
  if (sentBytes >= file.size) return "Saving…";
  const speed = bytesPerSecond ? ` · ${sizeText(bytesPerSecond)}/s` : "";
  return `${sizeText(sentBytes)} of ${sizeText(file.size)}${speed}`;
}

/** @param {Upload[]} uploads */
function summary(uploads) {
  const count = (/** @type {string[]} */ ...states) => uploads.filter((each) => states.includes(each.state)).length;
  const left = count("sending", "waiting");
  const wrong = count("failed", "exists", "cancelled");
  if (left) return left === 1 ? "Uploading 1 file" : `Uploading ${left} files`;
  if (wrong) return wrong === 1 ? "1 file was not uploaded" : `${wrong} files were not uploaded`;
  return uploads.length === 1 ? "1 file uploaded" : `${uploads.length} files uploaded`;
}

// @ts-check
// Files on their way to the server, a few at a time. No DOM; XMLHttpRequest, which knows how far
// a body has been sent.

import { connectionLost, errorFrom, sessionRoute } from "../api.js";
import { sizeText } from "./files-model.js";

/** @typedef {"waiting" | "sending" | "done" | "failed" | "exists" | "cancelled"} UploadState */

/**
 * @typedef {object} Upload
 * @property {string} path where it goes, relative to the workspace
 * @property {File} file
 * @property {UploadState} state
 * @property {number} sentBytes
 * @property {number} bytesPerSecond 0 until it is known
 * @property {string} problem why it failed, in the server's sentence; empty otherwise
 * @property {boolean} overwrite
 */

const AT_ONCE = 3;
// How much the last measurement of the speed counts against those before.
const SPEED_WEIGHT = 0.3;
const MEASURE_MS = 250;

export class UploadQueue {
  /** @type {Upload[]} */ uploads = [];
  // Bytes that one file may have; none until the server has said.
  maxBytes = Infinity;
  #session;
  /** @type {Map<Upload, XMLHttpRequest>} */ #requests = new Map();
  /** @type {(upload: Upload) => void} */ #onChange;

  /**
   * @param {string} session its id
   * @param {(upload: Upload) => void} onChange called after every change of an upload
   */
  constructor(session, onChange) {
    this.#session = session;
    this.#onChange = onChange;
  }

  // Actions

  /** @param {{path: string, file: File}[]} files */
  add(files) {
    for (const { path, file } of files) {
      this.uploads.push({ path, file, state: "waiting", sentBytes: 0, bytesPerSecond: 0, problem: "", overwrite: false });
    }
    this.#startSome();
  }

  /** @param {Upload} upload */
  cancel(upload) {
    if (upload.state !== "waiting" && upload.state !== "sending") return;
    this.#end(upload, "cancelled");
    this.#requests.get(upload)?.abort();
  }

  /** Send it again, in the place of what is there if `overwrite`. @param {Upload} upload */
  retry(upload, overwrite = upload.overwrite) {
    Object.assign(upload, { state: "waiting", sentBytes: 0, bytesPerSecond: 0, problem: "", overwrite });
    this.#onChange(upload);
    this.#startSome();
  }

  /** Take those out of the list that have come to an end. @param {(upload: Upload) => boolean} [which] */
  clear(which = () => true) {
    const isActive = (/** @type {Upload} */ each) => each.state === "waiting" || each.state === "sending";
    this.uploads = this.uploads.filter((each) => isActive(each) || !which(each));
  }

  // Internal

  #startSome() {
    for (const upload of this.uploads) {
      if (this.#requests.size >= AT_ONCE) return;
      if (upload.state === "waiting") this.#start(upload);
    }
  }

  /** @param {Upload} upload */
  #start(upload) {
    if (upload.file.size > this.maxBytes) return this.#end(upload, "failed", tooLarge(this.maxBytes));
    const xhr = new XMLHttpRequest();
    this.#requests.set(upload, xhr);
    upload.state = "sending";
    this.#measure(upload, xhr);
    xhr.onload = () => this.#answered(upload, xhr);
    xhr.onerror = () => this.#end(upload, "failed", connectionLost().message);
    xhr.onloadend = () => {
      this.#requests.delete(upload);
      this.#startSome();
    };
    xhr.open("PUT", sessionRoute(this.#session, "files/content", { path: upload.path, overwrite: upload.overwrite ? "1" : "0" }));
    xhr.send(upload.file);
    this.#onChange(upload);
  }

  /**
   * @param {Upload} upload
   * @param {XMLHttpRequest} xhr
   */
  #measure(upload, xhr) {
    let at = performance.now();
    let bytes = 0;
    xhr.upload.onprogress = (event) => {
      const now = performance.now();
      upload.sentBytes = event.loaded;
      if (now - at < MEASURE_MS) return;
      const speed = ((event.loaded - bytes) / (now - at)) * 1000;
      upload.bytesPerSecond += (speed - upload.bytesPerSecond) * (upload.bytesPerSecond ? SPEED_WEIGHT : 1);
      [at, bytes] = [now, event.loaded];
      this.#onChange(upload);
    };
  }

  /**
   * @param {Upload} upload
   * @param {XMLHttpRequest} xhr
   */
  #answered(upload, xhr) {
    if (xhr.status === 201) return this.#end(upload, "done");
    const error = errorFrom(xhr.status, xhr.responseText);
    this.#end(upload, error.code === "file_exists" ? "exists" : "failed", error.message);
  }

  /**
   * @param {Upload} upload
   * @param {UploadState} state
   */
  #end(upload, state, problem = "") {
    if (upload.state === "cancelled") return; // its request says so once more
    Object.assign(upload, { state, problem, bytesPerSecond: 0 });
    this.#onChange(upload);
  }
}

/** @param {number} bytes */
function tooLarge(bytes) {
  return `The file is larger than an upload may be: ${sizeText(bytes)}.`;
}

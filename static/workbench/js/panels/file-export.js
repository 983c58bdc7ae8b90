// @ts-check
// Files on their way out: to the person's disk, or their path to the clipboard.

import { sessionRoute } from "../api.js";
import { setText } from "../dom.js";
import { mountPath } from "./files-model.js";

/** @typedef {import("./files-model.js").FileInfo} FileInfo */

const COPIED_MS = 1_500;

/**
 * Let the browser save a file, or a folder as a zip.
 * @param {string} session its id
 * @param {FileInfo | null} file null: all files
 */
export function download(session, file) {
  const link = document.createElement("a");
  const route = file && !file.is_directory ? "files/content" : "files/archive";
  link.href = sessionRoute(session, route, file ? { path: file.path } : {});
  link.download = "";
  link.click();
}

/**
 * Copy the path as code in the session knows it. What went wrong, in a sentence; empty: nothing.
 * @param {FileInfo} file
 * @param {HTMLElement} [button] says that it was done
 */
export async function copyPath(file, button) {
  try {
    await navigator.clipboard.writeText(mountPath(file.path));
  } catch {
    return `The browser does not let this page copy. The path is ${mountPath(file.path)}`;
  }
  if (button) {
    const before = button.textContent ?? "";
    setText(button, "Copied");
    setTimeout(() => setText(button, before), COPIED_MS);
  }
  return "";
}

// @ts-check
// The tree of files: rows drawn from the model, and the keyboard as WAI-ARIA has it for trees.

import { find, fromTemplate } from "../dom.js";
import { parentOf } from "./files-model.js";
import { drawRow } from "./files-row.js";
import { renameIn } from "./rename-field.js";

/** @typedef {import("./files-model.js").FileInfo} FileInfo */
/** @typedef {import("./files-model.js").FileRow} FileRow */
/** @typedef {import("./files-model.js").MoreRow} MoreRow */

/**
 * @typedef {object} TreeActions
 * @property {(file: FileInfo) => void} open a file was chosen
 * @property {(file: FileInfo, isOpen: boolean) => void} toggle a folder is to be opened or closed
 * @property {(directory: string) => void} more
 * @property {(file: FileInfo, at: HTMLElement) => void} menu
 * @property {() => boolean} mayWrite whether files may be renamed and deleted
 * @property {(file: FileInfo, name: string) => Promise<string>} rename answers with what is wrong; empty: nothing
 * @property {(file: FileInfo) => void} remove
 */

// How long a new or changed file is marked.
const NEWS_MS = 4_000;
// Letters typed within this time are one search.
const TYPING_MS = 700;

export class FilesTree {
  #root;
  #actions;
  /** @type {Map<string, HTMLElement>} */ #nodes = new Map();
  /** @type {Map<string, FileRow | MoreRow>} */ #rows = new Map();
  /** The row that Tab leads to. */
  #current = "";
  #typed = "";
  #typedAt = 0;

  /**
   * @param {HTMLElement} root
   * @param {TreeActions} actions
   */
  constructor(root, actions) {
    this.#root = root;
    this.#actions = actions;
    root.addEventListener("keydown", (event) => this.#onKey(event));
    root.addEventListener("click", (event) => this.#onClick(event));
    root.addEventListener("contextmenu", (event) => this.#onContextMenu(event));
    root.addEventListener("focusin", (event) => this.#moveTo(this.#keyOf(event.target), { focus: false }));
  }

  // Actions

  /**
   * @param {(FileRow | MoreRow)[]} rows
   * @param {(path: string) => boolean} isOpen
   */
  draw(rows, isOpen) {
    const before = [...this.#rows.keys()];
    this.#rows = new Map(rows.map((row) => [row.key, row]));
    const hadFocus = this.#root.contains(document.activeElement);
    this.#dropGone();
    rows.forEach((row, place) => this.#put(row, place, row.file !== null && isOpen(row.key)));
    if (!this.#rows.has(this.#current)) {
      this.#current = this.#nearest(before);
      if (hadFocus) this.#nodes.get(this.#current)?.focus();
    }
    this.#moveTo(this.#current, { focus: false });
  }

  /** Mark files for a few seconds. @param {string[]} paths */
  mark(paths) {
    for (const path of paths) {
      const node = this.#nodes.get(path);
      if (!node) continue;
      node.classList.add("is-news");
      setTimeout(() => node.classList.remove("is-news"), NEWS_MS);
    }
  }

  /** Change the name in its place. @param {string} path */
  rename(path) {
    const [row, node] = [this.#rows.get(path), this.#nodes.get(path)];
    if (!row?.file || !node) return;
    const { file } = row;
    this.#moveTo(path, { focus: true });
    renameIn(node, file, (name) => this.#actions.rename(file, name));
  }

  /** @param {string} path */
  focus(path) {
    this.#moveTo(this.#rows.has(path) ? path : this.#current, { focus: true });
  }

  /** The folder that a drop there goes to; "" is the workspace. @param {Element | null} target */
  folderAt(target) {
    const row = this.#rows.get(this.#keyOf(target));
    if (!row) return "";
    if (!row.file) return row.directory;
    return row.file.is_directory ? row.file.path : parentOf(row.file.path);
  }

  /** Light up a folder that things can be dropped on. @param {string | null} path */
  lightUp(path) {
    for (const [key, node] of this.#nodes) node.classList.toggle("is-target", key === path);
  }

  // Drawing

  #dropGone() {
    for (const [key, node] of this.#nodes) {
      if (this.#rows.has(key)) continue;
      node.remove();
      this.#nodes.delete(key);
    }
  }

  /**
   * @param {FileRow | MoreRow} row
   * @param {number} place
   * @param {boolean} isOpen
   */
  #put(row, place, isOpen) {
    let node = this.#nodes.get(row.key);
    if (!node) {
      node = fromTemplate(row.file ? "file-row" : "more-row");
      node.dataset.key = row.key;
      this.#nodes.set(row.key, node);
    }
    if (this.#root.children[place] !== node) this.#root.insertBefore(node, this.#root.children[place] ?? null);
    drawRow(node, row, isOpen);
  }

  /** Where to stand when the current row is gone: what was beside it. @param {string[]} before */
  #nearest(before) {
    const at = before.indexOf(this.#current);
    const below = before.slice(at + 1).find((key) => this.#rows.has(key));
    const above = before.slice(0, Math.max(0, at)).reverse().find((key) => this.#rows.has(key));
    return below ?? above ?? this.#rows.keys().next().value ?? "";
  }

  /**
   * @param {string} key
   * @param {{focus: boolean}} options
   */
  #moveTo(key, { focus }) {
    const node = this.#nodes.get(key);
    if (!node) return;
    const old = this.#nodes.get(this.#current);
    if (old) old.tabIndex = -1;
    node.tabIndex = 0;
    this.#current = key;
    if (focus) node.focus();
  }

  // Pointer and keyboard

  /** @param {EventTarget | null} target */
  #keyOf(target) {
    const node = target instanceof Element ? target.closest("[data-key]") : null;
    return node instanceof HTMLElement ? node.dataset.key ?? "" : "";
  }

  /** @param {MouseEvent} event */
  #onClick(event) {
    const target = /** @type {Element} */ (event.target);
    const row = this.#rows.get(this.#keyOf(target));
    if (!row || target.closest("input")) return;
    this.#moveTo(row.key, { focus: true });
    const menu = target.closest("[data-row-menu]");
    if (menu instanceof HTMLElement && row.file) this.#actions.menu(row.file, menu);
    else this.#choose(row);
  }

  /** @param {MouseEvent} event */
  #onContextMenu(event) {
    const key = this.#keyOf(event.target);
    const file = this.#rows.get(key)?.file;
    const node = this.#nodes.get(key);
    if (!file || !node || event.target instanceof HTMLInputElement) return;
    event.preventDefault();
    this.#moveTo(key, { focus: true });
    this.#actions.menu(file, find("[data-row-menu]", node));
  }

  /** @param {FileRow | MoreRow} row */
  #choose(row) {
    if (!row.file) this.#actions.more(row.directory);
    else if (row.file.is_directory) this.#actions.toggle(row.file, !this.#isOpen(row.key));
    else this.#actions.open(row.file);
  }

  /** @param {string} key */
  #isOpen(key) {
    return this.#nodes.get(key)?.ariaExpanded === "true";
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const row = this.#rows.get(this.#current);
    if (!row || event.target instanceof HTMLInputElement || event.altKey || event.ctrlKey || event.metaKey) return;
    const act = this.#keys(row)[event.key];
    if (act) act();
    else if (event.key.length === 1 && event.key !== " ") this.#search(event.key);
    else return;
    event.preventDefault();
    event.stopPropagation(); // these keys mean other things to the notebook
  }

  /** @param {FileRow | MoreRow} row @returns {Record<string, () => void>} */
  #keys(row) {
    const keys = [...this.#rows.keys()];
    const at = keys.indexOf(row.key);
    const go = (/** @type {number} */ place) => this.#moveTo(keys[Math.min(Math.max(place, 0), keys.length - 1)], { focus: true });
    const { file } = row;
    return {
      ArrowDown: () => go(at + 1),
      ArrowUp: () => go(at - 1),
      Home: () => go(0),
      End: () => go(keys.length - 1),
      ArrowRight: () => (this.#isOpen(row.key) ? go(at + 1) : file?.is_directory && this.#actions.toggle(file, true)),
      ArrowLeft: () => (file && this.#isOpen(row.key) ? this.#actions.toggle(file, false) : go(this.#parentPlace(keys, at))),
      Enter: () => this.#choose(row),
      " ": () => this.#choose(row),
      F2: () => this.#actions.mayWrite() && this.rename(row.key),
      Delete: () => file && this.#actions.mayWrite() && this.#actions.remove(file),
    };
  }

  /** @param {string[]} keys @param {number} at */
  #parentPlace(keys, at) {
    const level = this.#rows.get(keys[at])?.level ?? 1;
    for (let place = at - 1; place >= 0; place -= 1) {
      if ((this.#rows.get(keys[place])?.level ?? 1) < level) return place;
    }
    return at;
  }

  /** Go to the next name that begins with what is typed. @param {string} letter */
  #search(letter) {
    const now = performance.now();
    this.#typed = (now - this.#typedAt > TYPING_MS ? "" : this.#typed) + letter.toLowerCase();
    this.#typedAt = now;
    const keys = [...this.#rows.keys()];
    const from = keys.indexOf(this.#current) + (this.#typed.length === 1 ? 1 : 0);
    const around = [...keys.slice(from), ...keys.slice(0, from)];
    const match = around.find((key) => this.#rows.get(key)?.file?.name.toLowerCase().startsWith(this.#typed));
    if (match !== undefined) this.#moveTo(match, { focus: true });
  }
}

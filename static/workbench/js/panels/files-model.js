// @ts-check
// What the files panel knows: folders as the server listed them, and what is shown. No DOM.

/** @typedef {{path: string, name: string, size_bytes: number, modified_at: string, is_directory: boolean, content_type: string}} FileInfo */
/** @typedef {{key: string, file: FileInfo, level: number, place: number, count: number, hidden: 0}} FileRow level, place and count as ARIA has them: from 1 */
/** @typedef {{key: string, file: null, level: number, directory: string, hidden: number}} MoreRow stands for the entries of a folder that are not shown */

// Rows of one folder before it must be asked for more.
export const ROWS_PER_FOLDER = 300;
const MOUNT_POINT = "/mnt/data";
const UNITS = ["bytes", "KB", "MB", "GB", "TB"];
const COLLATOR = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });

export class FilesModel {
  /** Folders that were listed, by path; "" is the workspace. @type {Map<string, FileInfo[]>} */
  #listed = new Map();
  /** @type {Set<string>} */ #open = new Set();
  /** @type {Map<string, number>} */ #limits = new Map();

  /** The folders whose contents are shown: the workspace, and those that were opened. */
  get shownFolders() {
    return ["", ...[...this.#open].filter((path) => this.#isReachable(path))];
  }

  get isListed() {
    return this.#listed.has("");
  }

  get isEmpty() {
    return this.#listed.get("")?.length === 0;
  }

  /** @param {string} path */
  isOpen(path) {
    return this.#open.has(path);
  }

  /** @param {string} path */
  open(path) {
    this.#open.add(path);
  }

  /** @param {string} path */
  close(path) {
    this.#open.delete(path);
  }

  /** @param {string} directory */
  showMore(directory) {
    this.#limits.set(directory, this.#limit(directory) + ROWS_PER_FOLDER);
  }

  /**
   * Take what the server listed. Returns the paths that are new or changed, none the first time.
   * @param {string} directory
   * @param {FileInfo[]} files
   * @returns {string[]}
   */
  setFolder(directory, files) {
    const before = this.#listed.get(directory);
    this.#listed.set(directory, [...files].sort(inOrder));
    return before ? news(before, files) : [];
  }

  /** Forget a folder that is gone. @param {string} directory */
  forget(directory) {
    this.#listed.delete(directory);
    this.#open.delete(directory);
  }

  /** @param {string} path @returns {FileInfo | undefined} */
  find(path) {
    return this.#listed.get(parentOf(path))?.find((file) => file.path === path);
  }

  /** @param {string} directory @returns {Set<string>} */
  namesIn(directory) {
    return new Set((this.#listed.get(directory) ?? []).map((file) => file.name));
  }

  /** What is shown, from top to bottom. @returns {(FileRow | MoreRow)[]} */
  rows(directory = "", level = 1) {
    const files = this.#listed.get(directory) ?? [];
    const shown = files.slice(0, this.#limit(directory));
    /** @type {(FileRow | MoreRow)[]} */ const rows = [];
    shown.forEach((file, index) => {
      rows.push({ key: file.path, file, level, place: index + 1, count: files.length, hidden: 0 });
      if (file.is_directory && this.#open.has(file.path)) rows.push(...this.rows(file.path, level + 1));
    });
    const hidden = files.length - shown.length;
    if (hidden) rows.push({ key: `${directory}/`, file: null, level, directory, hidden });
    return rows;
  }

  /** @param {string} directory */
  #limit(directory) {
    return this.#limits.get(directory) ?? ROWS_PER_FOLDER;
  }

  /** Whether every folder on the way is open. @param {string} path */
  #isReachable(path) {
    for (let above = parentOf(path); above; above = parentOf(above)) {
      if (!this.#open.has(above)) return false;
    }
    return true;
  }
}

/**
 * The paths that were not there before, or were different. Folders change with what is in them,
 * and are news only when they are new.
 * @param {FileInfo[]} before
 * @param {FileInfo[]} after
 */
export function news(before, after) {
  const old = new Map(before.map((file) => [file.path, file]));
  const differs = (/** @type {FileInfo} */ file) => {
    const known = old.get(file.path);
    if (!known || known.is_directory !== file.is_directory) return true;
    if (file.is_directory) return false;
    return known.size_bytes !== file.size_bytes || known.modified_at !== file.modified_at;
  };
  return after.filter(differs).map((file) => file.path);
}

/**
 * "0 bytes", "1 byte", "1.5 KB", "12 MB".
 * @param {number} bytes
 */
export function sizeText(bytes) {
  if (bytes === 1) return "1 byte";
  let unit = 0;
  let value = bytes;
  while (value >= (unit ? 999.5 : 1000) && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit && value < 9.95 ? 1 : 0;
  return `${value.toFixed(digits)} ${UNITS[unit]}`;
}

/**
 * "name", or "name 2" and so on if that is taken.
 * @param {string} name
 * @param {Set<string>} taken
 */
export function freeName(name, taken) {
  let found = name;
  for (let number = 2; taken.has(found); number += 1) found = `${name} ${number}`;
  return found;
}

/** The folder a path is in; "" is the workspace. @param {string} path */
export function parentOf(path) {
  return path.slice(0, Math.max(0, path.lastIndexOf("/")));
}

/** @param {string} directory @param {string} name */
export function joined(directory, name) {
  return directory ? `${directory}/${name}` : name;
}

/** The path as code in the session knows it. @param {string} path */
export function mountPath(path) {
  return joined(MOUNT_POINT, path).replace(/\/$/, "");
}

/** Folders first, then by name, numbers by value. @param {FileInfo} a @param {FileInfo} b */
function inOrder(a, b) {
  const byKind = Number(b.is_directory) - Number(a.is_directory);
  return byKind || COLLATOR.compare(a.name, b.name) || (a.name < b.name ? -1 : 1);
}

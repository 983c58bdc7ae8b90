// @ts-check
// Files that are dropped anywhere on the page, folders with what is in them.

// More than that is somebody's home directory, dropped by mistake.
const MOST_FILES = 5_000;

/** @typedef {{files: {path: string, file: File}[], folders: string[], isCut: boolean}} Dropped paths are relative to where it was dropped; folders: the empty ones */

/**
 * All that was dropped. To be called while the event is handled: later it is empty.
 * @param {DataTransfer} transfer
 * @returns {Promise<Dropped>}
 */
export async function droppedFiles(transfer) {
  const entries = [...transfer.items]
    .filter((item) => item.kind === "file")
    .map((item) => item.webkitGetAsEntry() ?? item.getAsFile());
  /** @type {Dropped} */ const found = { files: [], folders: [], isCut: false };
  for (const entry of entries) {
    if (entry instanceof File) found.files.push({ path: entry.name, file: entry });
    else if (entry) await collect(entry, found);
  }
  return found;
}

/**
 * The files of an <input>, folders' with their path.
 * @param {FileList | null} list
 */
export function chosenFiles(list) {
  return [...(list ?? [])].map((file) => ({ path: file.webkitRelativePath || file.name, file }));
}

/**
 * @param {FileSystemEntry} entry
 * @param {Dropped} found
 */
async function collect(entry, found) {
  if (found.files.length >= MOST_FILES) {
    found.isCut = true;
    return;
  }
  const path = entry.fullPath.replace(/^\//, "");
  if (entry.isFile) {
    found.files.push({ path, file: await fileOf(/** @type {FileSystemFileEntry} */ (entry)) });
    return;
  }
  const children = await childrenOf(/** @type {FileSystemDirectoryEntry} */ (entry));
  if (!children.length) found.folders.push(path);
  for (const child of children) await collect(child, found);
}

/** @param {FileSystemFileEntry} entry @returns {Promise<File>} */
function fileOf(entry) {
  return new Promise((resolve, reject) => entry.file(resolve, reject));
}

/** @param {FileSystemDirectoryEntry} entry @returns {Promise<FileSystemEntry[]>} */
async function childrenOf(entry) {
  const reader = entry.createReader();
  /** @type {FileSystemEntry[]} */ const all = [];
  for (;;) {
    /** @type {FileSystemEntry[]} */
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return all; // browsers hand them out by the hundred
    all.push(...some);
  }
}

/**
 * Light up the whole page while files are dragged over it.
 * @param {object} options
 * @param {HTMLElement} options.curtain what lights up; it must let the pointer through
 * @param {() => boolean} options.isOpen whether anything may be dropped now
 * @param {(target: Element | null) => string} options.folderAt the folder under the pointer
 * @param {(folder: string | null) => void} options.over what is under the pointer; null: nothing any more
 * @param {(transfer: DataTransfer, folder: string) => void} options.drop
 */
export function dropTarget({ curtain, isOpen, folderAt, over, drop }) {
  const isWanted = (/** @type {DragEvent} */ event) => event.dataTransfer?.types.includes("Files") && isOpen();
  const leave = () => {
    curtain.hidden = true;
    over(null);
  };
  document.addEventListener("dragover", (event) => {
    if (!isWanted(event) || !event.dataTransfer) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
    curtain.hidden = false;
    over(folderAt(asElement(event.target)));
  });
  // Only where the pointer leaves the page is there nothing it goes to.
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) leave();
  });
  document.addEventListener("drop", (event) => {
    if (!isWanted(event) || !event.dataTransfer) return;
    event.preventDefault();
    leave();
    drop(event.dataTransfer, folderAt(asElement(event.target)));
  });
}

/** @param {EventTarget | null} target */
function asElement(target) {
  return target instanceof Element ? target : null;
}

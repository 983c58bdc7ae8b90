// @ts-check
// The notebook as people edit it: cells are added, moved, split, merged, deleted, and all of that
// can be taken back. Taking back text is the editor's business. Pure, no DOM.
//
// Each edit returns its changes, those of the cells it was about first; sync hears of them itself.

import { CellStore } from "./cell-store.js";
import { atEnd, between, spread } from "./positions.js";
import { UndoStack } from "./undo.js";

/**
 * @typedef {import("./cell-store.js").Cell} Cell
 * @typedef {Cell} NotebookCell
 * @typedef {import("./cell-store.js").Change} Change
 * @typedef {import("./cell-store.js").Fields} Fields
 * @typedef {{after: string} | {before: string} | {atEnd: true}} Place
 * @typedef {{kind: string, source: string, metadata?: Record<string, any>, outputs?: any[]}} Clip
 *   a copied cell
 */

export class NotebookDocument extends CellStore {
  #undo = new UndoStack();
  #newId;

  /** @param {() => string} [newId] UUIDs for new cells */
  constructor(newId = randomId) {
    super();
    this.#newId = newId;
  }

  // Actions

  /**
   * Add a cell. Its id is that of the first change.
   * @param {string} kind
   * @param {Place} place
   * @param {string} [source]
   */
  insert(kind, place, source = "") {
    return this.paste([{ kind, source }], place, "Add cell");
  }

  /**
   * Text as it is typed; it is not on the undo stack, as the editor has its own.
   * @param {string} id
   * @param {string} source
   * @returns {Change[]}
   */
  setSource(id, source) {
    if (this.content(id)?.source === source) return [];
    const changes = [{ id, source }];
    this.change(changes, { isTyping: true });
    return changes;
  }

  /**
   * Texts of several cells at once, such as after "replace all".
   * @param {{id: string, source: string}[]} changes
   * @param {string} [title]
   */
  setSources(changes, title = "Replace") {
    return this.#edit(title, changes);
  }

  /**
   * @param {string | string[]} ids
   * @param {string} kind
   */
  setKind(ids, kind) {
    const others = this.#inOrder(ids).filter((cell) => cell.kind !== kind);
    return this.#edit("Change cell type", others.map(({ id }) => ({ id, kind })));
  }

  /**
   * @param {string} id
   * @param {Record<string, any>} metadata the cell's, whole
   */
  setMetadata(id, metadata) {
    return this.#edit("Change cell", [{ id, metadata }]);
  }

  /**
   * Move cells together: one step, or beside another cell.
   * @param {string | string[]} ids
   * @param {"up" | "down" | Place} where
   */
  move(ids, where) {
    const cells = this.#inOrder(ids);
    const place = typeof where === "string" ? this.#step(cells, where) : where;
    if (!place || !cells.length) return [];
    const moving = new Set(cells.map(({ id }) => id));
    const { positions, others } = this.#positions(place, cells.length, moving);
    return this.#edit(cells.length > 1 ? "Move cells" : "Move cell", [
      ...cells.map(({ id }, i) => ({ id, position: positions[i] })), ...others,
    ]);
  }

  /** @param {string | string[]} ids */
  remove(ids) {
    const cells = this.#inOrder(ids);
    return this.#edit(
      cells.length > 1 ? "Delete cells" : "Delete cell", cells.map(({ id }) => ({ id, is_deleted: true })),
    );
  }

  /**
   * Cut a cell in two at an offset of its text. The lower part stays the cell it was, with its
   * outputs, and the new one comes above it. Changes: the lower part, then the upper one.
   * @param {string} id
   * @param {number} offset in UTF-16 units, as the editor counts
   */
  split(id, offset) {
    const cell = this.cell(id);
    if (!cell) return [];
    const [upper, by, lower] = cut(cell.source, offset);
    const { positions, others } = this.#positions({ before: id }, 1);
    const made = { id: this.#newId(), kind: cell.kind, source: upper, position: positions[0] };
    const seam = { upper: made.id, lower: id, by };
    return this.#edit("Split cell", [{ id, source: lower }, made, ...others], seam);
  }

  /**
   * Join cells into the first of them.
   * @param {string[]} ids
   */
  merge(ids) {
    const [first, ...rest] = this.#inOrder(ids);
    if (!rest.length) return [];
    const source = [first, ...rest].map((cell) => cell.source).join(first.kind === "markdown" ? "\n\n" : "\n");
    return this.#edit("Merge cells", [
      { id: first.id, source }, ...rest.map(({ id }) => ({ id, is_deleted: true })),
    ]);
  }

  /** @param {string} id */
  mergeWithNext(id) {
    return this.merge(this.cells.slice(this.indexOf(id)).slice(0, 2).map((cell) => cell.id));
  }

  /** @param {string} id */
  mergeWithPrevious(id) {
    const at = this.indexOf(id);
    return this.merge(this.cells.slice(Math.max(at - 1, 0), at + 1).map((cell) => cell.id));
  }

  /**
   * @param {string | string[]} ids
   * @returns {Clip[]}
   */
  copy(ids) {
    return this.#inOrder(ids).map(({ kind, source, metadata, outputs }) => ({ kind, source, metadata, outputs }));
  }

  /**
   * @param {Clip[]} clips
   * @param {Place} place
   * @param {string} [title]
   */
  paste(clips, place, title = "Paste") {
    if (!clips.length) return [];
    const { positions, others } = this.#positions(place, clips.length);
    const made = clips.map((clip, i) => ({ id: this.#newId(), ...clip, position: positions[i] }));
    return this.#edit(title, [...made, ...others]);
  }

  /**
   * No longer show outputs. The log keeps them.
   * @param {string | string[]} ids
   */
  clear(ids) {
    const filled = this.#inOrder(ids).filter((cell) => cell.executionId || cell.outputs.length);
    return this.#edit("Clear outputs", filled.map(({ id, metadata, executionId }) => {
      const workbench = { ...metadata.workbench, ...(executionId && { cleared: executionId }) };
      return { id, outputs: [], metadata: executionId ? { ...metadata, workbench } : metadata };
    }));
  }

  /** What undo would take back, "" if nothing. */
  get undoTitle() {
    return this.#undo.undoTitle;
  }

  get redoTitle() {
    return this.#undo.redoTitle;
  }

  undo() {
    const changes = this.#undo.undo((id) => this.content(id));
    this.change(changes);
    return changes;
  }

  redo() {
    const changes = this.#undo.redo((id) => this.content(id));
    this.change(changes);
    return changes;
  }

  // Internal

  /**
   * @param {string} title
   * @param {Change[]} changes
   * @param {import("./undo.js").Seam} [seam]
   */
  #edit(title, changes, seam) {
    if (!changes.length) return changes;
    this.#undo.push({ title, steps: changes.map((change) => this.#stepOf(change)), seam });
    this.change(changes);
    return changes;
  }

  /** @param {Change} change that is about to be made */
  #stepOf({ id, ...after }) {
    const now = this.content(id);
    if (!now) return { id, before: { is_deleted: true }, after: { is_deleted: false } };
    const names = /** @type {(keyof Fields)[]} */ (Object.keys(after));
    return { id, before: Object.fromEntries(names.map((name) => [name, now[name]])), after };
  }

  /** @param {string | string[]} ids */
  #inOrder(ids) {
    const places = [...new Set([ids].flat())].map((id) => this.indexOf(id)).filter((at) => at >= 0);
    return places.sort((a, b) => a - b).map((at) => this.cells[at]);
  }

  /**
   * @param {Cell[]} cells in order
   * @param {"up" | "down"} direction
   * @returns {Place | null} null at the end of the way
   */
  #step(cells, direction) {
    const end = direction === "up" ? this.indexOf(cells[0]?.id) - 1 : this.indexOf(cells.at(-1)?.id ?? "") + 1;
    const neighbour = this.cells[end];
    if (!neighbour) return null;
    return direction === "up" ? { before: neighbour.id } : { after: neighbour.id };
  }

  /**
   * Positions for so many cells at a place. If there is no room, the cells around make some.
   * @param {Place} place
   * @param {number} count
   * @param {Set<string>} [moving] cells that leave their places
   * @returns {{positions: string[], others: Change[]}}
   */
  #positions(place, count, moving = new Set()) {
    const staying = this.cells.filter(({ id }) => !moving.has(id));
    const at = placeAmong(staying, place);
    const free = this.#free(staying, at, count);
    if (free) return { positions: free, others: [] };
    for (let reach = 4; ; reach *= 4) {
      const [low, high] = [Math.max(0, at - reach), at + reach];
      const around = staying.slice(low, high);
      const room = spread(
        staying[low - 1]?.position ?? null, staying[high]?.position ?? null, around.length + count,
      );
      if (!room) continue;
      const positions = room.splice(at - low, count);
      return { positions, others: around.map(({ id }, i) => ({ id, position: room[i] })) };
    }
  }

  /**
   * @param {Cell[]} staying
   * @param {number} at
   * @param {number} count
   * @returns {string[] | null}
   */
  #free(staying, at, count) {
    const after = staying[at - 1]?.position ?? null;
    const before = staying[at]?.position ?? null;
    if (before !== null && count > 1) return spread(after, before, count);
    /** @type {string[]} */ const positions = [];
    while (positions.length < count) {
      const last = positions.at(-1) ?? after;
      const next = before === null ? atEnd(last, this.eventNumber) : between(last, before);
      if (next === null) return null;
      positions.push(next);
    }
    return positions;
  }
}

/**
 * @param {Cell[]} cells
 * @param {Place} place
 */
function placeAmong(cells, place) {
  if ("after" in place) {
    const at = cells.findIndex(({ id }) => id === place.after);
    return at < 0 ? cells.length : at + 1;
  }
  if (!("before" in place)) return cells.length;
  const at = cells.findIndex(({ id }) => id === place.before);
  return at < 0 ? cells.length : at;
}

/**
 * Text before, line ends at, and text after an offset.
 * @param {string} source
 * @param {number} offset
 */
function cut(source, offset) {
  const upper = source.slice(0, offset).replace(/\n+$/, "");
  const lower = source.slice(offset).replace(/^\n+/, "");
  return [upper, source.slice(upper.length, source.length - lower.length), lower];
}

/** A version 4 UUID; `crypto.randomUUID` is there only in secure contexts. */
function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

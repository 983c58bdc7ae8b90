// @ts-check
// The cells a page knows: the server's rows, the executions without a cell, and on top of both
// what was changed here and is not acknowledged yet. Pure, no DOM, no connection.
//
// What waits to be sent is exactly what lies on top, so later edits of a cell merge by themselves,
// and a draft is a copy of it.

import { compare, ofEvent } from "./positions.js";

/**
 * @typedef {{kind: string, source: string, position: string, metadata: Record<string, any>,
 *   outputs: any[], is_deleted: boolean}} Content
 * @typedef {{id: string, version: number} & Content} Row as the server sends it
 * @typedef {Partial<Content>} Fields
 * @typedef {{id: string} & Fields} Change
 * @typedef {{id: string, base: number} & Fields} Pending a change with the version it began from
 * @typedef {object} Local what was changed here in one cell, and is not acknowledged yet
 * @property {Fields} fields
 * @property {number} base the version of the row that the text began from; 0: there was none
 * @property {string} from the text it began from
 * @property {string | null} sent the text sent last, which the server may have or not
 * @property {boolean} isConflicted others changed the text too: it waits for a person's choice
 * @property {boolean} isRefused the server does not take it as it is
 * @typedef {{id: string, fields: Fields, base: number, from: string, sent: string | null}} Draft
 * @typedef {{id: string, code: string, kind: string, origin: string, position: string}} Run
 * @typedef {object} Cell what views show; the same object as long as nothing in it changes
 * @property {string} id
 * @property {string} kind "code", "markdown" or "raw"
 * @property {string} source
 * @property {string} position
 * @property {Record<string, any>} metadata
 * @property {any[]} outputs those of an imported notebook, shown until the cell has run here
 * @property {number} version 0 until the server has it
 * @property {boolean} isVirtual an execution that nobody has edited
 * @property {boolean} isCommand its text is a command line, not code of the kernel's language
 * @property {boolean} isConflicted
 * @property {string | null} executionId the execution whose outputs it shows
 * @property {string | null} origin through which door that execution came
 * @property {boolean} isEditedSinceRun
 */

export class CellStore {
  /** @type {Map<string, Row>} */ #rows = new Map();
  /** @type {Map<string, Local>} */ #locals = new Map();
  /** The last run of each cell. @type {Map<string, Run>} */ #lastRuns = new Map();
  /** Executions that are a cell of their own. @type {Map<string, Run>} */ #born = new Map();
  #runsSeen = 0;
  /** @type {Map<string, Cell>} */ #views = new Map();
  /** @type {Map<string, number> | null} null: to be made */ #places = null;
  /** @type {Set<() => void>} */ #listeners = new Set();
  /** @type {Set<(isTyping: boolean) => void>} */ #editListeners = new Set();
  /** @type {Record<string, any> | null} */ #localMetadata = null;
  /** In order; another array after each change. @type {readonly Cell[]} */ cells = [];
  /** The server's version up to which every change is here. */ version = 0;
  /** Number of the last event in the log. */ eventNumber = 0;
  /** The notebook's own. @type {Record<string, any>} */ metadata = {};

  // What others say

  /**
   * @param {Row[]} rows changed ones, tombstones among them
   * @param {number} version
   * @param {Record<string, any>} [metadata]
   */
  applyRows(rows, version, metadata) {
    for (const row of rows) this.#applyRow(row);
    this.version = Math.max(this.version, version);
    if (metadata) this.metadata = this.#localMetadata ?? metadata;
    this.#refresh(rows.map(({ id }) => id));
  }

  /**
   * @param {{number: number, executions: Map<string, any>}} state the folded log
   */
  applyExecutions(state) {
    this.eventNumber = state.number;
    if (state.executions.size === this.#runsSeen) return;
    const touched = new Set();
    let index = 0;
    for (const { id, code, kind, origin, cell = null, queuedNumber } of state.executions.values()) {
      if (index++ < this.#runsSeen) continue; // what a run was for never changes
      const run = { id, code, kind, origin, position: ofEvent(queuedNumber) };
      if (cell === null) this.#born.set(id, run);
      this.#lastRuns.set(cell ?? id, run);
      touched.add(cell ?? id);
    }
    this.#runsSeen = index;
    this.#refresh(touched);
  }

  // What the page asks

  /** @param {string} id */
  cell(id) {
    return this.#views.get(id) ?? null;
  }

  /**
   * The place among the cells, from 0; -1 if it is not there.
   * @param {string} id
   */
  indexOf(id) {
    this.#places ??= new Map(this.cells.map((cell, index) => [cell.id, index]));
    return this.#places.get(id) ?? -1;
  }

  /**
   * A cell's content as it is now, also of a deleted one; null if there never was one.
   * @param {string} id
   * @returns {Row | null}
   */
  content(id) {
    const known = this.#known(id);
    const local = this.#locals.get(id);
    if (!known && !local) return null;
    return { ...(known ?? blank(id)), ...local?.fields };
  }

  /**
   * Call `listener` after each change of the cells; the answer ends that.
   * @param {() => void} listener
   */
  onChange(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Call `listener` after each edit made here, which then waits to be sent.
   * @param {(isTyping: boolean) => void} listener
   */
  onEdit(listener) {
    this.#editListeners.add(listener);
    return () => this.#editListeners.delete(listener);
  }

  /**
   * Change cells here. A cell that only was an execution gets a row of its own by that.
   * @param {Change[]} changes
   * @param {{isTyping?: boolean}} [how]
   */
  change(changes, { isTyping = false } = {}) {
    for (const { id, ...fields } of changes) {
      const local = this.#ownLocal(id, fields);
      Object.assign(local.fields, fields);
      local.isRefused = false;
    }
    this.#refresh(changes.map(({ id }) => id));
    if (changes.length) this.#edited(isTyping);
  }

  /** @param {Record<string, any>} metadata the notebook's, whole */
  setNotebookMetadata(metadata) {
    this.metadata = this.#localMetadata = metadata;
    this.#edited(false);
  }

  // What sync asks

  /** @returns {Pending[]} what the server shall be told now */
  pending() {
    const waiting = [...this.#locals].filter(([, local]) => !local.isConflicted && !local.isRefused);
    return waiting.map(([id, { base, fields }]) => ({ id, base, ...fields }));
  }

  /** @returns {Record<string, any> | null} null: not changed here */
  pendingMetadata() {
    return this.#localMetadata;
  }

  /** True if something is not acknowledged, whatever it waits for. */
  get hasUnsaved() {
    return this.#locals.size > 0 || this.#localMetadata !== null;
  }

  /** @param {Pending[]} sent */
  markSent(sent) {
    for (const { id, source } of sent) {
      const local = this.#locals.get(id);
      if (local && source !== undefined) local.sent = source;
    }
  }

  /**
   * The server has applied this as its `version`. What was typed since then stays on top.
   * @param {Pending[]} sent
   * @param {number} version
   * @param {Record<string, any> | null} [metadata] that was sent along
   */
  acknowledge(sent, version, metadata = null) {
    for (const { id, base: _base, ...fields } of sent) {
      const row = this.#rows.get(id);
      if (!row || row.version < version) {
        this.#rows.set(id, { ...(this.#known(id) ?? blank(id)), ...fields, version });
      }
      this.#settle(id, fields, version);
    }
    if (metadata && metadata === this.#localMetadata) this.#localMetadata = null;
    this.#refresh(sent.map(({ id }) => id));
  }

  /**
   * The server refused an edit because others changed the text of these cells.
   * @param {Row[]} rows as they are there
   * @returns {Row[]} those between which a person must choose
   */
  conflict(rows) {
    const open = rows.filter((row) => {
      this.#applyRow(row);
      const local = this.#locals.get(row.id);
      if (local?.fields.source === row.source) local.base = row.version;
      if (local?.fields.is_deleted) this.#forget(row.id, ["source"]); // nobody reads it here
      if (local?.fields.source === undefined || local.base >= row.version) return false;
      return (local.isConflicted = true);
    });
    this.#refresh(rows.map(({ id }) => id));
    return open;
  }

  /**
   * End a conflict: this page's text goes on top of theirs, or gives way to it.
   * @param {string} id
   * @param {"mine" | "theirs"} choice
   */
  resolve(id, choice) {
    const local = this.#locals.get(id);
    const row = this.#rows.get(id);
    if (!local?.isConflicted || !row) return;
    local.isConflicted = false;
    Object.assign(local, { base: row.version, from: row.source });
    if (choice === "theirs") this.#forget(id, ["source"]);
    this.#refresh([id]);
    this.#edited(false);
  }

  /** @param {string[]} ids cells the server does not take until they are changed again */
  refuse(ids) {
    for (const id of ids) {
      const local = this.#locals.get(id);
      if (local) local.isRefused = true;
    }
  }

  /** @returns {Draft[]} what would be lost with this page */
  drafts() {
    return [...this.#locals].map(([id, { fields, base, from, sent }]) => ({ id, fields, base, from, sent }));
  }

  /** @param {Draft[]} drafts of an earlier page; what this one has changed already wins */
  restore(drafts) {
    const fresh = drafts.filter(({ id }) => !this.#locals.has(id));
    for (const { id, fields, base, from, sent } of fresh) {
      this.#locals.set(id, { fields: { ...fields }, base, from, sent, isConflicted: false, isRefused: false });
    }
    this.#refresh(fresh.map(({ id }) => id));
    if (fresh.length) this.#edited(false);
  }

  // Internal

  /** @param {Row} row */
  #applyRow(row) {
    const known = this.#known(row.id);
    if (this.#isKnown(row)) return;
    // A tombstone comes without its text, which undo wants to show at once.
    const kept = row.is_deleted && known ? { source: known.source, outputs: known.outputs } : {};
    this.#rows.set(row.id, { ...row, ...kept });
    this.#rebase(row);
  }

  /** @param {Row} row */
  #isKnown(row) {
    const mine = this.#rows.get(row.id);
    if (!mine || mine.version !== row.version) return mine !== undefined && mine.version > row.version;
    return mine.is_deleted === row.is_deleted && (row.is_deleted || mine.source === row.source);
  }

  /**
   * Text that lies on top belongs to the new version too, unless others changed the text.
   * @param {Row} row
   */
  #rebase(row) {
    const local = this.#locals.get(row.id);
    if (local?.fields.source === undefined) return;
    if (local.fields.source === local.from) {
      this.#forget(row.id, ["source"]); // it was only told to describe the cell wholly
    } else if (row.is_deleted) {
      local.fields.is_deleted ??= false; // somebody writes here: the cell stays
      local.base = row.version;
    } else if (row.source === local.from || row.source === local.sent) {
      Object.assign(local, { base: row.version, from: row.source });
    }
  }

  /**
   * @param {string} id
   * @param {Fields} fields that are about to change
   */
  #ownLocal(id, fields) {
    const known = this.#known(id);
    const begin = { base: this.#rows.get(id)?.version ?? 0, from: known?.source ?? "" };
    let local = this.#locals.get(id);
    if (!local) {
      const { kind, source, position } = known ?? blank(id);
      const described = this.#rows.has(id) ? {} : { kind, source, position };
      local = { fields: described, ...begin, sent: null, isConflicted: false, isRefused: false };
      this.#locals.set(id, local);
    } else if (fields.source !== undefined && local.fields.source === undefined) {
      Object.assign(local, begin);
    }
    return local;
  }

  /**
   * @param {string} id
   * @param {Fields} fields the server has now
   * @param {number} version
   */
  #settle(id, fields, version) {
    const local = this.#locals.get(id);
    if (!local) return;
    const names = /** @type {(keyof Fields)[]} */ (Object.keys(fields));
    if (fields.source !== undefined) Object.assign(local, { base: version, from: fields.source });
    this.#forget(id, names.filter((name) => local.fields[name] === fields[name]));
  }

  /**
   * @param {string} id
   * @param {(keyof Fields)[]} names
   */
  #forget(id, names) {
    const local = /** @type {Local} */ (this.#locals.get(id));
    for (const name of names) delete local.fields[name];
    if (!Object.keys(local.fields).length) this.#locals.delete(id);
  }

  /**
   * A cell without what was changed here.
   * @param {string} id
   * @returns {Row | null}
   */
  #known(id) {
    const row = this.#rows.get(id);
    const run = this.#born.get(id);
    if (row || !run) return row ?? null;
    return { ...blank(id), source: run.code, position: run.position };
  }

  /** @param {Iterable<string>} ids */
  #refresh(ids) {
    /** @type {Cell[]} */ const replaced = [];
    /** @type {Cell[]} */ const placed = [];
    const left = new Set();
    for (const id of new Set(ids)) {
      const [before, after] = [this.#views.get(id), this.#view(id)];
      if (!isChanged(before, after)) continue;
      if (after) this.#views.set(id, after);
      else this.#views.delete(id);
      if (before && after && before.position === after.position) replaced.push(after);
      else if (after) placed.push(after);
      if (before && before.position !== after?.position) left.add(id);
    }
    if (!replaced.length && !placed.length && !left.size) return;
    this.#list(replaced, placed, left);
    for (const listener of this.#listeners) listener();
  }

  /**
   * Make the list anew. Typing, and runs that come at the end, need no search and no sorting.
   * @param {Cell[]} replaced cells that stay where they are
   * @param {Cell[]} placed cells that come, or come to another place
   * @param {Set<string>} left cells that leave their places
   */
  #list(replaced, placed, left) {
    const cells = [...this.cells];
    for (const cell of replaced) cells[this.indexOf(cell.id)] = cell;
    placed.sort(inOrder);
    const isAtEnd = !left.size && (!cells.length || !placed.length || inOrder(cells[cells.length - 1], placed[0]) < 0);
    if (isAtEnd) {
      placed.forEach(({ id }, i) => this.#places?.set(id, cells.length + i));
      this.cells = cells.concat(placed);
      return;
    }
    this.#places = null;
    this.cells = merged(left.size ? cells.filter(({ id }) => !left.has(id)) : cells, placed);
  }

  /**
   * @param {string} id
   * @returns {Cell | null} null if it is deleted, or never was
   */
  #view(id) {
    const content = this.content(id);
    if (!content || content.is_deleted) return null;
    const { is_deleted: _isDeleted, ...rest } = content;
    const run = this.#lastRuns.get(id);
    const shown = run && run.id !== content.metadata.workbench?.cleared ? run : null;
    return {
      ...rest,
      isVirtual: !this.#rows.has(id) && !this.#locals.has(id),
      isCommand: run?.kind === "command" && run.code === content.source,
      isConflicted: this.#locals.get(id)?.isConflicted ?? false,
      executionId: shown?.id ?? null,
      origin: shown?.origin ?? null,
      isEditedSinceRun: shown !== null && shown.code !== content.source,
    };
  }

  /** @param {boolean} isTyping */
  #edited(isTyping) {
    for (const listener of this.#editListeners) listener(isTyping);
  }
}

/**
 * @param {string} id
 * @returns {Row}
 */
function blank(id) {
  return { id, version: 0, kind: "code", source: "", position: "", metadata: {}, outputs: [], is_deleted: false };
}

/**
 * @param {Cell} a
 * @param {Cell} b
 */
function inOrder(a, b) {
  return compare(a.position, b.position) || compare(a.id, b.id);
}

/**
 * Two sorted lists as one.
 * @param {Cell[]} cells
 * @param {Cell[]} added
 */
function merged(cells, added) {
  const all = [];
  let next = 0;
  for (const cell of cells) {
    while (next < added.length && inOrder(added[next], cell) < 0) all.push(added[next++]);
    all.push(cell);
  }
  return all.concat(added.slice(next));
}

/**
 * @param {Record<string, any> | undefined} before
 * @param {Record<string, any> | null} after
 */
function isChanged(before, after) {
  if (!before || !after) return Boolean(before) !== Boolean(after);
  return Object.keys(after).some((name) => !isSame(before[name], after[name]));
}

/**
 * Equal as JSON.
 * @param {unknown} a
 * @param {unknown} b
 */
export function isSame(a, b) {
  if (a === b || typeof a !== "object" || typeof b !== "object") return a === b;
  return JSON.stringify(a) === JSON.stringify(b);
}

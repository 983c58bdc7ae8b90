// @ts-check
// What the server has not acknowledged, kept in the browser so that a reload or a crash loses
// nothing. Each tab keeps its own; one whose tab is gone is taken over by the next.

const PREFIX = "workbench-drafts:";
const TAB_KEY = "workbench-tab";
// A tab renews its drafts more often than this while it lives, also in the background.
const ABANDONED_MS = 180_000;

/**
 * @typedef {Pick<Storage, "getItem" | "setItem" | "removeItem" | "key" | "length">} Store
 * @typedef {{at: number, cells: import("./cell-store.js").Draft[]}} Saved
 */

export class Drafts {
  #session;
  #store;
  #tab;

  /**
   * @param {string} session its id
   * @param {object} [stores] null: switched off
   * @param {Store | null} [stores.local] shared by all tabs
   * @param {Store | null} [stores.tab] this tab's, which a reload keeps
   */
  constructor(session, { local = storage("localStorage"), tab = storage("sessionStorage") } = {}) {
    this.#session = `${PREFIX}${session}:`;
    this.#store = local;
    this.#tab = this.#session + tabName(tab);
  }

  /**
   * What is to be sent again: this tab's drafts, and those of tabs that are gone.
   * @param {number} [now] in ms
   * @returns {import("./cell-store.js").Draft[]}
   */
  load(now = Date.now()) {
    const found = this.#keys().map((key) => ({ key, saved: this.#read(key) }));
    const mine = found.filter(({ key, saved }) => key === this.#tab || now - saved.at > ABANDONED_MS);
    mine.sort((a, b) => b.saved.at - a.saved.at); // the newest draft of a cell counts
    for (const { key } of mine) if (key !== this.#tab) this.#remove(key);
    return mine.flatMap(({ saved }) => saved.cells);
  }

  /**
   * Keep these, and nothing else.
   * @param {import("./cell-store.js").Draft[]} cells
   * @param {number} [now] in ms
   * @returns {boolean} false if the browser does not keep them
   */
  save(cells, now = Date.now()) {
    if (!cells.length) return this.#remove(this.#tab);
    if (!this.#store) return false;
    try {
      this.#store.setItem(this.#tab, JSON.stringify({ at: now, cells }));
      return true;
    } catch {
      return false; // its quota is used up
    }
  }

  #keys() {
    const store = this.#store;
    if (!store) return [];
    const keys = Array.from({ length: store.length }, (_, i) => store.key(i) ?? "");
    return keys.filter((key) => key.startsWith(this.#session));
  }

  /**
   * @param {string} key
   * @returns {Saved}
   */
  #read(key) {
    try {
      const { at, cells } = JSON.parse(this.#store?.getItem(key) ?? "");
      if (Array.isArray(cells)) return { at: Number(at), cells };
    } catch {
      // Not ours, or cut off: nothing can be taken from it.
    }
    return { at: 0, cells: [] };
  }

  /** @param {string} key */
  #remove(key) {
    this.#store?.removeItem(key);
    return true;
  }
}

/** @param {"localStorage" | "sessionStorage"} name */
function storage(name) {
  try {
    return globalThis[name] ?? null;
  } catch {
    return null; // storage is switched off
  }
}

/** @param {Store | null} store */
function tabName(store) {
  const name = store?.getItem(TAB_KEY) ?? Math.random().toString(36).slice(2);
  try {
    store?.setItem(TAB_KEY, name);
  } catch {
    // A reload is another tab, then: its drafts are found once they are old enough.
  }
  return name;
}

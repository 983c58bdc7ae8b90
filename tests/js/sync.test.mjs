import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { NotebookDocument } from "../../static/workbench/js/notebook/document.js";
import { Drafts } from "../../static/workbench/js/notebook/drafts.js";
import { NotebookSync } from "../../static/workbench/js/notebook/sync.js";

const TYPING_MS = 400;

/** The server's side of the socket, in memory: docs/events.md. */
class Peer {
  rows = new Map();
  version = 0;
  frames = [];
  isOpen = false;
  refusal = null;
  #handlers = new Map();
  #onState = () => {};

  on(type, handler) { this.#handlers.set(type, handler); }
  onState(handler) { this.#onState = handler; }
  connect() { this.open(0); }
  disconnect() { this.isOpen = false; }
  open(since) {
    this.isOpen = true;
    this.#onState("open", "");
    const cells = [...this.rows.values()].filter((row) => row.version > since);
    this.tell({ type: "cells", cells: structuredClone(cells), version: this.version, metadata: {} });
    this.tell({ type: "live", version: this.version });
  }
  lose() { this.isOpen = false; this.#onState("waiting", ""); }
  send(frame) {
    if (this.isOpen) this.frames.push(structuredClone(frame));
    return this.isOpen;
  }
  tell(frame) { this.#handlers.get(frame.type)(frame); }

  /** Obey the oldest frame; with `isLost`, its answer never arrives. */
  answer({ isLost = false } = {}) {
    const { edit, cells } = this.frames.shift();
    if (this.refusal?.(cells)) return this.tell({ type: "error", code: "limit", message: "Too much.", in_reply_to: "edit" });
    const theirs = cells.filter(({ id, base, source }) => {
      const row = this.rows.get(id);
      return row && source !== undefined && base < row.version && source !== row.source;
    });
    if (theirs.length) return this.tell({ type: "conflict", edit, cells: theirs.map(({ id }) => ({ ...this.rows.get(id) })) });
    this.write(cells);
    if (!isLost) this.tell({ type: "edited", edit, version: this.version });
  }
  answerAll() { while (this.frames.length) this.answer(); }
  write(cells) {
    this.version += 1;
    for (const { base: _base, ...fields } of cells) {
      const before = { kind: "code", source: "", metadata: {}, outputs: [], is_deleted: false, ...this.rows.get(fields.id) };
      this.rows.set(fields.id, { ...before, ...fields, version: this.version });
    }
  }
  /** Another tab's edit, with the notice of it. */
  edit(...cells) {
    this.write(cells);
    this.tell({ type: "cells", cells: cells.map(({ id }) => ({ ...this.rows.get(id) })), version: this.version, metadata: {} });
  }
}

/** As a browser's storage. */
class Store extends Map {
  capacity = Infinity;
  get length() { return this.size; }
  key(index) { return [...this.keys()][index] ?? null; }
  getItem(key) { return this.get(key) ?? null; }
  removeItem(key) { this.delete(key); }
  setItem(key, value) {
    if (value.length > this.capacity) throw new Error("QuotaExceededError");
    this.set(key, value);
  }
}

beforeEach((t) => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  globalThis.document = new EventTarget();
  const page = new EventTarget();
  globalThis.addEventListener = page.addEventListener.bind(page);
  globalThis.dispatchEvent = page.dispatchEvent.bind(page);
});

/** A page with the cell "a", connected. */
function page({ peer = new Peer(), local = new Store(), tab = new Store() } = {}) {
  if (!peer.rows.size) peer.write([{ id: "a", source: "", position: "000000000001" }]);
  const document = new NotebookDocument();
  const sync = new NotebookSync(document, "s", { socket: peer, drafts: new Drafts("s", { local, tab }) });
  const states = [];
  const conflicts = [];
  const warnings = [];
  sync.onState((state) => states.push(["saved", "saving", "offline", "failed"].find((name) => state[name])));
  sync.onConflict((id, theirs) => conflicts.push([id, theirs.source]));
  sync.onWarning((sentence) => warnings.push(sentence));
  sync.connect();
  const type = (text) => { document.setSource("a", text); mock.timers.tick(TYPING_MS); };
  return { peer, document, sync, states, conflicts, warnings, type, local, tab };
}

test("typing is sent once it pauses, structure at once", () => {
  const { document, peer } = page();
  document.setSource("a", "1");
  document.setSource("a", "12");
  assert.equal(peer.frames.length, 0);
  mock.timers.tick(TYPING_MS);
  assert.deepEqual(peer.frames.map(({ cells }) => cells), [[{ id: "a", base: 1, source: "12" }]]);
  peer.answer();
  document.remove("a");
  assert.equal(peer.frames.length, 1);
});

test("one edit is on its way at a time, and what waits is merged", () => {
  const { peer, document, type } = page();
  type("1");
  type("12");
  type("123");
  document.setKind("a", "raw");
  assert.equal(peer.frames.length, 1);
  peer.answer();
  assert.deepEqual(peer.frames.map(({ cells }) => cells), [[{ id: "a", base: 2, source: "123", kind: "raw" }]]);
  peer.answer();
  assert.deepEqual([peer.rows.get("a").source, document.hasUnsaved, peer.frames.length], ["123", false, 0]);
});

test("the state says saving, then saved", () => {
  const { peer, type, states } = page();
  type("1");
  peer.answer();

  assert.deepEqual(states, ["saved", "saving", "saved"]);
});

test("leaving the page sends what waits", () => {
  const { document, peer } = page();
  document.setSource("a", "1");
  dispatchEvent(new Event("pagehide"));
  assert.equal(peer.frames.length, 1);
});

test("what was written without a connection is sent once it is back", () => {
  const { peer, type, states } = page();
  peer.lose();
  type("offline");
  assert.deepEqual([peer.frames.length, states.at(-1)], [0, "offline"]);
  peer.open(1);
  peer.answerAll();
  assert.deepEqual([peer.rows.get("a").source, states.at(-1)], ["offline", "saved"]);
});

test("an edit whose answer is lost is not a conflict, even if the person writes on", () => {
  const { peer, document, type, conflicts } = page();
  type("1");
  peer.answer({ isLost: true });
  peer.lose();
  type("12");
  peer.open(document.version);
  peer.answerAll();

  assert.deepEqual([peer.rows.get("a").source, conflicts], ["12", []]);
});

test("a draft outlives the page", () => {
  const { peer, type, local, tab } = page();
  peer.lose();
  type("draft");
  const again = page({ peer, local, tab });
  assert.equal(again.document.cell("a").source, "draft");
  peer.answerAll();

  assert.equal(peer.rows.get("a").source, "draft");
  assert.deepEqual([...local.keys()], []);
});

test("another tab's drafts are left alone while it lives, and taken over once it is gone", () => {
  const local = new Store();
  const other = new Drafts("s", { local, tab: new Store() });
  other.save([{ id: "a", fields: { source: "theirs" }, base: 1, from: "", sent: null }], 1_000);
  const mine = new Drafts("s", { local, tab: new Store() });

  assert.deepEqual(mine.load(20_000), []);
  assert.deepEqual(mine.load(600_000).map(({ id }) => id), ["a"]);
  assert.deepEqual([...local.keys()], []);
});

test("broken drafts and a switched-off storage are survived", () => {
  const local = new Store([["workbench-drafts:s:x", "{"]]);
  assert.deepEqual(new Drafts("s", { local, tab: null }).load(), []);
  assert.equal(new Drafts("s", { local: null, tab: null }).save([{ id: "a" }]), false);
});

test("a full storage is said once, and the edit still goes out", () => {
  const local = new Store();
  local.capacity = 10;
  const { peer, type, warnings } = page({ local });
  type("1");
  type("12");
  peer.answerAll();

  assert.equal(warnings.length, 1);
  assert.equal(peer.rows.get("a").source, "12");
});

test("a conflict waits for the person, other cells go on", () => {
  const { peer, document, sync, type, conflicts } = page();
  document.insert("code", { atEnd: true }, "other");
  peer.answerAll();
  document.setSource("a", "mine");
  peer.edit({ id: "a", source: "theirs" });
  sync.flush();
  peer.answerAll();
  assert.deepEqual(conflicts, [["a", "theirs"]]);
  assert.equal(document.cell("a").source, "mine");

  document.setSource(document.cells[1].id, "more");
  sync.flush();
  peer.answerAll();
  assert.equal(peer.rows.get(document.cells[1].id).source, "more");

  sync.resolve("a", "mine");
  peer.answerAll();
  assert.equal(peer.rows.get("a").source, "mine");
});

test("a conflict ended with their text sends nothing", () => {
  const { peer, document, sync } = page();
  document.setSource("a", "mine");
  peer.edit({ id: "a", source: "theirs" });
  sync.flush();
  peer.answer();
  sync.resolve("a", "theirs");

  assert.deepEqual([document.cell("a").source, peer.frames.length], ["theirs", 0]);
});

test("what the server refuses is found, and the rest is saved", () => {
  const { peer, document, states } = page();
  peer.refusal = (cells) => cells.some(({ source }) => source === "bad");
  document.paste(["good", "bad", "fine"].map((source) => ({ kind: "code", source })), { atEnd: true });
  peer.answerAll();
  assert.deepEqual([...peer.rows.values()].map(({ source }) => source), ["", "good", "fine"]);
  assert.equal(states.at(-1), "failed");

  document.setSource(document.cells[2].id, "better");
  mock.timers.tick(TYPING_MS);
  peer.answerAll();
  assert.equal(states.at(-1), "saved");
  assert.equal(peer.rows.size, 4);
});

test("many cells go in several edits, and one that no frame carries is said", () => {
  const { peer, document, states } = page();
  document.paste(Array.from({ length: 1_000 }, (_, i) => ({ kind: "code", source: `${i}` })), { atEnd: true });
  peer.answerAll();
  assert.equal(peer.rows.size, 1_001);

  document.setSource("a", "x".repeat(1_100_000));
  mock.timers.tick(TYPING_MS);
  assert.deepEqual([peer.frames.length, states.at(-1)], [0, "failed"]);
});

test("the notebook's own metadata are saved", () => {
  const { peer, document } = page();
  document.setNotebookMetadata({ title: "x" });
  assert.deepEqual(peer.frames[0].metadata, { title: "x" });
  peer.answerAll();
  assert.equal(document.hasUnsaved, false);
});

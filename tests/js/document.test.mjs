import assert from "node:assert/strict";
import { test } from "node:test";

import { NotebookDocument } from "../../static/workbench/js/notebook/document.js";
import { ofEvent } from "../../static/workbench/js/notebook/positions.js";

const row = (id, position, fields = {}) => ({
  id, position, kind: "code", source: `# ${id}`, metadata: {}, outputs: [], version: 1, is_deleted: false, ...fields,
});
const run = (id, queuedNumber, fields = {}) => ({
  id, queuedNumber, code: `# ${id}`, kind: "code", origin: "azure", cell: null, ...fields,
});
const log = (...runs) => ({ number: 100, executions: new Map(runs.map((one) => [one.id, one])) });

/** A document with rows a, b, c; new cells are n1, n2 … */
function notebook(rows = [row("a", ofEvent(1)), row("b", ofEvent(2)), row("c", ofEvent(3))]) {
  let made = 0;
  const document = new NotebookDocument(() => `n${++made}`);
  document.applyRows(rows, 1, {});
  return document;
}
const ids = (document) => document.cells.map((cell) => cell.id).join(" ");
const sources = (document) => document.cells.map((cell) => cell.source);
/** What the server would say to everything that waits. */
function save(document, version) {
  const sent = document.pending();
  document.markSent(sent);
  document.acknowledge(sent, version);
  return sent;
}

test("rows and executions without a cell are one list, in the order of their positions", () => {
  const document = notebook([row("b", `${ofEvent(5)}V`), row("gone", ofEvent(2), { is_deleted: true, source: "" })]);
  document.applyExecutions(log(run("x", 5), run("y", 9), run("z", 12, { cell: "b" })));

  assert.equal(ids(document), "x b y");
  const [x, b] = document.cells;
  assert.deepEqual([x.isVirtual, x.executionId, x.origin, x.source], [true, "x", "azure", "# x"]);
  assert.deepEqual([b.isVirtual, b.executionId, b.isEditedSinceRun], [false, "z", true]);
});

test("a row overrides the execution of the same id", () => {
  const document = notebook([]);
  document.applyExecutions(log(run("x", 5), run("y", 6)));
  document.applyRows([row("x", ofEvent(7), { kind: "markdown", source: "text" }), row("y", "", { is_deleted: true })], 2);

  assert.equal(ids(document), "x");
  assert.deepEqual([document.cells[0].kind, document.cells[0].isVirtual], ["markdown", false]);
});

test("a cell shows its last run", () => {
  const document = notebook();
  document.applyExecutions(log(run("x", 5, { cell: "a", code: "# a" }), run("y", 6, { cell: "a", code: "# a" })));

  assert.equal(document.cell("a").executionId, "y");
  assert.equal(document.cell("a").isEditedSinceRun, false);
  document.setSource("a", "2");
  assert.equal(document.cell("a").isEditedSinceRun, true);
});

test("what did not change is the same object", () => {
  const document = notebook();
  const [a, b, c] = document.cells;
  document.setSource("b", "new");
  document.applyRows([row("c", ofEvent(3))], 2);

  assert.equal(document.cells[0], a);
  assert.notEqual(document.cells[1], b);
  assert.equal(document.cells[2], c);
});

test("an edited execution is sent wholly, then only what changes", () => {
  const document = notebook([]);
  document.applyExecutions(log(run("x", 5)));
  document.setSource("x", "1");

  assert.deepEqual(save(document, 3), [{ id: "x", base: 0, kind: "code", source: "1", position: ofEvent(5) }]);
  document.setSource("x", "2");
  assert.deepEqual(document.pending(), [{ id: "x", base: 3, source: "2" }]);
});

test("later edits of a cell merge, and what was typed while one was on its way stays", () => {
  const document = notebook();
  document.setSource("a", "1");
  document.setSource("a", "12");
  const sent = document.pending();
  document.markSent(sent);
  document.setSource("a", "123");
  document.acknowledge(sent, 2);

  assert.deepEqual(sent, [{ id: "a", base: 1, source: "12" }]);
  assert.deepEqual(document.pending(), [{ id: "a", base: 2, source: "123" }]);
  assert.equal(document.cell("a").source, "123");
});

test("cells are inserted above, below and at the end, where the next run will not come before them", () => {
  const document = notebook();
  document.insert("code", { before: "a" });
  document.insert("markdown", { after: "a" }, "text");
  const [{ id }] = document.insert("code", { atEnd: true });
  document.applyExecutions({ number: 4, executions: new Map([["x", run("x", 4)]]) });

  assert.equal(ids(document), `n1 a n2 b c ${id} x`);
  assert.deepEqual([document.cell("n2").kind, document.cell("n2").source], ["markdown", "text"]);
});

test("cells move one step, together, or beside another, and not over the edge", () => {
  const document = notebook();
  document.move("c", "up");
  assert.equal(ids(document), "a c b");
  document.move(["c", "b"], "up");
  assert.equal(ids(document), "c b a");
  document.move("c", { after: "b" });
  assert.equal(ids(document), "b c a");
  assert.deepEqual(document.move("b", "up"), []);
  assert.deepEqual(document.move("a", "down"), []);
});

test("a cell is split at the caret: the lower part stays the cell it was", () => {
  const document = notebook([row("a", ofEvent(1), { source: "one\n\ntwo\n" })]);
  document.applyExecutions(log(run("x", 5, { cell: "a" })));
  document.split("a", 4);

  assert.deepEqual(sources(document), ["one", "two\n"]);
  assert.deepEqual([ids(document), document.cell("a").executionId], ["n1 a", "x"]);
  document.undo();
  assert.deepEqual(sources(document), ["one\n\ntwo\n"]);
  document.redo();
  assert.deepEqual(sources(document), ["one", "two\n"]);
});

test("taking back a split keeps what was written in the parts", () => {
  const document = notebook([row("a", ofEvent(1), { source: "one\ntwo" })]);
  document.split("a", 4);
  document.setSource("n1", "ONE");
  document.setSource("a", "TWO");
  document.undo();

  assert.deepEqual(sources(document), ["ONE\nTWO"]);
  document.redo();
  assert.deepEqual(sources(document), ["ONE", "TWO"]);
});

test("cells merge into the first of them", () => {
  const document = notebook();
  document.mergeWithNext("a");
  assert.deepEqual([ids(document), document.cell("a").source], ["a c", "# a\n# b"]);
  document.mergeWithPrevious("c");
  assert.equal(ids(document), "a");
  document.undo();
  document.undo();
  assert.deepEqual(sources(document), ["# a", "# b", "# c"]);
  document.merge(["c", "a"]);
  assert.equal(document.cell("a").source, "# a\n# c");
  assert.deepEqual(document.mergeWithNext("b"), []);
});

test("a deleted cell comes back with its text, also once the server has said so", () => {
  const document = notebook();
  document.remove(["a", "b"]);
  save(document, 2);
  document.applyRows([row("a", ofEvent(1), { source: "", is_deleted: true, version: 2 })], 2);
  assert.equal(ids(document), "c");
  document.undo();

  assert.deepEqual(sources(document), ["# a", "# b", "# c"]);
  assert.deepEqual(document.pending(), [{ id: "a", base: 2, is_deleted: false }, { id: "b", base: 2, is_deleted: false }]);
});

test("undo leaves alone what others have changed meanwhile", () => {
  const document = notebook();
  document.setKind("a", "markdown");
  document.remove("b");
  document.move("c", "up");
  save(document, 2);
  document.applyRows([row("c", ofEvent(9), { version: 3 }), row("a", ofEvent(1), { kind: "raw", version: 4 })], 4);
  document.undo(); // the move is theirs now, so this is the deletion
  assert.equal(ids(document), "a b c");
  document.undo();
  assert.equal(document.cell("a").kind, "raw");
});

test("a new edit ends what could be done again", () => {
  const document = notebook();
  document.remove("a");
  document.undo();
  document.remove("c");

  assert.deepEqual([document.undoTitle, document.redoTitle, document.redo()], ["Delete cell", "", []]);
});

test("copied cells are pasted in order, as new ones", () => {
  const document = notebook();
  const changes = document.paste(document.copy(["b", "a"]), { after: "c" });

  assert.deepEqual(sources(document), ["# a", "# b", "# c", "# a", "# b"]);
  assert.deepEqual(changes.map(({ id }) => id), ["n1", "n2"]);
});

test("cleared outputs are gone until the cell runs again", () => {
  const document = notebook([row("a", ofEvent(1), { outputs: [{ output_type: "stream" }] })]);
  document.applyExecutions(log(run("x", 5, { cell: "a" })));
  document.clear("a");
  assert.deepEqual([document.cell("a").executionId, document.cell("a").outputs], [null, []]);
  document.applyExecutions(log(run("x", 5, { cell: "a" }), run("y", 7, { cell: "a" })));
  assert.equal(document.cell("a").executionId, "y");
});

test("others' text arrives where nobody writes here, and is a conflict where somebody does", () => {
  const document = notebook();
  document.setSource("a", "mine");
  const theirs = [row("a", ofEvent(1), { source: "theirs", version: 2 }), row("b", ofEvent(2), { source: "new", version: 3 })];
  document.applyRows(theirs, 3);
  assert.deepEqual(sources(document), ["mine", "new", "# c"]);
  assert.deepEqual(document.pending(), [{ id: "a", base: 1, source: "mine" }]);

  assert.deepEqual(document.conflict([theirs[0]]).map(({ source }) => source), ["theirs"]);
  assert.deepEqual([document.pending(), document.cell("a").isConflicted], [[], true]);
  document.resolve("a", "mine");
  assert.deepEqual(document.pending(), [{ id: "a", base: 2, source: "mine" }]);
});

test("theirs can be taken", () => {
  const document = notebook();
  document.setSource("a", "mine");
  document.conflict([row("a", ofEvent(1), { source: "theirs", version: 2 })]);
  document.resolve("a", "theirs");

  assert.deepEqual([document.cell("a").source, document.cell("a").isConflicted, document.hasUnsaved], ["theirs", false, false]);
});

test("a cell that others only moved is no conflict", () => {
  const document = notebook();
  document.setSource("a", "mine");
  document.applyRows([row("a", ofEvent(8), { version: 2 })], 2);

  assert.deepEqual(document.pending(), [{ id: "a", base: 2, source: "mine" }]);
  assert.equal(ids(document), "b c a");
});

test("an edit whose answer was lost is not a conflict with oneself", () => {
  const document = notebook();
  document.setSource("a", "1");
  document.markSent(document.pending());
  document.setSource("a", "12");
  document.applyRows([row("a", ofEvent(1), { source: "1", version: 2 })], 2);

  assert.deepEqual(document.pending(), [{ id: "a", base: 2, source: "12" }]);
});

test("a cell that others delete while somebody writes in it stays", () => {
  const document = notebook();
  document.setSource("a", "mine");
  document.applyRows([row("a", ofEvent(1), { source: "", is_deleted: true, version: 2 })], 2);

  assert.equal(document.cell("a").source, "mine");
  assert.deepEqual(document.pending(), [{ id: "a", base: 2, source: "mine", is_deleted: false }]);
});

test("drafts of an earlier page go on top of what the server has", () => {
  const before = notebook();
  before.setSource("a", "unsent");
  before.insert("code", { after: "a" }, "new");
  const after = new NotebookDocument();
  after.restore(structuredClone(before.drafts()));
  after.applyRows([row("a", ofEvent(1)), row("b", ofEvent(2))], 1);

  assert.deepEqual(sources(after), ["unsent", "new", "# b"]);
  assert.deepEqual(after.pending().map(({ base }) => base), [1, 0]);
});

test("cells at one and the same place make room", () => {
  const document = notebook([row("a", ofEvent(1)), row("b", ofEvent(1)), row("c", ofEvent(1))]);
  document.insert("code", { after: "a" });
  assert.equal(ids(document), "a n1 b c");
  document.undo();
  assert.equal(ids(document), "a b c");
});

/** Processor time, in µs, of runs, typing and insertions in a notebook of so many cells. */
function work(count) {
  const document = notebook(Array.from({ length: count }, (_, i) => row(`r${i}`, `${ofEvent(0)}${String(i).padStart(5, "1")}1`)));
  const executions = new Map();
  const before = process.cpuUsage().user;
  for (let i = 1; i <= 1_000; i++) {
    executions.set(`x${i}`, run(`x${i}`, i));
    document.applyExecutions({ number: i, executions });
    document.setSource("r500", `${i}`);
  }
  for (let i = 0; i < 200; i++) document.insert("code", { after: "r100" });
  assert.equal(document.cells.length, count + 1_200);
  return process.cpuUsage().user - before;
}

test("an event or an edit costs no more than in proportion to the cells there are", () => {
  work(1_000); // so that both are measured warm
  const [few, many] = [work(1_000), work(8_000)];

  assert.ok(many < 24 * few, `${few} µs, then ${many} µs`);
});

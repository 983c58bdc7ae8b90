import assert from "node:assert/strict";
import { test } from "node:test";

import { commsSince } from "../../static/workbench/js/fold-comms.js";
import { emptyState, fold, queuePlaces, runningExecution } from "../../static/workbench/js/fold.js";

/** Numbered events, from [type, data, execution] lines. */
function log(...lines) {
  return lines.map(([type, data, execution = "a"], i) => ({
    number: i + 1, type, execution, at: `2026-01-01T00:00:0${i % 10}Z`, data,
  }));
}
const queued = (code, execution) => ["execution_queued", { code, kind: "code", origin: "azure", client_id: "" }, execution];
const out = (text, name = "stdout") => ["stream", { name, text }];
const shown = (state, id = "a") => state.executions.get(id).outputs;
const folded = (...lines) => fold(emptyState(), log(...lines));

test("an execution goes from queued to running to its end", () => {
  const events = log(
    queued("1/0"),
    ["execution_started", {}],
    ["execution_finished", { state: "failed", reason: "", exit_code: null, duration_seconds: 0.5, execution_count: 3 }],
  );

  const [first, second, third] = events.map((_, i) => fold(emptyState(), events.slice(0, i + 1)).executions.get("a"));

  assert.equal(first.state, "queued");
  assert.deepEqual([second.state, second.startedAt], ["running", "2026-01-01T00:00:01Z"]);
  assert.deepEqual([third.state, third.executionCount, third.durationSeconds], ["failed", 3, 0.5]);
});

test("pieces of one stream become one output, and another stream begins another", () => {
  const state = folded(queued("x"), out("a"), out("b"), out("!", "stderr"), out("c"));

  assert.deepEqual(shown(state).map(({ name, chunks }) => [name, chunks.join("")]), [["stdout", "ab"], ["stderr", "!"], ["stdout", "c"]]);
});

test("folding leaves the state before as it was", () => {
  const events = log(queued("x"), out("a"), out("b"));
  const before = fold(emptyState(), events.slice(0, 2));
  const copy = structuredClone(before);

  fold(before, events.slice(2));

  assert.deepEqual(before, copy);
});

test("one fold of all events and a fold for each give the same", () => {
  const events = log(queued("x"), out("a"), ["display_data", { data: { "text/plain": "1" }, display_id: "d" }], out("b"), out("c"),
    ["update_display_data", { data: { "text/plain": "2" }, display_id: "d" }], ["clear_output", { wait: true }], out("d"));

  const each = events.reduce((state, event) => fold(state, [event]), emptyState());

  assert.deepEqual(fold(emptyState(), events), each);
});

test("an execution that no event touches stays the same object", () => {
  const events = log(queued("x", "a"), queued("y", "b"), ["stream", { name: "stdout", text: "1" }, "b"]);
  const before = fold(emptyState(), events.slice(0, 2));

  const after = fold(before, events.slice(2));

  assert.equal(after.executions.get("a"), before.executions.get("a"));
  assert.notEqual(after.executions.get("b"), before.executions.get("b"));
});

test("events that were seen before change nothing", () => {
  const events = log(queued("x"), out("a"));

  const state = fold(fold(emptyState(), events), events);

  assert.equal(shown(state)[0].chunks.join(""), "a");
});

test("clear_output clears at once, or with the next output if it waits", () => {
  const at_once = folded(queued("x"), out("a"), ["clear_output", { wait: false }]);
  const waiting = folded(queued("x"), out("a"), ["clear_output", { wait: true }]);
  const cleared = folded(queued("x"), out("a"), ["clear_output", { wait: true }], out("b"));

  assert.deepEqual(shown(at_once), []);
  assert.equal(shown(waiting).length, 1);
  assert.deepEqual(shown(cleared).map(({ chunks }) => chunks), [["b"]]);
});

test("an update changes every display with its id, also of other executions", () => {
  const state = folded(
    queued("x", "a"), queued("y", "b"),
    ["display_data", { data: { "text/plain": "old" }, display_id: "d" }, "a"],
    ["display_data", { data: { "text/plain": "other" }, display_id: null }, "b"],
    ["update_display_data", { data: { "text/plain": "new" }, display_id: "d" }, "b"],
  );

  assert.equal(shown(state, "a")[0].data["text/plain"], "new");
  assert.equal(shown(state, "b")[0].data["text/plain"], "other");
});

test("a question waits until it is answered, and stays to be read", () => {
  const asked = folded(queued("x"), ["input_request", { prompt: "Name? ", password: true }]);
  const answered = folded(queued("x"), ["input_request", { prompt: "Name? ", password: true }], ["input_answered", {}]);

  assert.deepEqual(asked.executions.get("a").input, { prompt: "Name? ", password: true });
  assert.equal(answered.executions.get("a").input, null);
  assert.equal(shown(answered)[0].chunks.join(""), "Name? \n");
});

test("the end of an execution ends its question", () => {
  const state = folded(queued("x"), ["input_request", { prompt: "?", password: false }], ["execution_finished", { state: "interrupted" }]);

  assert.equal(state.executions.get("a").input, null);
});

test("those that wait are counted in their order", () => {
  const state = folded(queued("x", "a"), queued("y", "b"), queued("z", "c"), ["execution_started", {}, "a"]);

  assert.deepEqual([...queuePlaces(state)], [["b", 1], ["c", 2]]);
  assert.equal(runningExecution(state).id, "a");
});

test("events of an execution nobody told of, and of unknown types, are passed over", () => {
  const state = folded(["stream", { name: "stdout", text: "a" }, "ghost"], ["news", {}, null]);

  assert.deepEqual([state.number, state.executions.size], [2, 0]);
});

test("a long log folds page by page", () => {
  const events = log(queued("x"), ...Array.from({ length: 100_000 }, (_, i) => out(`line ${i}\n`)));

  let state = emptyState();
  for (let i = 0; i < events.length; i += 500) state = fold(state, events.slice(i, i + 500));

  assert.equal(shown(state)[0].chunks.length, 100_000);
});

// Cells and comms

const comm = (kind, data = {}, id = "c", buffers = []) => ["comm",
  { kind, comm_id: id, target_name: kind === "open" ? "jupyter.widget" : "", data, metadata: {}, buffers }];
const update = (state, id, method = "update") => comm("msg", { method, state, buffer_paths: [] }, id);

test("an execution knows its cell, if it has one", () => {
  const state = folded(["execution_queued", { code: "1", cell: "k" }, "a"], queued("2", "b"));

  assert.deepEqual([...state.executions.values()].map(({ cell }) => cell), ["k", null]);
});

test("a comm's state follows its updates and echoes, and other messages change nothing", () => {
  const { comms } = folded(queued("x"), comm("open", { state: { value: 1, max: 9 }, buffer_paths: [] }),
    update({ value: 2 }), update({ value: 3 }, "c", "echo_update"), comm("msg", { method: "custom", content: { value: 4 } }));

  assert.deepEqual(comms.get("c"), { id: "c", targetName: "jupyter.widget", execution: "a", state: { value: 3, max: 9 }, buffers: [], isOpen: true });
});

test("buffers belong to their keys and go with them", () => {
  const opened = comm("open", { state: { n: 1 }, buffer_paths: [["image"], ["list", 0]] }, "c", ["AA==", "AQ=="]);
  const changed = comm("msg", { method: "update", state: {}, buffer_paths: [["image"]] }, "c", ["Ag=="]);
  const { comms } = folded(opened, changed, update({ list: [] }));

  assert.deepEqual(comms.get("c").buffers, [{ path: ["image"], encoding: "base64", data: "Ag==" }]);
  assert.deepEqual(comms.get("c").state, { n: 1, list: [] });
});

test("comms end with a close and with their kernel, and their last state is kept", () => {
  const closed = folded(comm("open", { state: { v: 1 } }), comm("open", { state: { v: 2 } }, "d"), comm("close"));
  const died = fold(closed, [{ number: 9, type: "session_state", execution: null, at: "", data: { state: "died", reason: "" } }]);

  assert.deepEqual([...closed.comms.values()].map(({ isOpen }) => isOpen), [false, true]);
  assert.deepEqual([...died.comms.values()].map(({ isOpen, state }) => [isOpen, state.v]), [[false, 1], [false, 2]]);
  assert.equal(closed.comms.get("d").isOpen, true);
});

test("a comm that no event touches stays the same object, and the state before stays as it was", () => {
  const events = log(comm("open", { state: { v: 1 } }), comm("open", { state: { v: 1 } }, "d"), update({ v: 2 }, "d"));
  const before = fold(emptyState(), events.slice(0, 2));
  const copy = structuredClone(before.comms);

  const after = fold(before, events.slice(2));

  assert.equal(after.comms.get("c"), before.comms.get("c"));
  assert.deepEqual(before.comms, copy);
});

test("comm events are handed on once each, also when two states go on from one", () => {
  const events = log(comm("open", { state: {} }), update({ v: 1 }), update({ v: 2 }));
  const before = fold(emptyState(), events.slice(0, 1));
  const one = fold(before, events.slice(1, 2));
  const other = fold(before, [{ ...events[2], number: 2 }]);

  assert.deepEqual(commsSince(before, 0).map(({ number }) => number), [1]);
  assert.deepEqual(commsSince(one, 1), [events[1]]);
  assert.equal(commsSince(other, 1)[0].data.data.state.v, 2);
});

test("who is too far behind is told so", () => {
  const events = log(...Array.from({ length: 10_000 }, (_, v) => update({ v })));
  const state = fold(emptyState(), events);

  assert.equal(commsSince(state, 0), null);
  assert.equal(commsSince(state, 9_990).length, 10);
  assert.ok(state.commLog.events.length <= 4_000);
});

import assert from "node:assert/strict";
import { test } from "node:test";

import { freshName } from "../../static/workbench/js/fresh-name.js";
import { nearest, niceTicks, paths, place } from "../../static/workbench/js/panels/chart-scale.js";
import { matchingRuns, originsOf } from "../../static/workbench/js/panels/history-model.js";
import { headingsIn, headingsOf, nested } from "../../static/workbench/js/panels/outline-model.js";
import { firstLine, lastLines, moreLines, outputText } from "../../static/workbench/js/panels/run-facts.js";
import { nextSort, orderOf } from "../../static/workbench/js/panels/table-grid.js";
import { changedNames, matching, mayHaveChanged, shapeText, shownSize } from "../../static/workbench/js/panels/variables-model.js";
import { sparkPath } from "../../static/workbench/js/sparkline.js";

// The outline

test("headings are lines with one to six signs and a space", () => {
  const source = "# One\n#two\n   ### Three ###\n####### seven\n    # four spaces: code\n##\n\\# escaped";

  assert.deepEqual(headingsIn(source), [
    { level: 1, text: "One" }, { level: 3, text: "Three" }, { level: 2, text: "–" },
  ]);
});

test("what stands in fenced code is no heading, whatever closes it not", () => {
  const source = "````\n# a\n```\n# b\n`````\n# c\n~~~ python\n# d\n```\n~~~\n# e\n```not `a` fence\n# f";

  assert.deepEqual(headingsIn(source).map(({ text }) => text), ["c", "e", "f"]);
});

test("a fence that is never closed lasts to the end of its cell only", () => {
  const cells = [
    { id: "a", kind: "markdown", source: "# A\n```\n# no" },
    { id: "b", kind: "code", source: "# a comment" },
    { id: "c", kind: "markdown", source: "# C\n## D" },
  ];

  assert.deepEqual(headingsOf(cells), [
    { cell: "a", nth: 0, level: 1, text: "A" },
    { cell: "c", nth: 0, level: 1, text: "C" },
    { cell: "c", nth: 1, level: 2, text: "D" },
  ]);
});

test("a heading is listed without the signs of its markup", () => {
  const source = "# **Bold** and `code_x` of [a link](https://x.test) with *stress*, _more_, snake_case_name and 2 * 3 * 4";

  assert.equal(headingsIn(source)[0].text, "Bold and code_x of a link with stress, more, snake_case_name and 2 * 3 * 4");
});

test("headings are below the last one of a higher level", () => {
  const levels = [2, 3, 3, 1, 4, 2];
  const shape = (nodes) => nodes.map(({ heading, below }) => [heading.level, shape(below)]);

  const tree = nested(levels.map((level, nth) => ({ cell: "a", nth, level, text: "" })));

  assert.deepEqual(shape(tree), [[2, [[3, []], [3, []]]], [1, [[4, []], [2, []]]]]);
});

// The history

const stream = (...chunks) => ({ kind: "stream", name: "stdout", chunks, key: 1 });
const run = (fields) => ({ code: "", state: "succeeded", origin: "browser", outputs: [], ...fields });
const RUNS = [
  run({ id: "a", code: "import os\nprint(1)" }),
  run({ id: "b", code: "fail()", state: "failed", origin: "azure", outputs: [
    { kind: "error", ename: "NameError", evalue: "no", traceback: ["\x1b[31mName\x1b[0mError: no"], key: 1 },
  ] }),
  run({ id: "c", state: "timed_out", origin: "azure", outputs: [stream("half of a ", "line\n")] }),
  run({ id: "d", state: "running", outputs: [{ kind: "result", data: { "text/plain": "FOUR" }, metadata: {}, displayId: null, key: 1 }] }),
];
const ids = (wanted) => matchingRuns(RUNS, { text: "", group: "", origin: "", ...wanted }).map(({ id }) => id);

test("all runs match an empty search, the newest first", () => {
  assert.deepEqual(ids({}), ["d", "c", "b", "a"]);
});

test("code and outputs are searched in any case, over pieces and colours", () => {
  assert.deepEqual(ids({ text: "IMPORT os" }), ["a"]);
  assert.deepEqual(ids({ text: "nameerror: no" }), ["b"]);
  assert.deepEqual(ids({ text: "of a line" }), ["c"]);
  assert.deepEqual(ids({ text: " four " }), ["d"]);
});

test("states are looked for in groups, together with origins", () => {
  assert.deepEqual(ids({ group: "stopped" }), ["c"]);
  assert.deepEqual(ids({ group: "unfinished" }), ["d"]);
  assert.deepEqual(ids({ origin: "azure" }), ["c", "b"]);
  assert.deepEqual(ids({ origin: "azure", group: "failed", text: "fail" }), ["b"]);
  assert.deepEqual(originsOf(RUNS), ["azure", "browser"]);
});

test("a run that printed more is searched anew", () => {
  const before = run({ id: "e", outputs: [stream("one")] });
  const after = { ...before, outputs: [stream("one", " two")] };
  const search = (execution) => matchingRuns([execution], { text: "one two", group: "", origin: "" }).length;

  assert.deepEqual([search(before), search(after)], [0, 1]);
});

test("thousands of runs with output are searched at once, and again without delay", () => {
  const many = Array.from({ length: 5000 }, (_, at) =>
    run({ id: String(at), code: `x = ${at}\nprint(x)`, outputs: [stream(`value ${at}\n`.repeat(100))] }));
  const search = (text) => matchingRuns(many, { text, group: "", origin: "" });
  search("warm");

  const start = performance.now();
  const found = search("value 4999");

  assert.deepEqual(found.map(({ id }) => id), ["4999"]);
  assert.ok(performance.now() - start < 500);
});

test("a run is known by the first line that says something", () => {
  assert.equal(firstLine("\n  \n  x = 1\ny"), "x = 1");
  assert.equal(firstLine(" \n"), "");
  assert.equal(moreLines("\nx\n\ny\n"), 2);
  assert.equal(moreLines("x\n"), 0);
});

test("the end of a run's output is shown as a terminal would", () => {
  const outputs = [stream("a\n10%\r100%\n"), { kind: "error", ename: "E", evalue: "e", traceback: [], key: 2 }];

  assert.equal(lastLines(run({ outputs }), 5), "a\n100%\nE: e");
  assert.equal(lastLines(run({ outputs }), 2), "…\n100%\nE: e");
  assert.equal(lastLines(run({}), 2), "");
});

test("only the end of a very long output is looked at", () => {
  const text = outputText(stream("x".repeat(150_000), "y".repeat(150_000)));

  assert.equal(text.length, 200_000);
  assert.ok(text.endsWith("yy"));
});

// Variables and tables

const variable = (name, fields) => ({ name, type: "int", shape: "", size_bytes: 28, value: "1", is_table: false, ...fields });

test("changed are those that are new or look different, and none the first time", () => {
  const before = [variable("a"), variable("b"), variable("gone")];
  const after = [variable("a"), variable("b", { value: "2" }), variable("new")];

  assert.deepEqual(changedNames(before, after), new Set(["b", "new"]));
  assert.deepEqual(changedNames(null, after), new Set());
});

test("variables are found by name and by type", () => {
  const all = [variable("prices", { type: "DataFrame" }), variable("count")];

  assert.deepEqual(matching(all, " FRAME ").map(({ name }) => name), ["prices"]);
  assert.deepEqual(matching(all, "cou").map(({ name }) => name), ["count"]);
  assert.equal(matching(all, "").length, 2);
});

test("a shape is said in numbers, and a size only if it is worth it", () => {
  assert.deepEqual(["(1234, 6)", "(8,)", "()", "", "(2, ?)"].map(shapeText), ["1,234 × 6", "8", "", "", "(2, ?)"]);
  assert.deepEqual([null, 999, 1000].map((bytes) => shownSize(bytes, String)), ["", "", "1000"]);
});

test("variables may have changed once a run has ended, or with another kernel", () => {
  const state = (states, since = "t1") => ({
    executions: new Map(states.map((each, at) => [at, { state: each }])), session: { state: "idle", since },
  });
  const running = mayHaveChanged(state(["running"]));

  assert.equal(mayHaveChanged(state(["running", "queued"])), running);
  assert.notEqual(mayHaveChanged(state(["failed"])), running);
  assert.notEqual(mayHaveChanged(state(["running"], "t2")), running);
});

test("a column is sorted up, then down, then not", () => {
  const up = nextSort({ column: "", isDescending: false }, "a");
  const down = nextSort(up, "a");

  assert.deepEqual(up, { column: "a", isDescending: false });
  assert.deepEqual(down, { column: "a", isDescending: true });
  assert.deepEqual(nextSort(down, "a"), { column: "", isDescending: false });
  assert.deepEqual(nextSort(down, "b"), { column: "b", isDescending: false });
  assert.equal(orderOf(down), "by a, largest first");
  assert.equal(orderOf({ column: "", isDescending: false }), "");
});

// Charts

test("an axis has few round marks, from 0 to above the highest value", () => {
  assert.deepEqual(niceTicks(100), [0, 50, 100]);
  assert.deepEqual(niceTicks(101), [0, 50, 100, 150]);
  assert.deepEqual(niceTicks(212e6), [0, 100e6, 200e6, 300e6]);
  assert.deepEqual(niceTicks(7), [0, 2.5, 5, 7.5]);
  for (const most of [1, 3, 9, 99, 1e9, 1.7e10]) {
    const ticks = niceTicks(most);
    assert.ok(ticks.at(-1) >= most && ticks.length <= 4, String(most));
  }
});

const SCALE = { from: 0, to: 100_000, top: 10, width: 200, height: 50 };

test("a place is measured from the top left, and never above the scale", () => {
  assert.deepEqual(place({ at: 50_000, value: 5 }, SCALE), { x: 100, y: 25 });
  assert.deepEqual(place({ at: 0, value: 20 }, SCALE), { x: 0, y: 0 });
});

test("a silence is a gap in the line, and what was before the scale is left out", () => {
  const at = [-5_000, 0, 2_000, 50_000, 52_000, 99_000];

  const { line, area } = paths(at.map((each) => ({ at: each, value: 5 })), SCALE);

  assert.equal(line, "M0 25L4 25M100 25L104 25M198 25h0");
  assert.equal(area.split("Z").length - 1, 3);
  assert.deepEqual(paths([], SCALE), { line: "", area: "" });
});

test("the value at a place is that of the sample nearest to it", () => {
  const points = [{ at: 0, value: 1 }, { at: 10, value: 2 }];

  assert.equal(nearest(points, 4)?.value, 1);
  assert.equal(nearest(points, 6)?.value, 2);
  assert.equal(nearest([], 6), null);
});

test("a small line begins at 0, ends at the right edge, and needs two values", () => {
  const box = { width: 20, height: 12, most: 3 };

  assert.equal(sparkPath([5, 10], box), "M10.0 6.0L20.0 1.0");
  assert.equal(sparkPath([0, 0, 0], box), "M0.0 11.0L10.0 11.0L20.0 11.0");
  assert.equal(sparkPath([5], box), "");
});

// Names

test("a fresh name is one that nobody has", () => {
  const first = freshName(new Set(), () => 0);

  assert.match(first, /^[a-z]+-[a-z]+$/);
  assert.equal(freshName(new Set([first]), () => 0), `${first}-2`);
  assert.equal(freshName(new Set([first, `${first}-2`]), () => 0), `${first}-3`);
});

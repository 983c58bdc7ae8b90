import assert from "node:assert/strict";
import { test } from "node:test";

import { PLAIN, applySgr } from "../../static/workbench/js/outputs/ansi.js";
import { Terminal } from "../../static/workbench/js/outputs/terminal.js";

function lines(...texts) {
  const terminal = new Terminal();
  for (const text of texts) terminal.write(text);
  return terminal.lines.map((line) => line.map(({ text }) => text).join(""));
}

test("a carriage return overwrites, as progress bars do", () => {
  assert.deepEqual(lines("10 %\r50 %\r100 %\ndone"), ["100 %", "done"]);
  assert.deepEqual(lines("long line\rshort"), ["shortline"]);
  assert.deepEqual(lines("windows\r\nlines\r\n"), ["windows", "lines", ""]);
});

test("the cursor moves up and lines are erased, as nested progress bars do", () => {
  assert.deepEqual(lines("a\nb\x1b[A\rA\x1b[K\nB"), ["A", "B"]);
  assert.deepEqual(lines("gone\x1b[2K\rnew"), ["new"]);
});

test("a sequence that arrives in two pieces is one", () => {
  assert.deepEqual(lines("a\x1b[3", "1mred\x1b", "[0m!"), ["ared!"]);
});

test("what a terminal would not show is dropped", () => {
  assert.deepEqual(lines("a\x07\x1b]0;title\x07b\x1b[?25lc\x00"), ["abc"]);
  assert.deepEqual(lines("tab\there"), ["tab\there"]);
});

test("markup stays text", () => {
  assert.deepEqual(lines("<img src=x onerror=alert(1)>"), ["<img src=x onerror=alert(1)>"]);
});

test("colours: of the theme, of 256, and of all", () => {
  assert.equal(applySgr(PLAIN, "31").fg, 1);
  assert.equal(applySgr(PLAIN, "92").fg, 10);
  assert.equal(applySgr(PLAIN, "38;5;208").fg, "#ff8700");
  assert.equal(applySgr(PLAIN, "48;2;1;2;255").bg, "#0102ff");
  assert.equal(applySgr(applySgr(PLAIN, "1;31"), ""), PLAIN);
  assert.equal(applySgr(PLAIN, "38;5;999").fg, null);
});

test("a write says from which line on there is something new", () => {
  const terminal = new Terminal();

  assert.equal(terminal.write("a\nb\n"), 0);
  assert.equal(terminal.write("c\n"), 2);
  assert.equal(terminal.write("\x1b[2Ax"), 1);
});

test("a line overwritten very often stays one line", () => {
  const terminal = new Terminal();

  for (let i = 0; i < 20_000; i++) terminal.write(`\r${i} of 20000`);

  assert.equal(terminal.lines.length, 1);
});

test("nested progress bars leave what the outer one says", () => {
  const outer = (n) => `\router ${n}/2`;
  const inner = (n) => `\n\rinner ${n}\x1b[A`;
  const text = outer(0) + inner(0) + inner(1) + `\n\r       \r\x1b[A` + outer(1) + inner(0) + `\n\r       \r\x1b[A` + outer(2);

  assert.deepEqual(lines(text), ["outer 2/2", "       "]);
});

test("the cursor goes to a column, to the beginning of lines, and erases below", () => {
  assert.deepEqual(lines("abc\x1b[1GX\x1b[1CY"), ["XbY"]);
  assert.deepEqual(lines("a\nb\nc\x1b[2FX\x1b[J"), ["X"]);
  assert.deepEqual(lines("a\x1b[2Jb"), ["ab"]);
});

test("the cursor cannot be sent far away to fill the memory", () => {
  assert.ok(lines("\x1b[999999999Cx")[0].length <= 1_001);
  assert.ok(lines("\x1b[999999999Gx")[0].length <= 1_001);
});

import assert from "node:assert/strict";
import { test } from "node:test";

import { foldTraceback } from "../../static/workbench/js/outputs/traceback.js";

const RED = "\x1b[31m";
const OFF = "\x1b[39m";
const rule = `${RED}${"-".repeat(75)}${OFF}`;
const header = (name) => `${RED}${name}${OFF}${" ".repeat(20)}Traceback (most recent call last)`;
const cell = (line) => `\x1b[36mCell\x1b[39m\x1b[36m \x1b[39m\x1b[32mIn[1]\x1b[39m\x1b[32m, line ${line}\x1b[39m\n----> ${line} x()\n`;
const file = (path) => `\x1b[36mFile \x1b[39m\x1b[32m${path}:12\x1b[39m, in f(a)\n---> 12 a\n`;
const kinds = (error) => foldTraceback(error).map((part) => (part.kind === "folded" ? part.summary : part.kind));
const error = (...frames) => ({ ename: "KeyError", evalue: "'b'", traceback: [rule, header("KeyError"), ...frames, `${RED}KeyError${OFF}: 'b'`] });

test("frames of libraries fold, the person's own stay", () => {
  const pandas = "/opt/env/lib/python3.11/site-packages/pandas/core/frame.py";

  assert.deepEqual(kinds(error(cell(1), file(pandas), file(pandas), file("/mnt/data/mine.py"))), ["own", "2 frames in pandas", "own"]);
});

test("the standard library and compiled files are libraries too", () => {
  assert.deepEqual(kinds(error(cell(1), file("/usr/lib/python3.11/json/__init__.py"), file("pandas/_libs/index.pyx"))), ["own", "2 frames in Python, pandas"]);
});

test("what the server added to the kernel is a library", () => {
  const kernel = "/opt/env/lib/python3.11/site-packages/ipykernel/iostream.py";

  assert.deepEqual(kinds(error(cell(1), file(kernel), file("<workbench>"))), ["own", "2 frames in ipykernel, Workbench"]);
});

test("a traceback of libraries alone is not folded", () => {
  assert.deepEqual(kinds(error(file("/usr/lib/python3.11/a.py"), file("/usr/lib/python3.11/b.py"))), ["library", "library"]);
});

test("the headline is shown by itself, not twice", () => {
  const syntax = { ename: "SyntaxError", evalue: "invalid syntax", traceback: [`  ${cell(1)}    x = = 1\n        ^\n${RED}SyntaxError${OFF}${RED}:${OFF} invalid syntax\n`] };

  assert.equal(foldTraceback(syntax).length, 1);
  assert.ok(!foldTraceback(syntax)[0].text.includes("SyntaxError"));
  assert.deepEqual(kinds(error(cell(1))), ["own"]);
});

test("what led to an error stays with its sentence", () => {
  const chained = error(cell(1), `${RED}ValueError${OFF}: a`, "\nThe above exception was the direct cause of the following exception:\n", header("KeyError"), cell(2));

  assert.deepEqual(kinds(chained), ["own", "text", "text", "own"]);
});

test("Python's own traceback, in one text, is taken apart", () => {
  const text = 'Traceback (most recent call last):\n  File "/mnt/data/a.py", line 1, in <module>\n    f()\n  File "/usr/lib/python3.11/b.py", line 2, in f\n    g()\nKeyError: \'b\'';

  assert.deepEqual(kinds({ ename: "KeyError", evalue: "'b'", traceback: [text] }), ["own", "1 frame in Python"]);
});

test("a recursion without end shows its two ends", () => {
  const frames = Array.from({ length: 1_000 }, (_, i) => cell(i));

  assert.deepEqual(kinds(error(...frames)), ["own", "own", "own", "own", "992 more frames", "own", "own", "own", "own"]);
});

test("a kernel may send anything", () => {
  assert.deepEqual(foldTraceback({ ename: "E", evalue: "", traceback: null }), []);
  assert.deepEqual(kinds({ ename: "E", evalue: "", traceback: [5, {}] }), ["text", "text"]);
});

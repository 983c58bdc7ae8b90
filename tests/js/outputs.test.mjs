import assert from "node:assert/strict";
import { test } from "node:test";

import { bytes, choices, grouped, isPrelude, text } from "../../static/workbench/js/outputs/bundle.js";
import { fileAddressOf } from "../../static/workbench/js/outputs/file-address.js";
import { needsScript } from "../../static/workbench/js/outputs/html-kind.js";
import { outputsOfNotebook } from "../../static/workbench/js/outputs/imported.js";
import { splitLinks } from "../../static/workbench/js/outputs/links.js";
import { blockAt, formulaAt } from "../../static/workbench/js/outputs/math-rules.js";
import { pictureSize } from "../../static/workbench/js/outputs/picture-size.js";
import { isNumeric, numberOf, sortedPlaces } from "../../static/workbench/js/outputs/sort.js";

const ways = (data, canIsolate = true) => choices({ data, metadata: {} }, { canIsolate }).map(({ way }) => way);
const shown = (data, key = 1) => ({ kind: "display", data, metadata: {}, displayId: null, key });

test("the richest way comes first, text last", () => {
  assert.deepEqual(ways({ "text/plain": "1", "image/png": "x", "text/html": "<b>1</b>" }), ["html", "image", "text"]);
  assert.deepEqual(ways({ "text/plain": "1", "text/latex": "$1$", "image/svg+xml": "" }), ["latex", "image", "text"]);
  assert.deepEqual(ways({ "text/plain": "f", "application/geo+json": {} }), ["json", "text"]);
});

test("what only a script can show goes into a frame, or falls back", () => {
  const figure = { "application/vnd.plotly.v1+json": {}, "text/html": "<script>1</script>", "text/plain": "Figure" };

  assert.equal(ways(figure)[0], "frame");
  assert.deepEqual(ways(figure, false), ["json", "text"]);
  assert.equal(ways({ "application/vnd.vegalite.v5+json": {}, "text/plain": "" })[0], "frame");
  assert.deepEqual(ways({ "application/vnd.jupyter.widget-view+json": {}, "text/plain": "Slider()" }, false), ["text"]);
});

test("a kind nobody knows has no way", () => {
  assert.deepEqual(ways({ "application/x-strange": "?" }), []);
});

test("a script joins the HTML it is about", () => {
  const page = shown({ "text/html": "<div id=a></div>" }, 1);
  const script = shown({ "application/javascript": "…", "application/vnd.bokehjs_exec.v0+json": "" }, 2);
  const other = { kind: "stream", name: "stdout", chunks: ["x"], key: 3 };

  assert.deepEqual(grouped([page, script, other, { ...script, key: 4 }]).map((group) => group.map(({ key }) => key)), [[1, 2], [3], [4]]);
});

test("the code of BokehJS is needed by what comes later", () => {
  assert.equal(isPrelude({ data: { "application/vnd.bokehjs_load.v0+json": "" } }), true);
  assert.equal(isPrelude({ data: { "text/html": "" } }), false);
});

test("HTML that does something is told from HTML that says something", () => {
  for (const html of ["<script>", "<p onclick='x'>", "<iframe src=x>", "<audio controls>", "<style>p {}</style><p>", "<svg>"]) {
    assert.equal(needsScript(html), true, html);
  }
  for (const html of ["<b>on click = yes</b>", "<style>…</style><table class=\"dataframe\">", "<style>#T_a1 {}</style><table id=\"T_a1\">"]) {
    assert.equal(needsScript(html), false, html);
  }
});

test("outputs of a notebook file become outputs as the log has them", () => {
  const outputs = outputsOfNotebook([
    { output_type: "stream", name: "stdout", text: ["a\n", "b"] },
    { output_type: "execute_result", execution_count: 1, data: { "text/plain": "1" }, metadata: {} },
    { output_type: "error", ename: "E", evalue: "v", traceback: ["t"] },
    { output_type: "nonsense" },
    null,
  ]);

  assert.deepEqual(outputs, [
    { kind: "stream", name: "stdout", chunks: ["a\nb"], key: -1 },
    { kind: "result", data: { "text/plain": "1" }, metadata: {}, displayId: null, key: -2 },
    { kind: "error", ename: "E", evalue: "v", traceback: ["t"], key: -3 },
  ]);
  assert.deepEqual(outputsOfNotebook("broken"), []);
});

test("addresses in text end where the sentence goes on, and only https counts", () => {
  const links = (line) => splitLinks(line).filter(({ isLink }) => isLink).map(({ text }) => text);

  assert.deepEqual(links("see https://a.example/b (and https://c.example/d_(e))."), ["https://a.example/b", "https://c.example/d_(e)"]);
  assert.deepEqual(links("http://a.example javascript:x https:// https://\"x"), []);
  assert.equal(splitLinks("a https://b.example c").map(({ text }) => text).join(""), "a https://b.example c");
});

test("numbers are read as people write them", () => {
  assert.deepEqual(["-1,234.5", "3e8", "12 %", "$5", "inf", "−2"].map(numberOf), [-1234.5, 3e8, 12, 5, Infinity, -2]);
  assert.deepEqual(["", "a1", "1-2", "2024-01-01", "."].map(numberOf), [null, null, null, null, null]);
  assert.equal(isNumeric(["1", "NaN", ""]), true);
  assert.equal(isNumeric(["", "NaN"]), false);
});

test("sorting keeps equal rows in order and blanks at the end", () => {
  assert.deepEqual(sortedPlaces(["10", "9", "NaN", "9"], false), [1, 3, 0, 2]);
  assert.deepEqual(sortedPlaces(["10", "9", "NaN", "9"], true), [0, 1, 3, 2]);
  assert.deepEqual(sortedPlaces(["file10", "File2", "…"], false), [1, 0, 2]);
  assert.deepEqual(sortedPlaces(["inf", "1", "inf"], false), [1, 0, 2]);
});

test("formulas are told from money", () => {
  assert.equal(formulaAt("$x^2$ is", 0).tex, "x^2");
  assert.equal(formulaAt("$5 and $6", 0), null);
  assert.equal(formulaAt("$ x$", 0), null);
  assert.equal(formulaAt("$a\\$b$", 0).tex, "a\\$b");
  assert.deepEqual(formulaAt("\\[ E \\]", 0), { tex: "E", end: 7, isBlock: true });
  assert.equal(formulaAt("\\(never closed", 0), null);
});

test("a formula of its own lines is a block", () => {
  assert.deepEqual(blockAt("$$\na\n$$\nrest"), { tex: "a", lines: 3 });
  assert.deepEqual(blockAt("\\begin{align}\na\n\\end{align}"), { tex: "\\begin{align}\na\n\\end{align}", lines: 3 });
  assert.equal(blockAt("$$a$$ and more"), null);
  assert.equal(blockAt("$$\n\n$$"), null);
});

test("the size of a picture is known before it is decoded", () => {
  const png = Buffer.from("89504e470d0a1a0a0000000d4948445200000280000001e0", "hex").toString("base64");

  assert.deepEqual(pictureSize("image/png", png), { width: 640, height: 480 });
  assert.deepEqual(pictureSize("image/svg+xml", "<svg width='72pt' height='36pt'>"), { width: 96, height: 48 });
  assert.deepEqual(pictureSize("image/svg+xml", "<svg viewBox='0 0 30 20'>"), { width: 30, height: 20 });
  assert.equal(pictureSize("image/png", "not base64!"), null);
});

test("a file's address says whether it is to be shown or saved", () => {
  const address = fileAddressOf("s 1");

  assert.equal(address("a b/c.png", { isInline: true }), "/api/v1/sessions/s%201/files/content?path=a+b%2Fc.png&inline=1");
  assert.equal(address("d.csv"), "/api/v1/sessions/s%201/files/content?path=d.csv");
});

test("text comes whole or in lines, sizes with their unit", () => {
  assert.equal(text(["a\n", "b"]), "a\nb");
  assert.deepEqual([1, 2_048, 3_145_728].map(bytes), ["1 byte", "2 KiB", "3.0 MiB"]);
});

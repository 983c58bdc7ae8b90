import assert from "node:assert/strict";
import { test } from "node:test";

import { firstFrom, MATCHES_MOST, replaced, search } from "../../static/workbench/js/notebook/find.js";

const CELLS = [
  { id: "a", source: "total = 1\nTotal += totals" },
  { id: "b", source: "nothing" },
  { id: "c", source: "f(total, größe)" },
];
const query = (text, how = {}) => ({ text, isCase: false, isWord: false, isRegex: false, ...how });
const places = (...args) => search(CELLS, query(...args)).matches.map(({ cellId, from, to }) => [cellId, from, to]);
const replacedAll = (text, by, how) => {
  const asked = query(text, how);
  return replaced(CELLS, search(CELLS, asked).matches, by, asked);
};

test("matches come in the order of cells and texts", () => {
  assert.deepEqual(places("total"), [["a", 0, 5], ["a", 10, 15], ["a", 19, 24], ["c", 2, 7]]);
  assert.deepEqual(places(""), []);
});

test("case and whole words count if they are asked for, in every alphabet", () => {
  assert.deepEqual(places("Total", { isCase: true }), [["a", 10, 15]]);
  assert.deepEqual(places("total", { isWord: true }), [["a", 0, 5], ["a", 10, 15], ["c", 2, 7]]);
  assert.deepEqual(places("gr", { isWord: true }), []);
  assert.deepEqual(places("GRÖSSE"), []);
  assert.deepEqual(places("GRÖßE").length, 1);
});

test("text is text: nothing in it is a pattern unless that is asked for", () => {
  assert.deepEqual(places("f(total"), [["c", 0, 7]]);
  assert.deepEqual(places("."), []);
});

test("patterns work on lines, and their empty matches do not count", () => {
  assert.deepEqual(places("^total", { isRegex: true, isCase: true }), [["a", 0, 5]]);
  assert.deepEqual(places("x*", { isRegex: true }), []);
  assert.deepEqual(places("a|b", { isRegex: true, isWord: true }), []);
});

test("what is wrong with a pattern is a sentence", () => {
  for (const text of ["(", "[", "a)(b", "\\"]) {
    const { matches, problem } = search(CELLS, query(text, { isRegex: true }));
    assert.deepEqual(matches, []);
    assert.match(problem, /^This pattern is not valid: [^/]+\.$/);
  }
});

test("replacing changes only the cells that match, and only their matches", () => {
  assert.deepEqual(replacedAll("total", "sum", { isWord: true }), [
    { id: "a", source: "sum = 1\nsum += totals" },
    { id: "c", source: "f(sum, größe)" },
  ]);
  const asked = query("total");
  assert.deepEqual(replaced(CELLS, [search(CELLS, asked).matches[1]], "x", asked), [{ id: "a", source: "total = 1\nx += totals" }]);
});

test("a pattern's replacement may use what was matched; a text's is taken as it is", () => {
  assert.equal(replacedAll("(f)\\((?<what>\\w+)", "$2.$1($<what>$$$&\\n", { isRegex: true })[0].source, "total.f(total$f(total\n, größe)");
  assert.equal(replacedAll("nothing", "$&\\n$1")[0].source, "$&\\n$1");
  assert.equal(replacedAll("nothing", "$9", { isRegex: true })[0].source, "$9");
});

test("the search begins at a place, and goes on at the beginning", () => {
  const { matches } = search(CELLS, query("total"));
  const indexOf = (id) => CELLS.findIndex((cell) => cell.id === id);

  assert.equal(firstFrom(matches, { index: 0, offset: 11 }, indexOf), 2);
  assert.equal(firstFrom(matches, { index: 1, offset: 0 }, indexOf), 3);
  assert.equal(firstFrom(matches, { index: 2, offset: 5 }, indexOf), 0);
  assert.equal(firstFrom([], { index: 0, offset: 0 }, indexOf), -1);
});

test("a notebook full of matches ends the search", () => {
  const { matches } = search([{ id: "a", source: "a".repeat(20_000) }], query("a"));

  assert.equal(matches.length, MATCHES_MOST);
});

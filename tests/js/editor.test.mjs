import assert from "node:assert/strict";
import { test } from "node:test";

import { isAfterDot, options } from "../../static/workbench/js/editor/completion.js";
import { difference, toCodePoints, toUtf16 } from "../../static/workbench/js/editor/offsets.js";

const TEXTS = ["", "abc", "a🙂b", "🙂🙂", "é\u0301x", "家👩‍👩‍👧z"];

test("offsets go to the kernel's counting and back, wherever a character begins", () => {
  for (const text of TEXTS) {
    let utf16 = 0;
    for (const [count, character] of [...[...text], ""].entries()) {
      assert.equal(toCodePoints(text, utf16), count);
      assert.equal(toUtf16(text, count), utf16);
      utf16 += character.length;
    }
  }
});

test("what lies behind the end is the end", () => {
  assert.equal(toUtf16("a🙂", 9), 3);
});

test("the difference of two texts turns one into the other and leaves alone what they share", () => {
  const words = ["", "a", "ab", "aab", "aba", "abcab", "xabcx", "bbbb", "bb"];
  for (const before of words) {
    for (const after of words) {
      const { from, to, insert } = difference(before, after);
      assert.equal(before.slice(0, from) + insert + before.slice(to), after);
    }
  }
  assert.deepEqual(difference("one two three", "one 2 three"), { from: 4, to: 7, insert: "2" });
});

test("completions are asked for after the dot of an attribute, not after that of a number", () => {
  for (const code of ["x.", "f(1).", "a1.", '"text".', "{}."]) assert.ok(isAfterDot(code, code.length), code);
  for (const code of ["1.", "x = 10.", "", "x", "..", "from ."]) assert.ok(!isAfterDot(code, code.length), code);
});

test("a kernel's answer counts in characters, and says what is what", () => {
  const code = '"🙂"; os.path.j';
  const answer = {
    matches: ["os.path.join", "os.path.junction", "os.path.join"], cursor_start: 5, cursor_end: 14,
    metadata: { _jupyter_types_experimental: [{ text: "os.path.join", type: "function" }, { text: "os.path.junction", type: "<unknown>" }] },
  };
  const found = options(code, code.length, answer);

  assert.deepEqual([found.from, found.to], [6, 15]);
  assert.deepEqual(found.options.map(({ label, detail }) => [label, detail]), [["os.path.join", "function"], ["os.path.junction", undefined]]);
  assert.deepEqual(["os.path.jo", "os.path.join.", "os.path.join("].map((text) => found.validFor(text)), [true, false, false]);
});

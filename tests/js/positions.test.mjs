import assert from "node:assert/strict";
import { test } from "node:test";

import { atEnd, between, compare, ofEvent, spread } from "../../static/workbench/js/notebook/positions.js";

/** Random numbers that are the same in every run. */
function seeded(seed) {
  return () => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    return seed / 2_147_483_648;
  };
}
function assertPosition(position) {
  assert.match(position, /^[0-9A-Za-z]{12,200}$/);
  if (position.length > 12) assert.doesNotMatch(position, /0$/);
}

test("a new position is strictly between its neighbours, wherever it is asked for", () => {
  const random = seeded(1);
  const all = [ofEvent(3), ofEvent(4), ofEvent(10), ofEvent(700)];
  for (let i = 0; i < 2_000; i++) {
    const at = Math.floor(random() * (all.length + 1));
    const position = between(all[at - 1] ?? null, all[at] ?? null, random);
    assertPosition(position);
    all.splice(at, 0, position);
  }

  assert.deepEqual(all, [...new Set(all)].sort(compare));
});

test("hundreds of cells fit one below the other, and one above the other", () => {
  const random = seeded(2);
  let [low, high] = [ofEvent(7), ofEvent(8)];
  for (let i = 0; i < 1_500; i++) assertPosition((low = between(low, ofEvent(8), random)));
  for (let i = 0; i < 300; i++) assertPosition((high = between(ofEvent(7), high, random)));
});

test("ten thousand cells fit at the end, before what runs next", () => {
  const random = seeded(3);
  let last = null;
  for (let i = 0; i < 10_000; i++) {
    const next = atEnd(last, 41, random);
    assert.ok(next > (last ?? ofEvent(41)) && next < ofEvent(42));
    last = next;
  }
  assertPosition(last);
  assert.ok(last.length < 40);
});

test("the end is behind the last cell, even one that stands behind the log", () => {
  assert.ok(atEnd(ofEvent(90), 3) > ofEvent(90));
  assert.ok(atEnd("zzzzzzzzzzzz", 3) > "zzzzzzzzzzzz");
  assert.ok(atEnd(null, 0) < ofEvent(1));
});

test("two tabs hardly ever choose the same place", () => {
  const places = Array.from({ length: 50 }, () => between(ofEvent(1), ofEvent(2)));

  assert.ok(new Set(places).size > 45);
});

test("many positions are spread in order between two", () => {
  const places = spread(ofEvent(1), ofEvent(2), 5_000);

  assert.equal(places.length, 5_000);
  places.forEach(assertPosition);
  assert.deepEqual([ofEvent(1), ...places, ofEvent(2)], [ofEvent(1), ...new Set(places), ofEvent(2)].sort(compare));
});

test("where nothing fits, there is no position", () => {
  assert.equal(between(ofEvent(1), ofEvent(1)), null);
  assert.equal(between(ofEvent(2), ofEvent(1)), null);
  assert.equal(spread("z".repeat(199), "z".repeat(200), 3), null);
});

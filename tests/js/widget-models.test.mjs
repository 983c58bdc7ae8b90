// Which widgets a frame is told of.
import assert from "node:assert/strict";
import { test } from "node:test";

import { family, widgetOf } from "../../static/workbench/js/outputs/widget-models.js";

const comm = (state, more = {}) => ({ targetName: "jupyter.widget", state, buffers: [], isOpen: true, ...more });

test("a widget comes with all its parts, also when they name each other", () => {
  const comms = new Map([
    ["box", comm({ children: ["IPY_MODEL_a", "IPY_MODEL_b"], layout: "IPY_MODEL_l" })],
    ["a", comm({ layout: "IPY_MODEL_l", parent: { of: ["IPY_MODEL_box"] } })],
    ["b", comm({}, { isOpen: false })],
    ["l", comm({})],
    ["other", comm({ layout: "IPY_MODEL_l" })],
  ]);

  const found = family(comms, "box");

  assert.deepEqual(found.map(({ id }) => id).sort(), ["a", "b", "box", "l"]);
  assert.equal(found.find(({ id }) => id === "b")?.isOpen, false);
});

test("what is no widget, or not there, is left out", () => {
  const comms = new Map([["x", comm({}, { targetName: "something.else" })]]);

  assert.deepEqual(family(comms, "x"), []);
  assert.deepEqual(family(comms, "missing"), []);
});

test("a bundle names the widget it shows", () => {
  assert.equal(widgetOf({ data: { "application/vnd.jupyter.widget-view+json": { model_id: "box" } } }), "box");
  assert.equal(widgetOf({ data: { "text/plain": "x" } }), null);
  assert.equal(widgetOf({ data: { "application/vnd.jupyter.widget-view+json": "hostile" } }), null);
});

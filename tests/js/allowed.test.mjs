import assert from "node:assert/strict";
import { test } from "node:test";

import { COMMANDS, isAllowed } from "../../static/workbench/js/notebook/commands.js";
import { shownOf } from "../../static/workbench/js/notebook/menu.js";

const OWNER = { may_run: true, is_mine: true };
const GUEST = { may_run: true, is_mine: false };
const READER = { may_run: false, is_mine: false };
const allowed = (session) => COMMANDS.filter(({ id }) => isAllowed(id, session)).map(({ id }) => id);

test("whose session it is may do everything", () => {
  assert.equal(allowed(OWNER).length, COMMANDS.length);
  assert.ok(isAllowed("append-code", OWNER), "also what only buttons do");
});

test("a guest does not share or close somebody's session", () => {
  assert.deepEqual(COMMANDS.map(({ id }) => id).filter((id) => !allowed(GUEST).includes(id)), ["share", "close-session"]);
});

test("who may only look has no command that changes anything", () => {
  assert.deepEqual(allowed(READER).sort(), [
    "bottom", "export-html", "export-ipynb", "export-py", "extend-down", "extend-up", "find", "leave", "notify",
    "palette", "select-all", "select-down", "select-up", "shortcuts", "toggle-left", "toggle-lines", "toggle-right", "top",
  ]);
  assert.ok(!isAllowed("append-code", READER));
});

test("a menu has no lines around what is not shown", () => {
  const item = (title, isHidden = false) => ({ title, isHidden, run() {} });
  const [a, b] = [item("a"), item("b")];
  const hidden = item("x", true);

  assert.deepEqual(shownOf([hidden, null, a, null, hidden, null, b, null, hidden]), [a, null, b]);
  assert.deepEqual(shownOf([hidden, null, hidden]), []);
});

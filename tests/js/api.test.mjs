import assert from "node:assert/strict";
import { test } from "node:test";

import { errorFrom, sessionRoute } from "../../static/workbench/js/api.js";

const told = (status, body) => {
  const { code, message, status: shown } = errorFrom(status, typeof body === "string" ? body : JSON.stringify(body));
  return [code, message, shown];
};

test("an error says what the server says, whichever part of it spoke", () => {
  assert.deepEqual(told(409, { code: "file_exists", detail: "It exists." }), ["file_exists", "It exists.", 409]);
  assert.deepEqual(told(413, { error: { code: "RequestTooLarge", message: "Too large." } }), ["RequestTooLarge", "Too large.", 413]);
});

test("an answer that nobody can read is an error too", () => {
  for (const body of ["", "<html>", "null", "[]", '"text"']) {
    assert.deepEqual(told(502, body), ["error", "The server answered with status 502.", 502]);
  }
});

test("an address keeps odd names whole", () => {
  assert.equal(sessionRoute("a/b", "files", { path: "x&y/ü" }), "/api/v1/sessions/a%2Fb/files?path=x%26y%2F%C3%BC");
  assert.equal(sessionRoute("s", "files"), "/api/v1/sessions/s/files");
});

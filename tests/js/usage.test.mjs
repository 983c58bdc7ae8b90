import assert from "node:assert/strict";
import { test } from "node:test";

import { amount } from "../../static/workbench/js/account-usage.js";

for (const [name, value, words] of [
  ["sessions", 3, "3"],
  ["storage_bytes", 0, "0 B"],
  ["storage_bytes", 0.5, "1 B"],
  ["storage_bytes", 1023, "1023 B"],
  ["storage_bytes", 1024, "1.0 KiB"],
  ["output_bytes", 52_000, "51 KiB"],
  ["storage_bytes", 2 ** 31, "2.0 GiB"],
  ["storage_bytes", 2 ** 62, "4194304 TiB"],
  ["execution_seconds", 0, "0 s"],
  ["execution_seconds", 734, "12 min"],
  ["execution_seconds", 36_000, "10 h"],
  ["execution_seconds", 5_400, "1.5 h"],
]) {
  test(`${value} as ${name} is ${words}`, () => assert.equal(amount(name, value), words));
}

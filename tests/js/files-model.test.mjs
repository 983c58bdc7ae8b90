import assert from "node:assert/strict";
import { test } from "node:test";

import { FilesModel, ROWS_PER_FOLDER, freeName, mountPath, news, parentOf, sizeText } from "../../static/workbench/js/panels/files-model.js";

const file = (path, fields = {}) => ({
  path, name: path.split("/").pop(), size_bytes: 1, modified_at: "2026-01-01T00:00:00Z", is_directory: false,
  content_type: "text/plain", ...fields,
});
const folder = (path) => file(path, { is_directory: true });
const keys = (model) => model.rows().map((row) => row.key);

test("folders come first, then names, numbers by value", () => {
  const model = new FilesModel();
  model.setFolder("", [file("a10"), file("a9"), folder("z"), file("B")]);

  assert.deepEqual(keys(model), ["z", "a9", "a10", "B"]);
});

test("what is in an open folder stands below it, one level deeper", () => {
  const model = new FilesModel();
  model.setFolder("", [folder("d"), file("f")]);
  model.open("d");
  model.setFolder("d", [file("d/x")]);

  const rows = model.rows().map(({ key, level, place, count }) => [key, level, place, count]);
  assert.deepEqual(rows, [["d", 1, 1, 2], ["d/x", 2, 1, 1], ["f", 1, 2, 2]]);
});

test("only folders that can be seen are read again", () => {
  const model = new FilesModel();
  model.open("d");
  model.open("d/e");
  assert.deepEqual(model.shownFolders, ["", "d", "d/e"]);

  model.close("d");
  assert.deepEqual(model.shownFolders, [""]);
});

test("a folder of very many files is shown bit by bit", () => {
  const model = new FilesModel();
  model.setFolder("", Array.from({ length: ROWS_PER_FOLDER + 2 }, (_, at) => file(`f${at}`)));
  const last = model.rows().at(-1);
  assert.deepEqual([last.file, last.hidden], [null, 2]);

  model.showMore("");
  assert.equal(model.rows().length, ROWS_PER_FOLDER + 2);
});

test("the first listing is no news", () => {
  const model = new FilesModel();

  assert.deepEqual(model.setFolder("", [file("a")]), []);
  assert.deepEqual(model.setFolder("", [file("a"), file("b")]), ["b"]);
});

test("new and changed files are news, folders only when they are new", () => {
  const later = { modified_at: "2026-01-02T00:00:00Z" };
  const before = [file("same"), file("grown"), file("touched"), folder("d")];
  const after = [
    file("same"), file("grown", { size_bytes: 2 }), file("touched", later), { ...folder("d"), ...later }, folder("new"),
  ];

  assert.deepEqual(news(before, after), ["grown", "touched", "new"]);
});

test("sizes have at most three digits and a unit", () => {
  const sizes = [0, 1, 999, 1000, 9949, 9951, 999_499, 999_500, 15_300_000, 2.5e12, 5e15];
  const texts = ["0 bytes", "1 byte", "999 bytes", "1.0 KB", "9.9 KB", "10 KB", "999 KB", "1.0 MB", "15 MB", "2.5 TB", "5000 TB"];

  assert.deepEqual(sizes.map(sizeText), texts);
});

test("a name that is taken gets a number", () => {
  assert.equal(freeName("New folder", new Set()), "New folder");
  assert.equal(freeName("New folder", new Set(["New folder", "New folder 2"])), "New folder 3");
});

test("paths are those of the session", () => {
  assert.deepEqual(["", "a", "a/b"].map(mountPath), ["/mnt/data", "/mnt/data/a", "/mnt/data/a/b"]);
  assert.deepEqual(["a", "a/b", "a/b/c"].map(parentOf), ["", "a", "a/b"]);
});

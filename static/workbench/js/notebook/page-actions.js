// @ts-check
// Commands that are about the whole page: files in and out, finding, the columns, another session.

import { request, sessionRoute } from "../api.js";
import { find } from "../dom.js";
import { ShareDialog } from "../share-dialog.js";
import { sessionPath } from "../words.js";
import { toggleNotifications } from "./notify.js";
import { Palette, showShortcuts } from "./palette.js";
import { makeFindBar } from "./searching.js";
import { toast } from "./toasts.js";

// Larger files are not notebooks; the server's own limit is near.
const MAX_IMPORT_BYTES = 64 * 1024 * 1024;

/**
 * @param {import("./actions.js").Notebook & {
 *   sides: {left: import("../panels/panels.js").Side, right: import("../panels/panels.js").Side},
 *   can: (id: string) => boolean, workbench: any}} notebook
 * @returns {Record<string, () => void | Promise<void>>}
 */
export function pageActions({ session, document: doc, view, sync, command, can, sides, workbench }) {
  const palette = new Palette(command, can);
  const findBar = makeFindBar({ document: doc, view });
  const selected = () => (view.isEditing ? String(getSelection() ?? "") : "");
  /** @type {ShareDialog | undefined} */ let sharing;
  const field = /** @type {HTMLInputElement} */ (find("[data-import-field]"));
  field.addEventListener("change", async () => {
    const file = field.files?.[0];
    field.value = "";
    if (file) await told(workbench, () => importFile(session.id, file));
  });
  const download = (/** @type {string} */ ending) => () => {
    sync.flush();
    location.assign(sessionRoute(session.id, `notebook.${ending}`));
  };
  return {
    find: () => findBar.open({ text: selected() }),
    replace: () => findBar.open({ replace: true, text: selected() }),
    save: () => {
      sync.flush();
      toast("Saved. Every change is saved by itself as well.");
    },
    import: () => field.click(),
    "export-ipynb": download("ipynb"),
    "export-py": download("py"),
    "export-html": download("html"),
    palette: () => palette.open(),
    shortcuts: () => showShortcuts(session),
    share: () => (sharing ??= new ShareDialog(session.id)).open(),
    "toggle-left": () => sides.left.toggle(),
    "toggle-right": () => sides.right.toggle(),
    notify: toggleNotifications,
    reopen: () => told(workbench, async () => {
      const { identifier } = session;
      const made = await request("POST", "sessions", { json: { identifier, kernel: workbench.session.kernel, notebook_of: session.id } });
      location.assign(sessionPath(made));
    }),
  };
}

/**
 * @param {string} url of the session
 * @param {File} file
 */
async function importFile(session, file) {
  if (file.size > MAX_IMPORT_BYTES) throw new Error(`${file.name} is too large to be a notebook.`);
  const { cells } = await request("PUT", sessionRoute(session, "notebook", { mode: "append" }), { body: file });
  toast(cells === 1 ? "1 cell imported." : `${cells} cells imported.`);
}

/**
 * Do it, and say beside the notebook what went wrong.
 * @param {any} workbench
 * @param {() => Promise<void>} work
 */
async function told(workbench, work) {
  try {
    await work();
  } catch (error) {
    workbench.problem(/** @type {Error} */ (error).message);
  }
}

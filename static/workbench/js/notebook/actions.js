// @ts-check
// How each command of commands.js is done. Ids on the left are those of the commands.

import { closeQuestion, confirmed, restartQuestion } from "../confirm.js";
import { cellMenu, openMenuOf } from "./menus.js";
import { toast } from "./toasts.js";

/** @typedef {import("./document.js").NotebookDocument} NotebookDocument */

/**
 * What the actions work on.
 * @typedef {object} Notebook
 * @property {{id: string, identifier: string, may_run: boolean, is_mine: boolean}} session
 * @property {NotebookDocument} document
 * @property {import("./notebook-view.js").NotebookView} view
 * @property {() => import("../fold.js").State} state
 * @property {(frame: any) => boolean} send
 * @property {(ids: string[]) => void} run
 * @property {import("./sync.js").NotebookSync} sync
 * @property {(id: string) => void} command another command
 */

/**
 * @param {Notebook} notebook
 * @returns {Record<string, () => void | Promise<void>>}
 */
export function cellActions({ document: doc, view }) {
  /** @type {any[]} */ let clipboard = [];
  const place = (/** @type {"after" | "before"} */ side) =>
    /** @type {any} */ (view.active ? { [side]: view.active } : { atEnd: true });
  const add = (/** @type {string} */ kind, /** @type {any} */ where) => {
    const [{ id }] = doc.insert(kind, where);
    view.edit(id, "start");
  };
  const select = (/** @type {{id: string}[]} */ changes) => changes[0] && view.select(changes[0].id);
  const turn = (/** @type {string} */ kind) => {
    doc.setKind(view.selection, kind);
    if (kind === "markdown") for (const id of view.selection) view.view(id)?.source.render();
  };
  return {
    "add-above": () => {
      const [{ id }] = doc.insert("code", place("before"));
      view.select(id);
    },
    "add-code": () => add("code", place("after")),
    "add-text": () => add("markdown", place("after")),
    "append-code": () => add("code", { atEnd: true }),
    "append-text": () => add("markdown", { atEnd: true }),
    delete: () => {
      const count = view.selection.length;
      if (!count) return;
      doc.remove(view.selection);
      toast(count === 1 ? "Cell deleted." : `${count} cells deleted.`, { title: "Undo", run: () => select(doc.undo()) });
    },
    undo: () => select(doc.undo()),
    redo: () => select(doc.redo()),
    copy: () => void (clipboard = doc.copy(view.selection)),
    cut: () => {
      clipboard = doc.copy(view.selection);
      doc.remove(view.selection);
    },
    paste: () => select(doc.paste(clipboard, place("after"))),
    "paste-above": () => select(doc.paste(clipboard, place("before"))),
    "move-up": () => void doc.move(view.selection, "up"),
    "move-down": () => void doc.move(view.selection, "down"),
    split: () => {
      const editor = view.active && view.view(view.active)?.source.editor;
      if (view.active && editor) doc.split(view.active, editor.selection.head);
    },
    merge: () => {
      if (view.selection.length > 1) select(doc.merge(view.selection));
      else if (view.active) doc.mergeWithNext(view.active);
    },
    "to-text": () => turn("markdown"),
    "to-code": () => turn("code"),
    "to-raw": () => turn("raw"),
    "toggle-output": () => {
      for (const id of view.selection) {
        const { metadata = {} } = doc.cell(id) ?? {};
        const isHidden = Boolean(metadata.jupyter?.outputs_hidden);
        doc.setMetadata(id, { ...metadata, jupyter: { ...metadata.jupyter, outputs_hidden: !isHidden } });
      }
    },
  };
}

/**
 * @param {Notebook} notebook
 * @returns {Record<string, () => void | Promise<void>>}
 */
export function selectionActions({ view }) {
  return {
    edit: () => void (view.active ? view.edit(view.active) : view.select(view.first)),
    leave: () => {
      const source = view.active && view.view(view.active)?.source;
      if (view.active) view.select(view.active, { scroll: false });
      if (source) source.render();
    },
    "select-up": () => view.step(-1),
    "select-down": () => view.step(1),
    "extend-up": () => view.step(-1, { extend: true }),
    "extend-down": () => view.step(1, { extend: true }),
    "select-all": () => view.selectAll(),
    top: () => view.select(view.first),
    bottom: () => view.select(view.last),
  };
}

/**
 * @param {Notebook} notebook
 * @returns {Record<string, () => void | Promise<void>>}
 */
export function runActions({ session, document: doc, view, state, send, run, command }) {
  const ids = () => doc.cells.map((cell) => cell.id);
  const restart = async () => {
    const isSure = await confirmed(restartQuestion(session.identifier));
    return isSure && send({ type: "restart" });
  };
  return {
    "run-cell": () => run(view.selection),
    "run-advance": () => {
      const next = view.active && view.neighbour(doc.indexOf(view.selection.at(-1) ?? "") - doc.indexOf(view.active) + 1);
      run(view.selection);
      if (next) view.select(next);
      else command("append-code");
    },
    "run-insert": () => {
      run(view.selection);
      command("add-code");
    },
    "run-all": () => run(ids()),
    "run-above": () => run(ids().slice(0, Math.max(0, doc.indexOf(view.active ?? "")))),
    "run-below": () => run(ids().slice(Math.max(0, doc.indexOf(view.active ?? "")))),
    interrupt: () => void send({ type: "interrupt" }),
    restart: async () => void (await restart()),
    "restart-run-all": async () => {
      // The frames are obeyed in their order: what comes now runs on the fresh kernel.
      if (await restart()) run(ids());
    },
    "cancel-queued": () => {
      for (const { id, state: word } of state().executions.values()) {
        if (word === "queued") send({ type: "cancel", execution: id });
      }
    },
    "close-session": async () => {
      if (await confirmed(closeQuestion(session.identifier))) send({ type: "close" });
    },
  };
}

// What the buttons of a cell do, where it is not what they are called.
const BUTTONS = /** @type {Record<string, string>} */ ({ run: "run-cell", up: "move-up", down: "move-down" });

/**
 * A button of a cell was pressed.
 * @param {{id: string, action: string, button: HTMLElement}} press
 * @param {Notebook} notebook
 * @param {import("./dispatcher.js").Dispatcher} dispatcher
 */
export function pressed({ id, action, button }, { document: doc, view, sync, send }, dispatcher) {
  if (action === "menu") {
    openMenuOf(button, cellMenu(dispatcher.item, () => view.select(id, { focus: false })));
  } else if (action === "cancel") {
    const execution = doc.cell(id)?.executionId;
    if (execution) send({ type: "cancel", execution });
  } else if (action === "keep-mine" || action === "take-theirs") {
    sync.resolve(id, action === "keep-mine" ? "mine" : "theirs");
    view.view(id)?.showConflict(false);
  } else {
    view.select(id, { focus: action !== "run", scroll: false });
    dispatcher.run(BUTTONS[action] ?? action);
  }
}

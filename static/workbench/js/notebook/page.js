// @ts-check
// The page of a session: wires the log, the notebook, the commands and the panels together.

import { find, readJson, showProblem } from "../dom.js";
import { queuePlaces, runningExecution } from "../fold.js";
import { showConnection, showDetail, showsAsConnection } from "../status-line.js";
import { cellActions, pressed, runActions, selectionActions } from "./actions.js";
import { Arrivals } from "./arrivals.js";
import { isAllowed } from "./commands.js";
import { Connection } from "./connection.js";
import { Dispatcher } from "./dispatcher.js";
import { NotebookDocument } from "./document.js";
import { makeFrames } from "./frames.js";
import { drawEnded, drawHeader } from "./header.js";
import { listenToKeys } from "./keys.js";
import { SessionLog } from "./log.js";
import { NotebookView } from "./notebook-view.js";
import { notifyEnded } from "./notify.js";
import { pageActions } from "./page-actions.js";
import { makePanels } from "./page-panels.js";
import { Runs } from "./runs.js";
import { showSaved } from "./saved-mark.js";
import { NotebookSync } from "./sync.js";
import { toast } from "./toasts.js";

// Hidden pages get no animation frames; their title still has to be true.
const HIDDEN_DRAW_MS = 500;

const session = readJson("session");
const problem = find("[data-notebook] [data-problem]");
let isDrawing = false;
let hasCells = false;
let areLinesNumbered = false;
/** @type {Set<() => void>} */ const listeners = new Set();

const log = new SessionLog(session, schedule);
const runs = new Runs();
const doc = new NotebookDocument();
const sync = new NotebookSync(doc, session.id);
const connection = new Connection(session, () => log.lastNumber);
const arrivals = new Arrivals();
const dispatcher = new Dispatcher(() => log.state, session, () => isDrawing && drawCells());
// Widgets of who may only look show what they are, and say nothing to the kernel.
const frames = makeFrames({ id: session.id, send: (frame) => session.may_run && send(frame), state: () => log.state, notebook: doc });
const view = new NotebookView(find("[data-cells]"), {
  language: session.language,
  get mayWrite() {
    return session.may_run;
  },
  fileAddress: frames.options.fileAddress,
  areLinesNumbered: () => areLinesNumbered,
  outputs: frames.options,
  complete: (code, cursor) => connection.ask("complete", { code, cursor }),
  inspect: (code, cursor, detail) => connection.ask("inspect", { code, cursor, detail }),
  setSource: (id, text) => void doc.setSource(id, text),
  answer: (text) => send({ type: "input", text }),
  act: (id, action, button) => pressed({ id, action, button }, notebook, dispatcher),
  leave: leaveText,
  refresh: drawCells,
});
const notebook = { session, document: doc, view, sync, state: () => log.state, send, run, command: dispatcher.run };

/** What the panels work with. */
const workbench = {
  session,
  get state() {
    return log.state;
  },
  onState: (/** @type {() => void} */ callback) => listeners.add(callback),
  onFiles: (/** @type {() => void} */ callback) => connection.onFiles(callback),
  ask: (/** @type {string} */ type, /** @type {any} */ fields) => connection.ask(type, fields),
  send,
  problem: (/** @type {string} */ sentence) => showProblem(problem, sentence),
  /** Open a panel, on whichever side it is. @param {string} id */
  showPanel: (id) => (sides.left.has(id) ? sides.left : sides.right).show(id),
  notebook: {
    cells: () => doc.cells,
    onChange: (/** @type {() => void} */ callback) => doc.onChange(callback),
    focus: (/** @type {string} */ id) => lookAt(id),
    /** The cell that shows a run. @param {string} execution */
    cellOf: (execution) => log.state.executions.get(execution)?.cell ?? execution,
    /** @param {string} source */
    insert: (source) => lookAt(doc.insert("code", { atEnd: true }, source)[0].id),
  },
};
const sides = makePanels(workbench);

dispatcher.add(selectionActions(notebook));
dispatcher.add(cellActions(notebook));
dispatcher.add(runActions(notebook));
dispatcher.add(pageActions({ ...notebook, sides, can: dispatcher.can, workbench }));
dispatcher.add({
  "toggle-lines": () => {
    areLinesNumbered = !areLinesNumbered;
    for (const each of view.views) each.source.showLineNumbers(areLinesNumbered);
  },
});

/** From a panel to a cell; a sheet would cover it. @param {string} id */
function lookAt(id) {
  sides.left.uncover();
  sides.right.uncover();
  view.select(id);
}

// The server

log.listen(connection.socket);
connection.socket.onState((word, reason) => {
  connection.setOpen(word === "open");
  showConnection(word);
  if (word === "open") showProblem(problem, "");
  if (word === "refused") giveUp(reason || "This session cannot be watched.");
});
connection.socket.on("live", () => {
  showConnection("live");
  log.complete();
});
connection.socket.on("error", (frame) => {
  if (connection.failed(frame)) return;
  if (showsAsConnection(frame)) {
    // Without the database, the log is not known.
    if (frame.code === "host_unavailable") log.complete();
    return;
  }
  showProblem(problem, frame.message);
  for (const each of view.views) {
    if (frame.in_reply_to === "input") each.askAgain();
    if (frame.in_reply_to === "execute") each.notSent();
  }
});
doc.onChange(schedule);
sync.onLive(() => {
  hasCells = true;
  schedule();
});
sync.onState(showSaved);
sync.onWarning(toast);
sync.onConflict((id) => view.view(id)?.showConflict(true));

/** Nothing can be done here any more; what is on the page stays to be read. @param {string} sentence */
function giveUp(sentence) {
  showProblem(problem, sentence);
  session.may_run = session.is_mine = false;
  document.body.dataset.reading = "";
  for (const button of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-command]"))) {
    button.hidden ||= !isAllowed(button.dataset.command ?? "", session);
  }
}

// Drawing

function schedule() {
  if (isDrawing) return;
  isDrawing = true;
  if (document.hidden) setTimeout(draw, HIDDEN_DRAW_MS);
  else requestAnimationFrame(draw);
}

function draw() {
  isDrawing = false;
  const before = log.state;
  const events = log.take();
  const { state } = log;
  if (events.length) {
    runs.follow(state);
    doc.applyExecutions(state);
  }
  drawCells();
  drawHeader(state, session.identifier);
  drawEnded(state);
  const count = state.executions.size;
  const kernel = state.session.kernel || session.kernel;
  showDetail(`${count === 1 ? "1 run" : `${count.toLocaleString()} runs`} · event ${state.number.toLocaleString()} · ${kernel}`);
  if (!events.length) return;
  frames.follow(state, events);
  if (log.isComplete) {
    notifyEnded(before, state, session.identifier);
    arrivals.grown(before, state);
  }
  for (const listener of listeners) listener();
}

function drawCells() {
  const { state } = log;
  const isReady = log.isComplete && hasCells;
  find("[data-notebook] [data-skeleton]").hidden = isReady;
  find("[data-add-end]").hidden = !isReady;
  // Until both have come, a part of the cells would be in the wrong place.
  if (!isReady) return;
  const places = queuePlaces(state);
  view.update(doc.cells, (cell) => {
    const execution = (cell.executionId && state.executions.get(cell.executionId)) || null;
    const lastSeconds = execution?.state === "running" ? runs.lastDuration(state, cell.id) : null;
    return { execution, place: (execution && places.get(execution.id)) || 0, lastSeconds };
  });
  find("[data-notebook] [data-empty]").hidden = doc.cells.length > 0;
}

setInterval(() => {
  if (!runningExecution(log.state)) return;
  drawHeader(log.state, session.identifier);
  for (const each of view.views) if (each.element.dataset.state === "running") each.tick();
}, 1000);

// What cells ask for

/** @param {any} frame */
function send(frame) {
  const isSent = connection.send(frame);
  showProblem(problem, isSent ? "" : "Not connected. Try again when the connection is back; nothing you wrote is lost.");
  return isSent;
}

/**
 * Run cells in their order; text cells are shown as text.
 * @param {string[]} ids
 */
function run(ids) {
  sync.flush();
  for (const id of ids) {
    const cell = doc.cell(id);
    const each = view.view(id);
    if (!cell || !each) continue;
    if (cell.kind === "markdown") each.source.render();
    if (cell.kind !== "code" || cell.isCommand || !cell.source.trim()) continue;
    if (!send({ type: "execute", code: cell.source, cell: id })) return;
    each.sending();
  }
}

/**
 * The caret is pressed over the edge of a cell's text: on into the next cell, if there is one.
 * @param {"up" | "down"} direction
 */
function leaveText(direction) {
  const next = view.neighbour(direction === "up" ? -1 : 1);
  if (!next) return false;
  if (doc.cell(next)?.kind === "markdown") view.select(next);
  else view.edit(next, direction === "up" ? "end" : "start");
  return true;
}

listenToKeys({ view, command: dispatcher.run, can: dispatcher.can });
draw();
connection.socket.connect();
sync.connect();

// @ts-check
// The list of sessions: live, searched as one types.

import { closeQuestion, confirmed, restartQuestion } from "./confirm.js";
import { find, readJson, setText, showProblem } from "./dom.js";
import { NewSession } from "./new-session.js";
import { Roving } from "./roving.js";
import { SessionRow } from "./session-row.js";
import { Socket, socketUrl } from "./socket.js";
import { showConnection, showDetail, showsAsConnection } from "./status-line.js";
import { setServerTime } from "./time.js";

/** @type {any[]} */ let sessions = readJson("sessions");
/** @type {Map<string, SessionRow>} */ const rows = new Map();

const list = find("[data-list]");
const problem = find("[data-problem]");
const search = /** @type {HTMLInputElement} */ (find("[data-search]"));
const socket = new Socket(() => socketUrl("/ws/sessions/"));
const newSession = new NewSession(() => new Set(sessions.filter(({ is_live }) => is_live).map(({ identifier }) => identifier)));
const roving = new Roving(list, "[data-name]", () => search.focus());

// Frames

socket.onState((state, reason) => {
  showConnection(state);
  if (state === "refused") showProblem(problem, reason);
  if (state === "open") showProblem(problem, "");
});
socket.on("live", () => showConnection("live"));
socket.on("sessions", (frame) => {
  setServerTime(frame.now);
  sessions = frame.sessions;
  draw();
});
socket.on("error", (frame) => {
  if (!showsAsConnection(frame)) showProblem(problem, frame.message);
});

// Drawing

function draw() {
  const ids = new Set(sessions.map((session) => session.id));
  for (const [id, row] of rows) {
    if (ids.has(id)) continue;
    row.element.remove();
    rows.delete(id);
  }
  const focused = document.activeElement;
  sessions.forEach((session, place) => {
    const row = rows.get(session.id) ?? new SessionRow(act);
    rows.set(session.id, row);
    row.update(session);
    // Only if its place differs: a moved element loses the focus.
    if (list.children[place] !== row.element) list.insertBefore(row.element, list.children[place] ?? null);
  });
  if (focused instanceof HTMLElement && list.contains(focused)) focused.focus({ preventScroll: true });
  filter();
  const live = sessions.filter((session) => session.is_live).length;
  setText(find("[data-count]"), sessions.length ? `${live} live` : "");
  find("[data-table]").hidden = !sessions.length;
  find("[data-table]").classList.toggle("has-owners", sessions.some(({ owner }) => owner));
  find("[data-empty]").hidden = sessions.length > 0;
  find(".sessions-head [data-new]").hidden = !sessions.length;
  find(".search").hidden = !sessions.length;
  showDetail(`${sessions.length === 1 ? "1 session" : `${sessions.length} sessions`} shown, ${live} live`);
}

function filter() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const row of rows.values()) shown += Number(row.filter(words));
  find("[data-no-match]").hidden = shown > 0 || !sessions.length;
  find(".session-columns").hidden = shown === 0;
  roving.settle();
}

// Actions

/**
 * @param {string} type
 * @param {any} session
 */
async function act(type, session) {
  if (type === "restart" && !(await confirmed(restartQuestion(session.identifier)))) return;
  if (type === "close" && !(await confirmed(closeQuestion(session.identifier)))) return;
  send({ type, identifier: session.id });
}

/** @param {{type: string, [field: string]: string}} frame */
function send(frame) {
  const isSent = socket.send(frame);
  showProblem(problem, isSent ? "" : "Not connected. Try again when the connection is back.");
  return isSent;
}

for (const button of document.querySelectorAll("[data-new]")) {
  button.addEventListener("click", () => newSession.open());
}
find("[data-copy]").addEventListener("click", async (event) => {
  const button = /** @type {HTMLElement} */ (event.currentTarget);
  await copy(find("[data-curl]"));
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = "Copy"), 1500);
});

/** The clipboard needs a secure context; elsewhere the line is at least selected. @param {HTMLElement} element */
async function copy(element) {
  getSelection()?.selectAllChildren(element);
  await navigator.clipboard?.writeText(element.textContent ?? "").catch(() => {});
}

search.addEventListener("input", filter);
search.addEventListener("keydown", (event) => {
  if (event.key === "ArrowDown") {
    event.preventDefault();
    roving.enter();
  }
  if (event.key !== "Escape") return;
  search.value = "";
  filter();
});
addEventListener("keydown", (event) => {
  const isElsewhere = event.target instanceof Element && event.target.closest("input, select, textarea, dialog, [popover]");
  if (event.ctrlKey || event.metaKey || event.altKey || isElsewhere) return;
  const act = { "/": () => search.focus(), ArrowDown: () => roving.enter() }[event.key];
  // In the list the arrow keys have been obeyed already.
  if (!act || event.defaultPrevented) return;
  event.preventDefault();
  act();
});
setInterval(() => rows.forEach((row) => row.tick()), 1000);

draw();
socket.connect();

// @ts-check
// The list of sessions: live, searched as one types.

import { closeQuestion, confirmed, restartQuestion } from "./confirm.js";
import { find, readJson, setText, showProblem } from "./dom.js";
import { SessionRow } from "./session-row.js";
import { Socket, socketUrl } from "./socket.js";
import { showConnection, showDetail } from "./status-line.js";
import { setServerTime } from "./time.js";
import { sessionPath } from "./words.js";

/** @type {any[]} */ let sessions = readJson("sessions");
/** @type {Map<string, SessionRow>} */ const rows = new Map();
/** The session to open as soon as there is a connection; empty if none is. */
let wanted = "";

const list = find("[data-list]");
const problem = find("[data-problem]");
const search = /** @type {HTMLInputElement} */ (find("[data-search]"));
const socket = new Socket(() => socketUrl("/ws/sessions/"));

// Frames

socket.onState((state) => {
  showConnection(state);
  if (state === "open") connected();
});
socket.on("live", () => showConnection("live"));
socket.on("sessions", (frame) => {
  setServerTime(frame.now);
  sessions = frame.sessions;
  draw();
});
socket.on("opened", (frame) => location.assign(sessionPath(frame.session)));
socket.on("error", (frame) => {
  if (frame.in_reply_to === null && frame.code === "host_unavailable") showConnection("unavailable");
  else showProblem(problem, frame.message);
});

function connected() {
  showProblem(problem, "");
  if (wanted) send({ type: "open", identifier: wanted });
  wanted = "";
}

// Drawing

function draw() {
  const ids = new Set(sessions.map((session) => session.id));
  for (const [id, row] of rows) {
    if (ids.has(id)) continue;
    row.element.remove();
    rows.delete(id);
  }
  sessions.forEach((session, place) => {
    const row = rows.get(session.id) ?? new SessionRow(act);
    rows.set(session.id, row);
    row.update(session);
    // Moving an element takes the focus from it: only if its place differs.
    if (list.children[place] !== row.element) list.insertBefore(row.element, list.children[place] ?? null);
  });
  filter();
  const live = sessions.filter((session) => session.is_live).length;
  setText(find("[data-count]"), sessions.length ? `${live} live` : "");
  find("[data-table]").hidden = !sessions.length;
  find("[data-empty]").hidden = sessions.length > 0;
  find(".sessions-head [data-new]").hidden = !sessions.length;
  find(".search").hidden = !sessions.length;
  showDetail(`${sessions.length} sessions shown, ${live} live`);
}

function filter() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const row of rows.values()) shown += Number(row.filter(words));
  find("[data-no-match]").hidden = shown > 0 || !sessions.length;
  find(".session-columns").hidden = shown === 0;
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

function openNew() {
  const identifier = freshName();
  if (send({ type: "open", identifier })) return;
  wanted = identifier;
  showProblem(problem, "Connecting. The session opens as soon as the server answers.");
}

/** A name nobody has yet: "session-1", "session-2" … */
function freshName() {
  const taken = new Set(sessions.map((session) => session.identifier));
  let n = 1;
  while (taken.has(`session-${n}`)) n += 1;
  return `session-${n}`;
}

for (const button of document.querySelectorAll("[data-new]")) {
  button.addEventListener("click", openNew);
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
  if (event.key !== "Escape") return;
  search.value = "";
  filter();
});
addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.target !== document.body) return;
  event.preventDefault();
  search.focus();
});
setInterval(() => rows.forEach((row) => row.tick()), 1000);

draw();
socket.connect();

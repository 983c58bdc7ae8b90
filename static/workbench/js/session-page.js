// @ts-check
// One session's page: wires the log, the cards and the composer together.

import { Composer } from "./composer.js";
import { closeQuestion, confirmed, restartQuestion } from "./confirm.js";
import { find, readJson, setText, showProblem } from "./dom.js";
import { ExecutionView } from "./execution-view.js";
import { emptyState, fold, queuePlaces, runningExecution } from "./fold.js";
import { Follower } from "./scroll.js";
import { Socket, socketUrl } from "./socket.js";
import { showConnection, showDetail } from "./status-line.js";
import { showTab } from "./tab.js";
import { elapsed, setServerTime } from "./time.js";
import { sessionWord } from "./words.js";

// Hidden pages get no animation frames; their title still has to be true.
const HIDDEN_DRAW_MS = 500;
const LIVE_STATES = new Set(["starting", "idle", "busy", "restarting", "died"]);

const session = readJson("session");
let state = emptyState();
state.session = { ...state.session, state: session.state, reason: session.reason };
/** @type {import("./fold.js").LogEvent[]} */ let waiting = [];
let isDrawing = false;
let hasAll = false;
/** @type {Map<string, ExecutionView>} */ const views = new Map();

const problem = find("[data-problem]");
const list = find("[data-executions]");
const follower = new Follower();
const socket = new Socket(() => socketUrl(`/ws/sessions/${session.id}/?since=${state.number + waiting.length}`));
const composer = new Composer((code) => socket.send({ type: "execute", code }) && (follower.toEnd(), true));

// Frames

socket.onState((connection, reason) => {
  showConnection(connection);
  if (connection === "open") showProblem(problem, "");
  if (connection === "refused") showProblem(problem, reason || "This session cannot be watched.");
});
socket.on("session", (frame) => {
  setServerTime(frame.now);
  // A log shorter than what the page has is another log: begin again.
  if (frame.session.last_event_number < state.number) location.reload();
});
socket.on("events", (frame) => {
  waiting.push(...frame.events);
  schedule();
});
socket.on("live", () => {
  hasAll = true;
  showConnection("live");
  schedule();
});
socket.on("error", (frame) => {
  if (frame.in_reply_to === "execute") composer.refused(frame.message);
  else if (frame.in_reply_to === null && frame.code === "host_unavailable") hostGone();
  else showProblem(problem, frame.message);
  if (frame.in_reply_to === "input") for (const view of views.values()) view.askAgain();
});

function hostGone() {
  hasAll = true;
  showConnection("unavailable");
  schedule();
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
  const events = waiting;
  waiting = [];
  state = fold(state, events);
  drawExecutions();
  drawHeader();
  find("[data-skeleton]").hidden = hasAll || views.size > 0;
  find("[data-empty]").hidden = !hasAll || views.size > 0 || !LIVE_STATES.has(state.session.state);
  if (events.length) follower.grown();
}

function drawExecutions() {
  const places = queuePlaces(state);
  for (const execution of state.executions.values()) {
    let view = views.get(execution.id);
    if (!view) {
      view = new ExecutionView({
        cancel: (id) => send({ type: "cancel", execution: id }),
        answer: (text) => send({ type: "input", text }),
      });
      views.set(execution.id, view);
      list.append(view.element);
    }
    view.update(execution, places.get(execution.id) ?? 0);
  }
}

function drawHeader() {
  const { state: word, reason } = state.session;
  const running = runningExecution(state);
  const isLive = LIVE_STATES.has(word);
  const pill = find("[data-pill]");
  pill.dataset.state = pillState(word, running);
  pill.title = reason;
  setText(find("[data-pill-text]"), pillText(word, reason, running));
  for (const button of /** @type {NodeListOf<HTMLButtonElement>} */ (document.querySelectorAll("[data-do]"))) {
    button.disabled = !isLive || (button.dataset.do === "interrupt" && !running);
  }
  composer.show(isLive && hasAll);
  const ended = find("[data-ended]");
  ended.hidden = isLive;
  const nothing = hasAll && !views.size ? "Nothing ran in it." : "";
  setText(ended, [`This session is ${sessionWord(word)}.`, reason, nothing].filter(Boolean).join(" "));
  showTab(session.identifier, Boolean(running));
  const runs = views.size === 1 ? "1 run" : `${views.size} runs`;
  showDetail(`${runs} · event ${state.number.toLocaleString()} · ${state.session.kernel || session.kernel}`);
}

/**
 * The log tells of the session's ups and downs; that it is busy shows in its executions.
 * @param {string} word
 * @param {import("./fold.js").Execution | null} running
 */
function pillState(word, running) {
  if (word !== "idle" && word !== "busy") return word;
  if (!running) return "idle";
  return running.input ? "asks" : "busy";
}

/**
 * @param {string} word
 * @param {string} reason
 * @param {import("./fold.js").Execution | null} running
 */
function pillText(word, reason, running) {
  const shown = pillState(word, running);
  if (shown === "asks") return "waits for input";
  if (shown === "busy" && running?.startedAt) return `running ${elapsed(running.startedAt)}`;
  if (shown === "idle") return "idle";
  return word === "died" && reason ? `died: ${reason}` : sessionWord(word);
}

setInterval(() => {
  if (!runningExecution(state)) return;
  drawHeader();
  for (const [id, view] of views) if (state.executions.get(id)?.state === "running") view.tick();
}, 1000);

// Actions

/** @param {{type: string, [field: string]: string}} frame */
function send(frame) {
  const isSent = socket.send(frame);
  showProblem(problem, isSent ? "" : "Not connected. Try again when the connection is back.");
  return isSent;
}

/** @type {Record<string, (name: string) => Promise<boolean>>} */
const QUESTIONS = {
  interrupt: async () => true,
  restart: (name) => confirmed(restartQuestion(name)),
  close: (name) => confirmed(closeQuestion(name)),
};
for (const button of /** @type {NodeListOf<HTMLButtonElement>} */ (document.querySelectorAll("[data-do]"))) {
  const type = button.dataset.do ?? "";
  button.addEventListener("click", async () => {
    if (await QUESTIONS[type](session.identifier)) send({ type });
  });
}

drawHeader();
socket.connect();

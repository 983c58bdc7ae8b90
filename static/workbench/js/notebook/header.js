// @ts-check
// The bar: what the session does, and which of its buttons mean something now.

import { isLive, runningExecution } from "../fold.js";
import { find, setText } from "../dom.js";
import { showTab } from "../tab.js";
import { elapsed } from "../time.js";
import { sessionWord } from "../words.js";

/** @typedef {import("../fold.js").State} State */
/** @typedef {import("../fold.js").Execution} Execution */

/**
 * @param {State} state
 * @param {string} name of the session
 */
export function drawHeader(state, name) {
  const { state: word, reason } = state.session;
  const running = runningExecution(state);
  const pill = find("[data-pill]");
  pill.dataset.state = shownState(word, running);
  pill.title = reason;
  setText(find("[data-pill-text]"), pillText(word, reason, running));
  for (const button of /** @type {NodeListOf<HTMLButtonElement>} */ (document.querySelectorAll("[data-needs]"))) {
    button.disabled = button.dataset.needs === "running" ? !running : !isLive(state);
  }
  showTab(name, Boolean(running));
}

/**
 * The banner over a session that has ended.
 * @param {State} state
 */
export function drawEnded(state) {
  const banner = find("[data-ended]");
  banner.hidden = isLive(state) || !state.session.state;
  if (banner.hidden) return;
  setText(find("[data-ended-title]"), `This session is ${sessionWord(state.session.state)}.`);
  const isAgain = banner.querySelector("[data-command=reopen]");
  const rest = `Its notebook stays here to be read.${isAgain ? " Opened again, it gets a fresh kernel and no files." : ""}`;
  setText(find("[data-ended-reason]"), [state.session.reason, rest].filter(Boolean).join(" "));
}

/**
 * The log tells of the session's ups and downs; that it is busy shows in its executions.
 * @param {string} word
 * @param {Execution | null} running
 */
function shownState(word, running) {
  if (word !== "idle" && word !== "busy") return word;
  if (!running) return "idle";
  return running.input ? "asks" : "busy";
}

/**
 * @param {string} word
 * @param {string} reason
 * @param {Execution | null} running
 */
function pillText(word, reason, running) {
  const shown = shownState(word, running);
  if (shown === "asks") return "waits for input";
  if (shown === "busy" && running?.startedAt) return `running ${elapsed(running.startedAt)}`;
  if (shown === "idle") return "idle";
  const explained = word === "died" || word === "stopped"; // people wonder why
  return explained && reason ? `${word}: ${reason}` : sessionWord(word);
}

// @ts-check
// The line at the bottom: is what the page shows still true?

import { find, setText } from "./dom.js";

const WORDS = {
  connecting: "Connecting…",
  open: "Connected",
  waiting: "Connection lost. Trying again…",
  refused: "Not connected",
  live: "Live",
  unavailable: "The kernel host does not answer. Trying again…",
};

/** @param {keyof WORDS} state */
export function showConnection(state) {
  find("[data-connection]").dataset.state = state;
  setText(find("[data-connection-text]"), WORDS[state]);
}

/** @param {string} text */
export function showDetail(text) {
  setText(find("[data-status-detail]"), text);
}

// @ts-check
// The line at the bottom: is what the page shows still true?

import { find, setText } from "./dom.js";

const WORDS = {
  connecting: "Connecting…",
  open: "Connected",
  waiting: "Connection lost. Trying again…",
  refused: "Not connected",
  live: "Live",
  host_unavailable: "The kernel host does not answer. Trying again…",
  unavailable: "The database does not answer. Trying again…",
};

/** What a socket says of itself, rather than of something it was asked. @param {Record<string, any>} frame */
export function showsAsConnection(frame) {
  if (frame.in_reply_to !== null || !["host_unavailable", "unavailable"].includes(frame.code)) return false;
  showConnection(frame.code);
  return true;
}

/** @param {keyof WORDS} state */
export function showConnection(state) {
  find("[data-connection]").dataset.state = state;
  setText(find("[data-connection-text]"), WORDS[state]);
}

/** @param {string} text */
export function showDetail(text) {
  setText(find("[data-status-detail]"), text);
}

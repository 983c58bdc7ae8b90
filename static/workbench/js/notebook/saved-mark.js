// @ts-check
// Whether what a person wrote is with the server: a word in the status line.

import { find, setText } from "../dom.js";

/** @param {import("./sync.js").SyncState} state */
export function showSaved({ saved, saving, failed, sentence }) {
  const mark = find("[data-saved]");
  mark.dataset.state = saved ? "saved" : saving ? "saving" : failed ? "failed" : "offline";
  mark.title = sentence;
  setText(mark, saved ? "Saved" : saving ? "Saving…" : sentence);
}

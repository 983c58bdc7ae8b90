// @ts-check
// The browser's own notification when a long cell ends while nobody looks. Only if asked for.

import { duration } from "../time.js";
import { stateWord } from "../words.js";
import { toast } from "./toasts.js";

// Shorter runs are not worth an interruption.
const LONG_SECONDS = 10;
const KEY = "workbench-notify";

/** Whether the person asked for it, and the browser lets us. */
export function isNotifying() {
  return "Notification" in globalThis && Notification.permission === "granted" && localStorage.getItem(KEY) === "on";
}

/** Ask for it, or stop it. */
export async function toggleNotifications() {
  if (isNotifying()) {
    localStorage.removeItem(KEY);
    return toast("Notifications are off.");
  }
  if (!("Notification" in globalThis)) return toast("This browser has no notifications.");
  const answer = await Notification.requestPermission();
  if (answer !== "granted") return toast("The browser does not allow notifications here. Its settings for this site can change that.");
  localStorage.setItem(KEY, "on");
  return toast(`You will be told when a run of ${LONG_SECONDS} seconds or more ends while this page is hidden.`);
}

/**
 * Tell of the runs that have ended between two states of the page.
 * @param {import("../fold.js").State} before
 * @param {import("../fold.js").State} after
 * @param {string} name of the session
 */
export function notifyEnded(before, after, name) {
  if (!document.hidden || !isNotifying()) return;
  for (const execution of after.executions.values()) {
    const wasRunning = before.executions.get(execution.id)?.state === "running";
    const seconds = execution.durationSeconds ?? 0;
    if (!wasRunning || execution.state === "running" || seconds < LONG_SECONDS) continue;
    const first = execution.code.trim().split("\n")[0].slice(0, 80);
    const note = new Notification(`${name}: ${stateWord(execution.state)} after ${duration(seconds)}`, { body: first, tag: execution.id });
    note.onclick = () => {
      focus();
      note.close();
    };
  }
}

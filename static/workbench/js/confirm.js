// @ts-check
// A question before something that cannot be taken back.

import { find, setText } from "./dom.js";

// A dialog says that it was closed only some time after it was: before that, the next question
// would take this for its own answer.
let lastAnswer = Promise.resolve(false);

/**
 * True if the person says yes. Escape and a click outside mean no.
 * @param {{title: string, text: string, verb: string}} question
 * @returns {Promise<boolean>}
 */
export function confirmed(question) {
  lastAnswer = lastAnswer.then(() => ask(question));
  return lastAnswer;
}

/**
 * @param {{title: string, text: string, verb: string}} question
 * @returns {Promise<boolean>}
 */
function ask({ title, text, verb }) {
  const dialog = /** @type {HTMLDialogElement} */ (find("#confirm"));
  setText(find("[data-title]", dialog), title);
  setText(find("[data-text]", dialog), text);
  setText(find("[data-verb]", dialog), verb);
  dialog.returnValue = "no";
  dialog.onclick = (event) => {
    if (event.target === dialog) dialog.close("no");
  };
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

/** @param {string} name */
export function closeQuestion(name) {
  return {
    title: `Close ${name}?`,
    text: "Its kernel and its files go. What ran stays readable.",
    verb: "Close session",
  };
}

/** @param {string} name */
export function restartQuestion(name) {
  return {
    title: `Restart the kernel of ${name}?`,
    text: "Its variables are lost, what runs is interrupted and what waits is cancelled. Files stay.",
    verb: "Restart kernel",
  };
}

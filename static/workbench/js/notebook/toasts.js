// @ts-check
// Short notes at the bottom that go by themselves, such as the offer to undo.

import { find, fromTemplate, setText } from "../dom.js";

const SHOWN_MS = 8_000;

/**
 * @param {string} text
 * @param {{title: string, run: () => void}} [action]
 */
export function toast(text, action) {
  const node = fromTemplate("toast");
  const button = /** @type {HTMLButtonElement} */ (find("[data-action]", node));
  setText(find("[data-text]", node), text);
  const timer = setTimeout(() => node.remove(), SHOWN_MS);
  if (action) {
    button.hidden = false;
    setText(button, action.title);
    button.addEventListener("click", () => {
      clearTimeout(timer);
      node.remove();
      action.run();
    });
  }
  find("[data-toasts]").replaceChildren(node); // one at a time: the newest is what was just done
}

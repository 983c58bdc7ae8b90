// @ts-check
// One line of the list of sessions.

import { find, fromTemplate, setText } from "./dom.js";
import { ago, exact } from "./time.js";
import { originName, sessionPath, sessionWord } from "./words.js";

export class SessionRow {
  element = fromTemplate("session-row");
  /** @type {any} */ #session = null;
  #searched = "";

  /** @param {(type: string, session: any) => void} act */
  constructor(act) {
    for (const button of /** @type {NodeListOf<HTMLButtonElement>} */ (this.element.querySelectorAll("[data-do]"))) {
      button.addEventListener("click", () => act(button.dataset.do ?? "", this.#session));
    }
  }

  /** @param {any} session */
  update(session) {
    this.#session = session;
    this.element.dataset.state = session.state;
    this.element.classList.toggle("is-ended", !session.is_live);
    this.#set("[data-state]", sessionWord(session.state), session.reason);
    this.#set("[data-name]", session.identifier, session.identifier);
    find("[data-name]", this.element).setAttribute("href", sessionPath(session));
    this.#set("[data-origin]", originName(session.origin), `Opened through ${originName(session.origin)}`);
    this.#set("[data-kernel]", session.kernel, "Kernel");
    const line = session.reason && !session.is_live ? session.reason : session.last_line;
    this.#set("[data-line]", line, line);
    this.#set("[data-runs]", runs(session.executions), `${session.executions.failed} failed, ${session.executions.waiting} running or waiting`);
    find("[data-active]", this.element).title = `${exact(session.last_active_at)} (opened ${exact(session.created_at)})`;
    find("[data-do=interrupt]", this.element).hidden = session.state !== "busy";
    this.#searched = [session.identifier, session.origin, originName(session.origin), session.kernel,
      sessionWord(session.state), session.last_line].join(" ").toLowerCase();
    this.tick();
  }

  /** The time that passes. */
  tick() {
    if (this.#session) setText(find("[data-active]", this.element), ago(this.#session.last_active_at));
  }

  /**
   * Show the row if it has all the words.
   * @param {string[]} words in lower case
   */
  filter(words) {
    this.element.hidden = !words.every((word) => this.#searched.includes(word));
    return !this.element.hidden;
  }

  /**
   * @param {string} selector
   * @param {string} text
   * @param {string} title
   */
  #set(selector, text, title) {
    const element = find(selector, this.element);
    setText(element, text);
    if (element.title !== title) element.title = title;
  }
}

/** @param {{total: number, failed: number}} executions */
function runs({ total, failed }) {
  const counted = total === 1 ? "1 run" : `${total} runs`;
  return failed ? `${counted}, ${failed} failed` : counted;
}

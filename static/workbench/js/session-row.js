// @ts-check
// One line of the list of sessions.

import { find, fromTemplate, setText } from "./dom.js";
import { openMenu } from "./notebook/menu.js";
import { sizeText } from "./panels/files-model.js";
import { Sparkline } from "./sparkline.js";
import { ago, elapsed, exact } from "./time.js";
import { originName, sessionPath, sessionWord } from "./words.js";

export class SessionRow {
  element = fromTemplate("session-row");
  /** @type {any} */ #session = null;
  #spark = new Sparkline();
  #searched = "";
  #act;

  /** @param {(type: string, session: any) => void} act */
  constructor(act) {
    this.#act = act;
    find("[data-memory]", this.element).append(this.#spark.element);
    for (const button of /** @type {NodeListOf<HTMLButtonElement>} */ (this.element.querySelectorAll("[data-do]"))) {
      button.addEventListener("click", () => act(button.dataset.do ?? "", this.#session));
    }
    const menu = find("[data-row-menu]", this.element);
    menu.addEventListener("click", () => openMenu(menu, this.#menu()));
  }

  /** @param {any} session */
  update(session) {
    this.#session = session;
    this.element.dataset.state = session.asks ? "asks" : session.state;
    this.element.classList.toggle("is-ended", !session.is_live);
    this.#set("[data-name]", session.identifier, session.identifier);
    find("[data-name]", this.element).setAttribute("href", sessionPath(session));
    this.#set("[data-origin]", originName(session.origin), `Opened through ${originName(session.origin)}`);
    this.#set("[data-kernel]", session.kernel, "Kernel");
    this.#set("[data-owner]", session.owner ?? "", session.owner ? `Belongs to ${session.owner}` : "");
    const line = session.reason && !session.is_live ? session.reason : session.last_line;
    this.#set("[data-line]", line, line);
    this.#set("[data-runs]", runs(session.executions), `${session.executions.failed} failed, ${session.executions.waiting} running or waiting`);
    this.#memory(session);
    find("[data-active]", this.element).title = `${exact(session.last_active_at)} (opened ${exact(session.created_at)})`;
    find("[data-do=interrupt]", this.element).hidden = session.state !== "busy";
    this.#searched = searchedOf(session);
    this.tick();
  }

  /** The times that pass. */
  tick() {
    if (!this.#session) return;
    const { state, asks, reason, running_since: since, last_active_at } = this.#session;
    const word = asks ? "waits for input" : sessionWord(state);
    this.#set("[data-state]", state === "busy" && since && !asks ? `${word} ${elapsed(since)}` : word, reason);
    setText(find("[data-active]", this.element), ago(last_active_at));
  }

  /**
   * Show the row if it has all the words.
   * @param {string[]} words in lower case
   */
  filter(words) {
    this.element.hidden = !words.every((word) => this.#searched.includes(word));
    return !this.element.hidden;
  }

  /** @param {any} session */
  #memory({ memory_bytes: bytes, memory_spark: spark, is_live }) {
    const isKnown = is_live && typeof bytes === "number";
    find("[data-memory]", this.element).classList.toggle("is-unknown", !isKnown);
    this.#set("[data-memory-text]", isKnown ? sizeText(bytes) : "", isKnown ? "Memory, and how it went in the last five minutes" : "");
    this.#spark.update(isKnown ? spark ?? [] : []);
  }

  /** @returns {import("./notebook/menu.js").Item[]} */
  #menu() {
    const { state } = this.#session;
    const item = (/** @type {string} */ title, /** @type {string} */ type) => ({ title, run: () => this.#act(type, this.#session) });
    return [
      { ...item("Interrupt", "interrupt"), disabled: state !== "busy" },
      item("Restart kernel", "restart"),
      null,
      { ...item("Close session", "close"), danger: true },
    ];
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

/** @param {any} session */
function searchedOf({ identifier, origin, kernel, owner, state, asks, last_line }) {
  const words = [identifier, origin, originName(origin), kernel, owner, state, asks ? "waits for input" : sessionWord(state), last_line];
  return words.filter(Boolean).join(" ").toLowerCase();
}

/** @param {{total: number, failed: number}} executions */
function runs({ total, failed }) {
  const counted = total === 1 ? "1 run" : `${total} runs`;
  return failed ? `${counted}, ${failed} failed` : counted;
}

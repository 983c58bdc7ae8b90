// @ts-check
// Every run of the session, the newest first: found again, read, and taken up again.

import { find, fromTemplate, setText } from "../dom.js";
import { originName } from "../words.js";
import { HistoryLine } from "./history-line.js";
import { matchingRuns, originsOf } from "./history-model.js";
import { LongList } from "./long-list.js";
import { coalesced } from "./soon.js";

/** @typedef {import("../fold.js").Execution} Execution */

// A run that prints changes the log many times a second.
const FOLLOW_MS = 200;
const TYPING_MS = 120;

/** @param {any} workbench */
export function historyPanel(workbench) {
  const panel = new HistoryPanel(workbench);
  return {
    id: "history",
    title: "History",
    element: panel.element,
    shown: () => panel.shown(),
    hidden: () => panel.hidden(),
  };
}

class HistoryPanel {
  element = fromTemplate("history-panel");
  #workbench;
  #list;
  #search = /** @type {HTMLInputElement} */ (find("[data-search]", this.element));
  #group = /** @type {HTMLSelectElement} */ (find("[data-group]", this.element));
  #origin = /** @type {HTMLSelectElement} */ (find("[data-origin]", this.element));
  #isShown = false;

  /** @param {any} workbench */
  constructor(workbench) {
    this.#workbench = workbench;
    this.#list = new LongList(find("[data-list]", this.element), {
      key: (/** @type {Execution} */ { id }) => id,
      make: () => new HistoryLine(workbench),
      focus: ".run-open",
    });
    this.#search.addEventListener("input", coalesced(() => this.#draw({ isOther: true }), TYPING_MS));
    for (const choice of [this.#group, this.#origin]) {
      choice.addEventListener("change", () => this.#draw({ isOther: true }));
    }
    workbench.onState(coalesced(() => this.#isShown && this.#draw(), FOLLOW_MS));
  }

  shown() {
    this.#isShown = true;
    this.#draw();
  }

  hidden() {
    this.#isShown = false;
  }

  /** @param {{isOther?: boolean}} [how] */
  #draw(how) {
    const { executions } = this.#workbench.state;
    this.#offer(originsOf(executions.values()));
    const wanted = { text: this.#search.value, group: this.#group.value, origin: this.#origin.value };
    const found = matchingRuns(executions.values(), wanted);
    this.#list.update(found, how);
    const isNarrowed = Boolean(wanted.text.trim() || wanted.group || wanted.origin);
    setText(find("[data-count]", this.element), countText(found.length, executions.size, isNarrowed));
    find("[data-tools]", this.element).hidden = executions.size === 0;
    find("[data-empty]", this.element).hidden = executions.size > 0;
    find("[data-no-match]", this.element).hidden = executions.size === 0 || found.length > 0;
  }

  /** Let the person choose among the origins there are; a choice of one is none. @param {string[]} origins */
  #offer(origins) {
    const known = [...this.#origin.options].slice(1).map(({ value }) => value);
    this.#origin.hidden = origins.length < 2;
    if (known.join() === origins.join()) return;
    const chosen = this.#origin.value;
    while (this.#origin.options.length > 1) this.#origin.remove(1);
    this.#origin.append(...origins.map((origin) => new Option(originName(origin), origin)));
    this.#origin.value = origins.includes(chosen) ? chosen : "";
  }
}

/**
 * @param {number} found
 * @param {number} all
 * @param {boolean} isNarrowed
 */
function countText(found, all, isNarrowed) {
  const runs = `${all.toLocaleString()} ${all === 1 ? "run" : "runs"}`;
  return isNarrowed ? `${found.toLocaleString()} of ${runs}` : runs;
}

// @ts-check
// What runs and what waits, as it is in the log.

import { find, fromTemplate, setText } from "../dom.js";
import { queuePlaces, runningExecution } from "../fold.js";
import { elapsed, exact, ordinal } from "../time.js";
import { originName } from "../words.js";
import { LongList } from "./long-list.js";
import { firstLine, moreLines } from "./run-facts.js";

/**
 * @typedef {import("../fold.js").Execution} Execution
 * @typedef {{execution: Execution, place: number}} Entry place 0: it runs
 */

const TICK_MS = 1_000;

/** @param {any} workbench */
export function queuePanel(workbench) {
  const panel = new QueuePanel(workbench);
  return {
    id: "queue",
    title: "Queue",
    element: panel.element,
    shown: () => panel.shown(),
    hidden: () => panel.hidden(),
  };
}

class QueuePanel {
  element = fromTemplate("queue-panel");
  #workbench;
  #list;
  /** @type {Entry[]} */ #entries = [];
  /** @type {ReturnType<typeof setInterval> | undefined} */ #timer;

  /** @param {any} workbench */
  constructor(workbench) {
    this.#workbench = workbench;
    this.#list = new LongList(find("[data-list]", this.element), {
      key: (/** @type {Entry} */ { execution }) => execution.id,
      make: () => new QueueLine({ go: (id) => this.#go(id), end: (entry) => this.#end(entry) }),
      focus: ".run-open",
    });
    find('[data-do="cancel-all"]', this.element).addEventListener("click", () => this.#cancelAll());
    workbench.onState(() => this.#timer !== undefined && this.#draw());
  }

  shown() {
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    this.#draw();
  }

  hidden() {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #draw() {
    this.#entries = entriesOf(this.#workbench.state, this.#entries);
    this.#list.update(this.#entries);
    const waiting = this.#entries.filter(({ place }) => place > 0).length;
    find("[data-empty]", this.element).hidden = this.#entries.length > 0;
    find("[data-head]", this.element).hidden = !this.#entries.length;
    setText(find("[data-count]", this.element), waiting ? `${waiting.toLocaleString()} waiting` : "Nothing waits");
    find('[data-do="cancel-all"]', this.element).hidden = waiting < 2;
  }

  #tick() {
    for (const { execution, place } of this.#entries) {
      if (place === 0) /** @type {QueueLine | null} */ (this.#list.line(execution.id))?.tick();
    }
  }

  /** @param {string} id */
  #go(id) {
    this.#workbench.notebook.focus(this.#workbench.notebook.cellOf(id));
  }

  /** @param {Entry} entry */
  #end({ execution, place }) {
    this.#workbench.send(place === 0 ? { type: "interrupt" } : { type: "cancel", execution: execution.id });
  }

  /** The last one first: otherwise the next would begin if what runs ended meanwhile. */
  #cancelAll() {
    for (const { execution, place } of this.#entries.toReversed()) {
      if (place > 0 && !this.#workbench.send({ type: "cancel", execution: execution.id })) return;
    }
  }
}

class QueueLine {
  element = fromTemplate("queue-run");
  /** @type {Entry | null} */ #entry = null;

  /** @param {{go: (id: string) => void, end: (entry: Entry) => void}} actions */
  constructor({ go, end }) {
    const act = (/** @type {(entry: Entry) => void} */ action) => () => this.#entry && action(this.#entry);
    find(".run-open", this.element).addEventListener("click", act(({ execution }) => go(execution.id)));
    find('[data-do="end"]', this.element).addEventListener("click", act(end));
  }

  /** @param {Entry} entry */
  update(entry) {
    this.#entry = entry;
    const { code, origin, queuedAt, kind, state } = entry.execution;
    this.element.dataset.state = entry.execution.input ? "asks" : state;
    setText(find("[data-code]", this.element), firstLine(code) || "(nothing)");
    const more = moreLines(code);
    setText(find("[data-more]", this.element), more ? `+${more}` : "");
    const facts = [originName(origin), kind === "command" ? "command" : ""].filter(Boolean);
    setText(find("[data-facts]", this.element), facts.join(" · "));
    find(".run-open", this.element).title = queuedAt ? `Go to its cell\nqueued ${exact(queuedAt)}` : "Go to its cell";
    setText(find('[data-do="end"]', this.element), entry.place === 0 ? "Stop" : "Cancel");
    this.tick();
  }

  /** The time that passes. */
  tick() {
    if (!this.#entry) return;
    const { execution, place } = this.#entry;
    const since = execution.startedAt ? ` ${elapsed(execution.startedAt)}` : "";
    const running = execution.input ? "waits for input" : `running${since}`;
    setText(find("[data-state-text]", this.element), place ? ordinal(place) : running);
  }
}

/**
 * What runs, then what waits. Entries that are as before are the same objects.
 * @param {import("../fold.js").State} state
 * @param {Entry[]} before
 * @returns {Entry[]}
 */
function entriesOf(state, before) {
  const known = new Map(before.map((entry) => [entry.execution.id, entry]));
  const entry = (/** @type {Execution} */ execution, /** @type {number} */ place) => {
    const same = known.get(execution.id);
    return same?.execution === execution && same.place === place ? same : { execution, place };
  };
  const running = runningExecution(state);
  const waiting = [...queuePlaces(state)].map(([id, place]) =>
    entry(/** @type {Execution} */ (state.executions.get(id)), place));
  return running ? [entry(running, 0), ...waiting] : waiting;
}

// @ts-check
// What the session uses: memory and processor of the last minutes, asked for while somebody looks.

import { find, fromTemplate, setText } from "../dom.js";
import { isLive } from "../fold.js";
import { serverNow } from "../time.js";
import { Chart } from "./chart.js";
import { sizeText } from "./files-model.js";

/** @typedef {{at: string, memory_bytes: number, cpu_percent: number, processes: number}} Sample */

const EVERY_MS = 2_000;
const SHOWN_MS = 5 * 60_000;

/** @param {any} workbench */
export function resourcesPanel(workbench) {
  const panel = new ResourcesPanel(workbench);
  return {
    id: "resources",
    title: "Resources",
    element: panel.element,
    shown: () => panel.shown(),
    hidden: () => panel.hidden(),
  };
}

class ResourcesPanel {
  element = fromTemplate("resources-panel");
  #workbench;
  #memory = new Chart({ title: "Memory", format: sizeText, least: 10_000_000 });
  #processor = new Chart({ title: "CPU", format: (value) => `${Math.round(value)} %`, least: 100 });
  #isAsking = false;
  #hasSamples = false;
  /** @type {ReturnType<typeof setInterval> | undefined} */ #timer;

  /** @param {any} workbench */
  constructor(workbench) {
    this.#workbench = workbench;
    find("[data-charts]", this.element).prepend(this.#memory.element, this.#processor.element);
  }

  shown() {
    this.#timer = setInterval(() => this.#ask(), EVERY_MS);
    this.#ask();
  }

  hidden() {
    clearInterval(this.#timer);
  }

  async #ask() {
    if (this.#isAsking || document.hidden) return;
    if (!isLive(this.#workbench.state)) return this.#say("This session has ended. It uses nothing any more.");
    this.#isAsking = true;
    try {
      const { samples, memory_limit_bytes } = await this.#workbench.ask("resources");
      this.#show(samples, memory_limit_bytes);
      this.#say(samples.length ? "" : "Nothing was measured yet.");
    } catch (error) {
      this.#refused(/** @type {Error & {code: string}} */ (error));
    }
    this.#isAsking = false;
  }

  /**
   * @param {Sample[]} samples
   * @param {number | null} limit
   */
  #show(samples, limit) {
    this.#hasSamples = samples.length > 0;
    find("[data-charts]", this.element).hidden = !this.#hasSamples;
    const at = samples.map((sample) => Date.parse(sample.at));
    const to = Math.max(serverNow(), at.at(-1) ?? 0);
    const span = { from: to - SHOWN_MS, to };
    const points = (/** @type {(sample: Sample) => number} */ value) =>
      samples.map((sample, place) => ({ at: at[place], value: value(sample) }));
    this.#memory.update({ ...span, points: points((sample) => sample.memory_bytes), limit });
    this.#processor.update({ ...span, points: points((sample) => sample.cpu_percent), limit: null });
    const count = samples.at(-1)?.processes ?? 0;
    setText(find("[data-processes]", this.element), count.toLocaleString());
  }

  /** The page opens before its connection does; then there is nothing to say yet. @param {Error & {code: string}} error */
  #refused({ code, message }) {
    if (code === "offline" && !this.#hasSamples) return;
    this.#say(message);
  }

  /** @param {string} sentence empty: nothing is wrong */
  #say(sentence) {
    const place = find("[data-sentence]", this.element);
    setText(place, sentence);
    place.hidden = !sentence;
    find("[data-skeleton]", this.element).hidden = true;
  }
}

// @ts-check
// Which runs a cell has had. Pure; follows the folded log as it grows.

/** @typedef {import("../fold.js").State} State */
/** @typedef {import("../fold.js").Execution} Execution */

export class Runs {
  /** @type {Map<string, string[]>} */ #byCell = new Map();
  #seen = 0;

  /**
   * Take in what is new. Executions are only ever added to the state, at its end.
   * @param {State} state
   */
  follow(state) {
    if (state.executions.size === this.#seen) return;
    let place = 0;
    for (const execution of state.executions.values()) {
      if (place++ < this.#seen) continue;
      const cell = execution.cell ?? execution.id;
      const runs = this.#byCell.get(cell);
      if (runs) runs.push(execution.id);
      else this.#byCell.set(cell, [execution.id]);
    }
    this.#seen = place;
  }

  /**
   * How long the run before a cell's last one took, in seconds; null if there is none that ended.
   * @param {State} state
   * @param {string} cell
   */
  lastDuration(state, cell) {
    const runs = this.#byCell.get(cell) ?? [];
    for (const id of runs.slice(0, -1).reverse()) {
      const execution = state.executions.get(id);
      if (execution?.state === "succeeded") return execution.durationSeconds;
    }
    return null;
  }

  /**
   * The last run of a cell, if it had one.
   * @param {State} state
   * @param {string} cell
   * @returns {Execution | null}
   */
  last(state, cell) {
    const id = this.#byCell.get(cell)?.at(-1);
    return (id && state.executions.get(id)) || null;
  }
}

// @ts-check
// A list the Tab key enters once, and in which the arrow keys go from line to line.

export class Roving {
  #list;
  #selector;
  #leave;

  /**
   * @param {HTMLElement} list
   * @param {string} selector of what takes the focus, one in each line
   * @param {() => void} [leave] called when the person goes up from the first line
   */
  constructor(list, selector, leave = () => {}) {
    this.#list = list;
    this.#selector = selector;
    this.#leave = leave;
    list.addEventListener("keydown", (event) => this.#key(event));
    list.addEventListener("focusin", ({ target }) => this.#focused(target));
  }

  /** After the lines have changed: exactly one of those shown can be reached by Tab. */
  settle() {
    const all = this.#all();
    const reachable = all.filter(({ tabIndex }) => tabIndex === 0);
    if (reachable.length === 1) return;
    const kept = all.find((each) => each === document.activeElement) ?? reachable[0] ?? all[0];
    for (const each of all) each.tabIndex = each === kept ? 0 : -1;
  }

  /** Give the focus to the first line. */
  enter() {
    this.#all()[0]?.focus();
  }

  #all() {
    const found = /** @type {NodeListOf<HTMLElement>} */ (this.#list.querySelectorAll(this.#selector));
    return [...found].filter((each) => !each.closest("[hidden]"));
  }

  /** @param {EventTarget | null} target */
  #focused(target) {
    if (!(target instanceof HTMLElement) || !target.matches(this.#selector)) return;
    for (const each of this.#all()) each.tabIndex = each === target ? 0 : -1;
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.target instanceof Element)) return;
    if (event.target.closest("input, select, textarea")) return;
    const all = this.#all();
    const line = all.findIndex((each) => each === event.target || this.#lineOf(each)?.contains(/** @type {Node} */ (event.target)));
    const to = { ArrowDown: line + 1, ArrowUp: line - 1, Home: 0, End: all.length - 1 }[event.key];
    if (to === undefined || line < 0) return;
    event.preventDefault();
    if (to < 0) this.#leave();
    else all[Math.min(to, all.length - 1)]?.focus();
  }

  /** @param {HTMLElement} element */
  #lineOf(element) {
    return element.closest("li");
  }
}

// @ts-check
// When to look again at something that changes while code runs: soon after something happened,
// now and then while something runs, never while nobody sees it.

// After something happened: code that writes one file often writes several.
const SOON_MS = 300;
// Between two looks, however much happens; and while code runs, however little.
const LEAST_MS = 1_000;
const RUNNING_MS = 2_000;

export class Follower {
  #look;
  #isRunning;
  #isOn = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  #dueAt = Infinity;
  #lookedAt = -Infinity;
  /** @type {Promise<void> | null} */ #looking = null;

  /**
   * @param {object} options
   * @param {() => Promise<void>} options.look must not fail
   * @param {() => boolean} options.isRunning whether code runs
   */
  constructor({ look, isRunning }) {
    this.#look = look;
    this.#isRunning = isRunning;
    document.addEventListener("visibilitychange", () => this.soon());
  }

  start() {
    this.#isOn = true;
    this.now();
  }

  stop() {
    this.#isOn = false;
    this.#forgetPlan();
  }

  /** Something happened. */
  happened() {
    if (!this.#isRunning()) this.soon();
    else if (this.#dueAt === Infinity) this.soon(RUNNING_MS);
  }

  /** Look after a while; an earlier time wins. */
  soon(delay = SOON_MS) {
    if (!this.#isOn || document.hidden) return;
    const now = performance.now();
    const at = Math.max(now + delay, this.#lookedAt + LEAST_MS);
    if (at >= this.#dueAt) return;
    this.#forgetPlan();
    this.#dueAt = at;
    this.#timer = setTimeout(() => this.#due(), at - now);
  }

  /** Look now, or share the look that is under way. */
  now() {
    this.#forgetPlan();
    this.#looking ??= this.#look().finally(() => {
      this.#looking = null;
      this.#lookedAt = performance.now();
      if (this.#isRunning()) this.soon(RUNNING_MS);
    });
    return this.#looking;
  }

  /** As `now`, but what it sees is younger than this call. */
  async anew() {
    await this.#looking;
    await this.now();
  }

  #due() {
    this.#forgetPlan();
    if (this.#looking) this.soon();
    else this.now();
  }

  #forgetPlan() {
    clearTimeout(this.#timer);
    this.#dueAt = Infinity;
  }
}

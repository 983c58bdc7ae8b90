// @ts-check
// Text output as DOM. What is on the page stays there: new text only touches the lines it changes.
// Much text is written in slices, so that the page answers in between.

import { lineNode } from "./line-node.js";
import { button, make } from "./make.js";
import { Terminal, plainText } from "./terminal.js";

// Lines come and go in blocks: the browser skips the layout of those out of sight.
const BLOCK_LINES = 250;
// Blocks of one output on the page; the newest are shown, a button shows all.
const BLOCKS_SHOWN = 8;
// Characters written before the page gets its turn, and how long that may take.
const SLICE_CHARACTERS = 20_000;
const SLICE_MS = 8;
// More lines than this get a box to scroll in.
const LINES_BEFORE_BOX = 40;
// Nearer to the end of the box than this, a person follows what comes.
const NEAR_PX = 24;

export class TextView {
  /** @type {HTMLElement} */ element;
  #terminal = new Terminal();
  #text = make("pre");
  #earlier = button("", () => this.#showAll(), "button quiet small more-lines");
  #box = make("div", "text-box", this.#earlier, this.#text);
  #toggle = button("", () => this.#setBoxed(!this.#isBoxed), "button quiet small more-lines");
  /** Index of the next chunk to write, and how much of it is written already. */
  #chunk = 0;
  #written = 0;
  /** @type {string[]} */ #chunks = [];
  #isWaiting = false;
  /** Index of the first block on the page. */
  #first = 0;
  #isAll = false;
  #isBoxed = false;
  /** Whether a person has chosen between the box and the whole. */
  #isChosen = false;
  /** Whether the box stays at its end as text comes; until a person scrolls up. */
  #isFollowing;
  #scrollTop = 0;

  /**
   * @param {string} className
   * @param {{isTail?: boolean}} [options] whether its box shows the end first, and follows it
   */
  constructor(className, { isTail = false } = {}) {
    this.#isFollowing = isTail;
    this.element = make("div", `text ${className}`, this.#box, this.#toggle);
    this.#earlier.hidden = this.#toggle.hidden = true;
    if (isTail) this.#follow();
  }

  /** @param {string[]} chunks all of them, the ones written before as well */
  update(chunks) {
    this.#chunks = chunks;
    if (!this.#isWaiting) this.#writeSlice();
  }

  /** All of the text, also what is not on the page. */
  text() {
    const whole = new Terminal();
    whole.write(this.#chunks.join(""));
    return plainText(whole.lines);
  }

  #writeSlice() {
    const deadline = performance.now() + SLICE_MS;
    let changed = Infinity;
    while (this.#chunk < this.#chunks.length && performance.now() < deadline) {
      changed = Math.min(changed, this.#terminal.write(this.#nextSlice()));
    }
    if (changed < Infinity) this.#draw(changed);
    this.#isWaiting = this.#chunk < this.#chunks.length;
    // Not an animation frame: a tab in the background must not pile up what it has to write.
    if (this.#isWaiting) setTimeout(() => this.#writeSlice());
  }

  #nextSlice() {
    const chunk = this.#chunks[this.#chunk];
    const slice = chunk.slice(this.#written, this.#written + SLICE_CHARACTERS);
    this.#written += slice.length;
    if (this.#written >= chunk.length) [this.#chunk, this.#written] = [this.#chunk + 1, 0];
    return slice;
  }

  /** A last, empty line is only where the cursor stands. */
  #lineCount() {
    const { lines } = this.#terminal;
    return lines.at(-1)?.length ? lines.length : lines.length - 1;
  }

  /** @param {number} changed the first line that changed */
  #draw(changed) {
    const count = this.#lineCount();
    const blocks = Math.ceil(count / BLOCK_LINES);
    const first = this.#isAll ? this.#first : Math.max(this.#first, blocks - BLOCKS_SHOWN);
    for (; this.#first < first; this.#first++) this.#text.firstChild?.remove();
    while (this.#text.childNodes.length > Math.max(0, blocks - this.#first)) this.#text.lastChild?.remove();
    for (let block = Math.max(first, Math.floor(changed / BLOCK_LINES)); block < blocks; block++) {
      this.#drawBlock(block, Math.max(changed, block * BLOCK_LINES), Math.min(count, (block + 1) * BLOCK_LINES));
    }
    this.#tell(count);
  }

  /**
   * @param {number} block
   * @param {number} from
   * @param {number} to
   */
  #drawBlock(block, from, to) {
    const place = block - this.#first;
    while (this.#text.childNodes.length <= place) this.#text.append(make("div", "lines"));
    const lines = /** @type {HTMLElement} */ (this.#text.childNodes[place]);
    const start = block * BLOCK_LINES;
    while (lines.childNodes.length > from - start) lines.lastChild?.remove();
    lines.append(...this.#terminal.lines.slice(start + lines.childNodes.length, to).map(lineNode));
  }

  /** @param {number} count of lines */
  #tell(count) {
    const hidden = this.#first * BLOCK_LINES;
    this.#earlier.hidden = hidden === 0 || this.#isAll;
    if (hidden) this.#earlier.textContent = `Show ${hidden.toLocaleString()} earlier lines`;
    this.#toggle.hidden = count <= LINES_BEFORE_BOX;
    if (!this.#isChosen) this.#showBox(count > LINES_BEFORE_BOX);
    if (this.#toggle.hidden) return; // most texts are short, and numbers take time to write
    this.#toggle.textContent = this.#isBoxed ? `Show all ${count.toLocaleString()} lines` : "Scroll inside";
  }

  /** Its height changes when text comes, but also when the browser lays out what it had skipped. */
  #follow() {
    new ResizeObserver(() => this.#isFollowing && (this.#box.scrollTop = this.#box.scrollHeight)).observe(this.#text);
    this.#box.addEventListener("scroll", () => {
      const { scrollHeight, scrollTop, clientHeight } = this.#box;
      if (scrollHeight - scrollTop - clientHeight < NEAR_PX) this.#isFollowing = true;
      else if (scrollTop < this.#scrollTop) this.#isFollowing = false;
      this.#scrollTop = scrollTop;
    }, { passive: true });
  }

  /** @param {boolean} isBoxed */
  #setBoxed(isBoxed) {
    this.#isChosen = true;
    this.#showBox(isBoxed);
    this.#tell(this.#lineCount());
    if (!isBoxed) this.#showAll();
    else this.element.scrollIntoView({ block: "nearest" });
  }

  /** @param {boolean} isBoxed */
  #showBox(isBoxed) {
    if (isBoxed === this.#isBoxed) return;
    this.#isBoxed = isBoxed;
    this.#box.classList.toggle("is-boxed", isBoxed);
    this.#box.tabIndex = isBoxed ? 0 : -1; // what scrolls must be within reach of the keyboard
  }

  #showAll() {
    this.#isAll = true;
    this.#tell(this.#lineCount());
    const deadline = performance.now() + SLICE_MS;
    const blocks = [];
    while (this.#first > 0 && performance.now() < deadline) blocks.unshift(this.#wholeBlock(--this.#first));
    this.#text.prepend(...blocks);
    if (this.#first > 0) requestAnimationFrame(() => this.#showAll());
  }

  /** @param {number} block */
  #wholeBlock(block) {
    const lines = this.#terminal.lines.slice(block * BLOCK_LINES, (block + 1) * BLOCK_LINES);
    return make("div", "lines", ...lines.map(lineNode));
  }
}

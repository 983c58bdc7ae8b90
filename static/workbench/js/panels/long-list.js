// @ts-check
// A list that may be very long: only its beginning is on the page, and more of it as one scrolls.

import { Roving } from "../roving.js";

// Lines put on the page at a time: more than fit on any screen.
const STEP = 100;

/**
 * @template Item
 * @typedef {object} Line
 * @property {HTMLElement} element
 * @property {(item: Item) => void} update
 */

/** @template Item */
export class LongList {
  #list;
  #key;
  #make;
  #roving;
  #end = document.createElement("li");
  #most = STEP;
  /** @type {Item[]} */ #items = [];
  /** @type {Map<string, {line: Line<Item>, item: Item}>} */ #lines = new Map();
  /** The keys of the lines on the page, in order. @type {string[]} */ #order = [];
  #watch = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && this.#more());

  /**
   * @param {HTMLElement} list
   * @param {object} parts
   * @param {(item: Item) => string} parts.key
   * @param {(item: Item) => Line<Item>} parts.make
   * @param {string} parts.focus selector of what takes the focus in a line
   */
  constructor(list, { key, make, focus }) {
    this.#list = list;
    this.#key = key;
    this.#make = make;
    this.#roving = new Roving(list, focus);
    this.#end.className = "list-end";
    this.#end.ariaHidden = "true";
  }

  /**
   * @param {Item[]} items an item that is the same object as before has not changed
   * @param {{isOther?: boolean}} [how] whether it is another list now, to be read from its top
   */
  update(items, { isOther = false } = {}) {
    this.#items = items;
    if (isOther) this.#most = STEP;
    this.#draw();
  }

  /** @param {string} key */
  line(key) {
    return this.#lines.get(key)?.line ?? null;
  }

  #draw() {
    const shown = this.#items.slice(0, this.#most);
    const keys = shown.map(this.#key);
    // While code prints, this is called often, and mostly only one line has changed.
    if (keys.length === this.#order.length && keys.every((key, at) => key === this.#order[at])) {
      for (const item of shown) this.#drawn(item);
    } else {
      this.#arrange(shown, new Set(keys));
      this.#order = keys;
      this.#roving.settle();
    }
    this.#drawEnd();
  }

  /**
   * @param {Item[]} shown
   * @param {Set<string>} keys
   */
  #arrange(shown, keys) {
    for (const [key, { line }] of this.#lines) {
      if (keys.has(key)) continue;
      line.element.remove();
      this.#lines.delete(key);
    }
    let next = this.#list.firstElementChild;
    for (const item of shown) {
      const { element } = this.#drawn(item);
      if (element === next) next = next.nextElementSibling;
      else this.#list.insertBefore(element, next);
    }
  }

  /** @param {Item} item */
  #drawn(item) {
    const key = this.#key(item);
    const known = this.#lines.get(key);
    if (known?.item === item) return known.line;
    const line = known?.line ?? this.#make(item);
    line.update(item);
    this.#lines.set(key, { line, item });
    return line;
  }

  #drawEnd() {
    this.#watch.disconnect();
    if (this.#items.length <= this.#most) return this.#end.remove();
    this.#list.append(this.#end);
    this.#watch.observe(this.#end);
  }

  #more() {
    this.#most += STEP;
    this.#draw();
  }
}

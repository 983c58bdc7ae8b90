// @ts-check
// Keys -> commands. Pure: it is told of key presses and says which command is meant.

import { COMMANDS } from "./commands.js";

// Two presses of a sequence ("D D") further apart than this are two presses.
const SEQUENCE_MS = 800;

/** @typedef {"command" | "edit"} Mode */

export class Keymap {
  /** @type {Record<Mode, Map<string, string>>} */ #keys = { command: new Map(), edit: new Map() };
  #before = "";
  #beforeAt = -Infinity;
  #isMac;

  /** @param {{isMac?: boolean}} [options] */
  constructor({ isMac = false } = {}) {
    this.#isMac = isMac;
    for (const { id, keys = [], editKeys = [] } of COMMANDS) {
      for (const key of keys) this.#keys.command.set(key, id);
      for (const key of editKeys) this.#keys.edit.set(key, id);
    }
  }

  /**
   * The command a key press means, null for none, "" for the first half of a sequence.
   * @param {Pick<KeyboardEvent, "key" | "ctrlKey" | "metaKey" | "altKey" | "shiftKey" | "timeStamp">} event
   * @param {Mode} mode
   * @returns {string | null}
   */
  command(event, mode) {
    const key = this.#name(event);
    const keys = this.#keys[mode];
    const isSoon = event.timeStamp - this.#beforeAt < SEQUENCE_MS;
    const sequence = isSoon && this.#before === key ? keys.get(`${key} ${key}`) : undefined;
    this.#before = sequence ? "" : key;
    this.#beforeAt = event.timeStamp;
    if (sequence) return sequence;
    return keys.get(key) ?? (keys.has(`${key} ${key}`) ? "" : null);
  }

  /** @param {Pick<KeyboardEvent, "key" | "ctrlKey" | "metaKey" | "altKey" | "shiftKey">} event */
  #name({ key, ctrlKey, metaKey, altKey, shiftKey }) {
    const name = key.length === 1 ? key.toUpperCase() : key;
    const isLetter = name !== name.toLowerCase() || key.length > 1;
    const mod = this.#isMac ? metaKey : ctrlKey;
    const other = this.#isMac ? ctrlKey : metaKey;
    const parts = [other && "Other", mod && "Mod", altKey && "Alt", shiftKey && isLetter && "Shift"];
    // What Shift makes of "-" differs between keyboards; with Ctrl it is the key that counts.
    if (mod && shiftKey && (key === "_" || key === "-")) return "Mod-Shift--";
    return [...parts.filter(Boolean), name].join("-");
  }
}

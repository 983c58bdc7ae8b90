// @ts-check
// The list of all commands, filtered as one types.

import { find } from "../dom.js";
import { COMMANDS, isAllowed, shownKeys } from "./commands.js";

export class Palette {
  #dialog = /** @type {HTMLDialogElement} */ (find("[data-palette]"));
  #field = /** @type {HTMLInputElement} */ (find("[data-palette-field]"));
  #list = find("[data-palette-list]");
  #run;
  #can;
  /** @type {import("./commands.js").Command[]} */ #shown = [];
  #at = 0;

  /**
   * @param {(id: string) => void} run
   * @param {(id: string) => boolean} can whether the command means something now
   */
  constructor(run, can) {
    this.#run = run;
    this.#can = can;
    this.#field.addEventListener("input", () => this.#draw());
    this.#field.addEventListener("keydown", (event) => this.#key(event));
    this.#dialog.addEventListener("click", (event) => {
      if (event.target === this.#dialog) this.#dialog.close();
    });
    this.#list.addEventListener("click", (event) => {
      const item = event.target instanceof Element && event.target.closest("[data-id]");
      if (item instanceof HTMLElement) this.#choose(item.dataset.id ?? "");
    });
  }

  open() {
    this.#field.value = "";
    this.#draw();
    this.#dialog.showModal();
    this.#field.focus();
  }

  #draw() {
    const words = this.#field.value.toLowerCase().split(/\s+/).filter(Boolean);
    this.#shown = COMMANDS.filter(({ id, title, group }) => {
      const text = `${title} ${group}`.toLowerCase();
      return words.every((word) => text.includes(word)) && this.#can(id);
    });
    this.#list.replaceChildren(...this.#shown.map((command, place) => item(command, place)));
    this.#mark(0);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const steps = { ArrowDown: 1, ArrowUp: -1 };
    const step = steps[/** @type {"ArrowDown"} */ (event.key)];
    if (step && this.#shown.length) {
      this.#mark((this.#at + step + this.#shown.length) % this.#shown.length);
    } else if (event.key === "Enter") {
      this.#choose(this.#shown[this.#at]?.id ?? "");
    } else {
      return;
    }
    event.preventDefault();
  }

  /** @param {number} place */
  #mark(place) {
    this.#at = place;
    for (const [index, item] of [...this.#list.children].entries()) {
      item.ariaSelected = String(index === place);
      if (index === place) item.scrollIntoView({ block: "nearest" });
    }
    this.#field.setAttribute("aria-activedescendant", this.#shown.length ? `command-${place}` : "");
  }

  /** @param {string} id */
  #choose(id) {
    if (!id) return;
    this.#dialog.close();
    this.#run(id);
  }
}

/**
 * @param {import("./commands.js").Command} command
 * @param {number} place
 */
function item({ id, title, group, keys, editKeys }, place) {
  const node = document.createElement("li");
  node.role = "option";
  node.id = `command-${place}`;
  node.dataset.id = id;
  const name = document.createElement("span");
  name.textContent = title;
  const end = document.createElement("kbd");
  end.textContent = shownKeys((keys ?? editKeys ?? [""])[0]);
  end.hidden = !end.textContent;
  const about = document.createElement("span");
  about.className = "hint";
  about.textContent = group;
  node.append(name, about, end);
  return node;
}

/**
 * Fill the dialog that lists the keys.
 * @param {{may_run: boolean, is_mine: boolean}} session
 */
export function showShortcuts(session) {
  const dialog = /** @type {HTMLDialogElement} */ (find("[data-shortcuts]"));
  const list = find("[data-shortcuts-list]");
  if (!list.childElementCount) list.append(...groups(session));
  dialog.onclick = (event) => event.target === dialog && dialog.close();
  dialog.showModal();
  list.scrollTop = dialog.scrollTop = 0;
}

/** @param {{may_run: boolean, is_mine: boolean}} session */
function* groups(session) {
  const commands = COMMANDS.filter(({ id }) => isAllowed(id, session));
  for (const group of new Set(commands.map((command) => command.group))) {
    const section = document.createElement("section");
    const heading = document.createElement("h3");
    heading.textContent = group;
    section.append(heading);
    for (const { title, keys = [], editKeys = [], group: mine } of commands) {
      const all = [...new Set([...keys, ...editKeys])];
      if (mine !== group || !all.length) continue;
      const line = document.createElement("p");
      line.append(title, ...all.map(keyNode));
      section.append(line);
    }
    yield section;
  }
}

/** @param {string} keys */
function keyNode(keys) {
  const node = document.createElement("kbd");
  node.textContent = shownKeys(keys);
  return node;
}

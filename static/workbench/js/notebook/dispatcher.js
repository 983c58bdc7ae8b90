// @ts-check
// Commands, from wherever they come: keys, buttons, menus, the palette.

import { isLive, runningExecution } from "../fold.js";
import { COMMANDS_BY_ID, isAllowed, shownKeys } from "./commands.js";
import { moreMenu, openMenuOf, runMenu } from "./menus.js";

/** @typedef {Record<string, () => void | Promise<void>>} Actions */

export class Dispatcher {
  /** @type {Actions} */ #actions = {};
  #state;
  #session;
  #settle;

  /**
   * @param {() => import("../fold.js").State} state
   * @param {{may_run: boolean, is_mine: boolean}} session what the person may do in it
   * @param {() => void} settle show what the command before has changed
   */
  constructor(state, session, settle) {
    [this.#state, this.#session, this.#settle] = [state, session, settle];
    document.addEventListener("click", (event) => this.#click(event));
  }

  /** @param {Actions} actions */
  add(actions) {
    Object.assign(this.#actions, actions);
  }

  /** Whether the command means something now. @param {string} id */
  can = (id) => {
    if (!isAllowed(id, this.#session)) return false;
    const { needs } = COMMANDS_BY_ID.get(id) ?? {};
    if (needs === "running") return Boolean(runningExecution(this.#state()));
    return needs === "live" ? isLive(this.#state()) : id in this.#actions;
  };

  /** @param {string} id */
  run = (id) => {
    if (!this.can(id)) return;
    // Keys come faster than frames: “the next cell” is the next one of now.
    this.#settle();
    void this.#actions[id]?.();
  };

  /** The command as an item of a menu. @param {string} id */
  item = (id) => {
    const { title = id, keys, editKeys } = COMMANDS_BY_ID.get(id) ?? {};
    const shown = shownKeys((keys ?? editKeys ?? [""])[0]);
    const isHidden = !isAllowed(id, this.#session);
    return { title, keys: shown, disabled: !this.can(id), isHidden, run: () => this.run(id) };
  };

  /** @param {MouseEvent} event */
  #click({ target }) {
    const button = target instanceof Element ? target.closest("[data-command], [data-menu]") : null;
    if (!(button instanceof HTMLElement)) return;
    if (button.dataset.command) this.run(button.dataset.command);
    else openMenuOf(button, (button.dataset.menu === "run" ? runMenu : moreMenu)(this.item));
  }
}

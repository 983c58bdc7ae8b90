// @ts-check
// The list of one's own keys: those that are valid, and below them those that were.

import { find, fromTemplate, setText } from "./dom.js";
import { ago, exact } from "./time.js";

/**
 * @typedef {{id: string, label: string, scope: string, state: string, created_at: string,
 *   expires_at: string | null, last_used_at: string | null, revoked_at: string | null}} Key
 */

const DAY_MS = 86_400_000;
const SOON_DAYS = 7;

export class KeyList {
  /** @type {Key[]} */ #keys = [];
  /** @type {(key: Key) => void} */ #revoke;

  /** @param {(key: Key) => void} revoke called when the person wants a key to go */
  constructor(revoke) {
    this.#revoke = revoke;
  }

  /** @param {Key[]} keys all of them, the newest first */
  show(keys) {
    this.#keys = keys;
    const valid = keys.filter(({ state }) => state === "valid");
    const old = keys.filter(({ state }) => state !== "valid");
    find("[data-keys]").replaceChildren(...valid.map((key) => this.#row(key)));
    find("[data-old-keys]").replaceChildren(...old.map((key) => this.#row(key)));
    find("[data-no-keys]").hidden = valid.length > 0;
    find("[data-old]").hidden = !old.length;
    setText(find("[data-old-count]"), `${old.length} not valid any more`);
  }

  /** @param {Key} key a new one */
  add(key) {
    this.show([key, ...this.#keys]);
  }

  /** @param {Key} key */
  #row(key) {
    const row = fromTemplate("key-row");
    const label = find("[data-label]", row);
    setText(label, key.label || "no label");
    label.title = key.label;
    label.classList.toggle("is-none", !key.label);
    setText(find("[data-id]", row), key.id);
    find("[data-id]", row).title = `Made ${exact(key.created_at)}`;
    setText(find("[data-scope]", row), key.scope === "read" ? "only reads" : "runs code");
    const used = find("[data-used]", row);
    setText(used, key.last_used_at ? `used ${ago(key.last_used_at)}` : "never used");
    used.title = key.last_used_at ? exact(key.last_used_at) : "";
    this.#showEnd(find("[data-expires]", row), key);
    const button = find("[data-revoke]", row);
    button.ariaLabel = `Revoke ${key.label || key.id}`;
    button.addEventListener("click", () => this.#revoke(key));
    if (key.state !== "valid") button.remove();
    return row;
  }

  /**
   * @param {HTMLElement} place
   * @param {Key} key
   */
  #showEnd(place, { state, expires_at, revoked_at }) {
    const end = state === "revoked" ? revoked_at : expires_at;
    place.title = end ? exact(end) : "";
    if (state !== "valid") return setText(place, `${state} ${ago(end ?? "")}`);
    if (!end) return setText(place, "never expires");
    const days = (Date.parse(end) - Date.now()) / DAY_MS;
    place.classList.toggle("is-soon", days < SOON_DAYS);
    setText(place, days < 1 ? "expires today" : `expires in ${Math.round(days)} d`);
  }
}

// @ts-check
// The dialog in which a session's links are made, copied and revoked.

import { request, sessionRoute } from "./api.js";
import { find, fromTemplate, setText, showProblem } from "./dom.js";
import { copyText } from "./outputs/clipboard.js";
import { ago, clock, exact } from "./time.js";

/** @typedef {{id: string, scope: "read" | "run", made_by: string | null, created_at: string, expires_at: string | null, last_used_at: string | null}} Share */

const COPIED_MS = 2_000;
const SCOPES = { read: "Look only", run: "Look and run code" };

export class ShareDialog {
  #dialog = /** @type {HTMLDialogElement} */ (find("[data-share]"));
  #form = /** @type {HTMLFormElement} */ (find("[data-new]", this.#dialog));
  #submit = /** @type {HTMLButtonElement} */ (find("[type=submit]", this.#form));
  #url = /** @type {HTMLInputElement} */ (find("[data-url]", this.#dialog));
  #copy = find("[data-copy]", this.#dialog);
  #session;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #copied;
  /** The id of the link whose text is shown. */ #made = "";
  /** Of what was asked or done last: an older list does not bring a revoked link back. */ #turn = 0;

  /** @param {string} session its id */
  constructor(session) {
    this.#session = session;
    this.#form.addEventListener("submit", (event) => this.#submitted(event));
    this.#url.addEventListener("focus", () => this.#url.select());
    this.#copy.addEventListener("click", () => this.#copyLink());
    find("[data-list]", this.#dialog).addEventListener("click", ({ target }) => {
      const button = target instanceof Element && target.closest("[data-revoke]");
      if (button instanceof HTMLButtonElement) this.#revoke(button);
    });
    this.#dialog.addEventListener("click", ({ target }) => {
      if (target === this.#dialog) this.#dialog.close();
    });
    this.#dialog.addEventListener("close", () => this.#forget());
  }

  open() {
    this.#say("");
    this.#dialog.showModal();
    find("[name=scope]", this.#form).focus();
    void this.#try(() => this.#list());
  }

  async #list() {
    const turn = ++this.#turn;
    const { shares } = await request("GET", this.#route("shares"));
    if (turn !== this.#turn) return;
    find("[data-list]", this.#dialog).replaceChildren(...shares.map((/** @type {Share} */ share) => this.#row(share)));
    find("[data-links]", this.#dialog).hidden = !shares.length;
  }

  /** @param {Share} share */
  #row(share) {
    const row = fromTemplate("share-row");
    const facts = find("[data-facts]", row);
    row.dataset.id = share.id;
    row.classList.toggle("is-new", share.id === this.#made);
    setText(find("[data-scope]", row), SCOPES[share.scope]);
    setText(facts, factsOf(share));
    facts.title = timesOf(share);
    find("[data-revoke]", row).ariaLabel = `Revoke the link to ${SCOPES[share.scope].toLowerCase()}, ${factsOf(share)}`;
    return row;
  }

  /** @param {SubmitEvent} event */
  async #submitted(event) {
    event.preventDefault();
    const wanted = new FormData(this.#form);
    const seconds = String(wanted.get("expires") ?? "");
    this.#submit.disabled = true;
    await this.#try(async () => {
      const json = { scope: wanted.get("scope"), expires_in_seconds: seconds ? Number(seconds) : null };
      const made = await request("POST", this.#route("shares"), { json });
      this.#made = made.id;
      this.#url.value = made.url;
      setText(this.#copy, "Copy");
      find("[data-made]", this.#dialog).hidden = false;
      this.#copy.focus();
      this.#tell("The link is made.");
      await this.#list();
    });
    this.#submit.disabled = false;
  }

  async #copyLink() {
    clearTimeout(this.#copied);
    try {
      await copyText(this.#url.value);
      setText(this.#copy, "Copied");
      this.#tell("Copied.");
    } catch {
      this.#url.focus(); // and so selects it
      setText(this.#copy, "Ctrl C");
    }
    this.#copied = setTimeout(() => setText(this.#copy, "Copy"), COPIED_MS);
  }

  /** @param {HTMLButtonElement} button */
  async #revoke(button) {
    const row = /** @type {HTMLElement} */ (button.closest("[data-id]"));
    const { id = "" } = row.dataset;
    const next = (row.nextElementSibling ?? row.previousElementSibling)?.querySelector("button");
    button.disabled = true;
    this.#turn += 1;
    await this.#try(async () => {
      await request("DELETE", this.#route(`shares/${encodeURIComponent(id)}`));
      if (id === this.#made) this.#forget();
      row.remove();
      find("[data-links]", this.#dialog).hidden = !find("[data-list]", this.#dialog).childElementCount;
      (next ?? this.#submit).focus();
      this.#tell("Revoked. Who came by it is out within ten seconds.");
    });
    button.disabled = false;
  }

  /** The link's text does not stay on the page. */
  #forget() {
    this.#made = "";
    this.#url.value = "";
    find("[data-made]", this.#dialog).hidden = true;
  }

  /** @param {() => Promise<void>} act */
  async #try(act) {
    this.#say("");
    try {
      await act();
    } catch (error) {
      this.#say(/** @type {Error} */ (error).message);
    }
  }

  /** @param {string} sentence */
  #say(sentence) {
    showProblem(find("[data-problem]", this.#dialog), sentence);
  }

  /** For those who do not see it. @param {string} sentence */
  #tell(sentence) {
    setText(find("[data-news]", this.#dialog), sentence);
  }

  /** @param {string} route */
  #route(route) {
    return sessionRoute(this.#session, route);
  }
}

/** @param {Share} share */
function factsOf({ created_at, last_used_at, expires_at }) {
  const made = ago(created_at);
  const used = last_used_at ? `used ${ago(last_used_at)}` : "not used yet";
  const until = expires_at ? `until ${clock(expires_at)}` : "until revoked";
  return [made === "now" ? "made now" : `made ${made}`, used, until].join(" · ");
}

/** @param {Share} share */
function timesOf({ created_at, last_used_at, expires_at, made_by }) {
  const by = made_by ? ` by ${made_by}` : "";
  return [
    `Made ${exact(created_at)}${by}`,
    last_used_at && `Last used ${exact(last_used_at)}`,
    expires_at && `Works until ${exact(expires_at)}`,
  ].filter(Boolean).join("\n");
}

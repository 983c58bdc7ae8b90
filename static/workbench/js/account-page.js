// @ts-check
// The page of one's own account: its keys, and what it uses.

import { KeyList } from "./account-keys.js";
import { showUsage } from "./account-usage.js";
import { ApiError, request } from "./api.js";
import { confirmed } from "./confirm.js";
import { find, setText, showProblem } from "./dom.js";
import { copyText } from "./outputs/clipboard.js";

const form = /** @type {HTMLFormElement} */ (find("[data-new-key]"));
const submit = /** @type {HTMLButtonElement} */ (find("[type=submit]", form));
const problem = find("[data-problem]");
const made = find("[data-made]");
const list = new KeyList(revoke);

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { label, scope, days } = Object.fromEntries(new FormData(form));
  submit.disabled = true;
  await tried(async () => {
    const key = await request("POST", "keys", { json: { label, scope, days: days ? Number(days) : null } });
    form.reset();
    showSecrets(key);
    list.add(key);
  });
  submit.disabled = false;
});

for (const button of made.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", () => copy(/** @type {HTMLElement} */ (button)));
}
find("[data-done]").addEventListener("click", () => {
  showSecrets({});
  find("[name=label]", form).focus();
});
// Who leaves the page, and comes back by the browser's button, finds no secrets.
addEventListener("pagehide", () => showSecrets({}));

/** @param {Record<string, string>} key empty: nothing is shown any more */
function showSecrets(key) {
  for (const place of made.querySelectorAll("[data-secret]")) {
    setText(place, key[/** @type {HTMLElement} */ (place).dataset.secret ?? ""] ?? "");
  }
  made.hidden = !key.key;
  if (key.key) made.focus();
}

/** @param {HTMLElement} button */
async function copy(button) {
  const place = find(`[data-secret=${button.dataset.copy}]`, made);
  try {
    await copyText(place.textContent ?? "");
    setText(button, "Copied");
    setTimeout(() => setText(button, "Copy"), 1500);
  } catch {
    getSelection()?.selectAllChildren(place); // to be copied by hand
  }
}

/** @param {import("./account-keys.js").Key} key */
async function revoke(key) {
  const isSure = await confirmed({
    title: `Revoke ${key.label || key.id}?`,
    text: "Programs that use it are locked out at once. This cannot be undone.",
    verb: "Revoke key",
  });
  if (!isSure) return;
  await tried(async () => {
    await request("DELETE", `keys/${key.id}`);
    await load();
  });
}

async function load() {
  list.show((await request("GET", "keys")).keys);
}

/** What cannot be done is said above the list, until the next attempt. @param {() => Promise<void>} work */
async function tried(work) {
  showProblem(problem, ""); // not at the end: work that began before may end after
  try {
    await work();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    showProblem(problem, error.message);
  }
}

tried(load);
showUsage(find("[data-usage]"));

// @ts-check
// The words people read for what the server calls by its own names.

/** @type {Record<string, string>} */
const ORIGINS = {
  azure: "Azure", sandbox: "Sandbox", rce: "RCE", backendai: "Backend.AI",
  native: "API", api: "API", browser: "Browser", admin: "Admin",
};

/** @param {string} origin */
export function originName(origin) {
  return ORIGINS[origin] ?? origin;
}

/**
 * "timed_out" -> "timed out".
 * @param {string} state
 */
export function stateWord(state) {
  return state.replaceAll("_", " ");
}

/** @param {string} state */
export function sessionWord(state) {
  return state === "busy" ? "running" : stateWord(state);
}

/**
 * The page of a session: by its identifier while it is live, by its id once others may take it.
 * @param {{id: string, identifier: string, is_live?: boolean}} session
 */
export function sessionPath(session) {
  const isPlain = session.is_live !== false && !/^\.{1,2}$/.test(session.identifier);
  return `/workbench/${encodeURIComponent(isPlain ? session.identifier : session.id)}/`;
}

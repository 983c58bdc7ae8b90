// @ts-check
// Where the page gets a file of a session's workspace from. Pure, no DOM.

/**
 * @param {string} session its id
 * @returns {import("./sanitise.js").FileAddress}
 */
export function fileAddressOf(session) {
  return (path, { isInline } = { isInline: false }) => {
    const query = new URLSearchParams({ path });
    if (isInline) query.set("inline", "1");
    return `/api/v1/sessions/${encodeURIComponent(session)}/files/content?${query}`;
  };
}

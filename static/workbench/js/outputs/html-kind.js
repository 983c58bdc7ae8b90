// @ts-check
// Whether a piece of HTML is worth an isolated frame. Pure, no DOM.
//
// This decides how well it is shown, not how safely: what is wrongly taken for harmless is
// sanitised like everything else, and only loses the parts that would have run.

// Elements that do nothing for a reader once sanitised.
const LIVE = /<\s*(?:script|iframe|frame|object|embed|audio|video|canvas|form|input|button|select|textarea|svg|link|dialog)\b/i;
const HANDLER = /<[^>]*\son[a-z]+\s*=/i;
const STYLE_SHEET = /<\s*style\b/i;
// Style sheets of pandas: what matters of them is copied, and the tables get ours.
const PANDAS = /<table[^>]*(?:\bclass=["'][^"']*\bdataframe\b|\bid=["']?T_)/i;

/** @param {string} html */
export function needsScript(html) {
  if (LIVE.test(html) || HANDLER.test(html)) return true;
  return STYLE_SHEET.test(html) && !PANDAS.test(html);
}

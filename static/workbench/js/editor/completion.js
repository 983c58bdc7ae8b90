// @ts-check
// Completion by the live kernel: asked for with Tab, and by itself after a dot.

import { autocompletion } from "../../../vendor/editor.js";
import { toCodePoints, toUtf16 } from "./offsets.js";

const OPTIONS_SHOWN = 300;
const PATIENCE_MS = 400; // without an answer, before a person who asked is told that it takes time

/**
 * @typedef {{matches: string[], cursor_start: number, cursor_end: number, metadata?: Record<string, any>}} Answer
 *   positions in code points
 * @typedef {(code: string, cursor: number) => Promise<Answer>} Complete rejects with a sentence
 */

/**
 * @param {Complete} complete
 * @param {() => boolean} isCode whether there is anything to complete
 * @param {(sentence: string) => () => void} say what a person who asked has to know: why nothing is
 *   offered, or not yet; the result takes it away
 */
export function completion(complete, isCode, say) {
  return autocompletion({
    override: [(/** @type {any} */ context) => (isCode() ? offered(context, complete, say) : null)],
    maxRenderedOptions: OPTIONS_SHOWN,
    icons: false,
    updateSyncTime: 50,
    tooltipClass: () => "completion",
  });
}

/**
 * @param {any} context CodeMirror's: `pos`, `explicit`, `aborted`
 * @param {Complete} complete
 * @param {(sentence: string) => () => void} say
 */
async function offered(context, complete, say) {
  const code = context.state.doc.toString();
  if (!context.explicit && !isAfterDot(code, context.pos)) return null;
  /** @type {Answer} */ let answer;
  let unsay = () => {};
  const waiting = setTimeout(() => {
    if (context.explicit && !context.aborted) unsay = say("Asking the kernel…");
  }, PATIENCE_MS);
  try {
    answer = await complete(code, toCodePoints(code, context.pos)).finally(() => {
      clearTimeout(waiting);
      unsay();
    });
  } catch (error) {
    if (context.explicit && !context.aborted) say(error instanceof Error ? error.message : String(error));
    return null;
  }
  if (context.aborted) return null; // the text is another one now
  const found = options(code, context.pos, answer);
  if (!found.options.length && context.explicit) say("Nothing to complete here.");
  return found.options.length ? found : null;
}

/**
 * What CodeMirror shows for a kernel's answer.
 * @param {string} code
 * @param {number} pos of the caret, in UTF-16 units
 * @param {Answer} answer
 */
export function options(code, pos, { matches, cursor_start: start, cursor_end: end, metadata }) {
  const from = Math.min(toUtf16(code, start), pos);
  const types = new Map((metadata?._jupyter_types_experimental ?? []).map((/** @type {any} */ one) => [one.text, one]));
  // A kernel may repeat what stands before the name, as in "os.path.join" for "os.path.j".
  const name = code.slice(from, pos).match(/[\p{L}\p{N}_]*$/u)?.[0].length ?? 0;
  const fixed = pos - from - name;
  const isSame = (/** @type {string} */ text) => /^[\p{L}\p{N}_]*$/u.test(text.slice(fixed));
  return {
    from,
    to: Math.max(toUtf16(code, end), pos),
    validFor: isSame,
    options: [...new Set(matches)].map((label, i) => ({ label, detail: typeWord(types.get(label)), boost: -i / matches.length })),
  };
}

/** @param {{type?: string} | undefined} known */
function typeWord(known) {
  return known?.type && known.type !== "<unknown>" ? known.type : undefined;
}

/**
 * True after the dot of an attribute, not after that of a number.
 * @param {string} code
 * @param {number} pos
 */
export function isAfterDot(code, pos) {
  const line = code.slice(code.lastIndexOf("\n", pos - 1) + 1, pos);
  return /[\p{L}\p{N}_)\]"'}]\.$/u.test(line) && !/(^|[^\p{L}\p{N}_.])\d[\d_]*\.$/u.test(line);
}

// @ts-check
// Outputs that came with a notebook file -> outputs as the log has them. Pure, no DOM.

/**
 * Keys are negative, so that they never meet those of a run.
 * @param {any[]} outputs as nbformat has them
 * @returns {import("../fold.js").Output[]}
 */
export function outputsOfNotebook(outputs) {
  return (Array.isArray(outputs) ? outputs : []).flatMap((output, place) => {
    const found = output && KINDS[output.output_type]?.(output);
    return found ? [{ ...found, key: -1 - place }] : [];
  });
}

/** Whether an output with this key came with a file. @param {number} key */
export function isImported(key) {
  return key < 0;
}

/** @type {Record<string, (output: any) => any>} */
const KINDS = {
  stream: ({ name, text }) => ({ kind: "stream", name: name === "stderr" ? name : "stdout", chunks: [joined(text)] }),
  display_data: (output) => ({ kind: "display", ...bundle(output), displayId: null }),
  execute_result: (output) => ({ kind: "result", ...bundle(output), displayId: null }),
  error: ({ ename, evalue, traceback }) => ({
    kind: "error", ename: String(ename ?? "Error"), evalue: String(evalue ?? ""), traceback: traceback ?? [],
  }),
};

/** @param {any} output */
function bundle({ data, metadata }) {
  return { data: data ?? {}, metadata: metadata ?? {} };
}

/** @param {unknown} text */
function joined(text) {
  return Array.isArray(text) ? text.join("") : String(text ?? "");
}

// @ts-check
// Which widgets belong together, and what a frame is told of them. Pure, no DOM.

/**
 * @typedef {{path: (string | number)[], data: string}} Buffer binary data (base64), and its place in the state
 * @typedef {object} Comm what fold.js keeps of one
 * @property {string} targetName
 * @property {Record<string, any>} state
 * @property {Buffer[]} [buffers]
 * @property {boolean} isOpen false once it was closed, or its kernel has ended
 * @typedef {{id: string, state: Record<string, any>, buffers: Buffer[], isOpen: boolean}} Model
 */

const TARGET = "jupyter.widget";
const SAVED = "application/vnd.jupyter.widget-state+json"; // where a notebook file has its widgets
// In its state, one widget names another like this.
const REFERENCE = /IPY_MODEL_([\w-]+)/g;
// The kernel may send anything; nothing a person could look at has more parts.
const MOST_MODELS = 5_000;

/**
 * A widget and all that it is made of; empty if there is no such widget.
 * @param {ReadonlyMap<string, Comm>} comms
 * @param {string} id
 * @returns {Model[]}
 */
export function family(comms, id) {
  const found = new Map();
  const wanted = [id];
  while (wanted.length && found.size < MOST_MODELS) {
    const next = /** @type {string} */ (wanted.pop());
    const comm = comms.get(next);
    if (found.has(next) || comm?.targetName !== TARGET) continue;
    const { state, buffers = [], isOpen } = comm;
    found.set(next, { id: next, state, buffers, isOpen });
    wanted.push(...references(state));
  }
  return [...found.values()];
}

/**
 * The widgets a notebook file came with, as they were when it was saved. They have no kernel.
 * @param {Record<string, any>} metadata the notebook's; untrusted
 * @returns {Map<string, Comm>}
 */
export function savedWidgets(metadata) {
  const saved = Object.entries(metadata?.widgets?.[SAVED]?.state ?? {}).filter(([, model]) => model?.state);
  return new Map(saved.map(([id, { model_name, model_module, model_module_version, state, buffers }]) => {
    const names = { _model_name: model_name, _model_module: model_module, _model_module_version: model_module_version };
    const binary = (Array.isArray(buffers) ? buffers : []).filter(({ encoding }) => encoding === "base64");
    return [id, { targetName: TARGET, state: { ...names, ...state }, buffers: binary, isOpen: false }];
  }));
}

/** @param {unknown} value @returns {string[]} */
function references(value) {
  if (typeof value === "string") return [...value.matchAll(REFERENCE)].map(([, id]) => id);
  if (value === null || typeof value !== "object") return [];
  return Object.values(value).flatMap(references);
}

/** The widget a mime bundle shows; null if it shows none. @param {{data: Record<string, any>}} bundle */
export function widgetOf({ data }) {
  const view = data["application/vnd.jupyter.widget-view+json"];
  return typeof view?.model_id === "string" ? view.model_id : null;
}

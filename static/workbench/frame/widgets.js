// @ts-check
// Jupyter widgets: models made from what the log says of them, alive as long as their kernel is.

import { FrameComm, fromBase64 } from "./comm.js";
import { missingWidget } from "./missing-widget.js";
import { outputWidget } from "./output-widget.js";
import { tell } from "./page.js";
import { bundle, load, loadStyle } from "./scripts.js";

/** @typedef {import("../js/outputs/widget-models.js").Model} Model */

const MODULE = "@jupyter-widgets/";
const ENDED = "The kernel of this widget has ended. What you see is its last state.";

/** Widgets the page told of, that nothing needed yet. @type {Map<string, Model>} */ const known = new Map();
/** Who waits for an answer about a widget. @type {Map<string, (() => void)[]>} */ const asked = new Map();
/** @type {Map<string, FrameComm>} */ const comms = new Map();
/** @type {Promise<any> | null} */ let managing = null;
/** @type {any} */ let manager = null;

/**
 * Show a widget in an element.
 * @param {HTMLElement} element
 * @param {string} id
 * @returns {Promise<boolean>} false if the session has no such widget
 */
export async function showWidget(element, id) {
  managing ??= makeManager();
  manager = await managing;
  if (!manager.has_model(id)) await ask(id);
  if (!manager.has_model(id) && !known.has(id)) return false;
  const isOpen = known.get(id)?.isOpen ?? comms.has(id);
  const { MessageLoop, Widget } = parts();
  const view = await manager.create_view(await manager.get_model(id));
  const widget = view.luminoWidget;
  MessageLoop.sendMessage(widget, Widget.Msg.BeforeAttach);
  element.append(view.el);
  MessageLoop.sendMessage(widget, Widget.Msg.AfterAttach);
  new ResizeObserver(() => MessageLoop.postMessage(widget, Widget.ResizeMessage.UnknownSize)).observe(element);
  if (!isOpen) endWidgets();
  return true;
}

/** @param {{for: string, models: Model[]}} answer of the page */
export function receiveModels({ for: id, models }) {
  for (const model of models) if (!manager.has_model(model.id)) known.set(model.id, model);
  for (const resolve of asked.get(id) ?? []) resolve();
  asked.delete(id);
}

/** @param {import("./comm.js").Message} message */
export async function receiveComm(message) {
  // One that nothing needed yet would be out of date by then: it is asked for again.
  known.delete(message.comm_id);
  await comms.get(message.comm_id)?.receive(message);
}

/** The kernel is gone: what is shown stays to be looked at. */
export function endWidgets() {
  for (const widget of document.querySelectorAll("#outputs > .output > .lm-Widget")) widget.toggleAttribute("inert", true);
  manager?.disconnect();
  if (document.querySelector("[data-ended]")) return;
  const note = document.createElement("p");
  note.className = "note";
  note.dataset.ended = "";
  note.textContent = ENDED;
  document.getElementById("outputs")?.append(note);
}

/** @param {string} id @returns {Promise<void>} */
function ask(id) {
  return new Promise((resolve) => {
    asked.set(id, [...(asked.get(id) ?? []), resolve]);
    tell({ type: "model", id });
  });
}

/** What static/vendor/widgets.js left behind. */
function parts() {
  return /** @type {any} */ (window).WorkbenchWidgetParts;
}

async function makeManager() {
  await Promise.all([load(bundle("widgets")), loadStyle(bundle("widgetsStyle"))]);
  const { base, controls, ManagerBase } = parts();
  const modules = { base, controls, output: outputWidget(base) };
  const missing = missingWidget(base);

  /** Makes each model when the first view, or another model, asks for it. */
  class FrameManager extends ManagerBase {
    /** @param {string} id */
    async get_model(id) {
      if (!this.has_model(id) && !known.has(id)) await ask(id);
      const model = known.get(id);
      if (model && !this.has_model(id)) this.#make(model);
      return super.get_model(id);
    }

    /**
     * @param {string} className
     * @param {string} name
     */
    async loadClass(className, name) {
      const module = name.startsWith(MODULE) ? modules[/** @type {"base"} */ (name.slice(MODULE.length))] : undefined;
      return module?.[className] ?? null;
    }

    /**
     * @param {string} className
     * @param {string} name
     */
    async loadModelClass(className, name) {
      return (await this.loadClass(className, name)) ?? missing.MissingModel;
    }

    /**
     * @param {string} className
     * @param {string} name
     */
    async loadViewClass(className, name) {
      return (await this.loadClass(className, name)) ?? missing.MissingView;
    }

    /** @param {Model} model */
    #make({ id, state, buffers, isOpen }) {
      known.delete(id);
      const comm = isOpen ? new FrameComm(id) : undefined;
      if (comm) comms.set(id, comm);
      const mine = structuredClone(state);
      base.put_buffers(mine, buffers.map(({ path }) => path), buffers.map(({ data }) => fromBase64(data)));
      const { _model_name, _model_module, _model_module_version } = mine;
      const options = { model_name: _model_name, model_module: _model_module, model_module_version: _model_module_version };
      this.new_model({ ...options, model_id: id, comm }, mine).catch((/** @type {unknown} */ error) => console.error(error));
    }

    async _create_comm() {
      throw new Error("Widgets are made by the kernel.");
    }

    async _get_comm_info() {
      return {};
    }
  }
  return new FrameManager();
}

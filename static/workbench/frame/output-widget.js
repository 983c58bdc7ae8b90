// @ts-check
// The widget that shows outputs: what was printed and displayed inside `with ipywidgets.Output()`.

import { plain, render, text } from "./render.js";

const VERSION = "1.0.0";

/**
 * The module @jupyter-widgets/output, for the widgets' own base classes.
 * @param {any} base
 */
export function outputWidget(base) {
  const module = "@jupyter-widgets/output";

  class OutputModel extends base.DOMWidgetModel {
    defaults() {
      const names = { _model_name: "OutputModel", _view_name: "OutputView", _model_module: module, _view_module: module };
      const versions = { _model_module_version: VERSION, _view_module_version: VERSION };
      return { ...super.defaults(), ...names, ...versions, msg_id: "", outputs: [] };
    }
  }

  class OutputView extends base.DOMWidgetView {
    render() {
      super.render();
      this.el.classList.add("jupyter-widgets", "widget-output");
      this.listenTo(this.model, "change:outputs", () => this.showOutputs());
      this.showOutputs();
    }

    async showOutputs() {
      const shown = (this.shown ?? 0) + 1;
      this.shown = shown;
      const content = document.createElement("div");
      content.className = "widget-outputs";
      // In the document at once, because scripts look for what they draw into; out of sight until
      // it is whole, so that what changes with every move of a slider does not flicker.
      content.hidden = this.el.childElementCount > 0;
      this.el.append(content);
      for (const output of this.model.get("outputs") ?? []) await showOutput(output, content);
      if (shown !== this.shown) return content.remove();
      content.hidden = false;
      this.el.replaceChildren(content);
    }
  }
  return { OutputModel, OutputView };
}

/**
 * @param {any} output as a notebook file has it
 * @param {HTMLElement} parent
 */
async function showOutput(output, parent) {
  const element = document.createElement("div");
  element.className = "output";
  parent.append(element);
  if (output.output_type === "stream") {
    element.append(plain(text(output.text), output.name === "stderr" ? "stderr" : "stdout"));
  } else if (output.output_type === "error") {
    element.append(plain((output.traceback ?? []).join("\n") || `${output.ename}: ${output.evalue}`, "traceback"));
  } else {
    await render(output, element).catch((error) => element.append(plain(String(error), "traceback")));
  }
}

// @ts-check
// What stands in for a widget whose module is not here.

/**
 * For the widgets' own base classes.
 * @param {any} base
 */
export function missingWidget(base) {
  class MissingModel extends base.DOMWidgetModel {}

  class MissingView extends base.DOMWidgetView {
    render() {
      super.render();
      const [name, module] = [this.model.get("_view_name"), this.model.get("_view_module")];
      this.el.classList.add("note");
      this.el.textContent = `This widget (${name}) needs the module ${module}, which is not part of the workbench.`;
    }
  }
  return { MissingModel, MissingView };
}

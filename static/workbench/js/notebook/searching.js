// @ts-check
// Finding in the notebook: the bar, and its marks in the cells.

import { find } from "../dom.js";
import { FindBar } from "./find-bar.js";

// Editors made only to show marks; beyond that the current match is enough.
const MARKED_CELLS_MOST = 40;

/**
 * @param {object} notebook
 * @param {import("./document.js").NotebookDocument} notebook.document
 * @param {import("./notebook-view.js").NotebookView} notebook.view
 */
export function makeFindBar({ document: doc, view }) {
  /** @type {Set<string>} */ let marked = new Set();

  return new FindBar({
    parent: find("[data-find]"),
    document: doc,
    where() {
      if (!view.active) return null;
      return { cellId: view.active, offset: view.view(view.active)?.source.editor?.selection.from ?? 0 };
    },
    onMarks(marks) {
      for (const id of marked) if (!marks.has(id)) view.view(id)?.source.mark([], -1);
      const isMany = marks.size > MARKED_CELLS_MOST;
      marked = new Set();
      for (const [id, { ranges, current }] of marks) {
        const source = view.view(id)?.source;
        if (!source || (isMany && current < 0 && !source.editor)) continue;
        source.mark(ranges, current);
        marked.add(id);
      }
    },
    onShow({ cellId }) {
      view.select(cellId, { focus: false });
    },
    onClose(match) {
      if (match) view.edit(match.cellId, match.from);
      else if (view.active) view.select(view.active);
    },
  });
}

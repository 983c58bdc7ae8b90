// @ts-check
// Which panels stand beside the notebook. Files are there at once, as they can be dropped anywhere
// on the page; the others are fetched when they are first looked at.

import { filesPanel } from "../panels/files.js";
import { Side } from "../panels/panels.js";

/** @typedef {import("../panels/panels.js").Panel} Panel */

// Wide enough for files beside the notebook without being asked.
const WIDE = "(min-width: 1200px)";

/** @param {any} workbench */
export function makePanels(workbench) {
  /** @type {(id: string, title: string, load: () => Promise<Panel>) => Panel} */
  const later = (id, title, load) => laterPanel(id, title, load, workbench.problem);
  const left = [
    filesPanel(workbench),
    later("outline", "Outline", async () => (await import("../panels/outline.js")).outlinePanel(workbench)),
  ];
  const { may_run: mayRun } = workbench.session;
  const variables = later("variables", "Variables", async () => (await import("../panels/variables.js")).variablesPanel(workbench));
  const right = [
    ...(mayRun ? [variables] : []),
    later("queue", "Queue", async () => (await import("../panels/queue.js")).queuePanel(workbench)),
    later("history", "History", async () => (await import("../panels/history.js")).historyPanel(workbench)),
    later("resources", "Resources", async () => (await import("../panels/resources.js")).resourcesPanel(workbench)),
  ];
  return {
    left: new Side("left", left, { isOpen: matchMedia(WIDE).matches }),
    right: new Side("right", right, { isOpen: false }),
  };
}

/**
 * A panel that keeps its place until it is shown for the first time.
 * @param {string} id
 * @param {string} title
 * @param {() => Promise<Panel>} load
 * @param {(sentence: string) => void} problem
 * @returns {Panel}
 */
function laterPanel(id, title, load, problem) {
  let isShown = false;
  /** @type {Promise<void> | null} */ let loading = null;
  /** @type {Panel | null} */ let loaded = null;
  const panel = {
    id,
    title,
    element: document.createElement("section"),
    shown() {
      isShown = true;
      if (loaded) loaded.shown?.();
      else loading ??= fetchPanel();
    },
    hidden() {
      isShown = false;
      loaded?.hidden?.();
    },
  };

  async function fetchPanel() {
    try {
      loaded = await load();
    } catch {
      loading = null; // the next look tries again
      problem(`“${title}” could not be loaded. Try again when the connection is back.`);
      return;
    }
    panel.element = takePlace(panel.element, loaded.element);
    if (isShown) loaded.shown?.();
  }

  return panel;
}

/**
 * @param {HTMLElement} before
 * @param {HTMLElement} element
 */
function takePlace(before, element) {
  for (const { name, value } of before.attributes) {
    if (name !== "class") element.setAttribute(name, value);
  }
  element.classList.add(...before.classList);
  before.replaceWith(element);
  return element;
}

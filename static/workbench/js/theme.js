// @ts-check
// The theme: the system's unless a person chose one. A classic script in the head, so that the
// choice stands before anything is painted.
(() => {
  const KEY = "workbench-theme";
  const ORDER = ["system", "light", "dark"];
  const NAMES = { system: "follows the system", light: "light", dark: "dark" };

  const stored = () => {
    try {
      const theme = localStorage.getItem(KEY) ?? "";
      return ORDER.includes(theme) ? theme : "system";
    } catch {
      return "system"; // storage is switched off
    }
  };

  /** @param {string} theme */
  const apply = (theme) => {
    document.documentElement.dataset.theme = theme;
    for (const button of document.querySelectorAll("[data-theme-switch]")) {
      /** @type {HTMLElement} */ (button).title = `Theme: ${NAMES[/** @type {keyof NAMES} */ (theme)]}`;
    }
  };

  /** @param {string} theme */
  const store = (theme) => {
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // It holds until the page is left, then.
    }
  };

  apply(stored());
  document.addEventListener("DOMContentLoaded", () => apply(stored()));
  document.addEventListener("click", (event) => {
    if (!(event.target instanceof Element) || !event.target.closest("[data-theme-switch]")) return;
    const current = document.documentElement.dataset.theme ?? "system";
    const next = ORDER[(ORDER.indexOf(current) + 1) % ORDER.length];
    store(next);
    apply(next);
  });
  addEventListener("storage", (event) => {
    if (event.key === KEY) apply(stored());
  });
})();

// @ts-check
// Everything a person can do to a notebook: what it is called, and its keys. Data only; actions.js
// says how. The keys are Jupyter's: people's fingers know them.

/**
 * @typedef {object} Command
 * @property {string} id
 * @property {string} title
 * @property {string} group a heading in the list of shortcuts
 * @property {string[]} [keys] in command mode, while no text is being edited; "D D" is a sequence
 * @property {string[]} [editKeys] while the text of a cell is being edited
 * @property {"live" | "running"} [needs] a session that lives, or code that runs
 * @property {"look" | "own"} [may] also for who may only look; or only for whose session it is.
 *   Without, it is for who may run code
 */

/** @type {Command[]} */
export const COMMANDS = [
  { id: "run-cell", title: "Run the selected cells", group: "Run", keys: ["Mod-Enter"], editKeys: ["Mod-Enter"], needs: "live" },
  { id: "run-advance", title: "Run, then select the next cell", group: "Run", keys: ["Shift-Enter"], editKeys: ["Shift-Enter"], needs: "live" },
  { id: "run-insert", title: "Run, then insert a cell below", group: "Run", keys: ["Alt-Enter"], editKeys: ["Alt-Enter"], needs: "live" },
  { id: "run-all", title: "Run all cells", group: "Run", needs: "live" },
  { id: "run-above", title: "Run all cells above", group: "Run", needs: "live" },
  { id: "run-below", title: "Run this cell and all below", group: "Run", needs: "live" },
  { id: "interrupt", title: "Interrupt", group: "Run", keys: ["I I"], needs: "running" },
  { id: "restart", title: "Restart the kernel", group: "Run", keys: ["0 0"], needs: "live" },
  { id: "restart-run-all", title: "Restart the kernel and run all cells", group: "Run", needs: "live" },
  { id: "cancel-queued", title: "Cancel everything that waits", group: "Run", needs: "running" },

  { id: "edit", title: "Edit the cell", group: "Cells", keys: ["Enter"] },
  { id: "select-up", title: "Select the cell above", group: "Cells", keys: ["ArrowUp", "K"], may: "look" },
  { id: "select-down", title: "Select the cell below", group: "Cells", keys: ["ArrowDown", "J"], may: "look" },
  { id: "extend-up", title: "Extend the selection upwards", group: "Cells", keys: ["Shift-ArrowUp", "Shift-K"], may: "look" },
  { id: "extend-down", title: "Extend the selection downwards", group: "Cells", keys: ["Shift-ArrowDown", "Shift-J"], may: "look" },
  { id: "select-all", title: "Select all cells", group: "Cells", keys: ["Mod-A"], may: "look" },
  { id: "add-above", title: "Insert a cell above", group: "Cells", keys: ["A"] },
  { id: "add-code", title: "Insert a code cell below", group: "Cells", keys: ["B"] },
  { id: "add-text", title: "Insert a text cell below", group: "Cells" },
  { id: "delete", title: "Delete the selected cells", group: "Cells", keys: ["D D"] },
  { id: "undo", title: "Undo the last change of cells", group: "Cells", keys: ["Z", "Mod-Z"] },
  { id: "redo", title: "Redo it", group: "Cells", keys: ["Shift-Z", "Mod-Shift-Z"] },
  { id: "cut", title: "Cut the selected cells", group: "Cells", keys: ["X"] },
  { id: "copy", title: "Copy the selected cells", group: "Cells", keys: ["C"] },
  { id: "paste", title: "Paste cells below", group: "Cells", keys: ["V"] },
  { id: "paste-above", title: "Paste cells above", group: "Cells", keys: ["Shift-V"] },
  { id: "move-up", title: "Move the cell up", group: "Cells", keys: ["Alt-ArrowUp"] },
  { id: "move-down", title: "Move the cell down", group: "Cells", keys: ["Alt-ArrowDown"] },
  { id: "split", title: "Split the cell at the cursor", group: "Cells", editKeys: ["Mod-Shift--"] },
  { id: "merge", title: "Merge the selected cells, or with the one below", group: "Cells", keys: ["Shift-M"] },
  { id: "to-text", title: "Turn into text (Markdown)", group: "Cells", keys: ["M"] },
  { id: "to-code", title: "Turn into code", group: "Cells", keys: ["Y"] },
  { id: "to-raw", title: "Turn into raw text", group: "Cells", keys: ["R"] },
  { id: "toggle-output", title: "Hide or show the output", group: "Cells", keys: ["O"] },
  { id: "toggle-lines", title: "Hide or show line numbers", group: "Cells", keys: ["L"], may: "look" },

  { id: "leave", title: "Leave the text, back to the cell", group: "Notebook", editKeys: ["Escape"], may: "look" },
  { id: "find", title: "Find", group: "Notebook", keys: ["F", "Mod-F"], editKeys: ["Mod-F"], may: "look" },
  { id: "replace", title: "Find and replace", group: "Notebook", keys: ["Mod-H"], editKeys: ["Mod-H"] },
  { id: "save", title: "Save now", group: "Notebook", keys: ["S", "Mod-S"], editKeys: ["Mod-S"] },
  { id: "import", title: "Import an .ipynb file", group: "Notebook" },
  { id: "export-ipynb", title: "Export as .ipynb", group: "Notebook", may: "look" },
  { id: "export-py", title: "Export as .py", group: "Notebook", may: "look" },
  { id: "export-html", title: "Export as .html", group: "Notebook", may: "look" },
  { id: "palette", title: "All commands", group: "Notebook", keys: ["Mod-Shift-P", "P"], editKeys: ["Mod-Shift-P"], may: "look" },
  { id: "shortcuts", title: "Keyboard shortcuts", group: "Notebook", keys: ["H", "?"], may: "look" },
  { id: "top", title: "Go to the first cell", group: "Notebook", keys: ["Mod-Home", "Mod-ArrowUp"], may: "look" },
  { id: "bottom", title: "Go to the last cell", group: "Notebook", keys: ["Mod-End", "Mod-ArrowDown"], may: "look" },

  { id: "toggle-left", title: "Hide or show files and outline", group: "Page", keys: ["Mod-B"], editKeys: ["Mod-B"], may: "look" },
  { id: "toggle-right", title: "Hide or show variables, queue and history", group: "Page", keys: ["Mod-Alt-B"], may: "look" },
  { id: "notify", title: "Tell me when a long cell ends", group: "Page", may: "look" },
  { id: "share", title: "Share the session", group: "Page", may: "own" },
  { id: "close-session", title: "Close the session", group: "Page", needs: "live", may: "own" },
];

/** @type {Map<string, Command>} */
export const COMMANDS_BY_ID = new Map(COMMANDS.map((command) => [command.id, command]));

/**
 * Whether a person may do that in a session at all.
 * @param {string} id
 * @param {{may_run: boolean, is_mine: boolean}} session
 */
export function isAllowed(id, { may_run: mayRun, is_mine: isMine }) {
  const { may } = COMMANDS_BY_ID.get(id) ?? {};
  if (may === "look") return true;
  return may === "own" ? isMine : mayRun;
}

const isMac = typeof navigator !== "undefined" && /mac|iphone|ipad/i.test(navigator.platform);

/**
 * Keys as a person reads them: "Ctrl Shift P", "D D".
 * @param {string} keys
 */
export function shownKeys(keys) {
  const names = { Mod: isMac ? "⌘" : "Ctrl", Alt: isMac ? "⌥" : "Alt", ArrowUp: "↑", ArrowDown: "↓" };
  return keys
    .split(" ")
    .map((key) => key.replace(/--$/, "-−").split("-").map((part) => names[/** @type {"Mod"} */ (part)] ?? part).join(" "))
    .join(" ");
}

// @ts-check
// The files of a session: a tree that follows what code and others write, uploads, previews.

import { ApiError, request, sessionRoute } from "../api.js";
import { confirmed } from "../confirm.js";
import { find, fromTemplate, setText, showProblem } from "../dom.js";
import { isLive, runningExecution } from "../fold.js";
import { openMenu } from "../notebook/menu.js";
import { chosenFiles, droppedFiles, dropTarget } from "./dropped.js";
import { copyPath, download } from "./file-export.js";
import { FilePreview } from "./file-preview.js";
import { FilesModel, freeName, joined, mountPath, parentOf } from "./files-model.js";
import { FilesTree } from "./files-tree.js";
import { Follower } from "./follow.js";
import { UploadQueue } from "./upload-queue.js";
import { UploadsView } from "./uploads-view.js";

const ENDED = "This session has ended, and its files went with it.";

/** @typedef {import("./files-model.js").FileInfo} FileInfo */
/** @typedef {{session: {id: string, may_run: boolean}, state: import("../fold.js").State, onState: (callback: () => void) => void, onFiles: (callback: () => void) => void, problem: (sentence: string) => void, showPanel?: (id: string) => void}} Workbench */

/** @param {Workbench} workbench */
export function filesPanel(workbench) {
  const panel = new FilesPanel(workbench);
  return {
    id: "files",
    title: "Files",
    element: panel.element,
    shown: () => panel.shown(),
    hidden: () => panel.hidden(),
  };
}

class FilesPanel {
  element = fromTemplate("files-panel");
  #workbench;
  #session;
  #model = new FilesModel();
  #follower;
  #tree;
  #preview;
  #queue;
  // Whether the session has files at all; it has none once it has ended.
  #isLive = true;
  // The last event that was taken into account.
  #number = -1;
  // What is wrong, in sentences, empty if nothing is: with looking, and with what somebody did.
  #unread = "";
  #undone = "";

  /** @param {Workbench} workbench */
  constructor(workbench) {
    this.#workbench = workbench;
    this.#session = workbench.session.id;
    this.#follower = new Follower({
      look: () => this.#read(),
      isRunning: () => Boolean(runningExecution(workbench.state)),
    });
    this.#preview = new FilePreview(this.#session, {
      copy: (file, button) => this.#copy(file, button),
      download: (file) => download(this.#session, file),
    });
    this.#tree = new FilesTree(find("[role=tree]", this.element), {
      open: (file) => this.#preview.open(file),
      toggle: (file, isOpen) => this.#toggle(file, isOpen),
      more: (directory) => (this.#model.showMore(directory), this.#draw()),
      menu: (file, at) => openMenu(at, this.#menuOf(file)),
      mayWrite: () => workbench.session.may_run,
      rename: (file, name) => this.#rename(file, name),
      remove: (file) => this.#remove(file),
    });
    this.#queue = new UploadQueue(this.#session, (upload) => {
      view.changed(upload);
      if (upload.state === "done") this.#follower.soon();
    });
    const view = new UploadsView(find("[data-uploads]", this.element), this.#queue);
    this.#wire();
    workbench.onState(() => this.#onState());
    workbench.onFiles(() => this.#follower.soon());
  }

  // Lifecycle

  shown() {
    this.#follower.start();
  }

  hidden() {
    this.#follower.stop();
  }

  // Following the session

  #onState() {
    const { number } = this.#workbench.state;
    if (number === this.#number) return;
    this.#number = number;
    this.#follower.happened();
  }

  async #read() {
    /** @type {string[]} */ const news = [];
    try {
      if (!isLive(this.#workbench.state)) throw new ApiError("session_ended", ENDED, 404);
      for (const folder of this.#model.shownFolders) news.push(...(await this.#readFolder(folder)));
      this.#unread = "";
    } catch (error) {
      this.#refused(/** @type {import("../api.js").ApiError} */ (error));
    }
    this.#say();
    this.#draw();
    this.#tree.mark(news);
    if (news.length) setText(find("[data-news]", this.element), newsText(news));
  }

  /** What is new in it. @param {string} folder @returns {Promise<string[]>} */
  async #readFolder(folder) {
    try {
      const listing = await request("GET", this.#url("files", { path: folder }));
      this.#queue.maxBytes = listing.max_upload_bytes;
      return this.#model.setFolder(folder, listing.files);
    } catch (error) {
      const { code } = /** @type {import("../api.js").ApiError} */ (error);
      if (!folder || !["file_not_found", "wrong_file_type"].includes(code)) throw error;
      this.#model.forget(folder); // deleted since its folder was read
      return [];
    }
  }

  /** @param {import("../api.js").ApiError} error */
  #refused(error) {
    if (error.code === "session_ended") {
      this.#isLive = false;
      this.#follower.stop();
    }
    this.#unread = error.message;
  }

  get #mayWrite() {
    return this.#workbench.session.may_run;
  }

  // Drawing

  #draw() {
    this.#tree.draw(this.#isLive ? this.#model.rows() : [], (path) => this.#model.isOpen(path));
    find("[data-skeleton]", this.element).hidden = this.#model.isListed || !this.#isLive || !find("[data-problem]", this.element).hidden;
    find("[data-empty]", this.element).hidden = !this.#model.isEmpty || !this.#isLive;
    for (const button of this.element.querySelectorAll("[data-toolbar] button")) {
      /** @type {HTMLButtonElement} */ (button).disabled = !this.#isLive;
    }
  }

  #say() {
    const problem = find("[data-problem]", this.element);
    problem.classList.toggle("is-end", !this.#isLive);
    showProblem(problem, this.#unread || this.#undone);
  }

  // What a person does

  #wire() {
    const on = (/** @type {string} */ name, /** @type {(button: HTMLElement) => void} */ act) => {
      const button = find(`[data-do="${name}"]`, this.element);
      button.addEventListener("click", () => act(button));
    };
    const field = /** @type {HTMLInputElement} */ (find("[data-files-field]", this.element));
    const folderField = /** @type {HTMLInputElement} */ (find("[data-folder-field]", this.element));
    on("upload", () => field.click());
    on("new-folder", () => this.#newFolder(""));
    on("refresh", () => {
      this.#undone = "";
      this.#follower.anew();
    });
    on("more", (button) => openMenu(button, [
      { title: "Upload a folder…", isHidden: !this.#mayWrite, run: () => folderField.click() },
      { title: "Download all as zip", disabled: this.#model.isEmpty, run: () => download(this.#session, null) },
    ]));
    for (const each of [field, folderField]) {
      each.addEventListener("change", () => {
        this.#queue.add(chosenFiles(each.files));
        each.value = ""; // so that the same file can be chosen again
      });
    }
    this.#wireDrops();
  }

  #wireDrops() {
    const curtain = fromTemplate("drop-curtain");
    document.body.append(curtain);
    dropTarget({
      curtain,
      isOpen: () => this.#isLive && this.#mayWrite && !document.querySelector("dialog[open]"),
      folderAt: (target) => (this.element.contains(target) ? this.#tree.folderAt(target) : ""),
      over: (folder) => {
        this.#tree.lightUp(folder || null);
        if (folder !== null) setText(find("[data-where]", curtain), mountPath(folder));
      },
      drop: (transfer, folder) => this.#dropped(transfer, folder),
    });
  }

  /**
   * @param {DataTransfer} transfer
   * @param {string} folder
   */
  async #dropped(transfer, folder) {
    const reading = droppedFiles(transfer);
    this.#workbench.showPanel?.("files");
    try {
      const { files, folders, isCut } = await reading;
      this.#queue.add(files.map(({ path, file }) => ({ path: joined(folder, path), file })));
      for (const path of folders) await this.#makeFolder(joined(folder, path));
      if (isCut) this.#workbench.problem(`Only the first ${files.length.toLocaleString()} files are uploaded.`);
    } catch {
      this.#workbench.problem("What was dropped could not be read.");
    }
    this.#follower.soon();
  }

  /**
   * @param {FileInfo} file
   * @param {boolean} isOpen
   */
  async #toggle(file, isOpen) {
    if (isOpen) this.#model.open(file.path);
    else this.#model.close(file.path);
    this.#draw();
    if (!isOpen) return;
    await this.#attempt(() => this.#readFolder(file.path));
    this.#draw();
  }

  /** @param {FileInfo} file @returns {import("../notebook/menu.js").Item[]} */
  #menuOf(file) {
    const isHidden = !this.#mayWrite;
    const inFolder = file.is_directory
      ? [{ title: "New folder in it", isHidden, run: () => this.#newFolder(file.path) }]
      : [{ title: "Open", keys: "Enter", run: () => this.#preview.open(file) }];
    return [
      ...inFolder,
      { title: file.is_directory ? "Download as zip" : "Download", run: () => download(this.#session, file) },
      { title: "Copy path", run: () => this.#copy(file) },
      { title: "Rename", keys: "F2", isHidden, run: () => this.#tree.rename(file.path) },
      null,
      { title: "Delete", keys: "Del", danger: true, isHidden, run: () => this.#remove(file) },
    ];
  }

  /**
   * @param {FileInfo} file
   * @param {HTMLElement} [button] says that it was done
   */
  async #copy(file, button) {
    const failed = await copyPath(file, button);
    if (failed) this.#workbench.problem(failed);
    else setText(find("[data-news]", this.element), "Path copied");
  }

  /**
   * @param {FileInfo} file
   * @param {string} name a path from the workspace on, if it has a slash
   */
  #rename(file, name) {
    const path = name.includes("/") ? name : joined(parentOf(file.path), name);
    return this.#try(async () => {
      await request("PATCH", this.#url("files", { path: file.path }), { json: { path } });
      if (this.#model.isOpen(file.path)) this.#model.open(path.replace(/^\/+/, ""));
      this.#model.forget(file.path);
      await this.#follower.anew();
      this.#tree.focus(path);
    });
  }

  /** @param {FileInfo} file */
  async #remove(file) {
    const text = file.is_directory ? "All that is in it is deleted too. This cannot be undone." : "This cannot be undone.";
    if (!(await confirmed({ title: `Delete ${file.name}?`, text, verb: "Delete" }))) return;
    await this.#attempt(async () => {
      await request("DELETE", this.#url("files", { path: file.path }));
      this.#model.forget(file.path);
      await this.#follower.anew();
      this.#tree.focus("");
    });
  }

  /** Make a folder, and ask for its name. @param {string} directory */
  async #newFolder(directory) {
    if (directory) this.#model.open(directory);
    await this.#follower.anew();
    const path = joined(directory, freeName("New folder", this.#model.namesIn(directory)));
    if (!(await this.#attempt(() => this.#makeFolder(path)))) return;
    await this.#follower.anew();
    this.#tree.rename(path);
  }

  /** @param {string} path */
  #makeFolder(path) {
    return request("POST", this.#url("files/directories"), { json: { path } });
  }

  /** Whether it was done; if not, why is said until the next attempt. @param {() => Promise<unknown>} act */
  async #attempt(act) {
    this.#undone = await this.#try(act);
    this.#say();
    return !this.#undone;
  }

  /** What went wrong, in a sentence; empty: nothing. @param {() => Promise<unknown>} act */
  async #try(act) {
    try {
      await act();
      return "";
    } catch (error) {
      return /** @type {Error} */ (error).message;
    }
  }

  /**
   * @param {string} route
   * @param {Record<string, string>} [query]
   */
  #url(route, query) {
    return sessionRoute(this.#session, route, query);
  }
}

/** For those who do not see the marks. @param {string[]} paths */
function newsText(paths) {
  const [first, ...others] = paths;
  const name = first.slice(first.lastIndexOf("/") + 1);
  return others.length ? `${name} and ${others.length} more changed` : `${name} changed`;
}

// @ts-check
// Outputs that need scripts, in a frame that can reach nothing of ours: the page's side.
// The frame's side is static/workbench/frame/; what the two say to each other:
//
//   page → frame  {type: "show", outputs, theme}   {type: "theme", theme}
//                 {type: "models", models, for}    widgets the frame asked for: `for` and its parts
//                 {type: "comm", message}          what the kernel says to one of them
//                 {type: "ended"}                  the kernel of the widgets is gone
//                 {type: "preludes", outputs}      what was asked for
//                 {type: "ping"}                   are you there?
//   frame → page  {type: "ready"}                  loaded, also again after it was moved
//                 {type: "size", height}           CSS pixels
//                 {type: "model", id}              which widget is this?
//                 {type: "comm", message}          to the kernel
//                 {type: "problem", text}          something failed; a sentence
//                 {type: "preludes"}               which libraries did earlier outputs bring?
//                 {type: "showing"} {type: "shown"}  it began, and is done
//                 {type: "pong"}

import { FrameWatch } from "./frame-watch.js";
import { button, note } from "./make.js";
import { family, widgetOf } from "./widget-models.js";

/**
 * @typedef {import("./widget-models.js").Comm} Comm
 * @typedef {{data: Record<string, any>, metadata: Record<string, any>}} Bundle
 * @typedef {{kind: string, comm_id: string, data: any, buffers?: string[], target_name?: string}} CommMessage
 */

const ADDRESS = "/output-frame/";
// Without allow-same-origin: the frame has an origin of its own that nothing else has. A page
// that a person opens from it is an ordinary one again.
const PERMISSIONS = "allow-scripts allow-popups allow-popups-to-escape-sandbox allow-downloads";
const NEAR = "800px 0px"; // further away than this, a frame is not loaded yet
const LEAST_HEIGHT = 24; // CSS pixels
const MOST_HEIGHT = 10_000; // what is higher scrolls inside: scripts can grow without end
const MOST_PROBLEMS = 3; // told of one frame: a script may fail with every move of the mouse
const MOST_MESSAGES = 2_000; // of one frame within a second; a widget that is moved sends about 100
const EXPECTED_HEIGHT = 160; // until it is known, so that the page does not jump much

const SILENT = "The scripts of this output do not answer, and all outputs with scripts wait for them.";
const WAITING = "This output waits for the scripts of another one, maybe in another tab, that do not answer.";
const STOPPED = "The scripts of this output were stopped.";
const TOO_MANY = "The scripts of this output were stopped: they sent more messages than the page can read.";

/** @type {Set<IsolatedFrame>} */ const frames = new Set();
/** Those that are loaded. @type {Map<unknown, IsolatedFrame>} */ const byWindow = new Map();
const watch = new FrameWatch();
const themeObserver = new MutationObserver(() => frames.forEach((frame) => frame.follow(currentTheme())));
const nearObserver = new IntersectionObserver(
  (entries) => entries.forEach(({ target, isIntersecting }) => isIntersecting && waiting.get(target)?.()),
  { rootMargin: NEAR },
);
/** @type {WeakMap<Element, () => void>} */ const waiting = new WeakMap();
// A frame's origin is null, and any sandboxed page's is: only the window tells who speaks.
addEventListener("message", ({ source, data }) => frameOf(source)?.receive(data, byWindow.has(source)));

/** One output in a frame of its own. Loads when it comes near what can be seen. */
export class IsolatedFrame {
  /** Put this where the output belongs. */
  element = document.createElement("div");
  isAnswering = true;
  isAtWork = false;
  isReady = false;
  #iframe = document.createElement("iframe");
  /** In place of what does not answer, or beside it. @type {HTMLElement | null} */ #notice = null;
  /** Its messages in this second. */ #messages = { second: 0, count: 0 };
  /** @type {Bundle[]} */ #outputs = [];
  /** @type {ReadonlyMap<string, Comm>} */ #comms = new Map();
  /** Widgets the frame knows. @type {Set<string>} */ #models = new Set();
  /** What was told already. @type {Set<string>} */ #problems = new Set();
  #theme;
  #height;
  #on;

  /**
   * @param {object} [options]
   * @param {string} [options.theme] "light", "dark" or "system"; otherwise it is the page's
   * @param {number} [options.height] what it was when it was last shown, CSS pixels
   * @param {(height: number) => void} [options.onSize]
   * @param {(message: CommMessage) => void} [options.onComm] a widget to its kernel; only for
   *   outputs of this session, never for those that came with a file
   * @param {(sentence: string) => void} [options.onProblem]
   * @param {() => Bundle[]} [options.preludes] outputs that loaded a library which these may use
   */
  constructor({ theme, height = EXPECTED_HEIGHT, onSize, onComm, onProblem, preludes } = {}) {
    this.#theme = theme ?? currentTheme();
    this.#height = height;
    this.#on = { size: onSize, comm: onComm, problem: onProblem, preludes };
    this.element.className = "isolated is-loading";
    this.element.style.minHeight = `${height}px`;
    this.#iframe.title = "Output";
    this.#iframe.setAttribute("sandbox", PERMISSIONS);
    this.#iframe.referrerPolicy = "no-referrer";
    this.#iframe.allow = "fullscreen; clipboard-write";
    Object.assign(this.#iframe.style, { display: "block", width: "100%", border: "0", height: `${height}px` });
    waiting.set(this.element, () => this.#load());
    nearObserver.observe(this.element);
    if (frames.size === 0) themeObserver.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    frames.add(this);
    watch.add(this);
  }

  get isLoaded() {
    return this.#iframe.isConnected;
  }

  // Actions

  /**
   * Show these, in order; what was shown before goes, and keeps its place until they are there.
   * @param {Bundle[]} outputs
   */
  show(outputs) {
    this.#outputs = outputs;
    if (this.isReady) this.#post({ type: "show", outputs, theme: this.#theme });
  }

  /**
   * What is known of the session's widgets; call it before `show`, and whenever they changed.
   * @param {ReadonlyMap<string, Comm>} comms
   */
  widgets(comms) {
    const wasOpen = this.#isOpen();
    this.#comms = comms;
    if (wasOpen && !this.#isOpen()) this.#post({ type: "ended" });
  }

  /**
   * What the kernel said (the data of a `comm` event), once each, after `widgets`.
   * @param {CommMessage} message
   */
  comm(message) {
    if (this.isReady && this.#models.has(message.comm_id)) this.#post({ type: "comm", message });
  }

  /** @param {string} theme */
  follow(theme) {
    this.#theme = theme;
    this.#post({ type: "theme", theme });
  }

  destroy() {
    this.unload();
    nearObserver.unobserve(this.element);
    frames.delete(this);
    watch.delete(this);
    if (frames.size === 0) themeObserver.disconnect();
    this.element.remove();
  }

  // For those that listen and watch

  /**
   * @param {any} data what its window said; untrusted
   * @param {boolean} isOwn false if a window inside it said so, which has nothing to say
   */
  receive(data, isOwn) {
    if (this.#isFlooding()) return this.#flooded();
    if (!isOwn) return;
    this.isAnswering = true;
    if (data?.type === "ready") this.#begin();
    else if (data?.type === "size") this.#resize(Number(data.height));
    else if (data?.type === "model") this.#answer(String(data.id));
    else if (data?.type === "comm") this.#forward(data.message);
    else if (data?.type === "problem") this.#tell(String(data.text).slice(0, 1_000));
    else if (data?.type === "preludes") this.#post({ type: "preludes", outputs: this.#on.preludes?.() ?? [] });
    else if (data?.type === "showing" || data?.type === "shown") this.isAtWork = data.type === "showing";
  }

  content() {
    return JSON.stringify(this.#outputs.map(({ data }) => data));
  }

  ask() {
    this.isAnswering = false;
    this.#post({ type: "ping" });
  }

  /** @param {(() => void) | null} stop */
  offerStop(stop) {
    if (stop && !this.#notice) this.#say(this.isReady ? SILENT : WAITING, "Stop them", stop);
    else if (!stop && this.isLoaded) this.#unsay();
  }

  unload() {
    if (!this.isLoaded) return;
    byWindow.delete(this.#iframe.contentWindow);
    this.#iframe.remove();
    this.isReady = this.isAtWork = false;
    this.#say(STOPPED, "Show it again", () => this.reload());
  }

  reload() {
    this.#unsay();
    this.isAnswering = true;
    this.#load();
  }

  // Internal

  #load() {
    nearObserver.unobserve(this.element);
    waiting.delete(this.element);
    if (this.isLoaded) return;
    this.#iframe.src = ADDRESS;
    this.element.append(this.#iframe);
    byWindow.set(this.#iframe.contentWindow, this);
  }

  #isFlooding() {
    const second = Math.floor(performance.now() / 1_000);
    if (second !== this.#messages.second) this.#messages = { second, count: 0 };
    return ++this.#messages.count > MOST_MESSAGES;
  }

  #flooded() {
    this.unload();
    this.#say(TOO_MANY, "Show it again", () => this.reload());
  }

  /**
   * @param {string} sentence
   * @param {string} action
   * @param {() => void} act
   */
  #say(sentence, action, act) {
    this.#unsay();
    this.#notice = note(sentence, " ", button(action, act));
    this.element.classList.remove("is-loading");
    if (!this.isLoaded) this.element.style.minHeight = "";
    this.element.append(this.#notice);
  }

  #unsay() {
    this.#notice?.remove();
    this.#notice = null;
  }

  /** @param {string} problem */
  #tell(problem) {
    if (this.#problems.has(problem) || this.#problems.size >= MOST_PROBLEMS) return;
    this.#problems.add(problem);
    this.#on.problem?.(problem);
  }

  #begin() {
    this.isReady = true;
    this.#models.clear();
    this.show(this.#outputs);
  }

  /** @param {number} height */
  #resize(height) {
    if (!(height >= 0)) return;
    this.#height = Math.min(Math.max(Math.ceil(height), LEAST_HEIGHT), MOST_HEIGHT);
    this.#iframe.style.height = `${this.#height}px`;
    this.element.style.minHeight = "";
    this.element.classList.remove("is-loading");
    this.#on.size?.(this.#height);
  }

  /** @param {string} id */
  #answer(id) {
    const models = family(this.#comms, id);
    for (const model of models) this.#models.add(model.id);
    this.#post({ type: "models", for: id, models });
  }

  /**
   * A frame may speak to widgets that it shows, and to nothing else in the kernel.
   * @param {any} message
   */
  #forward(message) {
    if (!this.#models.has(message?.comm_id) || !this.#comms.get(message.comm_id)?.isOpen) return;
    const { kind, comm_id, data, buffers = [] } = message;
    if (kind === "msg" || kind === "close") this.#on.comm?.({ kind, comm_id, data, buffers });
  }

  /** Whether one of the shown widgets is alive. */
  #isOpen() {
    return this.#outputs.some((output) => this.#comms.get(widgetOf(output) ?? "")?.isOpen);
  }

  /** @param {object} message */
  #post(message) {
    // Its origin is null, which cannot be named as a target; the window is its own, and nobody
    // else can load a page of ours into it.
    if (this.isReady) this.#iframe.contentWindow?.postMessage(message, "*");
  }
}

/**
 * The frame a window belongs to: its own, or one inside it that its scripts made.
 * @param {MessageEventSource | null} source
 */
function frameOf(source) {
  let at = /** @type {Window | null} */ (source);
  while (at && !byWindow.has(at)) at = at.parent && at.parent !== at && at.parent !== window ? at.parent : null;
  return byWindow.get(at);
}

function currentTheme() {
  return document.documentElement.dataset.theme ?? "system";
}

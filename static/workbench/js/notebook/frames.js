// @ts-check
// The isolated frames of a page: they hear what the kernel says to widgets, and their answers go
// back to it. Frames of outputs that came with a file never speak to the kernel, whatever they
// show: they have the widgets of that file, as they were when it was saved.

import { fileAddressOf } from "../outputs/file-address.js";
import { isPrelude } from "../outputs/bundle.js";
import { isImported, outputsOfNotebook } from "../outputs/imported.js";
import { IsolatedFrame } from "../outputs/isolated.js";
import { savedWidgets } from "../outputs/widget-models.js";

/**
 * @typedef {import("../fold.js").State} State
 * @typedef {import("../fold.js").LogEvent} LogEvent
 * @typedef {import("../outputs/bundle-view.js").OutputOptions} OutputOptions
 * @typedef {import("../outputs/bundle-view.js").FrameHooks} FrameHooks
 */

/**
 * @param {object} session
 * @param {string} session.id
 * @param {(frame: any) => boolean} session.send
 * @param {() => State} session.state
 * @param {{metadata: Record<string, any>, cells: readonly {outputs: any[]}[]}} session.notebook
 */
export function makeFrames({ id, send, state, notebook }) {
  /** @type {Set<IsolatedFrame>} */ const live = new Set();

  /** @type {OutputOptions} */
  const options = {
    fileAddress: fileAddressOf(id),
    frameFor: (hooks) => (isImported(hooks.key) ? importedFrame(hooks) : liveFrame(hooks)),
  };

  /** @param {FrameHooks} hooks */
  function liveFrame({ keyNow, onProblem }) {
    const preludes = () => [...outputsOf(state())].filter((output) => output.key < keyNow() && output.data && isPrelude(output));
    const frame = new LiveFrame({ onProblem, preludes, onComm: (message) => void send({ type: "comm", ...message }) }, live);
    frame.widgets(state().comms);
    return frame;
  }

  /** @param {FrameHooks} hooks */
  function importedFrame({ onProblem }) {
    const all = () => notebook.cells.flatMap(({ outputs }) => /** @type {any[]} */ (outputsOfNotebook(outputs)));
    const frame = new IsolatedFrame({ onProblem, preludes: () => all().filter((output) => output.data && isPrelude(output)) });
    frame.widgets(savedWidgets(notebook.metadata));
    return frame;
  }

  /**
   * Tell the frames what happened.
   * @param {State} now
   * @param {LogEvent[]} events that led there
   */
  function follow(now, events) {
    const messages = events.filter((event) => event.type === "comm").map((event) => event.data);
    for (const frame of live) {
      frame.widgets(now.comms);
      for (const message of messages) frame.comm(message);
    }
  }

  return { options, follow };
}

/** A frame that takes itself off the list. */
class LiveFrame extends IsolatedFrame {
  #list;

  /**
   * @param {ConstructorParameters<typeof IsolatedFrame>[0]} options
   * @param {Set<IsolatedFrame>} list
   */
  constructor(options, list) {
    super(options);
    this.#list = list.add(this);
  }

  destroy() {
    this.#list.delete(this);
    super.destroy();
  }
}

/** @param {State} state @returns {Iterable<any>} */
function* outputsOf({ executions }) {
  for (const { outputs } of executions.values()) yield* outputs;
}

// @ts-check
// The part of fold.js that follows the kernel's comms: what widgets are, and what was said on them.

/**
 * @typedef {import("./fold.js").LogEvent} LogEvent
 * @typedef {import("./fold.js").State} State
 * @typedef {{path: (string | number)[], encoding: "base64", data: string}} StateBuffer
 *   one value of a widget's state that is binary; `path` says where in the state it belongs
 * @typedef {object} Comm
 * @property {string} id
 * @property {string} targetName
 * @property {string | null} execution the one that opened it
 * @property {Record<string, any>} state of the widget, without its buffers
 * @property {StateBuffer[]} buffers
 * @property {boolean} isOpen false once it was closed, or its kernel has gone; the state stays
 * @typedef {{events: LogEvent[], count: number}} CommLog
 *   The newest `comm` events: the first `count` of `events`, an array that later states share and
 *   only append to. Read it with `commsSince`.
 */

// How many comm events are kept for those who pass them on: at least, and at most.
const COMMS_KEPT = 2000;
const COMMS_AT_MOST = 4000;

/**
 * The comm events after number `number`, for whoever passes them on to live widgets. Null if they
 * are not kept any more: then begin anew with the comms' folded state.
 * @param {State} state
 * @param {number} number
 * @returns {LogEvent[] | null}
 */
export function commsSince({ commLog: { events, count } }, number) {
  let first = count;
  while (first > 0 && events[first - 1].number > number) first -= 1;
  const isWhole = first > 0 || count < COMMS_KEPT;
  return isWhole ? events.slice(first, count) : null;
}

/**
 * Fold one `comm` event into the draft.
 * @param {State} draft
 * @param {Set<unknown>} own what is the draft's copy already, and may be changed
 * @param {LogEvent} event
 */
export function hearComm(draft, own, event) {
  keepComm(draft, own, event);
  const { kind, comm_id: id, target_name: targetName, data, buffers } = event.data;
  if (kind === "open") {
    const { execution } = event;
    const comm = { id, targetName: targetName ?? "", execution, state: {}, buffers: [], isOpen: true };
    own.add(comm);
    ownComms(draft, own).set(id, comm);
    setState(comm, data, buffers);
    return;
  }
  const comm = ownComm(draft, own, id);
  if (!comm) return;
  if (kind === "close") comm.isOpen = false;
  else if (data.method === "update" || data.method === "echo_update") setState(comm, data, buffers);
}

/**
 * Append to the log that all states share, or to a copy if another state went on from `before`.
 * @param {State} draft
 * @param {Set<unknown>} own
 * @param {LogEvent} event
 */
function keepComm(draft, own, event) {
  const { events, count } = draft.commLog;
  const isTooLong = count >= COMMS_AT_MOST;
  const isShared = count === events.length && !isTooLong;
  const kept = isShared ? events : events.slice(isTooLong ? count - COMMS_KEPT + 1 : 0, count);
  kept.push(event);
  if (own.has(draft.commLog)) {
    Object.assign(draft.commLog, { events: kept, count: kept.length });
  } else {
    draft.commLog = { events: kept, count: kept.length };
    own.add(draft.commLog);
  }
}

/**
 * The keys that came replace those of before, with the buffers in them.
 * @param {Comm} comm
 * @param {{state?: Record<string, any>, buffer_paths?: (string | number)[][]}} data
 * @param {string[]} buffers
 */
function setState(comm, { state = {}, buffer_paths: paths = [] }, buffers) {
  Object.assign(comm.state, state);
  const isReplaced = (/** @type {{path: (string | number)[]}} */ { path }) =>
    Object.hasOwn(state, path[0]) || paths.some((replaced) => replaced[0] === path[0]);
  if (comm.buffers.length) comm.buffers = comm.buffers.filter((each) => !isReplaced(each));
  paths.forEach((path, i) => {
    if (buffers[i] !== undefined) comm.buffers.push({ path, encoding: "base64", data: buffers[i] });
  });
}

/**
 * The kernel has gone, and all its comms with it; what they last said is kept.
 * @param {State} draft
 * @param {Set<unknown>} own
 */
export function closeComms(draft, own) {
  for (const { id, isOpen } of draft.comms.values()) {
    if (!isOpen) continue;
    const comm = ownComm(draft, own, id);
    if (comm) comm.isOpen = false;
  }
}

/**
 * @param {State} draft
 * @param {Set<unknown>} own
 */
function ownComms(draft, own) {
  if (!own.has(draft.comms)) {
    draft.comms = new Map(draft.comms);
    own.add(draft.comms);
  }
  return draft.comms;
}

/**
 * The draft's own copy of a comm, made once per fold.
 * @param {State} draft
 * @param {Set<unknown>} own
 * @param {string} id
 */
function ownComm(draft, own, id) {
  const known = draft.comms.get(id);
  if (!known || own.has(known)) return known;
  const copy = { ...known, state: { ...known.state }, buffers: [...known.buffers] };
  own.add(copy);
  ownComms(draft, own).set(id, copy);
  return copy;
}

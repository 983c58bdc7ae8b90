// @ts-check
// The page is a fold of the event log: (state, events) -> state. Pure, no DOM.
// The events are described in docs/events.md.

import { closeComms, hearComm } from "./fold-comms.js";

/**
 * @typedef {{number: number, type: string, execution: string | null, at: string, data: any}} LogEvent
 * @typedef {{kind: "stream", name: string, chunks: string[], key: number}} StreamOutput
 *   `chunks` only grows; a later output with the same key continues this one.
 * @typedef {{kind: "display" | "result", data: Record<string, any>, metadata: Record<string, any>,
 *   displayId: string | null, key: number}} MimeOutput
 * @typedef {{kind: "error", ename: string, evalue: string, traceback: string[], key: number}} ErrorOutput
 * @typedef {{kind: "truncated", droppedBytes: number, key: number}} TruncatedOutput
 * @typedef {StreamOutput | MimeOutput | ErrorOutput | TruncatedOutput} Output
 * @typedef {object} Execution
 * @property {string} id
 * @property {string} code
 * @property {string} kind "code" or "command"
 * @property {string} origin
 * @property {string} clientId
 * @property {string | null} cell key of the notebook's cell it ran for; null: it is one itself
 * @property {string} state
 * @property {string} reason
 * @property {string | null} queuedAt
 * @property {number} queuedNumber of the event that queued it
 * @property {string | null} startedAt
 * @property {number | null} durationSeconds
 * @property {number | null} executionCount
 * @property {number | null} exitCode
 * @property {{prompt: string, password: boolean} | null} input what it waits for in input()
 * @property {boolean} clearPending clear_output(wait=True) was called; the next output clears
 * @property {Output[]} outputs
 * @typedef {import("./fold-comms.js").Comm} Comm
 * @typedef {import("./fold-comms.js").CommLog} CommLog
 * @typedef {object} State
 * @property {number} number of the last event folded in
 * @property {{state: string, reason: string, kernel: string, since: string | null}} session
 * @property {Map<string, Execution>} executions in the order in which they were queued
 * @property {Map<string, Comm>} comms by comm id, in the order in which they were opened
 * @property {CommLog} commLog
 * @property {number} nextKey
 */

// In these states the kernel of before lives on; in all others its comms are gone.
const ALIVE = new Set(["idle", "busy"]);

/** @returns {State} */
export function emptyState() {
  const session = { state: "", reason: "", kernel: "", since: null };
  const commLog = { events: [], count: 0 };
  return { number: 0, session, executions: new Map(), comms: new Map(), commLog, nextKey: 1 };
}

/**
 * The state after `events`, in order. Events that are in it already change nothing. `before` is
 * left as it was, and executions and comms that no event touched are the same objects in both.
 * @param {State} before
 * @param {LogEvent[]} events
 * @returns {State}
 */
export function fold(before, events) {
  const draft = { ...before, executions: new Map(before.executions) };
  const own = new Set(); // the executions, outputs, comms that are copies already
  for (const event of events) {
    if (event.number <= draft.number) continue;
    draft.number = event.number;
    if (event.type === "session_state") {
      const { state, reason, kernel } = event.data;
      draft.session = { state, reason, kernel: kernel ?? draft.session.kernel, since: event.at };
      if (!ALIVE.has(state)) closeComms(draft, own);
    } else if (event.type === "comm") {
      hearComm(draft, own, event);
    } else if (event.type === "execution_queued" && event.execution) {
      draft.executions.set(event.execution, queued(event.execution, event));
      own.add(draft.executions.get(event.execution));
    } else if (event.type === "update_display_data") {
      updateDisplays(draft, own, event.data);
    } else {
      const execution = owned(draft, own, event.execution);
      if (execution) HAPPENINGS[event.type]?.(execution, event, { draft, own });
    }
  }
  return draft;
}

// What a session's state says while it exists for its clients.
const LIVE_STATES = new Set(["starting", "idle", "busy", "restarting", "died", "stopped"]);

/**
 * Whether the session has not ended.
 * @param {State} state
 */
export function isLive(state) {
  return LIVE_STATES.has(state.session.state);
}

/**
 * The places of the executions that wait, from 1.
 * @param {State} state
 * @returns {Map<string, number>}
 */
export function queuePlaces(state) {
  const places = new Map();
  for (const { id, state: mine } of state.executions.values()) {
    if (mine === "queued") places.set(id, places.size + 1);
  }
  return places;
}

/**
 * The execution that runs, if one does.
 * @param {State} state
 */
export function runningExecution(state) {
  for (const execution of state.executions.values()) {
    if (execution.state === "running") return execution;
  }
  return null;
}

/**
 * @typedef {{draft: State, own: Set<unknown>}} Folding
 * @type {Record<string, (execution: Execution, event: LogEvent, folding: Folding) => void>}
 */
const HAPPENINGS = {
  execution_started(execution, { at, data }) {
    execution.state = "running";
    execution.startedAt = at;
    execution.executionCount = data.execution_count ?? execution.executionCount;
  },
  execution_finished(execution, { data }) {
    execution.state = data.state;
    execution.reason = data.reason ?? "";
    execution.exitCode = data.exit_code ?? null;
    execution.durationSeconds = data.duration_seconds ?? null;
    execution.executionCount = data.execution_count ?? execution.executionCount;
    execution.input = null;
  },
  stream(execution, { data }, folding) {
    appendText(execution, data.name, data.text, folding);
  },
  display_data(execution, { data }, folding) {
    const { display_id: displayId = null } = data;
    append(execution, { kind: "display", ...bundle(data), displayId, key: 0 }, folding);
  },
  execute_result(execution, { data }, folding) {
    execution.executionCount = data.execution_count ?? execution.executionCount;
    append(execution, { kind: "result", ...bundle(data), displayId: null, key: 0 }, folding);
  },
  error(execution, { data }, folding) {
    const { ename, evalue, traceback } = data;
    append(execution, { kind: "error", ename, evalue, traceback, key: 0 }, folding);
  },
  truncated(execution, { data }, folding) {
    append(execution, { kind: "truncated", droppedBytes: data.dropped_bytes, key: 0 }, folding);
  },
  clear_output(execution, { data }) {
    if (data.wait) execution.clearPending = true;
    else execution.outputs = [];
  },
  input_request(execution, { data }) {
    execution.input = { prompt: data.prompt, password: Boolean(data.password) };
  },
  input_answered(execution, _event, folding) {
    // The question stays to be read, as it would in a terminal.
    appendText(execution, "stdout", `${execution.input?.prompt ?? ""}\n`, folding);
    execution.input = null;
  },
};

/**
 * @param {string} id
 * @param {LogEvent} event
 * @returns {Execution}
 */
function queued(id, { at, number, data }) {
  return {
    id,
    code: data.code,
    kind: data.kind ?? "code",
    origin: data.origin ?? "",
    clientId: data.client_id ?? "",
    cell: data.cell ?? null,
    state: "queued",
    reason: "",
    queuedAt: at,
    queuedNumber: number,
    startedAt: null,
    durationSeconds: null,
    executionCount: null,
    exitCode: null,
    input: null,
    clearPending: false,
    outputs: [],
  };
}

/**
 * The draft's own copy of an execution, made once per fold.
 * @param {State} draft
 * @param {Set<unknown>} own
 * @param {string | null} id
 */
function owned(draft, own, id) {
  const known = id === null ? undefined : draft.executions.get(id);
  if (!known || own.has(known)) return known;
  const copy = { ...known, outputs: [...known.outputs] };
  own.add(copy);
  draft.executions.set(copy.id, copy);
  return copy;
}

/** @param {any} data */
function bundle(data) {
  return { data: data.data ?? {}, metadata: data.metadata ?? {} };
}

/**
 * @param {Execution} execution
 * @param {Output} output
 * @param {Folding} folding
 */
function append(execution, output, { draft, own }) {
  if (execution.clearPending) execution.outputs = [];
  execution.clearPending = false;
  output.key = draft.nextKey++;
  own.add(output);
  execution.outputs.push(output);
}

/**
 * @param {Execution} execution
 * @param {string} name
 * @param {string} text
 * @param {Folding} folding
 */
function appendText(execution, name, text, folding) {
  const last = execution.outputs.at(-1);
  if (execution.clearPending || last?.kind !== "stream" || last.name !== name) {
    append(execution, { kind: "stream", name, chunks: [text], key: 0 }, folding);
  } else if (folding.own.has(last)) {
    last.chunks.push(text);
  } else {
    const copy = { ...last, chunks: [...last.chunks, text] };
    folding.own.add(copy);
    execution.outputs[execution.outputs.length - 1] = copy;
  }
}

/**
 * A display may be shown several times, and by several executions: all of them change.
 * @param {State} draft
 * @param {Set<unknown>} own
 * @param {any} data
 */
function updateDisplays(draft, own, data) {
  const isMeant = (/** @type {Output} */ output) =>
    output.kind === "display" && output.displayId !== null && output.displayId === data.display_id;
  for (const { id, outputs } of draft.executions.values()) {
    if (!outputs.some(isMeant)) continue;
    const execution = /** @type {Execution} */ (owned(draft, own, id));
    execution.outputs = execution.outputs.map((output) =>
      isMeant(output) ? /** @type {Output} */ ({ ...output, ...bundle(data), key: draft.nextKey++ }) : output,
    );
  }
}

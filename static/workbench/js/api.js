// @ts-check
// Requests to the native API, `/api/v1/`.

const ROOT = "/api/v1/";

/** What the server refused, in its own sentence; `status` 0: there was no answer at all. */
export class ApiError extends Error {
  /**
   * @param {string} code the stable word for it
   * @param {string} message a sentence for people
   * @param {number} status
   */
  constructor(code, message, status) {
    super(message);
    this.name = "ApiError";
    this.code = code;
    this.status = status;
  }
}

/**
 * The address of something that belongs to a session.
 * @param {string} session its id
 * @param {string} route such as "files/content"
 * @param {Record<string, string>} [query]
 */
export function sessionRoute(session, route, query = {}) {
  const search = new URLSearchParams(query).toString();
  return `${ROOT}sessions/${encodeURIComponent(session)}/${route}${search && `?${search}`}`;
}

/**
 * Ask the server; null if its answer has no body. Throws ApiError.
 * @param {string} method
 * @param {string} url
 * @param {{json?: unknown, body?: Blob, signal?: AbortSignal}} [options]
 * @returns {Promise<any>}
 */
export async function request(method, url, { json, body, signal } = {}) {
  const response = await fetched(method, url.startsWith("/") ? url : ROOT + url, { json, body, signal });
  const text = await response.text();
  if (!response.ok) throw errorFrom(response.status, text);
  return text ? JSON.parse(text) : null;
}

/**
 * The error that an answer describes, whichever part of the server worded it.
 * @param {number} status
 * @param {string} text the body
 */
export function errorFrom(status, text) {
  const { code, detail, error } = parsed(text);
  const message = detail ?? error?.message ?? `The server answered with status ${status}.`;
  return new ApiError(code ?? error?.code ?? "error", message, status);
}

/** What is said when no answer came. */
export function connectionLost() {
  return new ApiError("connection_lost", "The server does not answer. Try again.", 0);
}

/**
 * @param {string} method
 * @param {string} url
 * @param {{json?: unknown, body?: Blob, signal?: AbortSignal}} options
 */
async function fetched(method, url, { json, body, signal }) {
  const headers = json === undefined ? undefined : { "Content-Type": "application/json" };
  try {
    return await fetch(url, { method, body: json === undefined ? body : JSON.stringify(json), headers, signal });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw connectionLost();
  }
}

/** @param {string} text */
function parsed(text) {
  try {
    return Object(JSON.parse(text));
  } catch {
    return {};
  }
}

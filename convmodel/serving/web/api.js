/** HTTP client of the server's API; every failure is thrown as a Problem. */

import { sentence } from "./format.js";
import { events } from "./stream.js";

const ROOT = new URL(".", document.baseURI);

/** Failure of a request. */
export class Problem extends Error {
  /**
   * @param {string} message text for the user.
   * @param {{status?: number, code?: string|null, param?: string|null, wait?: number|null}} [about] `status`: HTTP
   *   status, 0 if there was no response; `wait`: seconds after which to try again, from Retry-After.
   */
  constructor(message, { status = 0, code = null, param = null, wait = null } = {}) {
    super(message);
    this.name = "Problem";
    this.status = status;
    this.code = code;
    this.param = param;
    this.wait = wait;
  }

  /** Whether the server cannot be reached at the moment. */
  get gone() {
    return this.status === 0;
  }
}

const STATUS_OF = { rate_limit_error: 429, conflict_error: 409, authentication_error: 401, server_error: 500 };

let key = null;
let askForKey = null;

/**
 * Sets the API key.
 * @param {string|null} value key to send with every request from now on; null sends none.
 */
export function useKey(value) {
  key = value;
}

/**
 * Sets the function that is called when the server requires another API key.
 * @param {(wrong: boolean) => Promise<boolean>} ask gets whether the rejected request had a key; returns whether the
 *   user has given a new key.
 */
export function onKeyWanted(ask) {
  askForKey = ask;
}

/**
 * Returns a random idempotency key; the server executes repeated requests with the same key only once.
 * @returns {string}
 */
export function newIdempotencyKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Sends a request and returns the response, if its status is a success.
 * @param {string} method
 * @param {string} path relative to the page.
 * @param {{body?: any, idempotency?: string, signal?: AbortSignal}} [what] `body` is sent as JSON.
 * @returns {Promise<Response>}
 * @throws {Problem}
 * @throws {DOMException} AbortError if `signal` aborts the request.
 */
export async function send(method, path, { body, idempotency, signal } = {}) {
  for (;;) {
    const headers = {};
    const used = key;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    if (used) headers.Authorization = `Bearer ${used}`;
    if (idempotency) headers["Idempotency-Key"] = idempotency;
    const request = { method, headers, signal, cache: "no-store", credentials: "same-origin" };
    if (body !== undefined) request.body = JSON.stringify(body);
    let response;
    try {
      response = await fetch(new URL(path, ROOT), request);
    } catch (error) {
      throw asProblem(error);
    }
    if (response.ok) return response;
    const problem = await problemOf(response);
    if (response.status !== 401 || !askForKey) throw problem;
    // If another request has got a new key meanwhile, repeat this one with it.
    if (used === key && !(await askForKey(Boolean(used)))) throw problem;
  }
}

/**
 * Sends a request like `send` and parses the response.
 * @param {string} method
 * @param {string} path
 * @param {any} [body]
 * @param {{idempotency?: string}} [what]
 * @returns {Promise<any>} the response's JSON; null for status 204.
 */
export async function json(method, path, body, what = {}) {
  const response = await send(method, path, { ...what, body });
  return response.status === 204 ? null : readJson(response);
}

/**
 * Requests the content at a path as a Blob.
 * @param {string} path
 * @returns {Promise<Blob>}
 */
export async function blob(path) {
  const response = await send("GET", path);
  return response.blob().catch((error) => {
    throw asProblem(error);
  });
}

/**
 * Sends a request with a streamed response, and yields its events.
 * @param {string} path
 * @param {any} body
 * @param {{idempotency?: string, signal?: AbortSignal}} [what]
 * @returns {AsyncGenerator<{event: string, data: any}>}
 * @throws {Problem} also for an event `error`.
 */
export async function* stream(path, body, what = {}) {
  const response = await send("POST", path, { ...what, body: { ...body, stream: true } });
  try {
    for await (const { event, data } of events(response)) {
      if (event === "error") throw problemFrom(data, STATUS_OF[data.error?.type] ?? 400, null);
      yield { event, data };
    }
  } catch (error) {
    throw asProblem(error);
  }
}

async function readJson(response) {
  try {
    return await response.json();
  } catch (error) {
    throw asProblem(error);
  }
}

function asProblem(error) {
  if (error instanceof Problem || error?.name === "AbortError") return error;
  return new Problem("The server does not answer.");
}

async function problemOf(response) {
  let body = null;
  try {
    body = await response.json();
  } catch {
    // The body is empty, or a page of a proxy.
  }
  // 503: the server is shutting down. 502 or 504 without our error body: a proxy cannot reach the server.
  const closing = response.status === 503 || (!body?.error && [502, 504].includes(response.status));
  const after = Number.parseFloat(response.headers.get("Retry-After") ?? "");
  return problemFrom(body, closing ? 0 : response.status, Number.isFinite(after) ? after : null);
}

function problemFrom(body, status, wait) {
  const error = body?.error ?? {};
  const message = sentence(error.message ?? "") || `The server said ${status || "that it is closing"}.`;
  return new Problem(message, { status, code: error.code ?? null, param: error.param ?? null, wait });
}

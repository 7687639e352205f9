/** Paths and values in, the server's answers out; every failure is a Problem. */

import { sentence } from "./format.js";
import { events } from "./stream.js";

const ROOT = new URL(".", document.baseURI);

/** What went wrong with a request. */
export class Problem extends Error {
  /**
   * @param {string} message for a person.
   * @param {{status?: number, code?: string|null, param?: string|null, wait?: number|null}} [about] `status`: 0 when
   *   no answer came; `wait`: seconds after which to try again.
   */
  constructor(message, { status = 0, code = null, param = null, wait = null } = {}) {
    super(message);
    this.name = "Problem";
    this.status = status;
    this.code = code;
    this.param = param;
    this.wait = wait;
  }

  /** Whether there is no server at the moment. */
  get gone() {
    return this.status === 0;
  }
}

const STATUS_OF = { rate_limit_error: 429, conflict_error: 409, authentication_error: 401, server_error: 500 };

let key = null;
let askForKey = null;

/**
 * @param {string|null} value the key that is sent with every request from now on.
 */
export function useKey(value) {
  key = value;
}

/**
 * @param {(wrong: boolean) => Promise<boolean>} ask is called when the server wants a key; `wrong`: whether one was
 *   sent. Gives whether there is a new one.
 */
export function onKeyWanted(ask) {
  askForKey = ask;
}

/**
 * A key under which the server answers the same request once.
 * @returns {string}
 */
export function newIdempotencyKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Sends a request and gives the response when it is a good one.
 * @param {string} method
 * @param {string} path relative to the page.
 * @param {{body?: any, idempotency?: string, signal?: AbortSignal}} [what]
 * @returns {Promise<Response>}
 * @throws {Problem}
 * @throws {DOMException} AbortError when the signal says so.
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
    // Another request may have brought a key meanwhile.
    if (used === key && !(await askForKey(Boolean(used)))) throw problem;
  }
}

/**
 * @param {string} method
 * @param {string} path
 * @param {any} [body]
 * @param {{idempotency?: string}} [what]
 * @returns {Promise<any>} the answer's JSON; null where it has none.
 */
export async function json(method, path, body, what = {}) {
  const response = await send(method, path, { ...what, body });
  return response.status === 204 ? null : readJson(response);
}

/**
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
 * Sends a request that is answered piece by piece.
 * @param {string} path
 * @param {any} body
 * @param {{idempotency?: string, signal?: AbortSignal}} [what]
 * @returns {AsyncGenerator<{event: string, data: any}>}
 * @throws {Problem} also for an event that tells of an error.
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
    // A proxy's page, or nothing.
  }
  // 503: it is about to end. A proxy without a server behind it says 502 or 504, and not in our words.
  const closing = response.status === 503 || (!body?.error && [502, 504].includes(response.status));
  const after = Number.parseFloat(response.headers.get("Retry-After") ?? "");
  return problemFrom(body, closing ? 0 : response.status, Number.isFinite(after) ? after : null);
}

function problemFrom(body, status, wait) {
  const error = body?.error ?? {};
  const message = sentence(error.message ?? "") || `The server said ${status || "that it is closing"}.`;
  return new Problem(message, { status, code: error.code ?? null, param: error.param ?? null, wait });
}

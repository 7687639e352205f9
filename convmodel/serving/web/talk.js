/** Sending of messages and streaming of replies into the conversation, with recovery from failures of the server. */

import { newIdempotencyKey, Problem, send, stream } from "./api.js";
import { create, drop, pathOf, refresh, reload, undo } from "./conversations.js";
import { announce, byId } from "./dom.js";
import { titleOf } from "./format.js";
import { whatIsLeft } from "./resume.js";
import { whenBack } from "./connection.js";
import { changed, inTurn, keep, state } from "./state.js";

/**
 * Sends a message; if the last message has no reply yet, the new one is appended to it.
 * @param {import("./state.js").Entry} entry
 * @param {string} text
 */
export function say(entry, text) {
  const edits = entry.editing;
  entry.editing = false;
  return run(entry, { kind: "say", said: text, edits });
}

/** Requests the reply to the last message, which has no reply yet. */
export function reply(entry) {
  return run(entry, { kind: "reply", said: null });
}

/** Requests another reply, which replaces the last one. */
export function retry(entry) {
  return run(entry, { kind: "retry", said: null });
}

/**
 * Stops the reply in progress; the text generated so far is kept.
 * @param {import("./state.js").Entry} entry
 */
export async function stop(entry) {
  const { making } = entry;
  if (!making || making.stopped) return;
  const writing = making.phase === "writing";
  making.stopped = true;
  making.phase = "stopping";
  making.wake?.();
  changed();
  if (!writing) {
    making.controller.abort();
    return;
  }
  // The stream ends when the server has stored the text so far. If it does not end, disconnecting has the same effect.
  const late = setTimeout(() => making.controller.abort(), 5000);
  making.controller.signal.addEventListener("abort", () => clearTimeout(late));
  try {
    await send("POST", pathOf(entry, "stop"));
  } catch {
    making.controller.abort();
  }
}

/**
 * @typedef {{kind: "say"|"reply"|"retry", said: string|null, edits?: boolean, join?: boolean, version?: number,
 *   turns?: number, idempotency?: string}} Job a request for a reply. `said`: the user's message; `edits`: whether it
 *   replaces the last message, which is removed first; `join`: whether it is appended to the last message; `version`
 *   and `turns`: version and number of turns of the conversation before the request.
 */

function run(entry, job) {
  if (entry.making) return Promise.resolve();
  const making = { said: job.said, text: "", phase: "sending", until: 0, stopped: false, wake: null };
  entry.making = { ...making, kind: job.kind, edits: Boolean(job.edits), controller: new AbortController() };
  entry.notice = null;
  changed();
  return inTurn(entry, () => follow(entry, job));
}

async function follow(entry, job) {
  let next = job;
  try {
    while (next) {
      try {
        await attempt(entry, next);
        next = null;
      } catch (problem) {
        next = await recover(entry, next, problem);
      }
    }
  } finally {
    entry.making.controller.abort();
    entry.making = null;
    changed();
  }
  // A conversation that was deleted meanwhile must not return to the list.
  if (state.entries.get(entry.conversation.id) === entry) refresh(entry);
}

async function attempt(entry, job) {
  const { making } = entry;
  const { signal } = making.controller;
  signal.throwIfAborted();
  if (!entry.conversation.id) await create(entry, titleOf(job.said));
  if (job.edits) {
    await undo(entry);
    job.edits = making.edits = false;
  }
  const { conversation } = entry;
  if (job.version === undefined) {
    const { version, turns, waiting } = conversation;
    Object.assign(job, { version, turns: turns.length, join: waiting, idempotency: newIdempotencyKey() });
  }
  const path = pathOf(entry, job.kind === "say" ? "turns" : job.kind);
  const body = { version: job.version };
  if (job.kind === "say") Object.assign(body, { text: job.said }, job.join ? { join: true } : {});
  Object.assign(making, { text: "", phase: "sending" });
  let answer = null;
  for await (const { event, data } of stream(path, body, { idempotency: job.idempotency, signal })) {
    if (event === "said") heard(entry, data);
    else if (event === "piece") piece(entry, data.text);
    else if (event === "reply") answer = data;
    if (event === "reply" && data.turn) answered(entry, data);
    changed();
  }
  if (!answer && !making.stopped) throw new Problem("The stream of the reply broke off.");
  // The reply is empty or blocked; only the server knows which turns it has stored.
  if (!answer?.turn || answer.reply.blocked) await reload(entry);
  const unkept = answer?.reply.blocked && answer.turn && entry.conversation.turns.length < answer.turn.number;
  if (unkept) entry.notice = { kind: "info", text: answer.turn.text };
}

function heard(entry, { turn, version }) {
  const { conversation, making } = entry;
  const turns = conversation.turns.filter(({ number }) => number < turn.number);
  Object.assign(conversation, { turns: [...turns, turn], version, waiting: true });
  making.said = null;
  if (!making.stopped) making.phase = "writing";
  keep(`draft.${conversation.id}`, entry.draft);
}

function piece(entry, text) {
  if (!entry.making.stopped) entry.making.phase = "writing";
  entry.making.text += text;
}

function answered(entry, { said, turn, version, waiting }) {
  const { conversation } = entry;
  if (said) heard(entry, { turn: said, version });
  const turns = conversation.turns.filter(({ number }) => number < turn.number);
  Object.assign(conversation, { turns: [...turns, turn], version, waiting });
  entry.making.phase = "done";
  if (entry === state.entry) announce(`Reply: ${turn.text}`);
}

/** Returns the job to try after a failure: the same job, its remaining part, or null for none. */
async function recover(entry, job, problem) {
  const { making } = entry;
  // This page has deleted the conversation meanwhile, and has said so.
  if (entry.conversation.id && state.entries.get(entry.conversation.id) !== entry) return null;
  if (making.stopped || problem?.name === "AbortError") return givenUp(entry, job);
  if (!(problem instanceof Problem)) throw problem;
  if (problem.status === 429) return pause(entry, job, problem.wait ?? 3);
  // The server still generates the reply to the request whose connection was lost.
  if (["running", "idempotency"].includes(problem.code)) return pause(entry, job, 1);
  if (problem.gone) {
    making.phase = "gone";
    changed();
    await Promise.race([whenBack(), stopping(making)]);
    return making.stopped ? givenUp(entry, job) : left(entry, job);
  }
  if (problem.code === "waiting" && job.kind === "say" && !job.join) {
    await reload(entry);
    return { kind: "say", said: job.said };
  }
  await toldOf(entry, job, problem);
  return null;
}

async function pause(entry, job, seconds) {
  const { making } = entry;
  Object.assign(making, { phase: "paused", until: Date.now() + seconds * 1000 });
  changed();
  const timer = new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  await Promise.race([timer, stopping(making)]);
  return making.stopped ? givenUp(entry, job) : left(entry, job);
}

async function left(entry, job) {
  if (job.version === undefined) return job;
  try {
    await reload(entry);
  } catch (problem) {
    if (problem instanceof Problem && problem.gone) return job;
    await toldOf(entry, job, problem);
    return null;
  }
  const next = whatIsLeft(entry.conversation, job);
  if (next === "conflict") {
    await toldOf(entry, job, new Problem("", { status: 409, code: "conflict" }));
    return null;
  }
  if (next?.kind !== "say") entry.making.said = null;
  return next;
}

async function givenUp(entry, job) {
  const untold = entry.making.said;
  if (entry.conversation.id) {
    // Wait until the server has noticed the disconnection and stored the text so far.
    await new Promise((resolve) => setTimeout(resolve, 300));
    await reload(entry).catch(() => {});
  }
  if (untold !== null && whatIsLeft(entry.conversation, job)?.kind === "say") giveBack(entry, untold);
  return null;
}

async function toldOf(entry, job, problem) {
  const untold = entry.making.said;
  if (problem.status === 404 && entry.conversation.id) {
    entry.notice = { kind: "error", text: "This conversation is no longer on the server; it was deleted elsewhere." };
    drop(entry);
  } else if (problem.status === 409) {
    await reload(entry).catch(() => {});
    const elsewhere = "This conversation was changed elsewhere; here is how it stands now.";
    entry.notice = { kind: "info", text: problem.code === "conflict" ? elsewhere : problem.message };
  } else {
    const action = untold === null ? { label: "Try again", act: () => again(entry) } : undefined;
    entry.notice = { kind: "error", text: problem.message, action };
    if (job.version !== undefined) await reload(entry).catch(() => {});
    if (!entry.conversation.waiting) delete entry.notice.action;
  }
  if (untold !== null) giveBack(entry, untold);
  announce(entry.notice.text);
}

function again(entry) {
  byId("message").focus();
  return reply(entry);
}

/** Puts a message that the server has not stored back into the text field. */
function giveBack(entry, text) {
  entry.draft = entry.draft.trim() ? `${text}\n${entry.draft}` : text;
  keep(`draft.${entry.conversation.id ?? "new"}`, entry.draft);
}

function stopping(making) {
  return new Promise((resolve) => {
    making.wake = resolve;
  });
}

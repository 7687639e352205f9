/** A message in, the reply streamed into the conversation out, whatever happens to the server meanwhile. */

import { newIdempotencyKey, Problem, send, stream } from "./api.js";
import { create, drop, pathOf, refresh, reload, undo } from "./conversations.js";
import { announce, byId } from "./dom.js";
import { titleOf } from "./format.js";
import { whatIsLeft } from "./resume.js";
import { whenBack } from "./connection.js";
import { changed, inTurn, keep, state } from "./state.js";

/**
 * Says something; a message that waits for its reply becomes longer.
 * @param {import("./state.js").Entry} entry
 * @param {string} text
 */
export function say(entry, text) {
  const edits = entry.editing;
  entry.editing = false;
  return run(entry, { kind: "say", said: text, edits });
}

/** Makes the reply to a message that waits for one. */
export function reply(entry) {
  return run(entry, { kind: "reply", said: null });
}

/** Makes the last reply anew. */
export function retry(entry) {
  return run(entry, { kind: "retry", said: null });
}

/**
 * Ends the reply that is being made; what is there of it stays.
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
  // The stream ends by itself when the server has stored what there is. If not, leaving has the same effect.
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
 *   turns?: number, idempotency?: string}} Job `version` and `turns`: those of the conversation before; `edits`: the
 *   last message is taken back first.
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
  // One that was deleted meanwhile does not come back.
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
  // Nothing was written, or not all of it is kept: how the conversation stands now, the server knows.
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

/** What is to be done after something went wrong: the same, the rest of it, or null: nothing. */
async function recover(entry, job, problem) {
  const { making } = entry;
  if (making.stopped || problem?.name === "AbortError") return givenUp(entry, job);
  if (!(problem instanceof Problem)) throw problem;
  if (problem.status === 429) return pause(entry, job, problem.wait ?? 3);
  // What we asked for before we lost sight of the server is still being made there.
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
    // The server notices that nobody listens any more, and stores what it has, a moment later.
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

/** Puts a message that was not taken back into the text field. */
function giveBack(entry, text) {
  entry.draft = entry.draft.trim() ? `${text}\n${entry.draft}` : text;
  keep(`draft.${entry.conversation.id ?? "new"}`, entry.draft);
}

function stopping(making) {
  return new Promise((resolve) => {
    making.wake = resolve;
  });
}

/** A conversation as it stands now and what was to be done with it in, what is left to do out. */

/**
 * Finds out how far a request came whose answer was lost.
 * @param {import("./state.js").Conversation} conversation newly asked for.
 * @param {import("./talk.js").Job} job with the `version` and the number of `turns` before it.
 * @returns {import("./talk.js").Job|"conflict"|null} null: nothing, it is all there; "conflict": somebody else has
 *   changed the conversation.
 */
export function whatIsLeft(conversation, job) {
  if (job.version === undefined || conversation.version === job.version) return job;
  if (job.kind === "say" && !isSaid(conversation.turns, job)) return "conflict";
  return conversation.waiting ? { kind: "reply", said: null } : null;
}

function isSaid(turns, job) {
  // A joined message is at the end of the turn that waited; another one is the turn after those of before.
  const turn = turns[job.join ? job.turns - 1 : job.turns];
  if (turn?.speaker !== "user") return false;
  return job.join ? turn.text.endsWith(job.said) : turn.text === job.said;
}

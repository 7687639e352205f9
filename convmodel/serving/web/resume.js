/** Continuation of a job whose response was lost. */

/**
 * Returns the remaining job after a request whose response was lost.
 * @param {import("./state.js").Conversation} conversation the conversation, loaded after the request.
 * @param {import("./talk.js").Job} job the job of the request, with the conversation's version and number of turns
 *   before it.
 * @returns {import("./talk.js").Job|"conflict"|null} null: the job is complete; "conflict": the conversation was
 *   changed elsewhere.
 */
export function whatIsLeft(conversation, job) {
  if (job.version === undefined || conversation.version === job.version) return job;
  if (job.kind === "say" && !isSaid(conversation.turns, job)) return "conflict";
  return conversation.waiting ? { kind: "reply", said: null } : null;
}

function isSaid(turns, job) {
  // A joined message is the end of the turn that had no reply; any other message is the first new turn.
  const turn = turns[job.join ? job.turns - 1 : job.turns];
  if (turn?.speaker !== "user") return false;
  return job.join ? turn.text.endsWith(job.said) : turn.text === job.said;
}

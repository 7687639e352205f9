/** The details of a reply: its candidates with their scores and sources, its token counts and times. */

import { button, h } from "./dom.js";
import { counted, cutText, finishText, number, showValue } from "./format.js";

const STAGES = { written: "writer", chosen: "search" };
const SOURCES = { written: "written", chosen: "chosen", both: "written and chosen", fallback: "no candidate is likely enough" };

/**
 * Creates the element with the details of a reply.
 * @param {import("./state.js").Turn} turn a turn with a reply.
 * @param {{last: boolean, free: boolean}} how if both are true, the user can choose another candidate.
 * @param {{choose: (candidate: number) => void}} acts
 * @returns {HTMLElement}
 */
export function details(turn, how, acts) {
  const { candidates, ranked_by: rankedBy } = turn.reply;
  const lead = rankedBy ? `Best first by ${rankedBy}; higher is better.` : "";
  return h(
    "div",
    { class: "details", id: `details-${turn.number}`, role: "group", "aria-label": "About this reply" },
    candidates.length > 1 && lead && h("p", { class: "note" }, lead),
    h("ol", { class: "candidates" }, ...candidates.map((one, index) => candidateView(turn, one, index, how, acts))),
    h("p", { class: "numbers" }, numbers(turn.reply)),
  );
}

function candidateView(turn, candidate, index, how, acts) {
  const chosen = index === (turn.chosen ?? 0);
  const choose = button("Use this one", () => acts.choose(index + 1), { class: "small", key: `choose-${index}` });
  choose.setAttribute("aria-describedby", `candidate-${turn.number}-${index}`);
  const facts = provenance(candidate);
  return h(
    "li",
    { class: chosen ? "candidate current" : "candidate" },
    h("span", { class: "score" }, candidate.score === null ? "–" : number(candidate.score, 3)),
    h(
      "div",
      { class: "what" },
      h("div", { dir: "auto", id: `candidate-${turn.number}-${index}`, class: "said" }, candidate.text || "(no text)"),
      h("div", { class: "facts" }, ...facts.map((fact) => h("span", {}, fact))),
    ),
    chosen && h("span", { class: "badge" }, "the reply"),
    !chosen && how.last && how.free && choose,
  );
}

/**
 * Returns short notes about a candidate: its source, index, scores, tokens, end and metadata.
 * @param {object} candidate
 * @returns {string[]}
 */
export function provenance(candidate) {
  const facts = [SOURCES[candidate.source] ?? candidate.source];
  if (candidate.number !== null && candidate.number !== undefined) facts.push(`candidate ${candidate.number}`);
  for (const [stage, score] of Object.entries(candidate.scores ?? {})) facts.push(`${STAGES[stage] ?? stage} ${number(score, 3)}`);
  if (candidate.tokens) facts.push(counted(candidate.tokens, "token"));
  const finish = finishText(candidate.finish);
  if (finish) facts.push(finish);
  for (const [name, value] of Object.entries(candidate.metadata ?? {})) facts.push(`${name}: ${showValue(value)}`);
  return facts;
}

function numbers(reply) {
  const parts = [];
  if (reply.window) parts.push(`${number(reply.context_tokens)} tokens read, ${number(reply.reply_tokens)} written`);
  if (reply.cached_tokens) parts.push(`${number(reply.cached_tokens)} from the cache`);
  if (reply.turns_dropped) parts.push(`${counted(reply.turns_dropped, "turn")} dropped`);
  else if (reply.tokens_dropped) parts.push(cutText(reply));
  const first = reply.first_seconds ? `first after ${number(reply.first_seconds * 1000)} ms, ` : "";
  parts.push(`${first}all in ${number(reply.seconds, 2)} s`);
  if (reply.seed !== null && reply.seed !== undefined) parts.push(`seed ${reply.seed}`);
  return parts.join(" · ");
}

/** A turn of a conversation in, the list item that shows it out. */

import { announce, button, h, icon } from "./dom.js";
import { counted, finishText, seen } from "./format.js";
import { details } from "./view-details.js";

/**
 * What can be done with a turn.
 * @typedef {{edit: () => void, retry: () => void, reply: () => void, choose: (candidate: number) => void,
 *   toggle: (turn: object) => void}} Acts
 */

/**
 * @param {import("./state.js").Turn} turn
 * @param {{last: boolean, editable: boolean, free: boolean, open: boolean}} how `last`: nothing comes after it;
 *   `editable`: the last one that the person said; `free`: nothing is being done; `open`: its candidates are shown.
 * @param {Acts} acts
 * @returns {HTMLElement}
 */
export function turnView(turn, how, acts) {
  const mine = turn.speaker === "user";
  const row = mine ? myActions(turn, how, acts) : replyActions(turn, how, acts);
  return h(
    "li",
    { class: `turn ${mine ? "mine" : "theirs"}`, data: { number: String(turn.number) } },
    h("span", { class: "unseen" }, mine ? "You said:" : "Reply:"),
    h("div", { class: "bubble", dir: "auto" }, seen(turn.text) ? turn.text : h("span", { class: "note" }, "only white space")),
    row,
    how.open && turn.reply ? details(turn, how, acts) : null,
  );
}

/**
 * A message that the server does not have yet.
 * @param {string} text
 * @param {string} note why it is still here.
 * @returns {HTMLElement}
 */
export function pendingView(text, note) {
  return h(
    "li",
    { class: "turn mine pending" },
    h("span", { class: "unseen" }, "You said:"),
    h("div", { class: "bubble", dir: "auto" }, text),
    note ? h("div", { class: "row" }, h("span", { class: "note" }, note)) : null,
  );
}

/**
 * A reply that is being made; `write` shows what there is of it so far.
 * @returns {{element: HTMLElement, write: (text: string) => void}}
 */
export function makingView() {
  const text = document.createTextNode("");
  const dots = h("span", { class: "dots", "aria-hidden": "true" }, h("i"), h("i"), h("i"));
  const bubble = h("div", { class: "bubble", dir: "auto" }, text, dots);
  const element = h(
    "li",
    { class: "turn theirs making", "aria-busy": "true" },
    h("span", { class: "unseen" }, "A reply is being made:"),
    bubble,
  );
  function write(so_far) {
    if (so_far.startsWith(text.data)) text.appendData(so_far.slice(text.length));
    else text.data = so_far;
    bubble.classList.toggle("begun", so_far !== "");
  }
  return { element, write };
}

function myActions(turn, how, acts) {
  const notes = [turn.blocked ? "held back: the model does not see it" : ""];
  if (how.last && !how.free) return noted(notes);
  if (how.last) notes.push("no reply yet");
  return noted(
    notes,
    how.last && button("Get a reply", acts.reply, { icon: "retry", key: "reply" }),
    how.editable && how.free && button("Edit", acts.edit, { icon: "edit", key: "edit" }),
  );
}

function replyActions(turn, how, acts) {
  const notes = turn.reply ? [blockedText(turn.reply.blocked), finishText(turn.reply.finish)] : [];
  return noted(
    notes,
    how.last && how.free && button("Retry", acts.retry, { icon: "retry", key: "retry" }),
    turn.reply && opener(turn, how, acts),
    copier(turn),
  );
}

function opener(turn, how, acts) {
  const count = turn.reply.candidates.length;
  const label = count > 1 ? counted(count, "candidate") : "Details";
  const toggle = button(label, () => acts.toggle(turn), { icon: "more", key: `details-${turn.number}` });
  toggle.setAttribute("aria-expanded", String(how.open));
  toggle.setAttribute("aria-controls", `details-${turn.number}`);
  if (!how.open) toggle.removeAttribute("aria-controls");
  return toggle;
}

function copier(turn) {
  const copy = button("Copy", () => copyText(turn.text, copy), { icon: "copy", only: true, class: "quiet copy" });
  return copy;
}

async function copyText(text, copy) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without a secure address there is no clipboard; the text can still be marked.
    copy.title = "The browser does not let this page copy";
    announce(copy.title);
    return;
  }
  announce("Copied.");
  copy.replaceChildren(icon("check"));
  setTimeout(() => copy.replaceChildren(icon("copy")), 1500);
}

function blockedText(blocked) {
  if (!blocked) return "";
  const by = blocked.by === "words" ? "the word list" : "the classifier";
  return `${blocked.side === "input" ? "your message" : "the reply"} was held back by ${by}`;
}

function noted(notes, ...actions) {
  const said = notes.filter(Boolean).join(" · ");
  const there = actions.filter(Boolean);
  if (!said && !there.length) return null;
  return h("div", { class: "row" }, said && h("span", { class: "note" }, said), ...there);
}

/** List items that show the turns of a conversation. */

import { announce, button, h, icon } from "./dom.js";
import { counted, finishText, seen } from "./format.js";
import { details } from "./view-details.js";

/**
 * The actions of the buttons of a turn.
 * @typedef {{edit: () => void, retry: () => void, reply: () => void, choose: (candidate: number) => void,
 *   toggle: (turn: object) => void}} Acts
 */

/**
 * Creates the list item of a turn.
 * @param {import("./state.js").Turn} turn
 * @param {{last: boolean, editable: boolean, free: boolean, open: boolean}} how `last`: whether it is the last turn;
 *   `editable`: whether it is the user's last message; `free`: whether no reply is in progress; `open`: whether its
 *   details are shown.
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
 * Creates the list item of a message that the server has not stored yet.
 * @param {string} text
 * @param {string} note the reason for the delay; may be empty.
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
 * Creates the list item of a reply in progress; its `write` shows the text generated so far.
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
    // The clipboard is available only in secure contexts (HTTPS or localhost); the text can still be selected.
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

/** The text field for the next message, and the button that sends it. */

import { byId, button, h } from "./dom.js";
import { number } from "./format.js";
import { changed, keep, kept, state } from "./state.js";

const TOUCH = matchMedia("(hover: none) and (pointer: coarse)");

let shown = null;

/**
 * Starts the text field.
 * @param {{say: (text: string) => void, stop: () => void}} acts
 * @returns {() => void} function that draws it.
 */
export function startComposer(acts) {
  const field = byId("message");
  field.addEventListener("input", () => {
    state.entry.draft = field.value;
    if (!state.entry.editing) keep(nameOf(state.entry), field.value);
    fit();
    changed();
  });
  field.addEventListener("keydown", (event) => {
    if (event.key === "ArrowUp" && field.value === "" && !state.entry.making && !state.entry.editing) {
      if (beginEdit(state.entry)) event.preventDefault();
    }
    // While an input method composes a word, Enter confirms the word; Safari reports this only by the key code 229.
    const composing = event.isComposing || event.keyCode === 229;
    if (event.key !== "Enter" || event.shiftKey || composing || TOUCH.matches) return;
    event.preventDefault();
    submit(acts);
  });
  byId("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    if (state.entry.making) acts.stop();
    else submit(acts);
  });
  byId("message-help").textContent = TOUCH.matches ? "" : "Enter sends, Shift-Enter begins a line";
  addEventListener("resize", fit);
  return draw;
}

/**
 * Begins to edit the user's last message in the text field.
 * @param {import("./state.js").Entry} entry
 * @returns {boolean} whether there is a message to edit.
 */
export function beginEdit(entry) {
  const last = entry.conversation.turns.findLast((turn) => turn.speaker === "user");
  if (!last || entry.making) return false;
  Object.assign(entry, { editing: true, before: entry.draft, draft: last.text });
  shown = null;
  draw();
  changed();
  const field = byId("message");
  field.focus();
  field.setSelectionRange(last.text.length, last.text.length);
  return true;
}

/** Ends editing without changing the last message. */
export function endEdit(entry) {
  Object.assign(entry, { editing: false, draft: entry.before });
  shown = null;
  changed();
  byId("message").focus();
}

/** Returns the length of a text in code points, as the server counts it. */
export function lengthOf(text) {
  return [...text].length;
}

function submit(acts) {
  const { entry } = state;
  const text = entry.draft;
  if (!text.trim() || entry.making || state.loading || tooLong(text)) return;
  entry.draft = "";
  // The message is kept as a draft until the server has stored it, so that a reload of the page restores it.
  keep(nameOf(entry), text);
  acts.say(text);
}

function draw() {
  const { entry } = state;
  const field = byId("message");
  if (shown !== entry) {
    if (!entry.draft && !entry.making && !entry.blank) entry.draft = kept(nameOf(entry));
    shown = entry;
  }
  if (field.value !== entry.draft) {
    field.value = entry.draft;
    fit();
  }
  byId("message-label").textContent = entry.editing ? "The last message, edited" : "Message";
  field.placeholder = entry.conversation.waiting && !entry.making ? "Add to your message" : "Message";
  drawSend(entry);
  drawEditing(entry);
  drawHelp(entry);
}

function drawSend(entry) {
  const send = byId("send");
  const stopping = entry.making !== null;
  const label = stopping ? "Stop" : "Send";
  if (send.getAttribute("aria-label") !== label) {
    send.setAttribute("aria-label", label);
    send.title = stopping ? "Stop (Esc)" : "Send (Enter)";
    send.querySelector("use").setAttribute("href", stopping ? "#icon-stop" : "#icon-send");
  }
  send.classList.toggle("stops", stopping);
  const idle = !entry.draft.trim() || tooLong(entry.draft) || state.loading;
  send.setAttribute("aria-disabled", String(stopping ? entry.making.stopped : idle));
}

function drawEditing(entry) {
  const bar = byId("editing");
  if (bar.hidden === !entry.editing) return;
  bar.hidden = !entry.editing;
  const cancel = button("Leave it", () => endEdit(state.entry), { class: "small" });
  bar.replaceChildren(h("span", {}, "Editing your last message; what came after it is replaced"), cancel);
}

function drawHelp(entry) {
  const help = byId("message-help");
  const most = state.about?.limits?.turn_chars;
  const long = tooLong(entry.draft);
  const usual = TOUCH.matches ? "" : "Enter sends, Shift-Enter begins a line";
  const text = long ? `Too long: ${number(lengthOf(entry.draft))} of ${number(most)} characters` : usual;
  if (help.textContent !== text) help.textContent = text;
  help.classList.toggle("wrong", long);
  byId("message").setAttribute("aria-invalid", String(long));
}

function tooLong(text) {
  const most = state.about?.limits?.turn_chars;
  return Boolean(most) && text.length > most && lengthOf(text) > most;
}

function nameOf(entry) {
  return `draft.${entry.conversation.id ?? entry.wanted ?? "new"}`;
}

function fit() {
  if (CSS.supports("field-sizing", "content")) return;
  const field = byId("message");
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight}px`;
}

/** The turns of the conversation on the page; unchanged turns are not drawn again. */

import { byId, h, keepFocus } from "./dom.js";
import { changed, state } from "./state.js";
import { makingView, pendingView, turnView } from "./view-turn.js";

const NEAR = 60;

let shown = null;
let drawn = [];
let making = null;
let pinned = true;

/**
 * Starts the list of turns.
 * @param {Partial<import("./view-turn.js").Acts>} acts `toggle` is added.
 * @returns {() => void} function that draws it.
 */
export function startLog(acts) {
  const scroller = byId("scroller");
  acts.toggle = (turn) => {
    const { opened } = state.entry;
    if (opened.delete(turn.number)) return changed();
    opened.add(turn.number);
    // Scroll such that the reply stays visible, and as much of the opened details as there is room for.
    pinned = false;
    changed();
    requestAnimationFrame(() => showWhole(turn.number));
  };
  scroller.addEventListener("scroll", () => {
    pinned = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < NEAR;
    byId("down").hidden = pinned;
  });
  byId("down").addEventListener("click", () => {
    toEnd();
    byId("message").focus();
  });
  new ResizeObserver(() => pinned && toEnd()).observe(byId("turns"));
  new ResizeObserver(() => pinned && toEnd()).observe(scroller);
  return () => draw(acts);
}

/** Scrolls as little as possible to show a turn; a turn higher than the view is shown from its beginning. */
function showWhole(number) {
  const element = byId("turns").querySelector(`[data-number="${number}"]`);
  const high = element && element.offsetHeight > byId("scroller").clientHeight;
  element?.scrollIntoView({ block: high ? "start" : "nearest" });
}

/** Scrolls to the newest message. */
export function toEnd() {
  const scroller = byId("scroller");
  scroller.scrollTop = scroller.scrollHeight;
  pinned = true;
  byId("down").hidden = true;
}

function draw(acts) {
  const { entry } = state;
  const list = byId("turns");
  if (shown !== entry) {
    list.replaceChildren();
    [shown, drawn, making, pinned] = [entry, [], null, true];
  }
  byId("empty").hidden = entry.conversation.turns.length > 0 || entry.making !== null || state.loading;
  if (!byId("empty").hidden) drawEmpty(entry);
  keepFocus(list, () => {
    drawTurns(list, entry, acts);
    drawMaking(list, entry);
  });
  byId("scroller").setAttribute("aria-busy", String(state.loading));
  if (pinned) toEnd();
}

function drawTurns(list, entry, acts) {
  const turns = visible(entry);
  const free = entry.making === null;
  const editable = turns.findLast((turn) => turn.speaker === "user");
  for (const extra of drawn.splice(turns.length)) extra.element.remove();
  turns.forEach((turn, index) => {
    const last = index === turns.length - 1 && !entry.making?.said;
    const how = { last, editable: turn === editable, free, open: entry.opened.has(turn.number) };
    const sign = Number(how.last) + 2 * Number(how.editable) + 4 * Number(how.open) + 8 * Number(free && (last || how.editable));
    const before = drawn[index];
    if (before?.turn === turn && before.text === turn.text && before.sign === sign) return;
    const element = turnView(turn, how, acts);
    if (before) before.element.replaceWith(element);
    else list.insertBefore(element, index ? drawn[index - 1].element.nextSibling : list.firstChild);
    drawn[index] = { turn, text: turn.text, sign, element };
  });
}

/** Returns the turns to show, without those that the reply in progress replaces. */
function visible({ conversation: { turns }, making }) {
  if (making?.phase === "done") return turns;
  if (making?.kind === "retry" && turns.at(-1)?.speaker === "model") return turns.slice(0, -1);
  if (!making?.edits) return turns;
  return turns.slice(0, turns.findLastIndex((turn) => turn.speaker === "user"));
}

function drawMaking(list, entry) {
  for (const old of list.querySelectorAll(".pending")) old.remove();
  if (entry.making?.said) list.append(pendingView(entry.making.said, phaseText(entry.making)));
  const writing = entry.making && !["paused", "gone", "done"].includes(entry.making.phase);
  if (!writing) {
    making?.element.remove();
    making = null;
    return;
  }
  making ??= makingView();
  if (list.lastChild !== making.element) list.append(making.element);
  making.write(entry.making.text);
}

function phaseText({ phase }) {
  if (phase === "gone") return "waits for the server";
  return phase === "paused" ? "waits for its turn" : "";
}

function drawEmpty(entry) {
  const { about } = state;
  const { persona } = entry.conversation;
  const name = about?.title || "the model";
  const parts = [h("h2", {}, "Say something to ", h("bdi", {}, name))];
  if (entry.notice) parts.length = 0;
  else if (persona.length) parts.push(h("ul", { class: "persona" }, ...persona.map((line) => h("li", { dir: "auto" }, line))));
  else parts.push(h("p", {}, "It replies to the whole conversation. Under Persona & options you say who it is and how it writes."));
  byId("empty").replaceChildren(...parts);
}

/** The side bar with the list of conversations. */

import { button, byId, h, icon, keepFocus } from "./dom.js";
import { when } from "./format.js";
import { state } from "./state.js";

const ROOM = matchMedia("(min-width: 48rem)");

let signature = "";
let back = null;

/**
 * @param {{rename: (head: object) => void, remove: (head: object) => void, save: (head: object) => void,
 *   more: () => void}} acts
 * @returns {() => void} function that draws it.
 */
export function startList(acts) {
  byId("open-side").addEventListener("click", () => showSide(true));
  byId("close-side").addEventListener("click", () => showSide(false));
  byId("veil").addEventListener("click", () => showSide(false));
  // When the side bar fits beside the conversation, it covers nothing, and the conversation must not be inert.
  ROOM.addEventListener("change", () => ROOM.matches && showSide(false));
  return () => draw(acts);
}

/**
 * Shows or hides the side bar if there is no room for it beside the conversation.
 * @param {boolean} open
 */
export function showSide(open) {
  if (byId("side").classList.contains("open") === open) return;
  byId("side").classList.toggle("open", open);
  byId("veil").hidden = !open;
  byId("main").inert = open;
  byId("open-side").setAttribute("aria-expanded", String(open));
  if (open) {
    back = document.activeElement;
    byId("new").focus();
  } else {
    (back?.isConnected ? back : byId("open-side")).focus();
  }
}

function draw(acts) {
  const { items, next, loading } = state.list;
  const current = state.entry.conversation.id;
  const making = [...state.entries.values()].filter((entry) => entry.making);
  const busy = Object.fromEntries(making.map((entry) => [entry.conversation.id, busyText(entry.making)]));
  const now = JSON.stringify([items.map(({ id, title, last, updated }) => [id, title, last, updated]), next, loading, current, busy]);
  if (now === signature) return;
  signature = now;
  const list = byId("list");
  const views = items.map((head) => itemView(head, head.id === current, busy[head.id], acts));
  const below = [];
  if (loading) below.push(h("p", { class: "hint" }, "One moment …"));
  else if (next) below.push(button("Show older ones", acts.more, { class: "plain", key: "more" }));
  else if (!items.length) below.push(h("p", { class: "hint" }, "Conversations are kept here."));
  keepFocus(list, () => list.replaceChildren(...(views.length ? [h("ul", {}, ...views)] : []), ...below));
}

function itemView(head, current, busy, acts) {
  const title = head.title || head.last || "Untitled";
  const link = h(
    "a",
    { href: `#/${encodeURIComponent(head.id)}`, "aria-current": current ? "page" : null, data: { focus: head.id } },
    h("span", { class: "title", dir: "auto" }, title),
    h(
      "span",
      { class: "line" },
      busy ? h("span", { class: "busy" }, busy) : h("span", { class: "last", dir: "auto" }, head.last ?? ""),
      h("time", { datetime: head.updated }, when(head.updated)),
    ),
  );
  const tools = h(
    "div",
    { class: "tools" },
    tool("Rename", "edit", () => acts.rename(head)),
    tool("Export", "export", () => acts.save(head)),
    tool("Delete", "delete", () => acts.remove(head)),
  );
  return h("li", { class: current ? "current" : null }, link, current ? tools : null);
}

function busyText({ phase }) {
  return ["gone", "paused"].includes(phase) ? "waiting …" : "replying …";
}

function tool(label, picture, click) {
  return h("button", { type: "button", class: "quiet", data: { focus: label }, on: { click } }, icon(picture), h("span", {}, label));
}

/** Notices to the user: a line above the text field, and a banner while the server cannot be reached. */

import { announce, button, byId, h } from "./dom.js";
import { knockNow } from "./connection.js";
import { changed, state } from "./state.js";

let notice = null;
let gone = false;
let countdown = null;
let told = null;

/** @returns {() => void} function that draws the line and the banner. */
export function startNotices() {
  const drawAbove = startBanner();
  return () => {
    drawAbove();
    drawNotice();
    tick();
  };
}

/** @returns {() => void} function that draws only the banner. */
export function startBanner() {
  countdown = h("span", { class: "countdown", "aria-hidden": "true" });
  setInterval(tick, 500);
  return () => {
    drawBanner();
    tick();
  };
}

function drawBanner() {
  const now = state.gone !== null;
  if (now === gone) return;
  gone = now;
  const banner = byId("banner");
  banner.hidden = !now;
  if (now) {
    const words = "The server does not answer. What you typed is kept.";
    banner.replaceChildren(h("span", {}, words, " ", countdown), button("Try now", knockNow, { class: "small" }));
    announce(words);
  } else {
    banner.replaceChildren();
    announce("The server is back.");
  }
}

function drawNotice() {
  const paused = state.entry.making?.phase === "paused";
  const now = paused ? "paused" : state.entry.notice;
  if (now === notice) return;
  notice = now;
  const place = byId("notice");
  if (!now) place.replaceChildren();
  else if (paused) place.replaceChildren(busy());
  else place.replaceChildren(noticeView(now));
  // A message may have to wait several times; announce this only once.
  if (!paused || told === state.entry.making) return;
  told = state.entry.making;
  announce("The server is busy; your message is sent again by itself.");
}

function busy() {
  return h("div", { class: "notice info" }, h("span", {}, "The server is busy; it goes on by itself. "), h("span", { id: "busy", "aria-hidden": "true" }));
}

function noticeView({ kind, text, action }) {
  const { entry } = state;
  function close() {
    entry.notice = null;
    changed();
    byId("message").focus();
  }
  return h(
    "div",
    { class: `notice ${kind}` },
    h("span", { dir: "auto" }, text),
    action && button(action.label, action.act, { class: "small" }),
    button("Close", close, { icon: "close", only: true }),
  );
}

function tick() {
  if (countdown && state.gone) countdown.textContent = within(state.gone.until);
  const place = byId("busy");
  if (place && state.entry.making) place.textContent = within(state.entry.making.until);
}

function within(until) {
  const seconds = Math.ceil((until - Date.now()) / 1000);
  return seconds > 0 ? `Again in ${seconds} s.` : "Now …";
}

/** Entry point of the page: starts its parts and connects them. */

import { json, onKeyWanted } from "./api.js";
import { acts } from "./acts.js";
import { patiently } from "./connection.js";
import { loadList, look, open } from "./conversations.js";
import { button, byId, h } from "./dom.js";
import { startKey, wantKey } from "./key.js";
import { onChange, state } from "./state.js";
import { startShortcuts } from "./shortcuts.js";
import { beginEdit, startComposer } from "./view-composer.js";
import { startDocuments } from "./view-documents.js";
import { showSide, startList } from "./view-list.js";
import { startLog } from "./view-log.js";
import { drawMeter } from "./view-meter.js";
import { startNotices } from "./view-notice.js";
import { startSettings } from "./view-settings.js";
import { importButton, keyButton, shortcutsButton, themeButton } from "./view-tools.js";

/** Returns the id of the conversation in the page's URL; null for a new conversation. */
function addressed() {
  const found = /^#\/(.+)$/.exec(location.hash);
  try {
    return found ? decodeURIComponent(found[1]) : null;
  } catch {
    return null;
  }
}

function drawFrame() {
  const { conversation } = state.entry;
  const title = conversation.title || (conversation.id ? "Untitled" : "New conversation");
  if (byId("title").textContent !== title) byId("title").textContent = title;
  const name = `${conversation.id ? `${title} · ` : ""}${state.about.title}`;
  if (document.title !== name) document.title = name;
}

function startChat() {
  byId("brand").textContent = state.about.title;
  byId("side-foot").append(
    importButton(acts.importText),
    button("Export all conversations", acts.saveAll, { icon: "export", only: true }),
    button("Delete all conversations", acts.removeAll, { icon: "delete", only: true }),
    h("span", { class: "gap" }),
    ...[keyButton(), shortcutsButton(), themeButton()].filter(Boolean),
  );
  const draws = [
    drawFrame,
    startList({ rename: acts.rename, remove: acts.remove, save: acts.save, more: acts.more }),
    startLog({ edit: () => beginEdit(state.entry), retry: acts.retry, reply: acts.reply, choose: acts.choose }),
    startComposer({ say: acts.say, stop: acts.stop }),
    startNotices(),
    startSettings({ change: acts.change }),
    drawMeter,
  ];
  const draw = () => draws.forEach((each) => each());
  draw();
  onChange(draw);
  byId("new").addEventListener("click", acts.begin);
  byId("chat").hidden = false;
  startShortcuts();
}

async function go() {
  await open(addressed());
  showSide(false);
}

async function start() {
  startKey();
  onKeyWanted(wantKey);
  byId("skip").addEventListener("click", (event) => {
    // The URL's fragment is the id of the conversation, so the link must not change it.
    event.preventDefault();
    byId(event.currentTarget.hash.slice(1)).focus();
  });
  const late = setTimeout(() => {
    byId("starting-text").textContent = "The server does not answer yet; the page goes on as soon as it does.";
  }, 3000);
  state.about = await patiently(() => json("GET", "about"));
  clearTimeout(late);
  byId("starting").hidden = true;
  document.title = state.about.title;
  if (state.about.conversations) {
    startChat();
    addEventListener("hashchange", go);
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && look(state.entry));
    await Promise.all([go(), loadList()]);
    if (matchMedia("(hover: hover)").matches) byId("message").focus();
  } else if (state.about.documents) {
    startDocuments();
    const tools = [keyButton(), themeButton()].filter(Boolean);
    byId("document-tools").append(...tools);
  } else {
    throw new Error("This server keeps no conversations; its interface is described at /docs.");
  }
}

start().catch((error) => {
  byId("starting").hidden = false;
  byId("chat").hidden = true;
  byId("starting-text").textContent = error.message;
  byId("starting").append(button("Try again", () => location.reload(), { class: "plain" }));
});

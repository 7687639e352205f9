/** The actions of buttons and shortcuts on the conversation on the page; failures are shown to the user. */

import { Problem } from "./api.js";
import * as conversations from "./conversations.js";
import { announce, byId } from "./dom.js";
import { counted, titleOf } from "./format.js";
import { changed, entryOf, state } from "./state.js";
import * as talk from "./talk.js";
import { download, importText } from "./transfer.js";
import { ask, askText } from "./view-ask.js";
import { toEnd } from "./view-log.js";

/** Returns the entry of a conversation in the list, or a new entry if the conversation was not opened. */
function entryFor(head) {
  return state.entries.get(head.id) ?? entryOf({ ...head, turns: [] });
}

function told(text, kind = "info") {
  state.entry.notice = { text, kind };
  announce(text);
  changed();
}

/** Calls a function and returns its result; a Problem is shown to the user, and undefined is returned. */
async function trying(act) {
  try {
    return await act();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (error.status === 409 && state.entry.conversation.id) {
      await conversations.reload(state.entry).catch(() => {});
      told("This conversation was changed elsewhere; here is how it stands now.");
    } else {
      const nothing = error.gone && !error.partly;
      told(nothing ? "The server does not answer; nothing was changed. Try it again later." : error.message, "error");
    }
    return undefined;
  }
}

function begin() {
  // Move the focus first: this saves what was typed into the settings panel, which belongs to the old conversation.
  byId("message").focus();
  if (location.hash) location.hash = "";
  else conversations.open(null);
}

async function rename(head) {
  const title = await askText({ title: "Rename", label: "Title", value: head.title ?? "", yes: "Rename" });
  if (title) await trying(() => conversations.change(entryFor(head), { title }));
}

async function remove(head) {
  const text = head.title || head.last || "Untitled";
  const question = { title: "Delete this conversation?", text: `“${titleOf(text)}” cannot be brought back.`, yes: "Delete", danger: true };
  if (!(await ask(question))) return;
  await trying(async () => {
    await talk.stop(entryFor(head));
    await conversations.remove(entryFor(head));
    announce("Deleted.");
    if (state.entry.conversation.id === head.id) begin();
  });
}

async function removeAll() {
  const question = { title: "Delete all conversations?", text: "All conversations on this page are deleted. They cannot be brought back.", yes: "Delete all", danger: true };
  if (!(await ask(question))) return;
  await trying(async () => {
    await conversations.removeAll();
    announce("All deleted.");
    begin();
  });
}

async function importAll(text) {
  const progress = (done, all) => done % 20 === 0 && told(`Importing ${done + 1} of ${all} …`);
  await trying(async () => {
    const { ids, problems } = await importText(text, progress).finally(() => {
      trying(conversations.loadList);
    });
    const [first, ...others] = problems;
    const failed = first ? `; not taken: ${first}${others.length ? `, and ${others.length} more` : ""}` : "";
    if (ids.length === 1 && !first) location.hash = `#/${encodeURIComponent(ids[0])}`;
    told(`${counted(ids.length, "conversation")} imported${failed}.`, first ? "error" : "info");
  });
}

// The following actions remove the button that started them, so they move the focus to another element.

function retry() {
  if (state.entry.making || state.entry.conversation.turns.at(-1)?.speaker !== "model") return;
  byId("message").focus();
  talk.retry(state.entry);
}

async function choose(candidate) {
  const { number, reply } = state.entry.conversation.turns.at(-1);
  const done = await trying(() => conversations.choose(state.entry, candidate).then(() => true));
  if (done) announce(`Chosen: ${reply.candidates[candidate - 1].text}`);
  requestAnimationFrame(() => byId("turns").querySelector(`[data-focus="details-${number}"]`)?.focus());
}

/** Changes settings; throws errors, which the panel shows. If the conversation was changed elsewhere, reloads it. */
async function change(changes) {
  const { entry } = state;
  try {
    await conversations.change(entry, changes);
  } catch (error) {
    if (error.status === 409) await conversations.reload(entry).catch(() => {});
    throw error.status === 409 ? new Error("Changed elsewhere meanwhile; here is how it stands now.") : error;
  }
}

/** Returns a file name made from a title. */
function fileName(title) {
  const name = (title ?? "").replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-+|-+$/g, "");
  return `${name.slice(0, 50) || "conversation"}.jsonl`;
}

export const acts = {
  begin,
  rename,
  remove,
  removeAll,
  importText: importAll,
  more: () => trying(conversations.more),
  save: (head) => trying(() => download(conversations.pathOf(entryFor(head), "export"), fileName(head.title))),
  saveAll: () => trying(() => download("conversations/export", "conversations.jsonl")),
  say: (text) => {
    toEnd();
    return talk.say(state.entry, text);
  },
  stop: () => talk.stop(state.entry),
  retry,
  reply: () => {
    byId("message").focus();
    return talk.reply(state.entry);
  },
  choose,
  change,
};

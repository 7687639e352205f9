/** Operations on conversations on the server; they update the page's state from the responses. */

import { json, newIdempotencyKey, Problem } from "./api.js";
import { patiently } from "./connection.js";
import { changed, inTurn, keep, kept, newEntry, state } from "./state.js";

const PAGE = 40;

/**
 * Returns the path of a conversation on the server.
 * @param {import("./state.js").Entry} entry
 * @param {string} [rest]
 * @returns {string}
 */
export function pathOf(entry, rest = "") {
  const path = `conversations/${encodeURIComponent(entry.conversation.id)}`;
  return rest ? `${path}/${rest}` : path;
}

/**
 * Shows a conversation on the page.
 * @param {string|null} id id of the conversation; null for a new conversation.
 */
export async function open(id) {
  if (id === null) {
    const { conversation, making, wanted } = state.entry;
    if (conversation.id !== null || making || wanted || state.loading) {
      // While a message creates a conversation, the draft kept for new conversations is that message; do not show it.
      state.entry = Object.assign(newEntry(), { blank: conversation.id === null && making !== null });
    }
    state.loading = false;
    changed();
    return;
  }
  if (state.entry.conversation.id === id && !state.loading) return;
  const known = state.entries.get(id);
  state.entry = known ?? Object.assign(newEntry(), { wanted: id });
  state.loading = !known;
  changed();
  if (known?.making) return;
  const { entry } = state;
  try {
    const conversation = await patiently(() => json("GET", `conversations/${encodeURIComponent(id)}`));
    if (known) take(known, conversation);
    else state.entries.set(id, Object.assign(entry, { conversation }));
  } catch (problem) {
    const gone = problem.status === 404;
    entry.notice = { kind: "error", text: gone ? "There is no such conversation, or no longer." : problem.message };
  }
  if (state.entry === entry) state.loading = false;
  changed();
}

/** Loads the first page of the list. */
export async function loadList() {
  state.list = { items: [], next: null, loading: true };
  changed();
  await more();
}

/** Loads the next page of the list. */
export async function more() {
  const { list } = state;
  const before = list.next ? `&before=${encodeURIComponent(list.next)}` : "";
  list.loading = true;
  changed();
  try {
    const page = await patiently(() => json("GET", `conversations?limit=${PAGE}${before}`));
    const there = new Set(list.items.map(({ id }) => id));
    list.items.push(...page.conversations.filter(({ id }) => !there.has(id)));
    list.next = page.next;
  } finally {
    list.loading = false;
    changed();
  }
}

/** Updates a conversation in the list, and moves it to the top. */
export function refresh({ conversation }) {
  if (!conversation.id) return;
  const { turns, ...head } = conversation;
  const { items } = state.list;
  const before = items.find(({ id }) => id === head.id);
  const item = { ...before, ...head, last: turns.at(-1)?.text.slice(0, 120) ?? null, turn_count: turns.length };
  if (turns.length) item.updated = turns.at(-1).created;
  state.list.items = [item, ...items.filter((other) => other !== before)];
  changed();
}

/**
 * Loads the current state of a conversation from the server.
 * @param {import("./state.js").Entry} entry
 */
export async function reload(entry) {
  take(entry, await json("GET", pathOf(entry)));
}

/** Reloads a conversation that may have been continued elsewhere, unless a reply is generated or a turn is edited. */
export async function look(entry) {
  if (!entry.conversation.id || entry.making || entry.editing) return;
  await inTurn(entry, async () => {
    if (!entry.making) await reload(entry);
  }).catch(() => {});
}

/**
 * Creates a new conversation of the page on the server.
 * @param {import("./state.js").Entry} entry
 * @param {string} title
 */
export async function create(entry, title) {
  const { persona, model, preset, options, seed } = entry.conversation;
  const body = { title };
  if (persona.length) body.persona = persona;
  if (model !== null) body.model = model;
  if (preset !== null) body.preset = preset;
  if (Object.keys(options).length) body.options = options;
  if (seed !== null) body.seed = seed;
  // If the response is lost, the repeated request has the same idempotency key, and returns the existing conversation.
  const text = JSON.stringify(body);
  if (entry.creation?.text !== text) entry.creation = { text, idempotency: newIdempotencyKey() };
  take(entry, await json("POST", "conversations", body, { idempotency: entry.creation.idempotency }));
  // Clear the draft of new conversations, unless another text was typed into a new conversation meanwhile.
  if (!entry.making || kept("draft.new") === entry.making.said) keep("draft.new", "");
  if (entry.making?.said) keep(`draft.${entry.conversation.id}`, entry.making.said);
  const { id } = entry.conversation;
  state.entries.set(id, entry);
  if (entry === state.entry) history.replaceState(null, "", `#/${encodeURIComponent(id)}`);
  refresh(entry);
}

/** Removes the last exchange of a conversation. */
export async function undo(entry) {
  const { conversation } = await json("POST", pathOf(entry, "undo"), { version: entry.conversation.version });
  take(entry, conversation);
}

/**
 * Replaces the last reply by another of its candidates.
 * @param {import("./state.js").Entry} entry
 * @param {number} candidate index of the candidate, from 1.
 */
export function choose(entry, candidate) {
  return inTurn(entry, async () => {
    take(entry, await json("POST", pathOf(entry, "choose"), { candidate, version: entry.conversation.version }));
    refresh(entry);
  });
}

/**
 * Changes title, persona, model, preset, options or seed of a conversation, on the server if it exists there.
 * @param {import("./state.js").Entry} entry
 * @param {object|((now: import("./state.js").Conversation) => object)} wanted the changes, or a function that returns
 *   them for the conversation's state after all earlier actions.
 */
export function change(entry, wanted) {
  return inTurn(entry, async () => {
    const changes = typeof wanted === "function" ? wanted(entry.conversation) : wanted;
    if (!entry.conversation.id) {
      Object.assign(entry.conversation, changes);
    } else {
      const { version } = entry.conversation;
      const { turns, ...head } = await json("PATCH", pathOf(entry), { ...changes, ...personaOf(changes), version });
      Object.assign(entry.conversation, head);
      const item = state.list.items.find(({ id }) => id === head.id);
      if (item) item.title = head.title;
    }
    changed();
  });
}

/** Replaces an empty persona by null, with which the server uses its own persona. */
function personaOf({ persona }) {
  return persona?.length === 0 ? { persona: null } : {};
}

/** Deletes a conversation on the server and on the page. */
export async function remove(entry) {
  const { id } = entry.conversation;
  try {
    await inTurn(entry, () => json("DELETE", pathOf(entry)));
  } catch (problem) {
    // 404: the conversation was already deleted elsewhere.
    if (!(problem instanceof Problem) || problem.status !== 404) throw problem;
  }
  drop(entry);
  keep(`draft.${id}`, "");
}

/** Removes a conversation that is no longer on the server from the page's state. */
export function drop({ conversation: { id } }) {
  state.entries.delete(id);
  state.list.items = state.list.items.filter((item) => item.id !== id);
  changed();
}

/** Deletes all conversations. */
export async function removeAll() {
  await json("DELETE", "conversations");
  state.entries.clear();
  state.list = { items: [], next: null, loading: false };
  changed();
}

function take(entry, conversation) {
  // Unchanged turns remain the same objects, so that they are not drawn again.
  const before = entry.conversation.turns;
  const same = (turn, other) => other && JSON.stringify(other) === JSON.stringify(turn);
  const turns = conversation.turns.map((turn, index) => (same(turn, before[index]) ? before[index] : turn));
  entry.conversation = { ...conversation, turns };
  changed();
}

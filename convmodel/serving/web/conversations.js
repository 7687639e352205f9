/** What a person wants done with conversations in, the server's answers in the page's state out. */

import { json, newIdempotencyKey, Problem } from "./api.js";
import { patiently } from "./connection.js";
import { changed, inTurn, keep, kept, newEntry, state } from "./state.js";

const PAGE = 40;

/**
 * The path of a conversation on the server.
 * @param {import("./state.js").Entry} entry
 * @param {string} [rest]
 * @returns {string}
 */
export function pathOf(entry, rest = "") {
  const path = `conversations/${encodeURIComponent(entry.conversation.id)}`;
  return rest ? `${path}/${rest}` : path;
}

/**
 * Puts a conversation on the page.
 * @param {string|null} id null: a new one.
 */
export async function open(id) {
  if (id === null) {
    const { conversation, making, wanted } = state.entry;
    if (conversation.id !== null || making || wanted || state.loading) {
      // The draft that is kept for new ones is that of the message that is still on its way.
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

/** Asks for the beginning of the list. */
export async function loadList() {
  state.list = { items: [], next: null, loading: true };
  changed();
  await more();
}

/** Asks for the next page of the list. */
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

/** Puts the newest of a conversation at the head of the list. */
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
 * Asks anew how a conversation stands.
 * @param {import("./state.js").Entry} entry
 */
export async function reload(entry) {
  take(entry, await json("GET", pathOf(entry)));
}

/** Asks anew, unless something is being done, and shows what is new: somebody may have gone on elsewhere. */
export async function look(entry) {
  if (!entry.conversation.id || entry.making || entry.editing) return;
  await inTurn(entry, async () => {
    if (!entry.making) await reload(entry);
  }).catch(() => {});
}

/**
 * Makes a conversation of what has been on the page alone.
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
  // Should the answer be lost, the same is asked for again: it finds what was made the first time.
  const text = JSON.stringify(body);
  if (entry.creation?.text !== text) entry.creation = { text, idempotency: newIdempotencyKey() };
  take(entry, await json("POST", "conversations", body, { idempotency: entry.creation.idempotency }));
  // Meanwhile another new conversation may have been begun, and something typed there.
  if (!entry.making || kept("draft.new") === entry.making.said) keep("draft.new", "");
  if (entry.making?.said) keep(`draft.${entry.conversation.id}`, entry.making.said);
  const { id } = entry.conversation;
  state.entries.set(id, entry);
  if (entry === state.entry) history.replaceState(null, "", `#/${encodeURIComponent(id)}`);
  refresh(entry);
}

/** Takes the last exchange back. */
export async function undo(entry) {
  const { conversation } = await json("POST", pathOf(entry, "undo"), { version: entry.conversation.version });
  take(entry, conversation);
}

/**
 * Makes another candidate the last reply.
 * @param {import("./state.js").Entry} entry
 * @param {number} candidate counted from 1.
 */
export function choose(entry, candidate) {
  return inTurn(entry, async () => {
    take(entry, await json("POST", pathOf(entry, "choose"), { candidate, version: entry.conversation.version }));
    refresh(entry);
  });
}

/**
 * Changes title, persona, model, preset, options or seed; of a conversation that is not on the server yet, here.
 * @param {import("./state.js").Entry} entry
 * @param {object|((now: import("./state.js").Conversation) => object)} wanted the changes, or what makes them of how
 *   the conversation stands when it is their turn.
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

/** An empty persona is as if there had never been one: then the server's own counts. */
function personaOf({ persona }) {
  return persona?.length === 0 ? { persona: null } : {};
}

/** Deletes a conversation. */
export async function remove(entry) {
  const { id } = entry.conversation;
  try {
    await inTurn(entry, () => json("DELETE", pathOf(entry)));
  } catch (problem) {
    // Deleted elsewhere is deleted, too.
    if (!(problem instanceof Problem) || problem.status !== 404) throw problem;
  }
  drop(entry);
  keep(`draft.${id}`, "");
}

/** Takes a conversation that is no longer on the server out of the list. */
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
  // A turn that is the same stays the same object: it need not be drawn again.
  const before = entry.conversation.turns;
  const same = (turn, other) => other && JSON.stringify(other) === JSON.stringify(turn);
  const turns = conversation.turns.map((turn, index) => (same(turn, before[index]) ? before[index] : turn));
  entry.conversation = { ...conversation, turns };
  changed();
}

/** The state of the page, and its change listeners. */

/**
 * A conversation as the server returns it; `id` is null until it is created on the server.
 * @typedef {{id: string|null, title: string|null, version: number, persona: string[], model: string|null,
 *   preset: string|null, options: Object<string, any>, seed: number|null, waiting: boolean, turns: Turn[]}} Conversation
 * @typedef {{number: number, speaker: "user"|"model", text: string, reply: any, chosen: number, blocked: boolean}} Turn
 *
 * A reply in progress. `said`: the user's message until the server has stored it, then null; `text`: the text so far.
 * `phase`: "sending" until the server has stored the message; "writing"; "paused" until the time `until` (milliseconds
 * since 1970) because the server is busy; "gone" while the server cannot be reached; "stopping"; "done" when the reply
 * has become a turn. `wake`: function that ends the waiting in a pause.
 * @typedef {{said: string|null, text: string, phase: string, until: number, controller: AbortController,
 *   stopped: boolean, wake: (() => void)|null}} Making
 *
 * An opened conversation. `making`: the reply in progress; `notice`: a message to the user; `editing`: whether the last
 * message is being edited in the text field; `draft`: the content of the text field; `before`: the draft before
 * editing; `blank`: whether to ignore a kept draft; `last`: promise of the last action, which the next action waits
 * for; `opened`: numbers of the turns whose candidates are shown; `creation`: the request that creates the conversation
 * on the server.
 * @typedef {{conversation: Conversation, making: Making|null, notice: Notice|null, editing: boolean, draft: string,
 *   before: string, blank: boolean, last: Promise<any>, opened: Set<number>,
 *   creation?: {text: string, idempotency: string}}} Entry
 * @typedef {{text: string, kind: "error"|"info", action?: {label: string, act: () => void}}} Notice
 */

/**
 * Returns the entry of a new conversation without turns.
 * @returns {Entry}
 */
export function newEntry() {
  const conversation = {
    id: null,
    title: null,
    version: 0,
    persona: [],
    model: null,
    preset: null,
    options: {},
    seed: null,
    waiting: false,
    turns: [],
  };
  return entryOf(conversation);
}

/**
 * Returns a new entry for a conversation.
 * @param {Conversation} conversation
 * @returns {Entry}
 */
export function entryOf(conversation) {
  return {
    conversation,
    making: null,
    notice: null,
    editing: false,
    draft: "",
    before: "",
    blank: false,
    last: Promise.resolve(),
    opened: new Set(),
  };
}

export const state = {
  /** The server's description of itself (GET /about); null until it is loaded. */
  about: null,
  /** The conversation on the page. @type {Entry} */
  entry: newEntry(),
  /** The entries of opened conversations, by id; replies continue in those that are not shown. */
  entries: new Map(),
  /** The side bar: conversations without their turns, newest first; `next` is the cursor of the next page. */
  list: { items: [], next: null, loading: true },
  /** Whether the conversation on the page is being loaded. */
  loading: false,
  /** `until`: time (milliseconds since 1970) of the next attempt to reach the server; null if it can be reached. */
  gone: null,
};

const listeners = [];
let asked = false;

/**
 * Adds a change listener.
 * @param {() => void} listener called before the next frame, once for all changes until then.
 */
export function onChange(listener) {
  listeners.push(listener);
}

/** Notifies the listeners that the state has changed. */
export function changed() {
  if (asked) return;
  asked = true;
  // A page in the background gets no animation frames, but must be up to date when the user returns to it.
  const later = document.visibilityState === "visible" ? requestAnimationFrame : queueMicrotask;
  later(() => {
    asked = false;
    for (const listener of listeners) listener();
  });
}

/**
 * Calls a function after all earlier actions on a conversation have ended, so that it uses the newest version.
 * @template T
 * @param {Entry} entry
 * @param {() => Promise<T>} act
 * @returns {Promise<T>}
 */
export function inTurn(entry, act) {
  const done = entry.last.then(act);
  entry.last = done.catch(() => {});
  return done;
}

const memory = new Map();

/**
 * Stores a text, such as a draft, so that it survives a reload of the tab.
 * @param {string} name
 * @param {string} text an empty text deletes the stored text.
 */
export function keep(name, text) {
  memory.set(name, text);
  try {
    if (text) sessionStorage.setItem(`convmodel.${name}`, text);
    else sessionStorage.removeItem(`convmodel.${name}`);
  } catch {
    // Storage may be full or disabled; then the text is kept until the page is closed.
  }
}

/**
 * Returns a text that `keep` has stored.
 * @param {string} name
 * @returns {string} empty if there is no text.
 */
export function kept(name) {
  try {
    return sessionStorage.getItem(`convmodel.${name}`) ?? memory.get(name) ?? "";
  } catch {
    return memory.get(name) ?? "";
  }
}

/** What the page knows, and who wants to hear of changes. */

/**
 * A conversation as the server tells it; `id` is null until it is there.
 * @typedef {{id: string|null, title: string|null, version: number, persona: string[], model: string|null,
 *   preset: string|null, options: Object<string, any>, seed: number|null, waiting: boolean, turns: Turn[]}} Conversation
 * @typedef {{number: number, speaker: "user"|"model", text: string, reply: any, chosen: number, blocked: boolean}} Turn
 *
 * A reply that is being made. `phase`: "sending" until the server has the message, "writing", "paused" until `until`
 * (milliseconds) because the server is busy, "gone" while there is none, "stopping", "done" when the reply is a turn.
 * @typedef {{said: string|null, text: string, phase: string, until: number, controller: AbortController,
 *   stopped: boolean, wake: (() => void)|null}} Making
 *
 * A conversation on the page. `notice`: what the person is to know; `editing`: the last message is in the text field;
 * `before`: what stood there before; `blank`: no kept draft belongs to it; `last`: the promise of what is done last,
 * after which the next thing is done; `creation`: the request that makes it on the server, until it is there.
 * @typedef {{conversation: Conversation, making: Making|null, notice: Notice|null, editing: boolean, draft: string,
 *   before: string, blank: boolean, last: Promise<any>, opened: Set<number>,
 *   creation?: {text: string, idempotency: string}}} Entry
 * @typedef {{text: string, kind: "error"|"info", action?: {label: string, act: () => void}}} Notice
 */

/**
 * A conversation that nobody has said anything in.
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
  /** What the server says of itself; null until it did. */
  about: null,
  /** The conversation on the page. @type {Entry} */
  entry: newEntry(),
  /** Conversations that were opened, by id; replies go on being made in those that are out of sight. */
  entries: new Map(),
  /** The side bar: heads of conversations, newest first; `next` is where to go on. */
  list: { items: [], next: null, loading: true },
  /** Whether the conversation on the page is still on its way. */
  loading: false,
  /** Until when there is a pause before the server is asked again; null while it is there. */
  gone: null,
};

const listeners = [];
let asked = false;

/**
 * @param {() => void} listener is called before the next picture, once for all changes until then.
 */
export function onChange(listener) {
  listeners.push(listener);
}

/** Says that something of the state is new. */
export function changed() {
  if (asked) return;
  asked = true;
  // A page in the background gets no frames, but should be right when it is looked at.
  const later = document.visibilityState === "visible" ? requestAnimationFrame : queueMicrotask;
  later(() => {
    asked = false;
    for (const listener of listeners) listener();
  });
}

/**
 * Does things with a conversation one after the other: each knows the version that the one before has left.
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
 * A text that is to survive a reload of this tab.
 * @param {string} name
 * @param {string} text empty forgets it.
 */
export function keep(name, text) {
  memory.set(name, text);
  try {
    if (text) sessionStorage.setItem(`convmodel.${name}`, text);
    else sessionStorage.removeItem(`convmodel.${name}`);
  } catch {
    // Storage may be full or forbidden; then the text lives as long as the page.
  }
}

/**
 * @param {string} name
 * @returns {string} what `keep` was given.
 */
export function kept(name) {
  try {
    return sessionStorage.getItem(`convmodel.${name}`) ?? memory.get(name) ?? "";
  } catch {
    return memory.get(name) ?? "";
  }
}

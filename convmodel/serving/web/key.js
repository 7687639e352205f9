/** A server that wants a key in, the person's key out; kept for the tab, or, where wished, for the browser. */

import { useKey } from "./api.js";
import { h } from "./dom.js";
import { ask } from "./view-ask.js";

const NAME = "convmodel.key";

let asking = null;

/** Uses the key that was kept. */
export function startKey() {
  useKey(read(sessionStorageOrNull()) ?? read(localStorageOrNull()));
}

/**
 * Asks for a key; everybody who asks meanwhile gets the same answer.
 * @param {boolean} wrong whether there was one, and the server does not take it.
 * @returns {Promise<boolean>} whether there is a new one.
 */
export function wantKey(wrong) {
  asking ??= askKey(wrong).finally(() => {
    asking = null;
  });
  return asking;
}

/** Forgets the key, here and in the browser. */
export function forgetKey() {
  for (const storage of [sessionStorageOrNull(), localStorageOrNull()]) storage?.removeItem(NAME);
  useKey(null);
}

/** Whether a key is kept. */
export function hasKey() {
  return (read(sessionStorageOrNull()) ?? read(localStorageOrNull())) !== null;
}

async function askKey(wrong) {
  const text = wrong ? "The server does not take this key. Is it whole?" : "This server gives answers to those who have a key.";
  const field = h("input", { type: "password", id: "key", autocomplete: "current-password", autofocus: true, spellcheck: "false" });
  const box = h("input", { type: "checkbox", id: "key-kept" });
  const parts = [
    h("label", { for: "key" }, "Key"),
    field,
    h("label", { class: "tick", for: "key-kept" }, box, "Keep it in this browser, not only until the tab is closed"),
  ];
  const given = await ask({ title: "A key, please", text, yes: "Go on", parts });
  const key = field.value.trim();
  field.remove();
  if (!given || !key) return false;
  forgetKey();
  try {
    (box.checked ? localStorage : sessionStorage).setItem(NAME, key);
  } catch {
    // Storage may be forbidden; then the key lives as long as the page.
  }
  useKey(key);
  return true;
}

function read(storage) {
  return storage?.getItem(NAME) ?? null;
}

function sessionStorageOrNull() {
  try {
    return sessionStorage;
  } catch {
    return null;
  }
}

function localStorageOrNull() {
  try {
    return localStorage;
  } catch {
    return null;
  }
}

/** The API key: asking the user for it, and keeping it in the tab or, if the user wants, in the browser. */

import { useKey } from "./api.js";
import { h } from "./dom.js";
import { ask } from "./view-ask.js";

const NAME = "convmodel.key";

let asking = null;

/** Uses the stored key for all requests, if there is one. */
export function startKey() {
  useKey(read(sessionStorageOrNull()) ?? read(localStorageOrNull()));
}

/**
 * Asks the user for a key; concurrent calls share one dialog.
 * @param {boolean} wrong whether the server has rejected a key.
 * @returns {Promise<boolean>} whether the user has given a key.
 */
export function wantKey(wrong) {
  asking ??= askKey(wrong).finally(() => {
    asking = null;
  });
  return asking;
}

/** Deletes the key on the page and in the browser's storage. */
export function forgetKey() {
  for (const storage of [sessionStorageOrNull(), localStorageOrNull()]) storage?.removeItem(NAME);
  useKey(null);
}

/** Returns whether a key is stored. */
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
    // Storage may be disabled; then the key is kept until the page is closed.
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

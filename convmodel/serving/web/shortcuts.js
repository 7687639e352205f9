/** Keyboard shortcuts of the buttons. */

import { acts } from "./acts.js";
import { byId } from "./dom.js";
import { state } from "./state.js";
import { endEdit } from "./view-composer.js";
import { showSide } from "./view-list.js";
import { hideSettings, showSettings } from "./view-settings.js";
import { ALT_TYPES, showShortcuts } from "./view-tools.js";

const WITH_ALT = {
  KeyN: acts.begin,
  KeyR: () => !state.entry.making && acts.retry(),
  KeyC: showCandidates,
  KeyP: () => hideSettings() || showSettings(),
  KeyM: () => byId("message").focus(),
  KeyK: showShortcuts,
};

/** Adds the listener for the shortcuts of the page. */
export function startShortcuts() {
  document.addEventListener("keydown", (event) => {
    // While a dialog is open, shortcuts are off.
    if (event.isComposing || byId("ask").open) return;
    if (event.key === "Escape") {
      if (escape(event.target)) event.preventDefault();
      return;
    }
    const act = event.altKey && event.ctrlKey === ALT_TYPES && !event.metaKey && WITH_ALT[event.code];
    if (!act) return;
    event.preventDefault();
    act();
  });
}

/** Closes a panel, stops the reply, or ends editing, whichever comes first; returns whether it did any of these. */
function escape(target) {
  if (byId("side").classList.contains("open")) showSide(false);
  else if (byId("settings").contains(target)) return !byId("settings").matches(":modal") && hideSettings();
  else if (state.entry.making) acts.stop();
  else if (state.entry.editing) endEdit(state.entry);
  else return hideSettings();
  return true;
}

function showCandidates() {
  const turn = state.entry.conversation.turns.at(-1);
  if (!turn?.reply) return;
  const opener = document.querySelector(`[data-focus="details-${turn.number}"]`);
  opener?.focus();
  opener?.click();
}

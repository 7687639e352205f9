/** Buttons for the whole page: import and export, colours, the API key, shortcuts. */

import { forgetKey, hasKey } from "./key.js";
import { button, h, icon } from "./dom.js";
import { tell } from "./view-ask.js";

const THEMES = ["auto", "light", "dark"];
const THEME_NAMES = { auto: "as the system", light: "light", dark: "dark" };

/** Whether Alt alone types characters, as on a Mac; then shortcuts also need Control. */
export const ALT_TYPES = /Mac|iPhone|iPad/.test(navigator.platform);

const ALT = ALT_TYPES ? "Ctrl ⌥" : "Alt";

const SHORTCUTS = [
  ["Enter", "send the message"],
  ["Shift Enter", "begin a new line"],
  ["Esc", "stop the reply; close what is open"],
  ["↑", "in an empty text field: edit the last message"],
  [`${ALT} N`, "new conversation"],
  [`${ALT} R`, "make the last reply anew"],
  [`${ALT} C`, "candidates of the last reply"],
  [`${ALT} P`, "persona and options"],
  [`${ALT} M`, "to the text field"],
  [`${ALT} K`, "this list"],
];

/**
 * Creates the button that switches between the colour themes.
 * @returns {HTMLElement}
 */
export function themeButton() {
  const root = document.documentElement;
  const toggle = button("", () => {
    root.dataset.theme = THEMES[(THEMES.indexOf(root.dataset.theme) + 1) % THEMES.length];
    try {
      localStorage.setItem("convmodel.theme", root.dataset.theme);
    } catch {
      // Storage may be disabled; then the choice is kept until the page is closed.
    }
    show();
  });
  function show() {
    const label = `Colours: ${THEME_NAMES[root.dataset.theme]}`;
    toggle.setAttribute("aria-label", label);
    toggle.title = label;
    toggle.replaceChildren(icon(root.dataset.theme));
  }
  show();
  return toggle;
}

/** Shows the list of shortcuts in a dialog. */
export function showShortcuts() {
  const rows = SHORTCUTS.map(([keys, what]) => {
    const caps = keys.split(" ").map((key) => h("kbd", {}, key));
    return [h("dt", {}, ...caps), h("dd", {}, what)];
  });
  return tell("Shortcuts", h("dl", { class: "shortcuts" }, ...rows.flat()));
}

/** Creates the button that shows the list of shortcuts. */
export function shortcutsButton() {
  return button("Shortcuts", showShortcuts, { icon: "keyboard", only: true });
}

/** Creates the button that deletes the API key; null if no key is stored. */
export function keyButton() {
  if (!hasKey()) return null;
  return button("Forget the key", () => {
    forgetKey();
    location.reload();
  }, { icon: "key", only: true });
}

/**
 * Creates a button with which the user chooses a file to import.
 * @param {(text: string) => void} read called with the content of the file.
 */
export function importButton(read) {
  const file = h("input", { type: "file", accept: ".jsonl,.ndjson,.json,application/x-ndjson", hidden: true });
  file.addEventListener("change", async () => {
    const [chosen] = file.files;
    file.value = "";
    if (chosen) read(await chosen.text());
  });
  return h("span", {}, button("Import conversations", () => file.click(), { icon: "import", only: true }), file);
}

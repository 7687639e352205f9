/** Buttons for what concerns the whole page: files, colours, keys, shortcuts. */

import { forgetKey, hasKey } from "./key.js";
import { button, h, icon } from "./dom.js";
import { tell } from "./view-ask.js";

const THEMES = ["auto", "light", "dark"];
const THEME_NAMES = { auto: "as the system", light: "light", dark: "dark" };

/** Whether Alt by itself types letters: on a Mac Control is held with it. */
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
 * The button that goes through the colours.
 * @returns {HTMLElement}
 */
export function themeButton() {
  const root = document.documentElement;
  const toggle = button("", () => {
    root.dataset.theme = THEMES[(THEMES.indexOf(root.dataset.theme) + 1) % THEMES.length];
    try {
      localStorage.setItem("convmodel.theme", root.dataset.theme);
    } catch {
      // Storage may be forbidden; then the choice lives as long as the page.
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

/** Shows the shortcuts. */
export function showShortcuts() {
  const rows = SHORTCUTS.map(([keys, what]) => {
    const caps = keys.split(" ").map((key) => h("kbd", {}, key));
    return [h("dt", {}, ...caps), h("dd", {}, what)];
  });
  return tell("Shortcuts", h("dl", { class: "shortcuts" }, ...rows.flat()));
}

/** The button that shows them. */
export function shortcutsButton() {
  return button("Shortcuts", showShortcuts, { icon: "keyboard", only: true });
}

/** The button that forgets the key, where there is one. */
export function keyButton() {
  if (!hasKey()) return null;
  return button("Forget the key", () => {
    forgetKey();
    location.reload();
  }, { icon: "key", only: true });
}

/**
 * A button that lets a person choose a file.
 * @param {(text: string) => void} read is given its text.
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

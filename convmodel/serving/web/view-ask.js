/** Dialogs that ask the user for a confirmation, a line of text or a key. */

import { byId, h } from "./dom.js";

/**
 * Asks a question in a dialog. When the dialog closes, the focus returns to the element that had it before.
 * @param {{title: string, text?: string, yes: string, no?: string, danger?: boolean, parts?: Node[]}} question `yes`
 *   and `no`: labels of the buttons, an empty `no` omits the button; `parts`: elements between the text and the
 *   buttons; `danger`: whether the button "no" has the focus at first, and not "yes".
 * @returns {Promise<boolean>} whether the answer was "yes".
 */
export function ask({ title, text, yes, no = "Cancel", danger = false, parts = [] }) {
  const dialog = byId("ask");
  // Only one question at a time: an open question is answered with "no".
  if (dialog.open) dialog.close("no");
  return new Promise((resolve) => {
    const agree = h("button", { type: "submit", class: danger ? "danger" : "primary", value: "yes", autofocus: !danger && !parts.length }, yes);
    const refuse = no && h("button", { type: "button", class: "plain", autofocus: danger, on: { click: () => dialog.close("no") } }, no);
    const form = h(
      "form",
      { method: "dialog" },
      h("h2", { id: "ask-title" }, title),
      text && h("p", { dir: "auto" }, text),
      ...parts,
      h("div", { class: "answers" }, refuse, agree),
    );
    form.addEventListener("submit", (event) => {
      // The page's Content-Security-Policy forbids form submissions.
      event.preventDefault();
      dialog.close("yes");
    });
    dialog.returnValue = "no";
    dialog.replaceChildren(form);
    dialog.addEventListener("close", function closed() {
      const replaced = !dialog.contains(form);
      // The event for closing the earlier question arrives only after this one is open.
      if (dialog.open && !replaced) return;
      dialog.removeEventListener("close", closed);
      resolve(!replaced && dialog.returnValue === "yes");
    });
    dialog.showModal();
  });
}

/**
 * Asks for a line of text.
 * @param {{title: string, label: string, value: string, yes: string}} question
 * @returns {Promise<string|null>} null if the user cancels or leaves the field empty.
 */
export async function askText({ title, label, value, yes }) {
  const field = h("input", { type: "text", id: "ask-field", value, dir: "auto", autofocus: true, autocomplete: "off", maxlength: 200 });
  const done = ask({ title, yes, parts: [h("label", { for: "ask-field" }, label), field] });
  field.select();
  return (await done) && field.value.trim() ? field.value.trim() : null;
}

/**
 * Shows elements in a dialog that has only a button to close it.
 * @param {string} title
 * @param {...Node} parts
 */
export function tell(title, ...parts) {
  return ask({ title, yes: "Close", no: "", parts });
}

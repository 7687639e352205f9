/** A question to the person in, the answer out: yes or no, a line of text, a key. */

import { byId, h } from "./dom.js";

/**
 * Asks in a dialog. The focus comes back to where it was.
 * @param {{title: string, text?: string, yes: string, no?: string, danger?: boolean, parts?: Node[]}} question `parts`
 *   stand between the text and the buttons; `danger`: "no" has the focus, not "yes".
 * @returns {Promise<boolean>} whether it was "yes".
 */
export function ask({ title, text, yes, no = "Cancel", danger = false, parts = [] }) {
  const dialog = byId("ask");
  // Only one question at a time: the one before is answered with no.
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
      // The page's policy sends no forms anywhere.
      event.preventDefault();
      dialog.close("yes");
    });
    dialog.returnValue = "no";
    dialog.replaceChildren(form);
    dialog.addEventListener("close", function closed() {
      const replaced = !dialog.contains(form);
      // That the question before was closed is told a moment later, when this one is open.
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
 * @returns {Promise<string|null>} null when the person would rather not.
 */
export async function askText({ title, label, value, yes }) {
  const field = h("input", { type: "text", id: "ask-field", value, dir: "auto", autofocus: true, autocomplete: "off", maxlength: 200 });
  const done = ask({ title, yes, parts: [h("label", { for: "ask-field" }, label), field] });
  field.select();
  return (await done) && field.value.trim() ? field.value.trim() : null;
}

/**
 * Shows something that needs no answer.
 * @param {string} title
 * @param {...Node} parts
 */
export function tell(title, ...parts) {
  return ask({ title, yes: "Close", no: "", parts });
}

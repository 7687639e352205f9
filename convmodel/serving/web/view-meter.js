/** The meter of the model's window: the tokens that the last reply used, and the turns that were dropped. */

import { byId, h } from "./dom.js";
import { counted, cutText, number } from "./format.js";
import { state } from "./state.js";

let shown = null;

/** Draws the meter under the text field. */
export function drawMeter() {
  const reply = state.entry.conversation.turns.findLast((turn) => turn.reply)?.reply ?? null;
  if (reply === shown) return;
  shown = reply;
  const place = byId("meter");
  if (!reply?.window) {
    place.replaceChildren();
    return;
  }
  const used = Math.min(reply.window, reply.context_tokens + reply.reply_tokens);
  const share = used / reply.window;
  const fill = h("span", { class: share > 0.9 ? "fill full" : "fill" });
  fill.style.setProperty("inline-size", `${(100 * share).toFixed(1)}%`);
  const words = `${number(used)} of ${number(reply.window)} tokens`;
  const dropped = reply.turns_dropped ? `${counted(reply.turns_dropped, "old turn")} dropped` : cutText(reply);
  place.replaceChildren(
    h(
      "span",
      {
        class: "gauge",
        role: "meter",
        "aria-label": "Tokens of the model's window in use",
        "aria-valuemin": 0,
        "aria-valuemax": reply.window,
        "aria-valuenow": used,
        "aria-valuetext": words,
      },
      fill,
    ),
    h("span", { title: "Tokens of the model's window that the last reply took" }, words),
    dropped && h("span", { class: "dropped", title: "What does not fit into the window the model does not see" }, `· ${dropped}`),
  );
}

/** The panel for the persona, model, preset, options and seed of the conversation on the page. */

import { announce, byId, button, h } from "./dom.js";
import { lines, showValue } from "./format.js";
import { state } from "./state.js";
import { optionsForm, presetChoices, withOption } from "./view-options.js";

const ROOM = matchMedia("(min-width: 75rem)");

let fields = null;
let shown = "";
let of = null;

/**
 * Starts the panel.
 * @param {{change: (changes: object|Function) => Promise<void>}} acts
 * @returns {() => void} function that draws it.
 */
export function startSettings(acts) {
  const panel = byId("settings");
  byId("open-settings").addEventListener("click", () => (panel.open ? hide() : showSettings()));
  panel.addEventListener("close", closed);
  panel.addEventListener("click", (event) => event.target === panel && hide());
  // The panel is a modal dialog only if there is no room beside the conversation; close it when this changes.
  ROOM.addEventListener("change", () => panel.open && hide());
  return () => draw(acts);
}

/** Opens the panel: beside the conversation if there is room, otherwise in front of it. */
export function showSettings() {
  const panel = byId("settings");
  if (panel.open) return;
  if (ROOM.matches) {
    byId("chat").classList.add("with-settings");
    panel.show();
  } else {
    panel.showModal();
  }
  byId("open-settings").setAttribute("aria-expanded", "true");
  byId("settings-title").focus();
}

/** Closes the panel; returns whether it was open. */
export function hideSettings() {
  const { open } = byId("settings");
  if (open) hide();
  return open;
}

function hide() {
  byId("settings").close();
}

function closed() {
  byId("chat").classList.remove("with-settings");
  byId("open-settings").setAttribute("aria-expanded", "false");
  byId("open-settings").focus();
}

function draw(acts) {
  if (!state.about) return;
  fields ??= build(acts);
  const { persona, model, preset, options, seed } = state.entry.conversation;
  const now = JSON.stringify([persona, model, preset, options, seed]);
  if (now === shown && of === state.entry) return;
  shown = now;
  // A field in which the user types is not overwritten, unless another conversation is shown.
  const other = of !== state.entry;
  const typing = other ? null : document.activeElement;
  of = state.entry;
  if (other) fields.quiet();
  if (fields.persona !== typing) fields.persona.value = persona.join("\n");
  fields.model.value = model ?? "";
  fields.preset.value = preset ?? "";
  fields.presetHelp.textContent = presetText(preset);
  if (fields.seed !== typing) fields.seed.value = seed ?? "";
  fields.options.show(options, preset, other);
}

function build(acts) {
  const { about } = state;
  const saved = h("span", { class: "saved", role: "status" });
  const save = saver(acts, saved);
  const persona = h("textarea", { id: "persona", rows: 4, dir: "auto", "aria-describedby": "persona-help", placeholder: "I live in Rome.\nI like rain." });
  const model = h("select", { id: "model" }, ...about.models.map((name, index) => h("option", { value: index ? name : "" }, name)));
  const preset = h("select", { id: "preset", "aria-describedby": "preset-help" }, ...presetChoices(about));
  const presetHelp = h("div", { class: "help", id: "preset-help" });
  const seed = h("input", { type: "text", id: "seed", inputmode: "numeric", autocomplete: "off", placeholder: "drawn for each reply", "aria-describedby": "seed-help" });
  const seedHelp = h("div", { class: "help", id: "seed-help" });
  persona.addEventListener("change", () => save({ persona: lines(persona.value) }));
  model.addEventListener("change", () => save({ model: model.value || null }));
  preset.addEventListener("change", () => save({ preset: preset.value || null }));
  seed.addEventListener("change", () => {
    const wrong = !/^\d*$/.test(seed.value.trim());
    helpSeed(wrong);
    if (!wrong) save({ seed: seed.value.trim() === "" ? null : Number(seed.value) });
  });
  function helpSeed(wrong) {
    seedHelp.textContent = wrong ? "A whole number, or nothing." : SEED_HELP;
    seedHelp.classList.toggle("wrong", wrong);
  }
  function quiet() {
    helpSeed(false);
    saved.textContent = "";
  }
  quiet();
  const options = optionsForm(about, async (name, value) => {
    saved.textContent = "";
    await acts.change((now) => ({ options: withOption(now.options, name, value) }));
    saved.textContent = "Saved";
  });
  byId("settings").replaceChildren(
    h(
      "div",
      { class: "settings-in" },
      h("header", {}, h("h2", { id: "settings-title", tabindex: -1 }, "Persona & options"), saved, button("Close", hide, { icon: "close", only: true })),
      h("p", { class: "hint" }, "For this conversation, from the next reply on. Where nothing is set, the server decides."),
      group("persona", "Who replies", persona, h("div", { class: "help", id: "persona-help" }, "One sentence a line. It stays before the conversation however long that becomes.")),
      about.models.length > 1 ? group("model", "Model", model) : null,
      Object.keys(about.presets).length ? group("preset", "Preset", preset, presetHelp) : null,
      group("seed", "Seed", seed, seedHelp),
      Object.keys(about.option_help).length ? h("h3", {}, "Options") : null,
      options.element,
    ),
  );
  return { persona, model, preset, presetHelp, seed, options, quiet };
}

const SEED_HELP = "With the same seed the same conversation gets the same reply.";

function saver(acts, saved) {
  return async (changes) => {
    saved.textContent = "";
    saved.classList.remove("wrong");
    try {
      await acts.change(changes);
      saved.textContent = "Saved";
    } catch (error) {
      saved.textContent = error.message;
      saved.classList.add("wrong");
      announce(error.message);
    }
  };
}

function group(id, label, ...parts) {
  return h("div", { class: "field" }, h("label", { for: id }, label), ...parts);
}

function presetText(name) {
  const options = state.about.presets[name ?? state.about.preset];
  if (!options) return "";
  return Object.entries(options).map(([option, value]) => `${option} ${showValue(value)}`).join(" · ");
}

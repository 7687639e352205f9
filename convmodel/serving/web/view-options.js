/** The form for options: their set values, the values in effect, and the allowed values. */

import { h } from "./dom.js";
import { parseValue, showValue } from "./format.js";

const FIRST = ["temperature", "top_p", "top_k", "num_return_sequences", "max_new_tokens"];

/**
 * Creates a form with a field for each option; with an empty field, the preset or the server sets the option.
 * @param {object} about the server's description of itself.
 * @param {(name: string, value: any) => Promise<void>} change sets an option, or unsets it if the value is undefined;
 *   if it fails, the reason is shown beside the field.
 * @returns {{element: HTMLElement, show: (set: Object<string, any>, preset: string|null, anew?: boolean) => void}}
 *   `show` updates the fields; `anew` also clears typed values that the server has rejected.
 */
export function optionsForm(about, change) {
  const names = [...new Set([...Object.keys(about.option_help), ...Object.keys(about.options)])];
  const first = FIRST.filter((name) => names.includes(name));
  const others = names.filter((name) => !first.includes(name)).sort();
  const rows = new Map(names.map((name) => [name, optionRow(name, about, change)]));
  const all = h(
    "details",
    { class: "all" },
    h("summary", {}, `All options (${others.length} more)`),
    ...others.map((name) => rows.get(name).element),
  );
  const element = h("div", { class: "options" }, ...first.map((name) => rows.get(name).element), others.length ? all : null);
  return {
    element,
    show(now, preset, anew = false) {
      const effective = { ...about.options, ...about.presets[preset] };
      for (const [name, row] of rows) row.show(now[name], effective[name], anew);
      if (others.some((name) => name in now)) all.open = true;
    },
  };
}

function optionRow(name, about, change) {
  const id = `option-${name}`;
  const bool = typeof about.options[name] === "boolean";
  const field = bool ? choice(id) : h("input", { type: "text", id, autocomplete: "off", spellcheck: "false" });
  const help = about.option_help[name] ?? "";
  const problem = h("span", { class: "wrong", role: "alert" });
  const element = h(
    "div",
    { class: "option" },
    h("label", { for: id }, name),
    field,
    h("div", { class: "help", id: `${id}-help` }, help, problem),
  );
  field.setAttribute("aria-describedby", `${id}-help`);
  let shown;
  field.addEventListener("change", async () => {
    problem.textContent = "";
    field.setAttribute("aria-invalid", "false");
    try {
      await change(name, parseValue(field.value));
      element.classList.toggle("set", field.value !== "");
    } catch (error) {
      problem.textContent = ` ${error.message}`;
      field.setAttribute("aria-invalid", "true");
    }
  });
  return {
    element,
    show(value, effective, anew) {
      const now = JSON.stringify([value, effective]);
      if (now === shown && !anew) return;
      shown = now;
      field.value = showValue(value);
      problem.textContent = "";
      field.setAttribute("aria-invalid", "false");
      element.classList.toggle("set", value !== undefined);
      if (bool) field.options[0].textContent = effective === undefined ? "not set" : `not set (${effective})`;
      else field.placeholder = showValue(effective);
    },
  };
}

/**
 * Creates the choices of a preset: the server's default, all presets, and no preset if the server has a default preset.
 * @param {object} about the server's description of itself.
 * @returns {HTMLElement[]}
 */
export function presetChoices({ preset, presets }) {
  const usual = preset ? `the server's (${preset})` : "none";
  const choices = [["", usual], ...Object.keys(presets).map((name) => [name, name])];
  if (preset) choices.push(["off", "none: the model's own options"]);
  return choices.map(([value, text]) => h("option", { value }, text));
}

/**
 * Returns a copy of options in which one option is set or unset.
 * @param {Object<string, any>} options
 * @param {string} name
 * @param {any} value undefined unsets the option.
 * @returns {Object<string, any>}
 */
export function withOption(options, name, value) {
  const { [name]: _, ...rest } = options;
  return value === undefined ? rest : { ...rest, [name]: value };
}

function choice(id) {
  const options = [["", "not set"], ["true", "true"], ["false", "false"]];
  return h("select", { id }, ...options.map(([value, text]) => h("option", { value }, text)));
}

/** The page of a server that only writes documents: a form for prompt, metadata and options, and the documents. */

import { Problem, stream } from "./api.js";
import { patiently } from "./connection.js";
import { announce, button, byId, h } from "./dom.js";
import { counted, finishText, number, parseValue, titleOf } from "./format.js";
import { keep, kept, onChange, state } from "./state.js";
import { startBanner } from "./view-notice.js";
import { optionsForm, presetChoices, withOption } from "./view-options.js";

let controller = null;

/** Builds the page. */
export function startDocuments() {
  const { about } = state;
  const settings = { preset: null, options: {} };
  const fields = {
    prompt: h("textarea", { id: "prompt", rows: 5, dir: "auto" }, kept("prompt")),
    meta: h("textarea", { id: "meta", rows: 2, dir: "auto", "aria-describedby": "meta-help" }, kept("meta")),
    n: h("input", { type: "number", id: "n", min: 1, max: about.limits?.n ?? null, value: 1 }),
    seed: h("input", { type: "text", id: "seed", inputmode: "numeric", autocomplete: "off", placeholder: "drawn" }),
    preset: h("select", { id: "preset" }, ...presetChoices(about)),
  };
  const options = optionsForm(about, async (name, value) => {
    settings.options = withOption(settings.options, name, value);
  });
  fields.preset.addEventListener("change", () => {
    settings.preset = fields.preset.value || null;
    options.show(settings.options, settings.preset);
  });
  options.show({}, null);
  const write = h("button", { type: "submit", class: "primary wide", id: "write" }, "Write");
  const form = h(
    "form",
    { class: "document-form" },
    field("prompt", "How it begins", fields.prompt),
    field("meta", "What is known of it", fields.meta, h("div", { class: "help", id: "meta-help" }, 'A text, or a list or an object in JSON, such as {"author": "Ann"}. Both fields may stay empty.')),
    h("div", { class: "pair" }, field("n", "How many", fields.n), field("seed", "Seed", fields.seed)),
    Object.keys(about.presets).length ? field("preset", "Preset", fields.preset) : null,
    h("details", { class: "all" }, h("summary", {}, "Options"), options.element),
    write,
  );
  const results = h("section", { class: "results", "aria-label": "Documents" }, h("p", { class: "hint" }, "What is written stands here."));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (controller) controller.abort();
    else make(bodyOf(fields, settings), { write, results });
  });
  for (const name of ["prompt", "meta"]) fields[name].addEventListener("input", () => keep(name, fields[name].value));
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !controller) form.requestSubmit();
  });
  document.addEventListener("keydown", (event) => event.key === "Escape" && controller?.abort());
  const head = h("header", { class: "document-head" }, h("h1", {}, about.title || "Documents"), h("span", { class: "tools", id: "document-tools" }));
  byId("documents").replaceChildren(byId("banner"), head, h("div", { class: "columns" }, form, results));
  byId("documents").hidden = false;
  byId("skip").href = "#prompt";
  onChange(startBanner());
}

async function make(body, { write, results }) {
  controller = new AbortController();
  write.textContent = "Stop";
  const text = document.createTextNode("");
  const view = documentView(body.prompt, text, "");
  view.setAttribute("aria-busy", "true");
  results.replaceChildren(view);
  try {
    const done = await patiently(() => follow(body, text, controller.signal), controller.signal);
    if (done) results.replaceChildren(...finished(done));
    announce(done ? `${counted(done.texts.length, "document")} written.` : "");
  } catch (error) {
    if (error.name === "AbortError") view.append(h("p", { class: "note" }, "stopped"));
    else results.replaceChildren(h("p", { class: "notice error", role: "alert" }, error.message));
    if (!(error instanceof Problem) && error.name !== "AbortError") throw error;
  } finally {
    view.setAttribute("aria-busy", "false");
    controller = null;
    write.textContent = "Write";
  }
}

async function follow(body, text, signal) {
  text.data = "";
  for await (const { event, data } of stream("documents", body, { signal })) {
    // The stream has only the text of the first document; the others are shown at the end.
    if (event === "piece") text.appendData(data.text);
    if (event === "documents") return data;
  }
  throw new Problem("The stream of the documents broke off.", { status: 500 });
}

function bodyOf(fields, settings) {
  const body = { n: Number(fields.n.value) || 1 };
  const meta = fields.meta.value.trim();
  const value = /^[[{]/.test(meta) ? parseValue(meta) : meta;
  if (fields.prompt.value) body.prompt = fields.prompt.value;
  if (meta) body.meta = value;
  if (settings.preset) body.preset = settings.preset;
  if (Object.keys(settings.options).length) body.options = settings.options;
  if (fields.seed.value.trim()) body.seed = parseValue(fields.seed.value);
  return body;
}

function finished({ prompt, texts, blocked, tokens_read: read, tokens_dropped: dropped, meta_tokens_dropped: metaDropped, seed }) {
  const facts = [`${counted(read, "token")} read`];
  if (blocked) facts.push(`${blocked.side === "input" ? "the prompt" : "a text"} was held back`);
  if (dropped) facts.push(`the oldest ${counted(dropped, "token")} of the prompt dropped`);
  if (metaDropped) facts.push(`${counted(metaDropped, "token")} of the meta dropped`);
  if (seed !== null && seed !== undefined) facts.push(`seed ${seed}`);
  const views = texts.map((one) => {
    const score = one.score === null || one.score === undefined ? "" : `score ${number(one.score, 3)}`;
    const own = [counted(one.tokens, "token"), finishText(one.finish), score];
    return documentView(prompt, one.text, own.filter(Boolean).join(" · "));
  });
  return [h("p", { class: "note" }, facts.join(" · ")), ...views];
}

function documentView(prompt, text, note) {
  const copy = button("Copy", () => navigator.clipboard?.writeText(`${prompt ?? ""}${typeof text === "string" ? text : text.data}`), { icon: "copy" });
  return h(
    "article",
    { class: "document", "aria-label": titleOf(prompt ?? "") || "A document" },
    h("div", { class: "page", dir: "auto" }, prompt && h("span", { class: "prompt" }, prompt), text),
    h("div", { class: "row" }, note && h("span", { class: "note" }, note), copy),
  );
}

function field(id, label, ...parts) {
  return h("div", { class: "field" }, h("label", { for: id }, label), ...parts);
}

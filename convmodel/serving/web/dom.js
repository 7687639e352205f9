/** Names, attributes and texts in, elements out. Texts become text nodes and nothing else. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * The element of the page with an id; the page's HTML has it.
 * @param {string} id
 * @returns {HTMLElement}
 */
export function byId(id) {
  return document.getElementById(id);
}

/**
 * Makes an element.
 * @param {string} tag
 * @param {Object<string, any>} attributes `on` holds listeners by event, `data` a dataset; true is an attribute
 *   without value; false, null and undefined leave an attribute out.
 * @param {...(Node|string|null|false)} children strings become text.
 * @returns {HTMLElement}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (name === "data") {
      Object.assign(element.dataset, value);
    } else if (value === true) {
      element.setAttribute(name, "");
    } else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, String(value));
    }
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/**
 * A picture of the page's own set (symbols in index.html); it says nothing to a screen reader.
 * @param {string} name
 * @returns {SVGElement}
 */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return svg;
}

/**
 * A button of text, or of a picture with a name.
 * @param {string} label
 * @param {() => void} click
 * @param {{icon?: string, only?: boolean, class?: string, key?: string}} [look] `only`: the picture without the text;
 *   `key`: by which `keepFocus` finds the button again.
 * @returns {HTMLElement}
 */
export function button(label, click, look = {}) {
  const attributes = { type: "button", class: look.class ?? "quiet", on: { click }, data: look.key ? { focus: look.key } : {} };
  if (look.only) Object.assign(attributes, { "aria-label": label, title: label });
  return h("button", attributes, look.icon ? icon(look.icon) : null, look.only ? null : h("span", {}, label));
}

/**
 * Replaces what is in an element and lets the focus stay on the part with the same key (`data-focus`).
 * @param {HTMLElement} element
 * @param {() => void} replace
 */
export function keepFocus(element, replace) {
  const active = document.activeElement;
  const key = element.contains(active) ? active.dataset.focus : undefined;
  replace();
  if (key && !element.contains(document.activeElement)) {
    element.querySelector(`[data-focus="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
  }
}

/**
 * Tells a screen reader something once.
 * @param {string} text
 */
export function announce(text) {
  const region = byId("announcer");
  // The same text twice in a row would not be a change.
  region.textContent = region.textContent === text ? `${text}\u00a0` : text;
}

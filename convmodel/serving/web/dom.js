/** Helpers that create and find elements. Texts only become text nodes, never HTML. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Returns the element with an id, which must exist in the page.
 * @param {string} id
 * @returns {HTMLElement}
 */
export function byId(id) {
  return document.getElementById(id);
}

/**
 * Creates an element.
 * @param {string} tag
 * @param {Object<string, any>} attributes attributes by name. `on` has event listeners by event type, `data` has the
 *   dataset; the value true makes an attribute without value; false, null and undefined omit the attribute.
 * @param {...(Node|string|null|false)} children strings become text nodes; null and false are skipped.
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
 * Creates an icon (a symbol in index.html), which is hidden from screen readers.
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
 * Creates a button with a text, an icon, or both.
 * @param {string} label text of the button; without visible text, its accessible name.
 * @param {() => void} click listener.
 * @param {{icon?: string, only?: boolean, class?: string, key?: string}} [look] `icon`: name of the icon; `only`: show
 *   the icon without the text; `key`: name by which `keepFocus` finds the button again.
 * @returns {HTMLElement}
 */
export function button(label, click, look = {}) {
  const attributes = { type: "button", class: look.class ?? "quiet", on: { click }, data: look.key ? { focus: look.key } : {} };
  if (look.only) Object.assign(attributes, { "aria-label": label, title: label });
  return h("button", attributes, look.icon ? icon(look.icon) : null, look.only ? null : h("span", {}, label));
}

/**
 * Replaces the content of an element, and restores the focus to the descendant with the same key (`data-focus`).
 * @param {HTMLElement} element
 * @param {() => void} replace function that replaces the content.
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
 * Announces a text to screen readers.
 * @param {string} text
 */
export function announce(text) {
  const region = byId("announcer");
  // Setting the same text twice in a row would not be a change that a screen reader announces.
  region.textContent = region.textContent === text ? `${text}\u00a0` : text;
}

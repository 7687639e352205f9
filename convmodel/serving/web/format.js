/** Formatting of numbers, times and values for the user, and parsing of typed values. */

/**
 * Formats a number.
 * @param {number|null|undefined} value
 * @param {number} digits number of digits after the decimal point.
 * @returns {string} empty if there is no number.
 */
export function number(value, digits = 0) {
  if (value === null || value === undefined) return "";
  const text = value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return text.replace("-", "\u2212");
}

/**
 * Formats a count with a noun.
 * @param {number} count
 * @param {string} noun in the singular.
 * @returns {string} such as "1 turn", "2 turns".
 */
export function counted(count, noun) {
  return `${number(count)} ${noun}${count === 1 ? "" : "s"}`;
}

/**
 * Formats a time as briefly as possible.
 * @param {string} iso
 * @param {Date} [now]
 * @returns {string} such as "2:05 PM" for today, "Mar 3" for this year, "Mar 3, 2024" for earlier years.
 */
export function when(iso, now = new Date()) {
  const then = new Date(iso);
  if (Number.isNaN(then.getTime())) return "";
  if (then.toDateString() === now.toDateString()) {
    return then.toLocaleTimeString(undefined, { hour: "numeric", minute: "2-digit" });
  }
  const year = then.getFullYear() === now.getFullYear() ? undefined : "numeric";
  return then.toLocaleDateString(undefined, { month: "short", day: "numeric", year });
}

/**
 * Checks whether a text has visible characters.
 * @param {string} text
 * @returns {boolean}
 */
export function seen(text) {
  return /[^\s\p{Cc}\p{Cf}\u115f\u1160\u2800\u3164\uffa0]/u.test(text);
}

/**
 * Returns the title of a conversation, made from its first message.
 * @param {string} text
 * @returns {string} one line of at most 60 characters.
 */
export function titleOf(text) {
  const line = [...text.trim().replace(/\s+/gu, " ")];
  return line.length <= 60 ? line.join("") : `${line.slice(0, 59).join("").trimEnd()}…`;
}

/**
 * Parses a typed value: JSON, Python's True, False and None, or any other text as a string.
 * @param {string} text
 * @returns {any} undefined for an empty text.
 */
export function parseValue(text) {
  const typed = text.trim();
  if (typed === "") return undefined;
  const words = { true: true, false: false, none: null, null: null };
  if (typed.toLowerCase() in words) return words[typed.toLowerCase()];
  if (/^[+-]?\.\d+$/.test(typed)) return Number(typed);
  try {
    return JSON.parse(typed);
  } catch {
    return typed;
  }
}

/**
 * Formats a value so that `parseValue` returns it again.
 * @param {any} value
 * @returns {string}
 */
export function showValue(value) {
  if (typeof value === "string" && parseValue(value) === value) return value;
  return value === undefined ? "" : JSON.stringify(value);
}

/**
 * Returns the lines of a text that are not blank.
 * @param {string} text
 * @returns {string[]}
 */
export function lines(text) {
  return text.split("\n").map((line) => line.trim()).filter(Boolean);
}

const FINISHES = {
  cancelled: "stopped",
  length: "cut off: no more room",
  filtered: "filtered",
};

/**
 * Returns a note about the reason why a reply ended, if it is unusual.
 * @param {string} finish
 * @returns {string} empty for a usual end.
 */
export function finishText(finish) {
  return FINISHES[finish] ?? "";
}

/**
 * Capitalizes a message of the server, unless it begins with the name of a field.
 * @param {string} text
 * @returns {string}
 */
export function sentence(text) {
  return /^[a-z]+ /.test(text) ? text[0].toUpperCase() + text.slice(1) : text;
}

/** Returns a note about a last message that does not fit the model's window by itself; empty if it fits. */
export function cutText(reply) {
  if (reply.turns_dropped || !reply.tokens_dropped) return "";
  return `${counted(reply.tokens_dropped, "token")} of your message cut`;
}

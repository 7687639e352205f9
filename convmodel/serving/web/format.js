/** Numbers, times and values in, what a person reads or types out. */

/**
 * @param {number|null|undefined} value
 * @param {number} digits after the point.
 * @returns {string} empty where there is no number.
 */
export function number(value, digits = 0) {
  if (value === null || value === undefined) return "";
  const text = value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return text.replace("-", "\u2212");
}

/**
 * @param {number} count
 * @param {string} noun in the singular.
 * @returns {string} such as "1 turn", "2 turns".
 */
export function counted(count, noun) {
  return `${number(count)} ${noun}${count === 1 ? "" : "s"}`;
}

/**
 * When something was, as short as it can be said.
 * @param {string} iso
 * @param {Date} [now]
 * @returns {string} "2:05 PM" today, "Mar 3" this year, "Mar 3, 2024" before.
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
 * @param {string} text
 * @returns {boolean} whether there is anything of it to see.
 */
export function seen(text) {
  return /[^\s\p{Cc}\p{Cf}\u115f\u1160\u2800\u3164\uffa0]/u.test(text);
}

/**
 * The title that a conversation gets from its first message.
 * @param {string} text
 * @returns {string} one line of at most 60 characters.
 */
export function titleOf(text) {
  const line = [...text.trim().replace(/\s+/gu, " ")];
  return line.length <= 60 ? line.join("") : `${line.slice(0, 59).join("").trimEnd()}…`;
}

/**
 * The value that a person typed: JSON where it is JSON, Python's True, False and None, otherwise a text.
 * @param {string} text
 * @returns {any} undefined where nothing was typed.
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
 * A value as `parseValue` reads it again.
 * @param {any} value
 * @returns {string}
 */
export function showValue(value) {
  if (typeof value === "string" && parseValue(value) === value) return value;
  return value === undefined ? "" : JSON.stringify(value);
}

/**
 * Lines of a text that say something.
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
 * Why a reply is over, where that is worth a word.
 * @param {string} finish
 * @returns {string}
 */
export function finishText(finish) {
  return FINISHES[finish] ?? "";
}

/**
 * A message of the server as the beginning of a sentence; names of fields stay as they are.
 * @param {string} text
 * @returns {string}
 */
export function sentence(text) {
  return /^[a-z]+ /.test(text) ? text[0].toUpperCase() + text.slice(1) : text;
}

/** What a person is told of a message that alone is too long for the window; nothing of any other. */
export function cutText(reply) {
  if (reply.turns_dropped || !reply.tokens_dropped) return "";
  return `${counted(reply.tokens_dropped, "token")} of your message cut`;
}

/** Export of conversations to a file of JSON Lines, and import from such a file. */

import { blob, json, Problem } from "./api.js";
import { titleOf } from "./format.js";

/**
 * Downloads an export as a file.
 * @param {string} path path of the export on the server.
 * @param {string} name name of the file.
 */
export async function download(path, name) {
  const url = URL.createObjectURL(await blob(path));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/**
 * Parses a line of a file of conversations.
 * @param {string} line
 * @returns {{turns: string[], persona?: string[], meta?: object, title: string}} body of the request that creates the
 *   conversation.
 * @throws {Error} if the line is not a conversation; the message gives the reason.
 */
export function conversationOf(line) {
  let value;
  try {
    value = JSON.parse(line);
  } catch {
    throw new Error("is not JSON");
  }
  const { turns, persona, meta } = Array.isArray(value) ? { turns: value } : (value ?? {});
  const texts = (list) => Array.isArray(list) && list.every((text) => typeof text === "string");
  if (!texts(turns) || !turns.length) throw new Error('has no list of texts "turns"');
  if (persona !== undefined && persona !== null && !texts(persona)) throw new Error('"persona" is no list of texts');
  const conversation = { turns, title: titleOf(turns[0]) };
  if (persona?.length) conversation.persona = persona;
  if (meta && Object.keys(meta).length) conversation.meta = meta;
  return conversation;
}

/**
 * Creates the conversations of a file on the server, one after another.
 * @param {string} text content of the file.
 * @param {(done: number, all: number) => void} progress called before each conversation.
 * @returns {Promise<{ids: string[], problems: string[]}>} ids of the created conversations, and a message for each line
 *   that could not be parsed or was rejected.
 * @throws {Problem} if the server cannot be reached, or requires a key.
 */
export async function importText(text, progress) {
  const lines = text.replace(/^\ufeff/, "").split(/\r?\n/);
  const all = lines.filter((line) => line.trim()).length;
  const [ids, problems] = [[], []];
  let done = 0;
  for (const [index, line] of lines.entries()) {
    if (!line.trim()) continue;
    progress(done, all);
    done += 1;
    try {
      const { id } = await atItsTime(() => json("POST", "conversations", conversationOf(line)));
      ids.push(id);
    } catch (error) {
      if (error instanceof Problem && (error.gone || error.status === 401)) {
        error.partly = ids.length > 0;
        error.message = `${error.message} ${ids.length} of ${all} conversations were imported.`;
        throw error;
      }
      problems.push(`line ${index + 1}: ${error.message}`);
    }
  }
  return { ids, problems };
}

/** Calls a function, and calls it again after the pause that a busy server requests (status 429). */
async function atItsTime(act) {
  for (;;) {
    try {
      return await act();
    } catch (error) {
      if (error.status !== 429) throw error;
      await new Promise((resolve) => setTimeout(resolve, 1000 * (error.wait ?? 3)));
    }
  }
}

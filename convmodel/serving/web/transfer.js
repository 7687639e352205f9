/** Conversations in, a file of JSON Lines out, and back. */

import { blob, json, Problem } from "./api.js";
import { titleOf } from "./format.js";

/**
 * Lets the browser keep an export as a file.
 * @param {string} path on the server.
 * @param {string} name of the file.
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
 * What a line of a file of conversations says.
 * @param {string} line
 * @returns {{turns: string[], persona?: string[], meta?: object, title: string}} what the server takes.
 * @throws {Error} when it is no conversation; says why.
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
 * Gives the conversations of a file to the server, one after the other.
 * @param {string} text of the file.
 * @param {(done: number, all: number) => void} progress
 * @returns {Promise<{ids: string[], problems: string[]}>} those that are there now; the lines that could not be read
 *   or were not taken.
 * @throws {Problem} when the server is gone.
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

/** Does something again after the pause that a busy server asks for. */
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

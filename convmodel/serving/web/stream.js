/** Parsing of server-sent events (text/event-stream). */

/**
 * Creates a parser; its `push` takes the next part of the text and returns the events that are complete.
 * @returns {{push: (text: string) => {event: string, data: string}[]}}
 */
export function eventParser() {
  let rest = "";
  let event = "";
  let data = [];

  function line(text, found) {
    if (text === "") {
      if (data.length) found.push({ event: event || "message", data: data.join("\n") });
      event = "";
      data = [];
      return;
    }
    const colon = text.indexOf(":");
    if (colon === 0) return;
    const name = colon < 0 ? text : text.slice(0, colon);
    const value = colon < 0 ? "" : text.slice(colon + 1).replace(/^ /, "");
    if (name === "event") event = value;
    if (name === "data") data.push(value);
  }

  return {
    push(text) {
      const found = [];
      rest += text;
      // A carriage return at the end of the text may be the first half of a CRLF line break.
      const end = rest.endsWith("\r") ? rest.length - 1 : rest.length;
      const parts = rest.slice(0, end).split(/\r\n|\r|\n/);
      rest = parts.pop() + rest.slice(end);
      for (const part of parts) line(part, found);
      return found;
    },
  };
}

/**
 * Yields the events of a response with their parsed JSON.
 * @param {Response} response
 * @param {{stall?: number}} [patience] `stall`: milliseconds without data after which the connection counts as broken;
 *   the server sends a comment every 15 seconds, also without events.
 * @returns {AsyncGenerator<{event: string, data: any}>}
 * @throws {TypeError} if the connection breaks or stalls, like `fetch`.
 */
export async function* events(response, { stall = 50_000 } = {}) {
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  const parser = eventParser();
  try {
    for (;;) {
      const { done, value } = await inTime(reader.read(), stall);
      if (done) return;
      for (const { event, data } of parser.push(decoder.decode(value, { stream: true }))) {
        yield { event, data: JSON.parse(data) };
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function inTime(promise, milliseconds) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new TypeError("the stream fell silent")), milliseconds);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

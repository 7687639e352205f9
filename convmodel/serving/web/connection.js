/** A server that went away in, a promise that it is back out. */

import { Problem, send } from "./api.js";
import { changed, state } from "./state.js";

const FIRST = 500;
const LONGEST = 15_000;

let waiting = null;
let wake = null;

/**
 * Waits until the server answers again; the banner tells how long. Everybody who asks waits for the same answer.
 * @returns {Promise<void>}
 */
export function whenBack() {
  waiting ??= knock().finally(() => {
    waiting = null;
    state.gone = null;
    changed();
  });
  return waiting;
}

/** Asks at once instead of at the end of the pause. */
export function knockNow() {
  wake?.();
}

/**
 * Does something as often as it takes until there is a server to do it.
 * @template T
 * @param {() => Promise<T>} act
 * @param {AbortSignal} [signal] ends the waiting.
 * @returns {Promise<T>}
 * @throws {DOMException} AbortError when the signal says so.
 */
export async function patiently(act, signal) {
  for (;;) {
    try {
      return await act();
    } catch (problem) {
      if (!(problem instanceof Problem) || !problem.gone) throw problem;
      await Promise.race([whenBack(), aborted(signal)]);
    }
  }
}

function aborted(signal) {
  return new Promise((_, reject) => {
    signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

async function knock() {
  for (let pause = FIRST; ; pause = Math.min(LONGEST, pause * 2)) {
    // Not everybody at the same moment.
    const length = pause * (0.75 + Math.random() / 2);
    state.gone = { until: Date.now() + length };
    changed();
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, length);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    if (await answers()) return;
  }
}

async function answers() {
  try {
    await send("GET", "ready", { signal: AbortSignal.timeout(5000) });
    return true;
  } catch (problem) {
    return problem instanceof Problem && !problem.gone && problem.status < 500;
  }
}

addEventListener("online", knockNow);
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") knockNow();
});

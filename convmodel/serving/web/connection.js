/** Waiting for a server that cannot be reached, until it answers again. */

import { Problem, send } from "./api.js";
import { changed, state } from "./state.js";

const FIRST = 500;
const LONGEST = 15_000;

let waiting = null;
let wake = null;

/**
 * Waits until the server answers again; concurrent calls share one promise. The banner shows the time to the next try.
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

/** Tries to reach the server now instead of at the end of the pause. */
export function knockNow() {
  wake?.();
}

/**
 * Calls a function, and calls it again after `whenBack` while the server cannot be reached.
 * @template T
 * @param {() => Promise<T>} act
 * @param {AbortSignal} [signal] ends the waiting.
 * @returns {Promise<T>} the result of `act`.
 * @throws {DOMException} AbortError if `signal` aborts the waiting.
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
    // A random factor, so that not all pages try at the same moment.
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

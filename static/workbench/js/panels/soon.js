// @ts-check
// Doing something once for many reasons to do it.

/**
 * A function that does `act` so many milliseconds after the first call, and once for all calls
 * until then.
 * @param {() => void} act
 * @param {number} delayMs
 */
export function coalesced(act, delayMs) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */ let timer;
  return () => {
    timer ??= setTimeout(() => {
      timer = undefined;
      act();
    }, delayMs);
  };
}

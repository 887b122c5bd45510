// The shard module of tests/api/abort.test.js.

/** Returns `value` after being busy for `ms`. */
export function busy(ms, value) {
  const end = performance.now() + ms;
  while (performance.now() < end);
  return value;
}

export const never = () => new Promise(() => {});

/** Waits until its signal is aborted, and counts that. */
let ended = 0;
export const untilAborted = (signal) =>
  new Promise((resolve) => {
    signal.addEventListener('abort', () => {
      ended++;
      resolve(ended);
    });
  });
export const endedCount = () => ended;

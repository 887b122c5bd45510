// The thread's own timers, ticks and clock, as they were before the simulator took their place (globals.ts).
//
// Next: globals.ts.

/** Deno looks at `this`. */
export const real = {
  nextTick: process.nextTick.bind(process) as (callback: () => void) => void,
  setImmediate: globalThis.setImmediate.bind(globalThis),
  setInterval: globalThis.setInterval.bind(globalThis),
  clearInterval: globalThis.clearInterval.bind(globalThis),
  now: performance.now.bind(performance),
};

/** Resolves when the thread's own loop has come round. */
export const realSoon = (): Promise<void> => new Promise<void>((resolve) => void real.setImmediate(resolve));

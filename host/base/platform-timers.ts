// The platform's timers, as they were when this module was loaded.
//
// Tests replace the global ones by fake ones (sinon, Jest, node:test), which stand still until the test moves them on.
// Node's own sockets go on meanwhile, and so do a shard's: its loop and its sockets use these. A simulated world
// replaces these, too (host/sim/sim-timers.ts).

/** Deno and browsers look at `this`. */
export const platform = {
  setImmediate: globalThis.setImmediate.bind(globalThis),
  setTimeout: globalThis.setTimeout.bind(globalThis),
  clearTimeout: globalThis.clearTimeout.bind(globalThis),
};

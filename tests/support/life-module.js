// The shard module of the tests that start, stop and break shards: tests/api/shutdown.test.js, signals, faults.

import { existsSync } from 'node:fs';
import { runtime, sleep, spawn, yieldNow } from 'featherstar';
import { Response, serve } from 'featherstar/http';
import { listen } from 'featherstar/net';

export const self = () => runtime().self;
export const echo = (value) => value;
export const never = () => new Promise(() => {});
export const exit = () => process.exit(3);
export const spin = () => {
  for (;;);
};

export const spinLater = (ms) => sleep(ms).then(spin);
export class Spinner {
  spin() {
    spin();
  }
}
/** A server whose handlers never end. Returns its port. */
export const serveStuck = async () => (await serve({ hostname: '127.0.0.1', reusePort: false, fetch: spin })).port;

/** A task that never yields. */
export function spinInTask(name) {
  spawn(spin, { name });
}
/** A task that does not yield until there is a file of that name. */
export const spinUntil = (path, name) =>
  spawn(
    () => {
      while (!existsSync(path));
    },
    { name },
  ).then(() => undefined);
/** A task that takes its time, `ms` at once or `steps` times. */
export const burn = (ms, steps, name) =>
  spawn(
    async () => {
      for (let i = 0; i < steps; i++) {
        for (const end = performance.now() + ms; performance.now() < end; );
        await yieldNow();
      }
    },
    { name },
  ).then(() => undefined);

function throwUncaught() {
  throw new Error('nobody catches this');
}
export const throwHere = () => {
  throw new Error('thrown in a handler');
};
export const throwInTimer = () => {
  sleep(1).then(throwUncaught);
};
export const throwInTimeout = () => {
  setTimeout(throwUncaught, 1);
};
export const throwInMicrotask = () => queueMicrotask(throwUncaught);
export const rejectAlone = () => {
  void Promise.reject(new Error('nobody catches this'));
};

/** What a call to `peer` ends with: its value, or its error's code. */
export const outcome = (peer, name, ...args) =>
  runtime()
    .on(peer)
    [name](...args)
    .catch((error) => error.code);

/** An HTTP server of this shard's own. Returns its port. */
export async function serveHttp() {
  const fetch = () => new Response(`shard ${runtime().self}`);
  return (await serve({ hostname: '127.0.0.1', reusePort: false, fetch })).port;
}

/** Arms timers that no code waits for. */
export const holdTimers = (count) => {
  for (let i = 0; i < count; i++) sleep(60_000, { signal: runtime().signal }).catch(() => undefined);
};
export const timersOf = (shard) => runtime().stats(shard).pendingTimers;

/** The events on this shard, in order. */
const seen = [];
export const seenHere = () => seen;

/** Notes what close() does here; answers to shard 0 by `tell`. */
export function noteClose() {
  const here = runtime();
  seen.length = 0; // shard 0's was filled by the test before
  here.onClose(async ({ timeoutMs }) => {
    seen.push(timeoutMs > 0 ? 'hook' : 'hook without time');
    here.onClose(async () => {
      seen.push('hook of the hook');
      await here.on(0).tell(here.self, seen);
    });
  });
  here.signal.addEventListener('abort', async () => {
    seen.push(here.signal.reason.code);
    await here.on(0).tell(here.self, seen);
  });
}

const told = new Map();
export const tell = (shard, what) => {
  told.set(shard, what);
};
export const toldHere = () => told;

export const hookNever = () => void runtime().onClose(() => new Promise(() => {}));
export const hookThrows = () =>
  void runtime().onClose(() => {
    throw new Error('this hook fails');
  });
export const hookExits = () => void runtime().onClose(() => process.exit(3));
export const hookSpins = () => void runtime().onClose(spin);
export const keepAlive = () => {
  setInterval(() => {}, 1e6);
};

/** Takes `ms`, also while the runtime closes. */
export const finish = (ms) => sleep(ms).then(() => 'done');

/** Takes `ms`, or until the runtime closes. */
export const work = (ms) => sleep(ms, { signal: runtime().signal }).then(() => 'done');

/** A listener whose connections are read from and never closed here. Returns its port. */
export async function listenAndRead(reusePort = false) {
  const listener = await listen({ hostname: '127.0.0.1', reusePort });
  spawn(async () => {
    for await (const socket of listener) spawn(() => socket.read().catch(() => undefined));
  });
  return listener.port;
}

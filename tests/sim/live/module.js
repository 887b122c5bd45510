// The shard module of the live mode: what is called, and what serves. State of a shard is made by begin() and dropped
// by end(), as the engine keeps every instance of a module for ever.

import { allocate, Channel, Mutex, RwLock, runtime, Semaphore, Sharded, sleep, spawn } from 'featherstar';
import { openDirectory } from 'featherstar/fs';
import { chance, draw, ledger, pause, sometimes, tolerate, track } from './ledger.js';
import { startServer } from './server.js';

/** Of this shard: locks, a server, open files. */
let here;

export async function begin() {
  here = {
    semaphore: new Semaphore(2),
    mutex: new Mutex(),
    lock: new RwLock(),
    channel: new Channel({ capacity: 1 }),
    server: undefined,
    directory: await openDirectory('/'),
  };
}

export async function serveHere(port) {
  here.server = await startServer(port, here);
}

/** Connections that the server has at the moment. */
export const connections = () => here.server?.stats.connections ?? 0;

export async function end() {
  await here.server?.close({ timeoutMs: ledger.plan.boundMs });
  await here.directory.close();
  here = undefined;
}

export const echo = (value) => value;

/** Goes round the shards of `route`, and comes back with how many it has seen. Each may be the one before. */
export async function nest(route, payload, width) {
  if (route.length === 0) return 1;
  if (chance(0.3)) await pause(draw(3));
  const [next, ...rest] = route;
  const ask = () =>
    track(
      `nest(${route.length} more) from shard ${runtime().self} to shard ${next}`,
      runtime().on(next).nest(rest, payload, 1),
    );
  const sums = await Promise.all(Array.from({ length: width }, ask));
  return 1 + sums.reduce((sum, seen) => sum + seen, 0);
}

/** Ends when its caller gives up. */
export const hold = (signal) =>
  track(
    `hold() on shard ${runtime().self}`,
    new Promise((resolve) => {
      if (signal.aborted) resolve('aborted');
      signal.addEventListener('abort', () => resolve('aborted'), { once: true });
    }),
  );

export async function slow(ms, value) {
  await (chance(0.5) ? spawn(() => sleep(ms)) : pause(ms));
  return value;
}

/** Bytes by reference: changed in place, given back, or kept and forgotten about in order. */
export async function bump(shared, isAnswer) {
  for (let i = 0; i < shared.bytes.length; i += 512) shared.bytes[i]++;
  if (isAnswer) return shared;
  await pause(draw(3));
  return undefined;
}

export function fresh(length) {
  return allocate(length);
}

/** A service whose instances ask each other. */
export class Tally {
  #count = 0;
  #siblings = Sharded.of(this);

  add(hops) {
    this.#count++;
    if (hops === 0) return this.#count;
    return this.#siblings.on((runtime().self + 1) % runtime().shardCount).add(hops - 1);
  }

  read() {
    return this.#count;
  }
}

const LOCKED = {
  semaphore: (options) => here.semaphore.acquire(options),
  mutex: (options) => here.mutex.lock(options),
  read: (options) => here.lock.read(options),
  write: (options) => here.lock.write(options),
};

/** Waits for a lock of this shard, with a way out, and holds it for a while. */
export async function locked(name, waitMs, holdMs) {
  const control = new AbortController();
  const timer = setTimeout(() => control.abort(new Error('given up')), waitMs);
  try {
    const guard = await track(`${name} of shard ${runtime().self}`, LOCKED[name]({ signal: control.signal }));
    try {
      await pause(holdMs);
    } finally {
      guard.release();
    }
  } catch (error) {
    tolerate(error);
    sometimes('lock given up');
  } finally {
    clearTimeout(timer);
  }
}

/** One sends, one receives, over a channel with room for one. */
export async function passOn(count) {
  const { channel } = here;
  const sending = (async () => {
    for (let i = 0; i < count; i++) await track(`send() of shard ${runtime().self}`, channel.send(i));
  })();
  for (let i = 0; i < count; i++) await track(`receive() of shard ${runtime().self}`, channel.receive());
  await sending;
}

export async function files(steps) {
  const { directory } = here;
  const { self } = runtime();
  for (let i = 0; i < steps; i++) {
    const control = new AbortController();
    const { signal } = control;
    const giveUp = chance(0.3) ? setTimeout(() => control.abort(new Error('given up')), draw(30)) : undefined;
    const name = `f${self % 2}`;
    const deeds = [
      () => directory.writeFile(name, 'y'.repeat(draw(9000)), { signal }),
      () => directory.replaceFile(name, 'x'.repeat(draw(9000)), { signal }),
      () => directory.readFile(name, { signal }),
    ];
    try {
      await track(`a file of shard ${self}`, deeds[draw(deeds.length)]());
      sometimes('file done');
    } catch (error) {
      tolerate(error);
    } finally {
      clearTimeout(giveUp);
    }
  }
}

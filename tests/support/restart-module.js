// The shard module of tests/api/restart.test.js: what a shard leaves on others when it dies, and what finds it there.

import { closeSync, openSync, writeFileSync } from 'node:fs';
import { allocate, openSender, runtime, ShardChannel, Sharded, sleep } from 'featherstar';
import { Response, serve } from 'featherstar/http';

const call = (peer, name, ...args) =>
  runtime()
    .on(peer)
    [name](...args);

let count = 0;
export const add = () => ++count;
export const echo = (value) => value;
export const exit = () => process.exit(3);
export const spin = () => {
  for (;;);
};
/** Ends a shard: by an uncaught error, or by a full heap. */
export const throwLater = () => {
  setTimeout(() => {
    throw new RangeError('nobody catches this');
  }, 1);
};
export const fillHeap = () => {
  for (const all = []; ; ) all.push(new Array(1000).fill({}));
};
/** Waits in a system call until another thread opens the pipe for writing. */
export const openPipe = (path) => {
  writeFileSync(`${path}.soon`, '');
  closeSync(openSync(path, 'r'));
};
/** Serves HTTP on a port that others share. */
export const serveOn = async (port) => {
  const fetch = (request) => (request.path === '/spin' ? spin() : new Response(`shard ${runtime().self}`));
  return (await serve({ hostname: '127.0.0.1', port, reusePort: true, fetch })).port;
};
export const never = () => new Promise(() => {});
/** What a call to `peer` ends with: its value, or its error's code. */
export const outcome = (peer, name, ...args) => call(peer, name, ...args).catch((error) => error.code);

let isReleased = false;
export const release = () => {
  isReleased = true;
};
const released = async () => {
  while (!isReleased) await sleep(1);
};
/** Keeps this shard's loop, and what comes to it, for so long. */
export const block = (ms) => {
  for (const end = performance.now() + ms; performance.now() < end; );
};

// --- calls and signals -----------------------------------------------------------------------------------------------

export async function whenReleased(value) {
  await released();
  return value;
}
export const leaveCalls = (peer, calls) => {
  for (let i = 0; i < calls; i++) call(peer, 'whenReleased', `old ${i}`).catch(() => {});
};
/** Asks as many at once. Returns those that got what is not their answer. */
export async function askMany(peer, calls) {
  const ask = async (i) => {
    const answer = await call(peer, 'echoLater', i);
    return answer === i ? [] : [`${i}: ${answer}`];
  };
  return (await Promise.all(Array.from({ length: calls }, (_, i) => ask(i)))).flat();
}
export async function echoLater(value) {
  await sleep(20);
  return value;
}

export const leaveSignals = (peer, calls) => {
  for (let i = 0; i < calls; i++) call(peer, 'withSignal', new AbortController().signal).catch(() => {});
};
/** Ends when release() is called, whatever the signal does. */
export async function withSignal(_signal) {
  await released();
}
const controllers = [];
export const callWithSignals = (peer, calls) => {
  for (let i = 0; i < calls; i++) {
    const controller = new AbortController();
    controllers.push(controller);
    call(peer, 'untilAborted', controller.signal).catch(() => {});
  }
};
export const abortAll = () => {
  for (const controller of controllers) controller.abort();
};
let aborted = 0;
export const abortedHere = () => aborted;
export const untilAborted = (signal) =>
  new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(++aborted));
  });

// --- what has a home -------------------------------------------------------------------------------------------------

export const makeChannel = () => new ShardChannel({ capacity: 1 }).name;
export const openCode = (name) =>
  openSender(name).then(
    () => 'open',
    (error) => error.code,
  );

/** Sends to a channel that is full, so that the replies come late. */
export async function sendMany(name, values) {
  const sender = await openSender(name);
  for (const value of values) await sender.send(value);
  await sender.close();
  return values.length;
}
let channel;
export const receiver = (senders) => {
  channel = new ShardChannel({ capacity: 1, senders });
  return channel.name;
};
export async function receiveAll() {
  const seen = [];
  for (;;) {
    try {
      for await (const value of channel) seen.push(value);
      return seen;
    } catch (error) {
      seen.push(error.code);
    }
  }
}

const kept = [];
export const keep = (bytes) => {
  kept.push(bytes.keep());
  bytes.bytes.fill(7);
};
export const isKept = () => kept.every(({ bytes }) => bytes.every((byte) => byte === 7));
export const dispose = () => {
  for (const bytes of kept.splice(0)) bytes.dispose();
};
export const lend = (peer, length) => call(peer, 'keep', allocate(length));
/** Takes all that there is in pieces of this size, and writes over it. Returns how many there were. */
export function useAll(length) {
  const taken = [];
  try {
    for (;;) taken.push(allocate(length));
  } catch (error) {
    if (error.code !== 'FEATHERSTAR_FULL') throw error;
  }
  for (const bytes of taken) {
    bytes.bytes.fill(1);
    bytes.dispose();
  }
  return taken.length;
}

export class Counter {
  #count = 0;
  add() {
    return ++this.#count;
  }
}
export const startCounter = () => Sharded.start('Counter').then((service) => service.onAll().add());

export const greet = async (socket) => {
  await socket.write(`shard ${runtime().self}`);
  await socket.end();
};

// The shard module of the contract: what the behaviours ask of other shards.

import { runtime, sleep } from 'featherstar';
import { listen } from 'featherstar/net';

let accepted = 0;

export const add = (a, b) => a + b;
export const exit = () => process.exit(3);
export const self = () => runtime().self;
export const acceptedHere = () => accepted;
export const order = [];

export function note(number) {
  order.push(number);
}

export const noted = () => order;

export function fail() {
  throw Object.assign(new RangeError('not that one'), { code: 'MINE' });
}

/** Waits until the caller gives up. Returns nothing before. */
export function wait(signal) {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}

export async function fill(bytes) {
  bytes.bytes.fill(7);
  return bytes;
}

/** Sends the addresses of its connection. */
export async function sayAddresses(socket) {
  const { remote, local } = socket;
  await socket.write(JSON.stringify({ remote, local }));
  await socket.end();
  socket.close();
}

/** Echoes a connection that was handed over. */
export async function echo(socket) {
  accepted++;
  for await (const bytes of socket) await socket.write(bytes);
  await socket.end();
  socket.close();
}

/** Listens beside the others, and says on each connection which shard it is. Returns the port. */
export async function greet(port) {
  const listener = await listen({ port, hostname: '127.0.0.1' });
  (async () => {
    for await (const socket of listener) {
      accepted++;
      await socket.write(`${runtime().self}`);
      await socket.end();
      socket.close();
    }
  })().catch((error) => {
    if (error.code !== 'FEATHERSTAR_CLOSED') throw error;
  });
  return listener.port;
}

export async function later(ms, value) {
  await sleep(ms);
  return value;
}

/** Asks `peer` for a sum, which takes it `ms`. */
export const askAdd = (peer, a, b, ms = 0) =>
  runtime()
    .on(peer)
    .later(ms, a + b);

/** Leaves calls open at `peer` that are answered at endAll(). */
export function leaveOpen(peer, count) {
  for (let i = 0; i < count; i++)
    runtime()
      .on(peer)
      .open()
      .catch(() => {});
}

const ends = [];
export const open = () => new Promise((resolve) => ends.push(() => resolve('for the last life')));
export function endAll() {
  for (const end of ends.splice(0)) end();
}

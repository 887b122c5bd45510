// The shard module of tests/api/handover.test.js: what becomes of connections that are handed to a shard.

import { runtime } from 'featherstar';
import { holdings } from './hosts.js';

const kept = [];
let over = 0;

/** Says where it is, then sends everything back. */
export async function serve(socket, greeting) {
  await socket.write(`${greeting}@${runtime().self}\n`);
  for await (const bytes of socket) await socket.write(bytes);
  await socket.end();
  socket.close();
}

/** Reads `bytes`, says so, and hands on to the next shard of the list. */
export async function relay(socket, bytes, path) {
  let read = Buffer.alloc(0);
  while (read.length < bytes) read = Buffer.concat([read, await socket.read()]);
  await socket.write(`${runtime().self}:${read}\n`);
  if (path.length > 0) return socket.handOver(path[0], 'relay', bytes, path.slice(1));
  await socket.end();
  socket.close();
}

/** Reads `bytes` into an array of its own, says so, and hands on. */
export async function relayInto(socket, bytes, path) {
  const array = new Uint8Array(bytes);
  for (let at = 0; at < bytes; ) at += await socket.readInto(array.subarray(at));
  await socket.write(`${runtime().self}:${Buffer.from(array)}\n`);
  if (path.length > 0) return socket.handOver(path[0], 'relayInto', bytes, path.slice(1));
  await socket.pipeTo(socket);
  socket.close();
}

/** Keeps the socket until this round ends, which may have happened already. */
export const keep = (socket, round) => {
  if (round <= over) socket.close();
  else kept.push(socket);
};
export const closeKept = (round) => {
  over = round;
  for (const socket of kept.splice(0)) socket.close();
};
export const keptCount = () => kept.length;
export const readKept = async () => (await kept[0].read()).length;
export const readKeptAborted = async () => {
  const controller = new AbortController();
  const reading = kept[0].read({ signal: controller.signal }).catch((error) => error.message);
  setTimeout(() => controller.abort(new Error('aborted there')), 5);
  return reading;
};
export const kindOfKept = () => [kept[0].isProxy, kept[0].isClosed];

export const fail = async () => {
  throw new Error('the function of the other shard failed');
};
export const quiet = () => {
  process.on('unhandledRejection', () => {});
};
export const here = () => holdings();
export const exit = () => process.exit(0);
export const notAFunction = 5;

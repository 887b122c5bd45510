// The shard module of tests/api/shard-channel.test.js: what senders on other shards do.

import { openSender, runtime, ShardChannel } from 'featherstar';

const kept = [];

/** Sends `count` values, one after the other, and closes. */
export async function produce(name, count) {
  const sender = await openSender(name);
  for (let i = 0; i < count; i++) await sender.send([runtime().self, i]);
  await sender.close();
  return count;
}

/** Sends without waiting; returns how each of them ended, when all have. */
export async function burst(name, count) {
  const sender = await openSender(name);
  const sends = Array.from({ length: count }, (_, i) =>
    sender.send(i).then(
      () => 'accepted',
      (error) => error.code,
    ),
  );
  return Promise.all(sends);
}

export async function keep(name) {
  kept.splice(0, 1, await openSender(name)); // a test that leaves one behind is no other test's business
}
export async function begin(value) {
  kept[0].send(value).catch(() => {});
}
export const sendKept = (value) =>
  kept[0].send(value).then(
    () => 'accepted',
    (error) => error.code,
  );
export const sendAborted = async (value) => {
  const controller = new AbortController();
  const sending = kept[0].send(value, { signal: controller.signal }).then(
    () => 'accepted',
    (error) => error.message,
  );
  setTimeout(() => controller.abort(new Error('aborted there')), 5);
  return sending;
};
export const closeKept = async () => {
  for (const sender of kept.splice(0)) await sender.close();
};
export const openHere = (capacity) => new ShardChannel({ capacity }).name;
export const exit = () => process.exit(0);

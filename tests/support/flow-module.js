// The shard module of tests/api/sync-flow.test.js: scenarios of Channel and Pipe that run inside each shard.

import { Channel, Pipe } from 'featherstar';
import * as assert from 'uvu/assert';
import { randomFrom, SEED } from '../http/random.js';
import { holdings, rejection } from './hosts.js';
import { until } from './http.js';

const own = new Error('own reason');
const isOption = (error) => error.code === 'FEATHERSTAR_OPTION';
const tick = () => new Promise((resolve) => setImmediate(resolve));
const codeOf = async (promise) => (await rejection(promise)).code;
const text = (bytes) => (bytes === null ? null : Buffer.from(bytes).toString());
const collect = async (items) => {
  const all = [];
  for await (const item of items) all.push(item);
  return all;
};

export const scenarios = {
  async 'channel: order, backpressure, limits'() {
    const channel = new Channel({ capacity: 2, maxWaiters: 2 });
    assert.equal([channel.trySend(1), channel.trySend(2), channel.trySend(3)], [true, true, false]);
    const sends = [channel.send(3), channel.send(4)];
    assert.is(await codeOf(channel.send(5)), 'FEATHERSTAR_FULL');
    assert.equal([channel.size, channel.waitingSenders], [2, 2]);
    assert.is(await channel.receive(), 1);
    assert.equal([channel.size, channel.waitingSenders], [2, 1], 'a sender moved up in the same frame');
    assert.equal(channel.drain(), [2, 3, 4]);
    await Promise.all(sends);
    assert.is(channel.tryReceive(), undefined);
    const receives = [channel.receive(), channel.receive()];
    assert.is(await codeOf(channel.receive()), 'FEATHERSTAR_FULL');
    assert.ok(channel.trySend('a') && channel.trySend('b'));
    assert.equal([await receives[0], await receives[1], channel.size], ['a', 'b', 0]);
    for (const capacity of [0, 1.5, 2 ** 25, '4']) assert.throws(() => new Channel({ capacity }), isOption);
    const large = new Channel({ capacity: 100_000 });
    for (let i = 0; i < 100_000; i++) assert.ok(large.trySend(i));
    assert.is(large.trySend(0), false);
    assert.equal([large.tryReceive(), large.drain().length], [0, 99_999]);
  },

  async 'channel: giving up'() {
    const channel = new Channel({ capacity: 1 });
    const controller = new AbortController();
    const { signal } = controller;
    const receiving = rejection(channel.receive({ signal }));
    assert.is(await codeOf(channel.receive({ timeoutMs: 1 })), 'FEATHERSTAR_TIMEOUT');
    controller.abort(own);
    assert.is(await receiving, own);
    assert.is(channel.waitingReceivers, 0);
    await channel.send('first');
    assert.is(await rejection(channel.send(1, { signal })), own);
    assert.is(await codeOf(channel.send('never', { timeoutMs: 1 })), 'FEATHERSTAR_TIMEOUT');
    const second = channel.send('second', { timeoutMs: 100_000 });
    assert.equal(channel.drain(), ['first', 'second']);
    await second;
  },

  async 'channel: closing'() {
    const channel = new Channel({ capacity: 1 });
    channel.trySend('held');
    const waiting = codeOf(channel.send('waits'));
    channel.close();
    assert.is(await waiting, 'FEATHERSTAR_CLOSED');
    assert.is(await codeOf(channel.send(1)), 'FEATHERSTAR_CLOSED');
    assert.throws(() => channel.trySend(1), /the channel is closed/);
    assert.equal(await collect(channel), ['held']);
    assert.is(await codeOf(channel.receive()), 'FEATHERSTAR_CLOSED');
    const broken = new Channel({ capacity: 1 });
    const received = rejection(broken.receive());
    broken.close(own);
    assert.equal([await received, await rejection(collect(broken))], [own, own]);
    const counted = new Channel({ capacity: 1 });
    const sender = counted.sender();
    const clone = sender.clone();
    const sends = [sender.send(1), sender.send(2)];
    sender.close();
    sender.close();
    assert.equal([sender.isClosed, clone.isClosed, counted.isClosed], [true, false, false]);
    assert.is(await codeOf(sender.send(3)), 'FEATHERSTAR_CLOSED');
    clone.close();
    assert.ok(counted.isClosed, 'nothing can be sent any more');
    assert.equal(await collect(counted), [1, 2], 'but what was being sent arrives');
    await Promise.all(sends);
    const shy = new Channel({ capacity: 1 });
    const only = shy.sender();
    await only.send(1);
    const controller = new AbortController();
    const givenUp = rejection(only.send(2, { signal: controller.signal }));
    only.close();
    controller.abort(own);
    assert.equal([await givenUp, await collect(shy)], [own, [1]], 'the last send gave up: that is the end');
    const open = new Channel({ capacity: 2 });
    open.trySend(1);
    open.trySend(2);
    for await (const value of open) if (value === 1) break;
    assert.equal([open.isClosed, await open.receive()], [false, 2]);
  },

  async 'channel: many senders and receivers, random'() {
    for (let seed = SEED; seed < SEED + 20; seed++) {
      const random = randomFrom(seed);
      const channel = new Channel({ capacity: 1 + random(4) });
      const sent = [];
      const got = [];
      const send = async (name) => {
        const sender = channel.sender();
        for (let i = 0; i < 50; i++) {
          const controller = new AbortController();
          const sending = sender.send(`${name}:${i}`, { signal: controller.signal });
          if (random(4) === 0) controller.abort(own);
          await sending.then(
            () => sent.push(`${name}:${i}`),
            (error) => assert.is(error, own),
          );
          if (random(3) === 0) await tick();
        }
        sender.close();
      };
      const receive = async () => {
        for await (const value of channel) {
          got.push(value);
          if (random(3) === 0) await tick();
        }
      };
      await Promise.all(['a', 'b', 'c'].map(send).concat(receive(), receive()));
      assert.equal([...got].sort(), [...sent].sort(), `seed ${seed}: each once`);
      for (const name of ['a', 'b', 'c']) {
        const of = (all) => all.filter((value) => value.startsWith(name));
        assert.equal(of(got), of(sent), `seed ${seed}: in order`);
      }
    }
  },

  async 'pipe: parts, end, abort'() {
    const pipe = new Pipe({ capacity: 4 });
    const reading = pipe.read({ maxBytes: 3 });
    const writing = pipe.write(Buffer.from('abcdefgh'));
    assert.equal([text(await reading), pipe.size, pipe.waitingWriters], ['abc', 4, 1]);
    const second = pipe.write(Buffer.from('ij'));
    pipe.end();
    assert.is(await codeOf(pipe.write(Buffer.from('k'))), 'FEATHERSTAR_CLOSED');
    assert.equal([text(await pipe.read({ maxBytes: 1 })), text(await pipe.read())], ['d', 'efgh']);
    await writing;
    assert.equal([text(await pipe.read()), await pipe.read(), pipe.bytesWritten], ['ij', null, 10]);
    await second;
    const ended = new Pipe();
    const atEnd = [ended.read(), ended.read()];
    ended.end();
    assert.equal(await Promise.all(atEnd), [null, null]);
    const small = new Pipe({ capacity: 2, maxWaiters: 1 });
    assert.is(await codeOf(small.read({ maxBytes: 1, timeoutMs: 1 })), 'FEATHERSTAR_TIMEOUT');
    const aborted = rejection(small.write(Buffer.from('xyz')));
    assert.is(await codeOf(small.write(Buffer.from('z'))), 'FEATHERSTAR_FULL');
    small.abort(own);
    assert.equal(
      [await aborted, await rejection(small.read()), await rejection(small.write(Buffer.of(1)))],
      [own, own, own],
    );
    const left = new Pipe({ capacity: 1 });
    const stuck = codeOf(left.write(Buffer.from('abc')));
    for await (const _ of left) break;
    assert.is(await stuck, 'FEATHERSTAR_ABORTED');
    const late = new Pipe({ capacity: 2 });
    assert.is(await codeOf(late.write(Buffer.from('abc'), { timeoutMs: 1 })), 'FEATHERSTAR_TIMEOUT');
    assert.equal([late.bytesWritten, text(await late.read())], [2, 'ab']);
    await late.write(Buffer.of());
    assert.is(await rejection(late.read({ maxBytes: 1, signal: AbortSignal.abort(own) })), own);
    for (const capacity of [0, 2 ** 31, '5']) assert.throws(() => new Pipe({ capacity }), isOption);
    for (const maxBytes of [0, -1, 1.5]) assert.throws(() => late.read({ maxBytes }), isOption);
    assert.throws(() => late.write('text'), isOption);
  },

  async 'pipe: random pieces'() {
    for (let seed = SEED; seed < SEED + 20; seed++) {
      const random = randomFrom(seed);
      const pipe = new Pipe({ capacity: 1 + random(40) });
      const all = Buffer.from(Array.from({ length: 2000 }, () => random(256)));
      const write = async () => {
        for (let at = 0; at < all.length; ) {
          const end = Math.min(all.length, at + random(90));
          const chunk = Buffer.from(all.subarray(at, end));
          const writing = pipe.write(chunk);
          at = end;
          if (random(2) === 0) {
            await writing;
            chunk.fill(0); // it is ours again
          }
          await (random(20) === 0 ? tick() : undefined);
        }
        pipe.end();
      };
      const pieces = [];
      const read = async () => {
        let maxBytes = 1 + random(60);
        for (let piece = await pipe.read({ maxBytes }); piece !== null; piece = await pipe.read({ maxBytes })) {
          assert.ok(piece.length > 0 && piece.length <= maxBytes);
          pieces.push(piece);
          await (random(20) === 0 ? tick() : undefined);
          maxBytes = 1 + random(60);
        }
      };
      await Promise.all([write(), read()]);
      assert.ok(Buffer.concat(pieces).equals(all), `seed ${seed}`);
    }
  },
};

const left = () => `${holdings().timers} timers, ${holdings().tasks} tasks`;

/** Runs one scenario on this shard, and sees that it leaves nothing behind: see sync-module.js. */
export async function run(name) {
  const base = left();
  await scenarios[name]();
  await until(() => left() === base, `the shard holds ${base} again, not ${left()}`);
  return 'ran';
}

// Behaviours of socket.readInto(). A part of behaviours.js.

import assert from 'node:assert/strict';
import { sleep, yieldNow } from 'featherstar';
import { pair, pattern, say } from './sockets.js';

const MEBIBYTE = 1_048_576;
const MARK = 0xee;

/** A socket that moves so much that it is received into arrays directly, where the host can do that. */
async function busyPair() {
  const both = await pair();
  const writing = both.near.write(pattern(MEBIBYTE));
  const bytes = new Uint8Array(65_536);
  for (let left = MEBIBYTE; left > 0; ) left -= await both.far.readInto(bytes);
  await writing;
  return both;
}

export const readsInto = {
  'counts, what has no room waits, and null is the end': async () => {
    const { near, far, close } = await pair();
    await near.write('hello');
    const bytes = new Uint8Array(10).fill(MARK);
    assert.equal(await far.readInto(bytes.subarray(4, 6)), 2);
    assert.deepEqual([...bytes], [MARK, MARK, MARK, MARK, 104, 101, MARK, MARK, MARK, MARK]);
    assert.equal(await far.readInto(bytes.subarray(0, 1)), 1);
    assert.equal(`${Buffer.from(await far.read())}`, 'lo');
    await say(near, '!');
    assert.equal(await far.readInto(bytes), 1);
    assert.equal(await far.readInto(bytes), null);
    assert.equal(await far.read(), null);
    close();
  },
  'arrays of every size get a stream whole': async () => {
    const data = pattern(2 * MEBIBYTE + 5);
    for (const size of [1000, 4096, 5000, 65_536, 200_000, 3 * MEBIBYTE]) {
      const { near, far, close } = await pair();
      const saying = say(near, data);
      const bytes = new Uint8Array(size + 2).fill(MARK);
      const view = bytes.subarray(1, -1);
      let at = 0;
      for (let count = await far.readInto(view); count !== null; count = await far.readInto(view)) {
        assert.ok(data.subarray(at, at + count).equals(view.subarray(0, count)), `${size}: from ${at} on`);
        at += count;
      }
      assert.equal(at, data.length);
      assert.deepEqual([bytes[0], bytes.at(-1)], [MARK, MARK]);
      await saying;
      close();
    }
  },
  'an array of shared memory': async () => {
    const { near, far, close } = await busyPair();
    const bytes = new Uint8Array(new SharedArrayBuffer(100_000));
    const data = pattern(100_000);
    const writing = near.write(data);
    for (let at = 0; at < data.length; ) at += await far.readInto(bytes.subarray(at));
    assert.ok(data.equals(bytes));
    await writing;
    close();
  },
  'an array that was given back is not written to': async () => {
    const { near, far, close } = await busyPair();
    const data = pattern(4 * MEBIBYTE);
    const saying = say(near, data);
    const bytes = new Uint8Array(65_536);
    let at = 0;
    const take = (array) => {
      assert.ok(data.subarray(at, at + array.length).equals(array), `from ${at} on`);
      at += array.length;
    };
    for (let i = 0; at < data.length; i++) {
      const controller = new AbortController();
      const reading = far.readInto(bytes, { signal: controller.signal });
      for (let k = 0; k < i % 5; k++) await (k % 2 === 0 ? null : yieldNow());
      if (i % 7 === 6) await sleep(0.1);
      controller.abort(new Error('enough'));
      const count = await reading.catch(() => undefined);
      if (count !== undefined) {
        take(bytes.subarray(0, count));
        continue;
      }
      bytes.fill(MARK);
      if (i % 3 === 0) await sleep(0.1);
      const next = await far.read();
      assert.ok(bytes.every((byte) => byte === MARK));
      if (next === null) break;
      take(next);
    }
    assert.equal(at, data.length);
    await saying;
    close();
  },
  'nor is one of a socket that was closed': async () => {
    const outcomes = [];
    const given = new Set();
    for (let i = 0; i < 10; i++) {
      const { near, far, close } = await busyPair();
      const bytes = new Uint8Array(65_536);
      given.add(bytes.buffer);
      near.write(pattern(MEBIBYTE)).catch(() => {});
      for (let k = 0; k < i; k++) await far.readInto(bytes);
      const outcome = far.readInto(bytes).catch((error) => error.code);
      far.close();
      bytes.fill(MARK);
      outcomes.push(await outcome);
      await sleep(1);
      assert.ok(bytes.every((byte) => byte === MARK));
      close();
    }
    assert.ok(outcomes.includes('FEATHERSTAR_CLOSED'));
    for (const outcome of outcomes) assert.ok(outcome > 0 || outcome === 'FEATHERSTAR_CLOSED', outcome); // bytes waited
    const { near, far, close } = await busyPair();
    const saying = say(near, pattern(2 * MEBIBYTE));
    for await (const bytes of far) assert.ok(!given.has(bytes.buffer), 'a read returned the array of another reader');
    await saying;
    close();
  },
  'an array without bytes by now: EFAULT, and the bytes wait': async (t) => {
    for (const make of [pair, busyPair]) {
      const { near, far, close } = await make();
      const gone = new Uint8Array(100);
      const shrunk = new Uint8Array(new ArrayBuffer(100, { maxByteLength: 200 }));
      for (const [array, spoil] of [
        [gone, () => structuredClone(gone.buffer, { transfer: [gone.buffer] })],
        [shrunk, () => shrunk.buffer.resize(0)],
      ]) {
        const errno = t.errno(far.readInto(array));
        spoil();
        await near.write('late');
        assert.equal(await errno, 'EFAULT');
        assert.equal(`${Buffer.from(await far.read())}`, 'late');
      }
      close();
    }
  },
  'the abort of a read whose array was transferred': async () => {
    const { near, far, close } = await busyPair();
    const writing = near.write(pattern(MEBIBYTE));
    for (let i = 0; i < 20; i++) {
      const controller = new AbortController();
      const array = new Uint8Array(100);
      const reading = far.readInto(array, { signal: controller.signal }).catch((error) => error.name);
      for (let k = 0; k < i % 4; k++) await yieldNow();
      structuredClone(array.buffer, { transfer: [array.buffer] });
      controller.abort();
      const outcome = await reading;
      assert.ok(outcome > 0 || outcome === 'AbortError' || outcome === 'FeatherstarError', `${outcome}`);
    }
    close();
    await writing.catch(() => {});
  },
  'one that shrinks gets as much as it has room for': async () => {
    const { near, far, close } = await busyPair();
    const array = new Uint8Array(new ArrayBuffer(100, { maxByteLength: 200 }));
    const reading = far.readInto(array);
    array.buffer.resize(2);
    await near.write('late');
    assert.equal(await reading, 2);
    assert.equal(`${Buffer.from(array)}${Buffer.from(await far.read())}`, 'late');
    close();
  },
  'wrong arguments, a second reader, a time': async (t) => {
    const { near, far, close } = await pair();
    const bytes = new Uint8Array(10);
    for (const wrong of [undefined, 5, new Uint8Array(0), new Uint16Array(4)]) {
      assert.equal(await t.code(far.readInto(wrong)), 'FEATHERSTAR_OPTION');
    }
    assert.equal(await t.code(far.readInto(bytes, { timeoutMs: 1 })), 'FEATHERSTAR_TIMEOUT');
    const reading = far.readInto(bytes);
    assert.equal(await t.code(far.readInto(bytes)), 'FEATHERSTAR_STATE');
    assert.equal(await t.code(far.read()), 'FEATHERSTAR_STATE');
    assert.equal(await t.code(far.pipeTo(far)), 'FEATHERSTAR_STATE');
    await near.write('x');
    assert.equal(await reading, 1);
    close();
    assert.equal(await t.code(far.readInto(bytes)), 'FEATHERSTAR_CLOSED');
  },
};

// host/base/queue.ts and host/base/byte-queue.ts against the plainest models: an array, and one long string of bytes.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ByteQueue, JOINED_BYTES } from '../../dist/host/base/byte-queue.js';
import { Queue } from '../../dist/host/base/queue.js';
import { randomFrom, SEED } from '../http/random.js';

test('a queue is an array, whatever is done to it', () => {
  const random = randomFrom(SEED);
  for (let round = 0; round < 50; round++) {
    const queue = new Queue();
    let model = [];
    const bias = 2 + random(5);
    for (let step = 0; step < 2000; step++) {
      const what = random(40);
      if (what === 0) assert.equal(queue.takeAll(), model.splice(0));
      else if (what === 1 && random(4) === 0) {
        queue.clear();
        model = [];
      } else if (what === 2) {
        const entry = model[random(model.length + 1)] ?? -1;
        const isWanted = (other) => other === entry || other % 7 === 3;
        assert.equal(queue.takeWhere(isWanted), model.filter(isWanted));
        model = model.filter((other) => !isWanted(other));
      } else if (what < 8) {
        queue.unshift(step);
        model.unshift(step);
      } else if (what % 7 < bias) {
        queue.push(step);
        model.push(step);
      } else assert.is(queue.shift(), model.shift());
      assert.equal([queue.length, queue.first], [model.length, model[0]]);
    }
    assert.equal(queue.takeAll(), model);
  }
});

/** All pieces that are in a queue. */
function pieces(queue) {
  const all = [];
  for (let piece = queue.shift(); piece !== undefined; piece = queue.shift()) all.push(piece);
  return all;
}

test('a queue of bytes is one long array, however it is filled and emptied', () => {
  const random = randomFrom(SEED + 1);
  for (let round = 0; round < 200; round++) {
    const queue = new ByteQueue();
    const given = []; // arrays that were queued, and what was in them
    const longest = [3, 300, 3000, 10_000][random(4)];
    let model = Buffer.alloc(0);
    const fresh = () => {
      const bytes = Buffer.alloc(random(longest + 1));
      for (let i = 0; i < bytes.length; i++) bytes[i] = random(256);
      given.push([bytes, Buffer.from(bytes)]);
      return bytes;
    };
    for (let step = 0; step < 100; step++) {
      const what = random(10);
      if (what < 6) {
        const bytes = fresh();
        model = Buffer.concat([model, bytes]);
        queue.push(bytes);
      } else if (what === 6) {
        const bytes = fresh();
        model = Buffer.concat([bytes, model]);
        queue.unshift(bytes);
      } else if (what === 7) {
        const first = queue.first;
        const piece = queue.shift();
        assert.equal(first && Buffer.from(first), piece && Buffer.from(piece));
        assert.ok(model.subarray(0, piece?.length ?? 0).equals(piece ?? Buffer.alloc(0)));
        model = model.subarray(piece?.length ?? 0);
      } else if (what === 8) {
        const target = Buffer.alloc(8000);
        const moved = queue.moveTo(target, 7, random(7000));
        assert.ok(moved <= model.length && target.subarray(7, 7 + moved).equals(model.subarray(0, moved)));
        model = model.subarray(moved);
      } else if (random(20) === 0) {
        const all = queue.takeAll();
        assert.is(all.buffer.byteLength, all.length, 'it has its buffer to itself');
        assert.ok(model.equals(all));
        model = Buffer.alloc(0);
      }
      assert.is(queue.bytes, model.length);
    }
    assert.ok(Buffer.concat(pieces(queue)).equals(model));
    for (const [bytes, before] of given) assert.ok(bytes.equals(before), 'what was given is not written to');
  }
});

test('small pieces are joined: two neighbours are longer than a block', () => {
  const random = randomFrom(SEED + 2);
  for (const longest of [1, 2, 100, 2000, 5000, 100_000]) {
    const queue = new ByteQueue();
    for (let i = 0; i < 65_536 && queue.bytes < 1_000_000; i++) queue.push(new Uint8Array(1 + random(longest)));
    const lengths = pieces(queue).map((piece) => piece.length);
    for (let i = 1; i < lengths.length; i++) assert.ok(lengths[i - 1] + lengths[i] > JOINED_BYTES, `${lengths}`);
  }
});

test('what 64 KiB of single bytes keep in memory is less than twice as much', () => {
  const queue = new ByteQueue();
  for (let i = 0; i < 65_536; i++) queue.push(new Uint8Array(1));
  const buffers = new Set(pieces(queue).map((piece) => piece.buffer));
  assert.ok(buffers.size <= 17, `${buffers.size} buffers`);
  let kept = 0;
  for (const { byteLength } of buffers) kept += byteLength;
  assert.ok(kept <= 131_072, `${kept} bytes`);
});

test.run();

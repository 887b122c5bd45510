// core: debug
// Blocks in the simulator: all of their memory is scribbled over, files and sends use them where they lie, and a seed
// gives the same trace again.

import { allocate, runtime } from 'featherstar';
import { openDirectory } from 'featherstar/fs';
import { listen } from 'featherstar/net';
import { simulate } from 'featherstar/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { sharedBlocks } from '../../dist/host/shard/block-pool.js';
import { currentShard } from '../../dist/host/shard/shard.js';
import { connectFromBlock, sendFromBlock } from '../support/block-operations.js';

const module = new URL('../support/call-module.js', import.meta.url);
const SEEDS = 10;
const FILE_BYTES = 300_000;
const VALUES = [Number.NaN, -1, 0, 1.7e308];

async function scribble(value) {
  const held = allocate(1000);
  const lent = await runtime().on(2).make(1000, 1);
  await runtime().on(1).scribble(value);
  const shards = [0, 1, 2];
  for (let round = 0; round < 3; round++) {
    const wrong = await Promise.all(shards.map((shard) => runtime().on(shard).blocksWork()));
    assert.equal(wrong, [0, 0, 0]);
    assert.ok((await runtime().on(1).passOn(allocate(100), 5)) > 0);
  }
  held.dispose();
  lent.dispose();
  const used = await Promise.all(shards.map((shard) => runtime().on(shard).blocks()));
  assert.equal(used, [0, 0, 0]);
}

test('a view without byteOffset is filled: no shard dies, and the seed gives the same trace again', async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const run = () => simulate({ seed, shards: 3, module }, () => scribble(VALUES[seed % VALUES.length]));
    const [first, again] = [await run(), await run()];
    assert.is(again.traceHash, first.traceHash);
  }
});

async function useBlocks() {
  const content = Uint8Array.from({ length: FILE_BYTES }, (_, i) => (i * 31 + (i >>> 8)) & 0xff);
  const dir = await openDirectory('/');
  const shared = allocate(FILE_BYTES);
  shared.bytes.set(content);
  await dir.writeFile('f', shared);
  shared.bytes.fill(0);
  const file = await dir.open('f');
  const reading = file.read(shared);
  await undefined;
  assert.is(currentShard().sendBuffers.used, 0);
  assert.is(sharedBlocks(currentShard()), 1);
  assert.is(await reading, FILE_BYTES);
  await file.close();
  assert.ok(Buffer.from(content).equals(Buffer.from(shared.bytes)));

  const listener = await listen({ hostname: '127.0.0.1' });
  const accepted = listener.accept();
  const address = allocate(16);
  const slot = await connectFromBlock(currentShard(), listener.port, address);
  const socket = await accepted;
  const sent = sendFromBlock(currentShard(), slot, shared, FILE_BYTES);
  const pieces = [];
  for (let left = FILE_BYTES; left > 0; ) {
    const piece = Buffer.from(await socket.read());
    pieces.push(piece);
    left -= piece.length;
  }
  assert.is(await sent, FILE_BYTES);
  assert.ok(Buffer.concat(pieces).equals(Buffer.from(content)));
  currentShard().closeFile(slot);
  socket.close();
  listener.close();
  shared.dispose();
  address.dispose();
  await dir.close();
}

test('files and sends use blocks where they lie, also in parts', async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    await simulate({ seed, shards: 2, module, faults: { partial: 0.3 } }, useBlocks);
  }
});

test.run();

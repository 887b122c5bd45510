// The memory of blocks: a program that writes over all of it breaks no shard and no table; files and sends use blocks
// where they lie.
//
// The flow: allocate() -> SharedBytes -> scribbled over, read into, written and sent from.

import fs, { mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { createServer, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { allocate, Runtime } from 'featherstar';
import { openDirectory } from 'featherstar/fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BLOCK_SPACE } from '../../dist/host/core/layout.js';
import { sharedBlocks } from '../../dist/host/shard/block-pool.js';
import { currentShard } from '../../dist/host/shard/shard.js';
import { connectFromBlock, sendFromBlock } from '../support/block-operations.js';
import { back, holdings, hosts, rejection } from '../support/hosts.js';
import { until, within } from '../support/http.js';

const module = new URL('../support/call-module.js', import.meta.url);
const MIB = 2 ** 20;
const OP_READ = 22;
const OP_WRITE = 23;
const OP_SEND = 26;
const VALUES = [Number.NaN, 0, -1, 1.7e308, 5e-324, 2 ** 31];

function pattern(length) {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >>> 8) * 7 + (i >>> 16)) & 0xff;
  return bytes;
}

/** What the core is asked to submit from now on: opcode and address of each. */
function watchSubmissions(shard) {
  const seen = [];
  const { submit } = shard.core;
  shard.core.submit = (...args) => {
    seen.push([args[0], args[5]]);
    return submit(...args);
  };
  return (opcode) => seen.filter(([code]) => code === opcode).map(([, address]) => address);
}

/** Runs `act` with node:fs (what portable files are over) watched. Returns the buffers that it was given. */
async function watchFs(act) {
  const seen = [];
  const { read, write } = fs;
  const watched = (real) =>
    function (...args) {
      seen.push(args[1].buffer);
      return real.apply(this, args);
    };
  Object.assign(fs, { read: watched(read), write: watched(write) });
  syncBuiltinESMExports();
  try {
    await act();
  } finally {
    Object.assign(fs, { read, write });
    syncBuiltinESMExports();
  }
  return seen;
}

for (const host of hosts()) {
  const test = suite(`blocks (${host})`);

  for (const value of VALUES) {
    test(`a view without byteOffset filled with ${value}: no shard dies, calls go on, close() resolves`, async () => {
      const warnings = [];
      const onWarning = ({ message }) => warnings.push(message);
      process.on('warning', onWarning);
      const here = await within(Runtime.start({ host, module, shards: 3, sharedBytes: '1M', stallMs: 0 }), 'start');
      try {
        const held = allocate(100_000); // theirs is overwritten, too: that is all the harm
        const lent = await here.on(2).make(100_000, 1);
        await within(here.on(1).scribble(value), 'scribble');
        new Float64Array(held.bytes.buffer).fill(value);
        for (let round = 0; round < 20; round++) {
          for (let shard = 0; shard < 3; shard++) {
            assert.is(await within(here.on(shard).echo(round), 'echo'), round);
            assert.is(await within(here.on(shard).blocksWork(), 'blocksWork'), 0);
          }
          assert.is((await within(here.on(1).passOn(allocate(100), 5), 'passOn')) > 0, true);
        }
        held.dispose();
        lent.dispose();
        await until(() => sharedBlocks(currentShard()) === 0, 'all blocks are at home');
        for (let shard = 1; shard < 3; shard++) {
          await until(async () => (await here.on(shard).blocks()) === 0, `those of shard ${shard}`);
        }
      } finally {
        const { shards } = await within(here.close(), 'close');
        process.off('warning', onWarning);
        assert.equal(
          shards.map(({ how }) => how),
          ['stopped', 'stopped', 'stopped'],
        );
      }
      assert.equal(warnings, []);
    });
  }

  let runtime;
  let base;
  let root;
  let dir;
  test.before(async () => {
    root = realpathSync(mkdtempSync(join(tmpdir(), 'featherstar-blocks-')));
  });
  test.after(() => rmSync(root, { recursive: true }));

  /** On a shard that has nothing left of it afterwards. */
  const check = (name, run) =>
    test(name, async () => {
      runtime = await Runtime.start({ host, module, shards: 2 });
      try {
        dir = await openDirectory(root);
        base = holdings();
        await within(run(currentShard()), name);
        await back(base);
        await until(() => sharedBlocks(currentShard()) === 0, 'no block is left');
        await dir.close();
      } finally {
        await within(runtime.close(), 'close');
      }
    });

  check('a file is read into a block, and written from it, where it lies', async (shard) => {
    const content = pattern(3 * MIB + 5);
    writeFileSync(join(root, 'in'), content);
    const shared = allocate(4 * MIB);
    const at = BLOCK_SPACE + shared.bytes.byteOffset;
    const submitted = watchSubmissions(shard);
    const seen = await watchFs(async () => {
      const file = await dir.open('in');
      const reading = file.read(shared);
      await undefined;
      assert.is(sharedBlocks(shard), 1, 'no other block is used');
      assert.is(shard.sendBuffers.used, 0, 'nor a send buffer');
      assert.is(await reading, content.length);
      await file.close();
      assert.ok(content.equals(shared.bytes.subarray(0, content.length)));
      await dir.writeFile('out', shared);
      const out = await dir.open('part', { flags: 'w' });
      await out.write(shared, { offset: 5, length: 2 * MIB, position: 3 });
      await out.close();
      await dir.replaceFile('replaced', shared);
    });
    assert.ok(content.equals(readFileSync(join(root, 'out')).subarray(0, content.length)));
    assert.is(readFileSync(join(root, 'out')).length, 4 * MIB);
    assert.ok(readFileSync(join(root, 'replaced')).equals(readFileSync(join(root, 'out'))));
    const part = Buffer.concat([Buffer.alloc(3), content.subarray(5, 5 + 2 * MIB)]);
    assert.ok(part.equals(readFileSync(join(root, 'part'))));
    const pieces = [0, 1, 2, 3].map((mib) => at + mib * MIB);
    assert.equal(submitted(OP_READ).slice(0, 4), pieces);
    assert.equal(submitted(OP_WRITE), [...pieces, at + 5, at + 5 + MIB, ...pieces]);
    assert.is(seen.length > 0, host === 'portable');
    assert.ok(seen.every((buffer) => buffer === shared.bytes.buffer));
    shared.dispose();
  });

  check('parts of blocks and of arrays; the cursor goes on behind them', async () => {
    writeFileSync(join(root, 'letters'), 'abcdefghijklmnopqrstuvwxyz');
    const file = await dir.open('letters', { flags: 'r+' });
    const shared = allocate(10);
    const array = new Uint8Array(10);
    for (const into of [shared, array]) {
      const bytes = into.bytes ?? into;
      bytes.fill(46);
      assert.is(await file.read(into, { offset: 2, length: 3, position: 0 }), 3);
      assert.is(Buffer.from(bytes).toString(), '..abc.....');
      assert.is(await file.read(into, { offset: 10 }), 0);
      assert.is(await file.read(into, { length: 0 }), 0);
    }
    assert.is(await file.read(shared), 10);
    assert.is(await file.read(array, { offset: 8 }), 2);
    assert.is(Buffer.from(shared.bytes).toString() + Buffer.from(array.subarray(8)).toString(), 'abcdefghijkl');
    await file.write(shared, { offset: 9 });
    await file.write(array, { length: 2 });
    await file.close();
    assert.is(readFileSync(join(root, 'letters'), 'utf8'), 'abcdefghijklj..pqrstuvwxyz');
    shared.dispose();
  });

  check('what is refused', async () => {
    writeFileSync(join(root, 'small'), 'x');
    const file = await dir.open('small', { flags: 'r+' });
    const shared = allocate(10);
    for (const bad of [-1, 11, 0.5, '1', Number.NaN]) {
      assert.is((await rejection(file.read(shared, { offset: bad }))).code, 'FEATHERSTAR_OPTION');
      assert.is((await rejection(file.write(shared, { length: bad }))).code, 'FEATHERSTAR_OPTION');
    }
    assert.is((await rejection(file.read(shared, { offset: 5, length: 6 }))).code, 'FEATHERSTAR_OPTION');
    for (const into of [undefined, 5, {}, new ArrayBuffer(8), 'text']) {
      assert.is((await rejection(file.read(into))).code, 'FEATHERSTAR_OPTION');
    }
    shared.dispose();
    assert.is((await rejection(file.read(shared))).code, 'FEATHERSTAR_CLOSED');
    assert.is((await rejection(file.write(shared))).code, 'FEATHERSTAR_CLOSED');
    await file.close();
  });

  check('a block in use cannot be sent, and goes home when the operation has ended', async (shard) => {
    writeFileSync(join(root, 'big'), pattern(8 * MIB));
    const file = await dir.open('big');
    const shared = allocate(8 * MIB);
    const reading = file.read(shared, { position: 0 });
    assert.is((await rejection(runtime.on(1).nothing(shared))).code, 'FEATHERSTAR_BUSY');
    assert.is((await rejection(runtime.on(0).nothing(shared))).code, 'FEATHERSTAR_BUSY');
    assert.is(shared.isHere, true);
    assert.is(await reading, 8 * MIB);
    assert.is(await runtime.on(1).echo(shared.length), 8 * MIB);

    const late = file.read(shared, { position: 0, length: 100 });
    shared.dispose();
    assert.is(shared.isHere, false);
    assert.is(sharedBlocks(shard), 1, 'the kernel may still write there');
    await late.catch(() => undefined);
    await until(() => sharedBlocks(shard) === 0, 'it has come home');
    await file.close();
  });

  check('an abort rejects at once; the block is free when the kernel is done with it', async (shard) => {
    writeFileSync(join(root, 'aborted'), pattern(8 * MIB));
    const file = await dir.open('aborted', { flags: 'r+' });
    for (let i = 0; i < 20; i++) {
      const control = new AbortController();
      const shared = allocate(8 * MIB);
      const work = i % 2 === 0 ? file.read(shared, { signal: control.signal }) : file.write(shared, control);
      await undefined;
      control.abort('enough');
      await work.catch((reason) => assert.is(reason, 'enough'));
      shared.dispose();
    }
    await until(() => sharedBlocks(shard) === 0, 'all have come home');
    await file.close();
  });

  check('bytes go from a block to a socket where they lie', async (shard) => {
    const content = pattern(2 * MIB);
    const shared = allocate(content.length);
    let got = Buffer.alloc(0);
    const server = createServer((socket) => socket.on('data', (chunk) => (got = Buffer.concat([got, chunk]))));
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    const submitted = watchSubmissions(shard);
    const slot = await connectFromBlock(shard, server.address().port, shared);
    shared.bytes.set(content);
    const { write } = Socket.prototype;
    const seen = [];
    Socket.prototype.write = function (bytes, ...rest) {
      if (bytes.length > 0) seen.push(bytes.buffer);
      return write.call(this, bytes, ...rest);
    };
    try {
      assert.is(await sendFromBlock(shard, slot, shared, content.length), content.length);
    } finally {
      Socket.prototype.write = write;
    }
    await until(() => got.length === content.length, 'all of it has come');
    assert.ok(got.equals(content));
    assert.equal(submitted(OP_SEND), [BLOCK_SPACE + shared.bytes.byteOffset]);
    assert.equal(seen.length, host === 'portable' ? 1 : 0);
    assert.ok(seen.every((buffer) => buffer === shared.bytes.buffer));
    shard.closeFile(slot);
    server.close();
    shared.dispose();
  });

  test.run();
}

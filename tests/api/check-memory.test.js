// `checkMemory`: late writes to blocks and broken guards are told, and by whom they were found; and what is told of
// blocks that were lost.

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { allocate, Runtime, sleep } from 'featherstar';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { GUARD_BYTES, HEADER } from '../../dist/host/core/layout.js';
import { sharedBlocks } from '../../dist/host/shard/block-pool.js';
import { currentShard } from '../../dist/host/shard/shard.js';
import { hosts, rejection, warnings } from '../support/hosts.js';
import { until, within } from '../support/http.js';

const module = new URL('../support/call-module.js', import.meta.url);
const LOST = 254;
const WARNINGS = 5;
const TURNS = 50;

/** A shard that has nothing to do takes no turns, and so looks at nothing. */
async function turns() {
  for (let i = 0; i < TURNS; i++) await sleep(1);
}

for (const host of hosts()) {
  const test = suite(`checkMemory (${host})`);
  let here;
  test.before.each(async () => {
    here = await Runtime.start({ host, module, shards: 2, sharedBytes: '1M', checkMemory: true });
  });
  test.after.each(() =>
    within(
      here.close().catch(() => undefined),
      'close',
    ),
  );

  test('a write to a block that was disposed of is told, and hurts no other owner', async () => {
    const shared = allocate(5000);
    const late = shared.bytes;
    shared.dispose();
    const next = allocate(5000);
    next.bytes.fill(1);
    const [text] = await warnings(1, async () => {
      late[4100] = 7;
      await turns();
    });
    assert.is(
      text,
      `block ${late.byteOffset} of shard 0 (8192 bytes), which had been sent or disposed of, was overwritten, ` +
        'from its byte 4100 on',
    );
    assert.ok(next.bytes.every((byte) => byte === 1));
    next.dispose();
  });

  test('a write to a block that was sent is told, also if it comes before the message', async () => {
    for (const peer of [0, 1]) {
      const shared = allocate(100);
      const late = shared.bytes;
      late.fill(3);
      const told = warnings(1, async () => {
        const sum = here.on(peer).increment(shared); // 4 each
        await undefined;
        late.fill(9);
        assert.is(await sum, 400);
        await turns();
      });
      assert.match((await within(told, 'the warning'))[0], /^block \d+ of shard 0 \(4096 bytes\), which had been sent/);
    }
  });

  test('blocks that are kept back are used again when there is no other room', async () => {
    for (let i = 0; i < 2000; i++) {
      const shared = allocate(10_000);
      shared.bytes.fill(i);
      assert.is(await here.on(1).increment(shared).then(Number.isInteger), true);
    }
    await until(() => sharedBlocks(currentShard()) === 0, 'all are at home');
    const all = [];
    assert.throws(
      () => {
        for (;;) all.push(allocate(10_000));
      },
      (error) => error.code === 'FEATHERSTAR_FULL',
    );
    assert.ok(all.length > 10, `${all.length}`);
    for (const shared of all) shared.dispose();
  });

  test('a full pool: the block itself is sent', async () => {
    const shared = allocate(2 ** 20);
    shared.bytes.fill(1);
    assert.is(await here.on(1).increment(shared), 2 ** 21);
  });

  test('the turn that finds a broken guard throws', async () => {
    const { bytes } = currentShard();
    const thrown = new Promise((resolve) => process.once('uncaughtException', resolve));
    bytes[HEADER - GUARD_BYTES + 5] = 0;
    await turns();
    const { code, message } = await within(thrown, 'the exception');
    assert.is(code, 'FEATHERSTAR_OVERWRITTEN');
    assert.is(message, 'the guard before the header was overwritten, from its byte 5 on');
    assert.is(await here.on(1).echo(1), 1);
  });

  test('another shard dies of it, and says why', async () => {
    const { bytes, header } = currentShard();
    const [text] = await warnings(1, async () => {
      bytes[header.shardsOffset + 2 * header.shardBytes - 1] = 0;
      assert.is((await rejection(here.on(1).held())).code, 'FEATHERSTAR_PEER_DOWN');
    });
    assert.is(
      text,
      `shard 1 died: the guard behind shard 1's memory was overwritten, from its byte ${GUARD_BYTES - 1} on`,
    );
  });

  test('close() rejects if a guard is broken that no shard looks at any more', async () => {
    const { bytes, header } = currentShard();
    await rejection(here.on(1).exit());
    bytes[header.shardsOffset + 2 * header.shardBytes - GUARD_BYTES] = 0;
    assert.is((await rejection(here.close())).code, 'FEATHERSTAR_OVERWRITTEN');
  });

  test.run();

  if (host !== hosts()[0]) continue; // what is below counts for a thread, whatever its host
  const plain = suite('lost blocks, and what is no switch');

  plain('254 lost blocks are five warnings, and all come home', async () => {
    setFlagsFromString('--expose-gc');
    const gc = runInNewContext('gc');
    const runtime = await Runtime.start({ host, module, shards: 1 });
    const seen = [];
    const onWarning = ({ message }) => seen.push(message);
    process.on('warning', onWarning);
    try {
      for (let i = 0; i < LOST; i++) allocate(100);
      await until(() => {
        gc();
        return sharedBlocks(currentShard()) === 0;
      }, 'all are home');
      await until(() => seen.length > 0, 'a warning');
      await new Promise((resolve) => setTimeout(resolve, 20));
    } finally {
      process.off('warning', onWarning);
      await runtime.close();
    }
    assert.ok(seen.length <= WARNINGS, `${seen.length}`);
    for (const text of seen) assert.match(text, /^100 shared bytes were lost without dispose\(\)/);
  });

  plain('checkMemory is a switch', async () => {
    for (const checkMemory of ['yes', 2, null, {}]) {
      const started = Runtime.start({ host, shards: 1, checkMemory });
      assert.is((await rejection(started)).code, 'FEATHERSTAR_OPTION', String(checkMemory));
    }
  });

  plain.run();
}

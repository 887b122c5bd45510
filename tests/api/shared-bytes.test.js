// Bytes by reference: who has them, and that every block comes home, whatever becomes of the call.

import { allocate, Runtime } from 'featherstar';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { sharedBlocks } from '../../dist/host/shard/block-pool.js';
import { currentShard } from '../../dist/host/shard/shard.js';
import { hosts, rejection } from '../support/hosts.js';
import { until, within } from '../support/http.js';

const MODULE = new URL('../support/call-module.js', import.meta.url);
const MIB = 1 << 20;

function filled(length, byte = 1) {
  const shared = allocate(length);
  shared.bytes.fill(byte);
  return shared;
}

function filledAs(shared, byte) {
  shared.bytes.fill(byte);
  return shared;
}

const isGone = (shared) => {
  assert.is(shared.isHere, false);
  assert.throws(
    () => shared.bytes,
    (error) => error.code === 'FEATHERSTAR_CLOSED',
  );
};

for (const host of hosts()) {
  const test = suite(`shared bytes (${host})`);
  const warnings = [];
  const onWarning = (warning) => warnings.push(warning.message);
  test.before(() => process.on('warning', onWarning));
  test.after(() => {
    process.off('warning', onWarning);
    assert.equal(warnings, [], 'no handle was lost');
  });

  /** Runs `use`; at the end all blocks of all shards that run are at home. */
  const check = (name, sizes, limits, use) => {
    for (const shards of sizes) {
      test(`${name}, ${shards} shards`, async () => {
        const here = await within(Runtime.start({ host, module: MODULE, shards, limits }), 'start');
        try {
          await within(use(here, here.on(shards - 1)), 'the test');
          await until(() => sharedBlocks(currentShard()) === 0, 'all blocks are at home');
          for (let i = 0; i < shards; i++) {
            const left = await here
              .on(i)
              .blocks()
              .catch(() => 0);
            assert.is(left, 0, `blocks of shard ${i}`);
          }
        } finally {
          await within(here.close(), 'close');
        }
      });
    }
  };

  check('a function has its argument for as long as it runs', [1, 2, 4], {}, async (_, peer) => {
    for (const length of [1, 4095, 4096, 4097, 65_536, 65_537, 5 * MIB]) {
      const shared = filled(length);
      assert.is(shared.length, length);
      assert.is(await peer.increment(shared), 2 * length);
      isGone(shared);
      shared.dispose(); // nothing happens
      assert.is((await rejection(peer.increment(shared))).code, 'FEATHERSTAR_CLOSED');
    }
  });

  check('there and back: the same block', [1, 2, 4], {}, async (_, peer) => {
    let shared = filled(MIB, 5);
    for (let i = 0; i < 20; i++) ({ shared } = await peer.incremented(shared));
    assert.ok(shared.bytes.every((byte) => byte === 25));
    assert.is(sharedBlocks(currentShard()), 1);
    shared.dispose();
    isGone(shared);
  });

  check('kept by the function, and given to the next one', [1, 2], {}, async (_, peer) => {
    await peer.shelve(filled(10, 3));
    assert.is(sharedBlocks(currentShard()), 1);
    const back = await peer.unshelve();
    assert.equal([...back.bytes], Array(10).fill(3));
    back.dispose();
    for (let i = 0; i < 5; i++) await peer.shelve(filled(100));
    await peer.clearShelf();
  });

  check('made by the function: the caller disposes of it', [1, 2, 4], {}, async (_, peer) => {
    const [one, two] = await Promise.all([peer.make(MIB, 7), peer.make(100, 9)]);
    assert.ok(one.bytes.every((byte) => byte === 7) && two.bytes.every((byte) => byte === 9));
    one.dispose();
    two.dispose();
  });

  check('round the shards', [2, 4], {}, async (_, peer) => {
    const sums = await Promise.all(Array.from({ length: 20 }, (_, i) => peer.passOn(filled(1000, i), 9)));
    assert.equal(
      sums,
      Array.from({ length: 20 }, (_, i) => 1000 * (i + 1)),
    );
  });

  check('whatever becomes of the call', [2], { creditCount: 1 }, async (_, peer) => {
    assert.is((await rejection(peer.refuse(filled(50)))).message, 'not 50');
  });

  check('an abort, before and after it was sent', [2], { creditCount: 1 }, async (_, peer) => {
    const control = new AbortController();
    const { signal } = control;
    const first = peer.with({ signal }).makeSlowly(MIB, 20); // the result comes when nobody wants it
    const second = peer.with({ signal }).increment(filled(MIB));
    control.abort('both');
    assert.is(await rejection(first), 'both');
    assert.is(await rejection(second), 'both');
    const aborted = filled(10);
    assert.is(await rejection(peer.with({ signal }).increment(aborted)), 'both');
    assert.is(aborted.isHere, true, 'nothing was done');
    aborted.dispose();
    await peer.nothing();
  });

  check('a shard dies with blocks of another', [4], {}, async (here) => {
    await here.on(2).shelve(filled(MIB));
    const never = rejection(here.on(2).exit(filled(MIB)));
    assert.is((await never).code, 'FEATHERSTAR_PEER_DOWN');
    assert.is((await rejection(here.on(2).increment(filled(MIB)))).code, 'FEATHERSTAR_PEER_DOWN');
  });

  check('what cannot be', [2], {}, async (_, peer) => {
    for (const length of [0, -1, 1.5, 2 ** 28 + 1, '5', undefined]) {
      assert.throws(
        () => allocate(length),
        (error) => error.code === 'FEATHERSTAR_OPTION',
      );
    }
    const shared = filled(10);
    assert.is((await rejection(peer.echo(shared, [shared]))).code, 'FEATHERSTAR_CODEC');
    assert.is((await rejection(peer.echo(shared, () => 1))).code, 'FEATHERSTAR_CODEC');
    assert.is(shared.isHere, true);
    shared.dispose();
    const all = [];
    const full = () => {
      for (;;) all.push(allocate(2 ** 24));
    };
    assert.throws(full, (error) => error.code === 'FEATHERSTAR_FULL');
    assert.is(all.length, 3); // the fourth place has a small block in it
    for (const one of all) one.dispose();
    allocate(2 ** 24).dispose();
  });

  test('sharedBytes: small, none left, too many for 4 GiB', async () => {
    const here = await Runtime.start({ host, shards: 2, module: MODULE, sharedBytes: '128K' });
    try {
      const [first, second] = [allocate(65_536), allocate(65_536)];
      assert.throws(
        () => allocate(1),
        (error) => error.code === 'FEATHERSTAR_FULL',
      );
      assert.is(await here.on(1).increment(filledAs(first, 3)), 4 * 65_536);
      second.dispose();
    } finally {
      await here.close();
    }
    for (const sharedBytes of [0, -1, '4G', 'many', NaN]) {
      assert.is((await rejection(Runtime.start({ host, shards: 2, sharedBytes }))).code, 'FEATHERSTAR_OPTION');
    }
  });

  test.run();
}

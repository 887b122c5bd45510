// What Runtime.start() takes and what it refuses, through the public surface.

import { FeatherstarError, Runtime } from 'featherstar';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { currentShard } from '../../dist/host/shard.js';
import { hosts, rejection } from '../support/hosts.js';

/** The option error that start() rejects with. */
async function refused(options) {
  const error = await rejection(Runtime.start(options));
  assert.ok(FeatherstarError.is(error), String(error?.stack));
  assert.is(error.code, 'FEATHERSTAR_OPTION', error.message);
  return error.message;
}

for (const host of hosts()) {
  const test = suite(`options (${host})`);

  test('values that are wrong are refused, and the text names the option', async () => {
    const wrong = {
      cpuset: ['', '0-', '3-1', '1,1', 'some', '0,1024', 5, [0.5], ['0'], [], [-1], {}],
      memoryPerShard: ['', '64', '1M', 'much', '64T', '-1', 0, -1, 1e12, 1e6, Number.NaN, {}, true],
      taskQuotaUs: [-1, '5', Number.NaN],
      stallMs: [-1, '5', Number.POSITIVE_INFINITY],
      shutdownTimeoutMs: [-1, 'soon', 1e9],
      unhandled: ['ignore', true, 0],
    };
    for (const [name, values] of Object.entries(wrong)) {
      for (const value of values) {
        const text = await refused({ host, shards: 1, [name]: value });
        assert.match(text, new RegExp(`^${name} must be `), `${name}: ${JSON.stringify(value)}`);
      }
    }
    assert.match(await refused(null), /^options must be an object/);
    assert.match(await refused({ host, shards: 2, cpuset: '0' }), /^cpuset must be one processor for each of 2 shards/);
  });

  test('memoryPerShard sizes arena and send buffers, and says the least that the tables need', async () => {
    const size = async (options) => {
      const here = await Runtime.start({ host, shards: 1, ...options });
      const { shardBytes, arenaBytes, sendBufferCount } = currentShard().header;
      await here.close();
      return { shardBytes, arenaBytes, sendBufferCount };
    };
    const least = Number(/at least (\d+) /.exec(await refused({ host, shards: 1, memoryPerShard: '1M' }))[1]);
    const small = await size({ memoryPerShard: least });
    assert.is(small.shardBytes, least);
    assert.match(await refused({ host, shards: 1, memoryPerShard: least - 1 }), new RegExp(`at least ${least} `));
    const large = await size({ memoryPerShard: '64M' });
    assert.ok(large.shardBytes <= 64 << 20 && large.shardBytes > 63 << 20, String(large.shardBytes));
    assert.ok(large.arenaBytes > 10 * small.arenaBytes && large.sendBufferCount > 10 * small.sendBufferCount);
    const own = await size({ memoryPerShard: '64M', limits: { arenaBytes: 65_536 } });
    assert.ok(own.shardBytes <= 64 << 20 && own.shardBytes > 63 << 20, String(own.shardBytes));
    assert.is(own.arenaBytes, 65_536);
    const tables = { opSlots: 100, timerSlots: 100, taskSlots: 100, connectionSlots: 100 };
    assert.ok((await size({ memoryPerShard: '2M', limits: tables })).shardBytes <= 2 << 20);
  });

  test.run();
}

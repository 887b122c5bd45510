// What Runtime.start() takes and what it refuses, through the public surface.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus as processorsOfMachine, tmpdir } from 'node:os';
import { join } from 'node:path';
import { blockOn, FeatherstarError, Mutex, RUNTIME_HELP, Runtime, runtime, runtimeOptions } from 'featherstar';
import { Response, serve } from 'featherstar/http';
import { connect, listen, UdpSocket } from 'featherstar/net';
import { simulate } from 'featherstar/testing';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { uringObstacle } from '../../dist/host/hosts/pick.js';
import { loadAddon } from '../../dist/host/hosts/uring.js';
import { pinByItself, planPinning, quotaOfGroup } from '../../dist/host/runtime/cpus.js';
import { currentShard } from '../../dist/host/shard/shard.js';
import { Program } from '../support/child.js';
import { hosts, rejection } from '../support/hosts.js';

/** The option error that start() rejects with. */
async function refused(options) {
  const error = await rejection(Runtime.start(options));
  assert.ok(FeatherstarError.is(error), String(error?.stack));
  assert.is(error.code, 'FEATHERSTAR_OPTION', error.message);
  return error.message;
}

const parse = suite('runtimeOptions');

parse('takes its own flags and leaves the rest as it was', () => {
  const argv = [
    'serve',
    '--shards',
    '2',
    '-v',
    '--cpuset=0-1',
    '--name',
    'x',
    '--memory',
    '64M',
    '--',
    '--shards',
    '9',
  ];
  assert.equal(runtimeOptions(argv, {}), {
    options: { shards: 2, cpuset: '0-1', memoryPerShard: '64M' },
    rest: ['serve', '-v', '--name', 'x', '--', '--shards', '9'],
  });
  const all = [
    '--host',
    'portable',
    '--task-quota-us',
    '250',
    '--idle-poll-us=0',
    '--stall-ms=50',
    '--shards=auto',
    '--shards',
    '3',
  ];
  const wanted = { host: 'portable', taskQuotaUs: 250, idlePollUs: 0, stallMs: 50, shards: 3 };
  assert.equal(runtimeOptions(all, {}).options, wanted);
  assert.equal(runtimeOptions([], {}), { options: {}, rest: [] });
});

parse('the environment has a twin for each; a flag outranks it; empty is nothing', () => {
  const env = {
    FEATHERSTAR_SHARDS: '4',
    FEATHERSTAR_CPUSET: '7',
    FEATHERSTAR_MEMORY: '1G',
    FEATHERSTAR_HOST: 'uring',
    FEATHERSTAR_TASK_QUOTA_US: '100',
    FEATHERSTAR_IDLE_POLL_US: '',
  };
  const wanted = { shards: 1, cpuset: '7', memoryPerShard: '1G', host: 'uring', taskQuotaUs: 100 };
  assert.equal(runtimeOptions(['--shards', '1'], env).options, wanted);
  for (const name of Object.keys(env)) assert.ok(RUNTIME_HELP.includes(name), name);
});

parse('a program may keep a flag for itself', () => {
  const { options, rest } = runtimeOptions(['--host', 'localhost', '--shards', '2'], {}, ['host']);
  assert.equal([options, rest], [{ shards: 2 }, ['--host', 'localhost']]);
});

parse('a flag without a value is refused; so is a value that is wrong, by start()', async () => {
  for (const argv of [['--shards'], ['--memory='], ['--host', '']]) {
    assert.throws(
      () => runtimeOptions(argv, {}),
      (error) => error.code === 'FEATHERSTAR_OPTION' && error.message.startsWith(argv[0].replace('=', '')),
    );
  }
  const wrong = { '--shards': 'many', '--task-quota-us': 'soon', '--memory': 'all', '--cpuset': '--shards' };
  for (const [flag, value] of Object.entries(wrong)) {
    await refused({ ...runtimeOptions([flag, value], {}).options, module: undefined });
  }
});

parse('start() takes from the environment what the program leaves open', async () => {
  const code = `
    import { blockOn, Runtime, runtime } from 'featherstar';
    const counts = [];
    for (const options of [{}, { shards: 2 }]) {
      const here = await Runtime.start(options);
      counts.push(here.shardCount);
      await here.close();
    }
    console.log(counts.join(), await blockOn(() => runtime().shardCount));`;
  const program = new Program(['--input-type=module', '-e', code], { FEATHERSTAR_SHARDS: '3' });
  await program.line(/^3,2 1\n/);
  assert.is(await program.ended(), 0);
});

parse.run();

const processors = suite('processors');

processors('the quota of the control group, and of those above it', () => {
  const root = mkdtempSync(join(tmpdir(), 'featherstar-'));
  try {
    const self = join(root, 'self');
    mkdirSync(join(root, 'a/b'), { recursive: true });
    writeFileSync(self, '4:memory:/other\n0::/a/b\n');
    assert.is(quotaOfGroup(self, root), Number.POSITIVE_INFINITY);
    writeFileSync(join(root, 'a/cpu.max'), '250000 100000\n');
    writeFileSync(join(root, 'a/b/cpu.max'), 'max 100000\n');
    assert.is(quotaOfGroup(self, root), 2.5);
    writeFileSync(join(root, 'cpu.max'), '50000 100000\n');
    assert.is(quotaOfGroup(self, root), 0.5);
    assert.is(quotaOfGroup(join(root, 'none'), root), 0.5); // seen from inside a container: the root is its own
    assert.is(quotaOfGroup(self, join(root, 'none')), Number.POSITIVE_INFINITY);
  } finally {
    rmSync(root, { recursive: true });
  }
});

processors('workers are pinned by themselves where as many processors as shards were set aside', () => {
  const none = [undefined, undefined, undefined];
  assert.equal(pinByItself(3, [2, 5, 7], 8), { cpus: [undefined, 5, 7], text: 'workers pinned to 5,7' });
  assert.equal(pinByItself(3, [2, 5], 8), { cpus: none, text: 'not pinned: 3 shards, 2 processors' });
  assert.equal(pinByItself(3, [2, 5, 6, 7], 8), { cpus: none, text: 'not pinned: 3 shards, 4 processors' });
  assert.equal(pinByItself(3, [0, 1, 2], 3).cpus, none);
  assert.equal(pinByItself(1, [2], 8).cpus, [undefined]);
});

if (uringObstacle() === undefined) {
  const all = loadAddon().affinity();

  processors("nothing is pinned by itself where the processors are anybody's", async () => {
    assert.equal(planPinning('none', 2), { cpus: [undefined, undefined], text: 'not pinned: cpuset is none' });
    assert.match(planPinning('auto', 1).text, /one shard/);
    assert.match(planPinning('auto', all.length + 1).text, /^not pinned: \d+ shards, \d+ processors/);
    if (all.length !== 1 && all.length === processorsOfMachine().length) {
      assert.match(planPinning('auto', all.length).text, /^not pinned: no processors were set aside/);
    }
    assert.is(availableParallelism() >= 1, true);
  });

  processors('a cpuset pins every shard, and close() undoes it for the caller', async () => {
    const cpu = all.at(-1);
    const here = await Runtime.start({ shards: 1, cpuset: [cpu] });
    assert.equal([here.cpus, loadAddon().affinity()], [[cpu], [cpu]]);
    assert.match(here.summary, new RegExp(`^1 shard · host .* · pinned to ${cpu}$`));
    await here.close();
    assert.equal(loadAddon().affinity(), all);
    if (all.length < 2) return;
    const module = new URL('../support/shard-module.js', import.meta.url);
    const both = await Runtime.start({ cpuset: `${all[1]},${all[0]}`, module });
    assert.equal(both.cpus, [all[1], all[0]]);
    assert.equal(await both.onAll().affinity(), [[all[1]], [all[0]]]);
    await both.close();
    assert.equal(loadAddon().affinity(), all);
    assert.match(await refused({ shards: 1, cpuset: [1023] }), /^cpuset must be among the processors of this process/);
    assert.equal(await blockOn(() => loadAddon().affinity()), all);
  });
} else console.log(`# skipped: pinning: ${uringObstacle()}`);

processors.run();

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

  test('an option that nobody knows is refused, and names those that there are; a path is no URL', async () => {
    const code = async (promise) => (await rejection(promise)).code;
    assert.match(await refused({ host, shard: 2 }), /^Unknown option "shard"\. Known options: shards, module, /);
    for (const module of ['./module.js', '/module.js', 'module', 5, null]) {
      assert.match(await refused({ host, module }), /^module must be a URL, as new URL/);
    }
    assert.match(await refused({ host, signal: 5 }), /^signal must be an AbortSignal/);
    assert.is(await code(blockOn(5, { host })), 'FEATHERSTAR_OPTION');
    await blockOn(
      async () => {
        const wrong = [
          () => serve({ fetch: () => new Response(''), prot: 80 }),
          () => listen({ host: '127.0.0.1' }),
          () => listen({ reusePort: 'yes' }),
          () => connect({ host: '127.0.0.1', port: 80 }),
          () => connect({ port: 80, signal: 5 }),
          () => UdpSocket.bind({ address: '127.0.0.1' }),
          async () => runtime().on(0).with({ timeout: 5 }),
          async () => runtime().on(1),
          async () => new Mutex().lock({ timeout: 5 }),
          () => simulate({ seed: 1, shrads: 2 }, () => {}),
          () => simulate({ seed: 1, module: './module.js' }, () => {}),
        ];
        for (const run of wrong) assert.is(await code(run()), 'FEATHERSTAR_OPTION', String(run));
        const listener = await listen({ hostname: '127.0.0.1' });
        assert.is(await code(listener.accept({ signal: 5 })), 'FEATHERSTAR_OPTION');
      },
      { host },
    );
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
    const tables = {
      opSlots: 100,
      timerSlots: 100,
      taskSlots: 100,
      connectionSlots: 100,
      largeRecvBufferCount: 1,
    };
    assert.ok((await size({ memoryPerShard: '2M', limits: tables })).shardBytes <= 2 << 20);
  });

  test.run();
}

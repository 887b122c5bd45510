// A task that never yields: another shard names it, and the rest goes on.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Runtime } from 'featherstar';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Program } from '../support/child.js';
import { hosts } from '../support/hosts.js';
import { Client, get, until, within } from '../support/http.js';

const module = new URL('../support/life-module.js', import.meta.url);
const PROGRAM = fileURLToPath(new URL('../support/stall-program.js', import.meta.url));

for (const host of hosts()) {
  const test = suite(`stall (${host})`);

  async function withRuntime(options, use) {
    const warnings = [];
    const onWarning = ({ message }) => warnings.push(message);
    process.on('warning', onWarning);
    const here = await within(Runtime.start({ host, module, ...options }), 'start');
    try {
      await use(here, warnings);
    } finally {
      const report = await within(here.close({ timeoutMs: 50 }), 'close');
      process.off('warning', onWarning);
      warnings.report = report;
    }
    return warnings;
  }

  for (const shards of [2, 4]) {
    test(`${shards} shards: one spins for ever and is named; the others serve; close() ends it`, async () => {
      const { report } = await withRuntime({ shards }, async (here, warnings) => {
        const port = await here.shard(0).call('serveHttp');
        await here.shard(1).call('spinInTask', 'for ever');
        await until(() => warnings.length !== 0, 'the warning');
        assert.match(warnings[0], /^task "for ever" keeps shard 1 for \d+ ms by now, and does not yield$/);
        const client = await Client.open(port);
        for (let i = 0; i < 20; i++) assert.is((await client.ask(get())).text, 'shard 0');
        client.destroy();
        if (shards > 2) assert.is(await here.shard(2).call('echo', 5), 5);
        assert.is(warnings.length, 1);
      });
      assert.equal(
        report.shards.map(({ how }) => how),
        Array.from({ length: shards }, (_, i) => (i === 1 ? 'terminated' : 'stopped')),
      );
    });
  }

  test('shard 0 spins for ever: a worker says so, though the main thread can print nothing', async () => {
    const program = new Program([PROGRAM], { FEATHERSTAR_HOST: host });
    await program.line(/^ready 1\n/);
    assert.is(program.stderr, '');
    program.say('spin');
    await until(() => program.stderr.includes('keeps shard 0'), 'the warning');
    assert.match(program.stderr, /^\(node:\d+\) Featherstar: task "for ever" keeps shard 0 for \d+ ms by now, and/);
    program.kill('SIGKILL');
    assert.is(await program.ended(), 'SIGKILL');
  });

  test('tasks that yield in time are not named, however long they take; nor is anybody with stallMs 0', async () => {
    const polite = await withRuntime({ shards: 2, stallMs: 1000 }, async (here) => {
      await here.invokeOnAll('burn', 5, 40, 'polite');
    });
    assert.equal([...polite], []);
    const off = await withRuntime({ shards: 2, stallMs: 0 }, async (here) => {
      await here.shard(1).call('burn', 150, 1, 'long');
    });
    assert.equal([...off], []);
  });

  test('one busy period after the other is watched', async () => {
    await withRuntime({ shards: 2, stallMs: 10 }, async (here, warnings) => {
      const folder = mkdtempSync(join(tmpdir(), 'featherstar-'));
      for (const name of ['first', 'second', 'third']) {
        const spinning = here.shard(1).call('spinUntil', join(folder, name), name);
        const isNamed = (text) => text.startsWith(`task "${name}" keeps shard 1`);
        await until(() => warnings.some(isNamed), `${name} is named`);
        writeFileSync(join(folder, name), '');
        await spinning;
        await here.shard(0).call('work', 60); // the watch ends, and begins again
      }
      rmSync(folder, { recursive: true });
    });
  });

  test.run();
}

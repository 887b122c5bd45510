// Process signals on every shard. Each test has a process of its own, which gets real signals.

import { fileURLToPath } from 'node:url';
import { blockOn, onSignal, runtime, waitForSignal } from 'featherstar';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Program } from '../support/child.js';
import { hosts, rejection } from '../support/hosts.js';
import { until } from '../support/http.js';

const PROGRAM = fileURLToPath(new URL('../support/signal-program.js', import.meta.url));

for (const host of hosts()) {
  const test = suite(`signals (${host})`);

  const programs = [];

  async function start(what, shards) {
    const program = new Program([PROGRAM, what, String(shards)], { FEATHERSTAR_HOST: host });
    programs.push(program);
    await program.line(/^ready\n/m);
    return program;
  }

  test.after.each(() => {
    for (const program of programs.splice(0)) program.kill('SIGKILL'); // of a test that failed
  });

  for (const shards of [1, 2, 4]) {
    for (const signal of ['SIGTERM', 'SIGINT']) {
      test(`${shards} shards: the last one waits, and hears of ${signal}; then nobody listens`, async () => {
        const program = await start('wait', shards);
        program.kill(signal);
        assert.is(await program.ended(), 0);
        assert.is(program.stdout, `ready\n${signal} on ${shards - 1}\nlisteners 0 0\n`);
      });
    }

    test(`${shards} shards: a second signal ends what the first could not`, async () => {
      for (const [second, code] of [
        ['SIGTERM', 143],
        ['SIGINT', 130],
      ]) {
        const program = await start('hang', shards);
        program.kill('SIGTERM');
        await program.line(/^SIGTERM on \d\n/m);
        program.kill(second);
        assert.is(await program.ended(), code);
      }
    });

    test(`${shards} shards: handlers run on every shard; while one is open, a second signal ends it all`, async () => {
      const program = await start('handler', shards);
      const counts = (name) =>
        [...Array(shards).keys()].map((shard) => program.stdout.split(`${name} on ${shard}\n`).length - 1);
      for (const times of [1, 2, 3]) {
        await until(() => {
          program.kill('SIGHUP'); // word of a handler may be on its way to shard 0 yet
          return counts('SIGHUP').every((count) => count >= times);
        }, 'every shard has heard of it');
      }
      program.kill('SIGTERM');
      await until(() => counts('SIGTERM').every((count) => count === 1), 'every shard has heard of it');
      program.kill('SIGTERM');
      assert.is(await program.ended(), 143);
    });

    test(`${shards} shards: when the last wait is aborted the default is back`, async () => {
      const program = await start('nobody', shards);
      assert.is(program.stdout, 'given up\nready\n');
      program.kill('SIGTERM');
      assert.is(await program.ended(), 'SIGTERM');
    });
  }

  test('what is no signal, and where there is no shard', async () => {
    assert.is((await rejection(waitForSignal(['SIGTERM']))).code, 'FEATHERSTAR_NO_SHARD');
    await blockOn(
      async () => {
        for (const names of [[], 'SIGTERM', ['TERM'], [15], ['SIGKILL'], undefined]) {
          assert.is((await rejection(waitForSignal(names))).code, 'FEATHERSTAR_OPTION');
        }
        assert.throws(() => onSignal('SIGHUP'), /fn must be a function/);
        const reason = new Error('before');
        assert.is(await rejection(waitForSignal(['SIGHUP'], { signal: AbortSignal.abort(reason) })), reason);
        assert.is(process.listenerCount('SIGHUP'), 0);
        const seen = [];
        const stop = onSignal('SIGHUP', (name) => seen.push(name));
        const both = [waitForSignal(['SIGHUP', 'SIGUSR2']), waitForSignal(['SIGUSR2'])];
        process.emit('SIGUSR2', 'SIGUSR2');
        assert.equal(await Promise.all(both), ['SIGUSR2', 'SIGUSR2']);
        process.emit('SIGHUP', 'SIGHUP');
        stop();
        stop();
        await until(() => process.listenerCount('SIGHUP') === 0, 'nobody listens');
        assert.equal(seen, ['SIGHUP']);
        waitForSignal(['SIGUSR2']); // stays open: close() takes its listener away
        assert.is(runtime().self, 0);
      },
      { host },
    );
    assert.is(process.listenerCount('SIGUSR2'), 0);
  });

  test('a handler that fails is reported', async () => {
    const warnings = [];
    const onWarning = ({ message }) => warnings.push(message);
    process.on('warning', onWarning);
    await blockOn(
      async () => {
        onSignal('SIGUSR2', () => {
          throw new Error('this handler fails');
        });
        process.emit('SIGUSR2', 'SIGUSR2');
        await until(() => warnings.length !== 0, 'the warning');
      },
      { host },
    );
    process.off('warning', onWarning);
    assert.match(warnings[0], /^a handler of SIGUSR2 failed: Error: this handler fails/);
  });

  test.run();
}

// Signals of simulated processes: the program's, and those of machines with a runtime of their own.
//
// process.on() hears them on shard 0, as on Node's main thread. A signal without a listener ends the process.
//
// Next: lives.test.js, for onSignal() and waitForSignal().

import { onSignal, runtime, sleep, waitForSignal } from 'featherstar';
import { simulate } from 'featherstar/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { rejection } from '../support/hosts.js';

const HOSTS = { db: { shards: 2 }, web: {} };

test('process.on() hears the signals of the simulated process, and not of the real one', async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const real = process.listenerCount('SIGTERM');
    const { value } = await simulate({ seed, shards: 2 }, async (world) => {
      const told = [];
      const note = (name, number) => told.push(`${name} ${number}`);
      process.on('SIGTERM', note);
      process.prependOnceListener('SIGTERM', () => told.push('first'));
      await world.on(1, () => void process.on('SIGTERM', () => told.push('of a worker')));
      world.signal('SIGTERM');
      await sleep(20);
      await world.on(1, () => void process.kill(process.pid, 'SIGTERM'));
      await sleep(20);
      process.removeListener('SIGTERM', note);
      return [told, process.listenerCount('SIGTERM'), process.listeners('SIGTERM').length];
    });
    assert.equal(value, [['first', 'SIGTERM 15', 'SIGTERM 15'], 0, 0]);
    assert.is(process.listenerCount('SIGTERM'), real);
  }
});

test('the process of a machine hears its own signals', async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const { value } = await simulate({ seed, hosts: HOSTS }, async (world) => {
      const [db, web] = [world.host('db'), world.host('web')];
      const told = [];
      await db.on(0, () => void process.on('SIGHUP', () => told.push('process of db')));
      await db.on(1, () => void onSignal('SIGHUP', () => void told.push('shard 1 of db')));
      await web.on(0, () => void process.on('SIGHUP', () => told.push('process of web')));
      await sleep(20);
      db.signal('SIGHUP');
      await sleep(20);
      const waiting = db.on(0, () => waitForSignal(['SIGTERM']));
      await sleep(20);
      db.signal('SIGTERM');
      return [told.sort(), await waiting];
    });
    assert.equal(value, [['process of db', 'shard 1 of db'], 'SIGTERM']);
  }
});

test('a signal without a listener ends the process of a machine, which starts again', async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const { value } = await simulate({ seed, hosts: HOSTS }, async (world) => {
      const db = world.host('db');
      const ends = [];
      for (const end of [
        () => db.signal('SIGTERM'),
        () => db.on(1, () => process.kill(process.pid, 'SIGKILL')).catch(() => {}),
        () => db.on(0, () => process.kill(process.pid, 9)).catch(() => {}),
      ]) {
        const working = rejection(db.on(0, () => sleep(1e6)));
        await end();
        ends.push((await working).code, (await rejection(async () => db.signal('SIGTERM'))).code);
        await db.restart();
        ends.push(await db.on(0, () => runtime().shardCount));
      }
      for (const name of ['SIGCHLD', 'SIGWINCH', 'SIGPIPE']) db.signal(name);
      await sleep(20);
      return [...ends, await db.on(1, () => 'lives')];
    });
    const once = ['FEATHERSTAR_PEER_DOWN', 'FEATHERSTAR_STATE', 2];
    assert.equal(value, [...once, ...once, ...once, 'lives']);
  }
});

test('a process that a signal has ended does not hear of it any more', async () => {
  for (let seed = 1; seed <= 5; seed++) {
    const told = [];
    const report = await simulate({ seed, hosts: HOSTS }, async (world) => {
      const db = world.host('db');
      await db.on(0, () => {
        onSignal('SIGTERM', () => {
          told.push('handler');
          return new Promise(() => {});
        });
        process.on('SIGTERM', () => void told.push('behind it'));
        process.on('SIGHUP', () => db.kill(0));
        process.once('SIGHUP', () => void told.push('behind the end'));
      });
      db.signal('SIGTERM');
      await sleep(20);
      db.signal('SIGTERM');
      await sleep(20);
      await db.restart();
      db.signal('SIGHUP');
      await sleep(20);
      await db.restart();
      await db.on(0, () => {
        process.on('SIGHUP', () => db.kill(0));
        process.once('SIGHUP', () => void told.push('behind the end'));
      });
      db.signal('SIGHUP');
      await sleep(20);
    });
    assert.equal(told, ['handler', 'behind it'], `seed ${seed}`);
    assert.ok(report.events > 0);
  }
});

test('process.removeAllListeners() removes the listeners of its own simulated thread only', async () => {
  const onExit = () => {};
  process.on('exit', onExit);
  const real = () => ['exit', 'unhandledRejection', 'uncaughtException'].map((name) => process.listenerCount(name));
  const outside = real();
  try {
    const { value } = await simulate({ seed: 1, shards: 2 }, async (world) => {
      const before = real();
      const add = () => {
        process.on('exit', () => {});
        process.once('warning', () => {});
        process.on('SIGHUP', () => {});
      };
      const counts = () => [...real(), process.listenerCount('warning'), process.listenerCount('SIGHUP')];
      const warnings = process.listenerCount('warning');
      await world.on(1, add);
      add();
      process.removeAllListeners('exit').removeAllListeners('SIGHUP').removeAllListeners('uncaughtException');
      const byName = counts();
      add();
      assert.is(process.removeAllListeners(), process);
      const all = counts();
      const [exits, ...others] = before;
      assert.equal(byName, [exits + 1, ...others, warnings + 2, 0]);
      assert.equal(all, [exits + 1, ...others, warnings + 1, 0]);
      return await world.on(1, () => [process.listenerCount('SIGHUP'), process.listenerCount('warning') - warnings]);
    });
    assert.equal(value, [1, 1]);
    assert.equal(real(), outside);
    assert.ok(process.listeners('exit').includes(onExit));
  } finally {
    process.off('exit', onExit);
  }
});

test('the simulation fails if a signal ends the process of the program', async () => {
  const failure = (program) => rejection(simulate({ seed: 1, hosts: { a: [0], db: {} } }, program));
  const ended = await failure(async () => {
    process.kill(process.pid, 'SIGINT');
    await sleep(20);
  });
  assert.match(ended.message, /SIGINT has ended the process: no code listens for it/);
  const thrown = await failure(async (world) => {
    process.on('SIGINT', () => {
      throw new Error('the listener fails');
    });
    world.signal('SIGINT');
    await sleep(20);
  });
  assert.match(thrown.message, /the listener fails/);
  const wrong = async (program) => (await failure(program)).cause.code;
  assert.is(await wrong((world) => world.host('db').signal('SIGKILL')), 'FEATHERSTAR_OPTION');
  assert.is(await wrong((world) => world.host('a').signal('SIGTERM')), 'FEATHERSTAR_OPTION');
});

test.run();

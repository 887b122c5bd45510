// A task that never yields: another shard names it, and the rest goes on.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Runtime, Sharded } from 'featherstar';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Program } from '../support/child.js';
import { hosts, rejection } from '../support/hosts.js';
import { Client, get, until, within } from '../support/http.js';

const module = new URL('../support/life-module.js', import.meta.url);
delete process.env.FEATHERSTAR_STALL_MS; // the runner's: here the default is what is tested
const PROGRAM = fileURLToPath(new URL('../support/stall-program.js', import.meta.url));

/** Sends a request to shard 1, a piece at a time. Pieces that arrive together make it an easier case. */
async function sendPieces(here, pieces) {
  const client = await Client.open(await here.on(1).serveStuck());
  for (const piece of pieces) {
    client.write(piece);
    await sleep(20);
  }
}

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
        const port = await here.on(0).serveHttp();
        await here.on(1).spinInTask('for ever');
        await until(() => warnings.length !== 0, 'the warning');
        assert.match(warnings[0], /^task "for ever" keeps shard 1 for \d+ ms by now, and does not yield$/);
        const client = await Client.open(port);
        for (let i = 0; i < 20; i++) assert.is((await client.ask(get())).text, 'shard 0');
        client.destroy();
        if (shards > 2) assert.is(await here.on(2).echo(5), 5);
        assert.is(warnings.length, 1);
      });
      assert.equal(
        report.shards.map(({ how }) => how),
        Array.from({ length: shards }, (_, i) => (i === 1 ? 'terminated' : 'stopped')),
      );
    });
  }

  // What is stuck for ever, by what a program does, and what the others say of it while it is.
  const stuck = {
    'a called function': [(here) => here.on(1).spin(), 'the function "spin", called by shard 0,'],
    'a function called by a worker': [
      (here) => here.on(2).outcome(1, 'spin'),
      'the function "spin", called by shard 2,',
    ],
    'an HTTP handler': [
      async (here) => {
        const port = await here.on(1).serveStuck();
        const client = await Client.open(port);
        client.write('GET /stuck/%22here%22?secret=1 HTTP/1.1\r\nHost: a\r\n\r\n');
      },
      'the HTTP handler of GET /stuck/%22here%22',
    ],
    'an HTTP handler, whose head came in pieces': [
      (here) => sendPieces(here, ['POST /in', '/pieces HTTP/1.1\r\nHo', 'st: a\r\nContent-Length: 0\r\n\r\n']),
      'the HTTP handler of POST /in/pieces',
    ],
    'an HTTP handler, whose first line came as a whole': [
      (here) => sendPieces(here, ['POST /a/line HTTP/1.1\r\nHo', 'st: a\r\nContent-Length: 0\r\n\r\n']),
      'the HTTP handler of POST /a/line',
    ],
    ...(host === 'uring' && {
      'code after an await': [
        (here) => here.on(1).spinLater(5),
        "code that goes on after an await, or a callback of Node's,",
      ],
    }),
  };
  for (const [name, [begin, said]] of Object.entries(stuck)) {
    test(`${name} that never ends is named while it runs; the others serve; close() ends it`, async () => {
      const { report } = await withRuntime({ shards: 3 }, async (here, warnings) => {
        begin(here)?.catch?.(() => undefined);
        await until(() => warnings.length !== 0, 'the warning');
        const [text] = warnings;
        assert.is(text.replace(/\d+ ms/, 'N ms'), `${said} keeps shard 1 for N ms by now, and does not yield`);
        assert.is(await here.on(2).echo(5), 5);
        assert.is(warnings.length, 1);
      });
      assert.is(report.shards[1].how, 'terminated');
    });
  }

  test('a method of a service is named as one', async () => {
    const here = await within(Runtime.start({ host, module, shards: 2 }), 'start');
    const said = new Promise((resolve) => process.once('warning', ({ message }) => resolve(message)));
    Sharded.start('Spinner').then((all) =>
      all
        .on(1)
        .spin()
        .catch(() => undefined),
    );
    assert.match(
      await within(said, 'the warning'),
      /^a function for a sharded service, called by shard 0, keeps shard 1/,
    );
    const error = await rejection(within(here.close({ timeoutMs: 50 }), 'close'));
    assert.is(error.code, 'FEATHERSTAR_SERVICE', 'it cannot stop there');
  });

  test('functions and handlers that end are not named, however many and however close', async () => {
    const seen = await withRuntime({ shards: 2, stallMs: 1000 }, async (here) => {
      const port = await here.on(1).serveHttp();
      const client = await Client.open(port);
      for (const end = performance.now() + 2500; performance.now() < end; ) {
        await Promise.all(Array.from({ length: 20 }, () => here.on(1).echo(1)));
        assert.is((await client.ask(get())).text, 'shard 1');
      }
      client.destroy();
      await new Promise((resolve) => setTimeout(resolve, 2500)); // nor when nothing comes after them
    });
    assert.equal([...seen], []);
  });

  for (const [word, what] of [
    ['task', 'task "for ever"'],
    ['call', 'the function "spin", called by shard 1,'],
  ]) {
    test(`shard 0 spins in a ${word} for ever: a worker says so, though shard 0 can print nothing`, async () => {
      const program = new Program([PROGRAM], { FEATHERSTAR_HOST: host });
      await program.line(/^ready 1\n/);
      assert.is(program.stderr, '');
      program.say(word);
      await until(() => program.stderr.includes('keeps shard 0'), 'the warning');
      const [, said] = /^\(node:\d+\) Featherstar: (.*?) keeps shard 0 for \d+ ms by now, and/.exec(program.stderr);
      assert.is(said, what);
      program.kill('SIGKILL');
      assert.is(await program.ended(), 'SIGKILL');
    });
  }

  test('tasks that yield in time are not named, however long they take; nor is anybody with stallMs 0', async () => {
    const polite = await withRuntime({ shards: 2, stallMs: 1000 }, async (here) => {
      await here.onAll().burn(5, 40, 'polite');
    });
    assert.equal([...polite], []);
    const off = await withRuntime({ shards: 2, stallMs: 0 }, async (here) => {
      await here.on(1).burn(150, 1, 'long');
    });
    assert.equal([...off], []);
  });

  test('one busy period after the other is watched', async () => {
    await withRuntime({ shards: 2, stallMs: 10 }, async (here, warnings) => {
      const folder = mkdtempSync(join(tmpdir(), 'featherstar-'));
      for (const name of ['first', 'second', 'third']) {
        const spinning = here.on(1).spinUntil(join(folder, name), name);
        const isNamed = (text) => text.startsWith(`task "${name}" keeps shard 1`);
        await until(() => warnings.some(isNamed), `${name} is named`);
        writeFileSync(join(folder, name), '');
        await spinning;
        await here.on(0).work(60); // the watch ends, and begins again
      }
      rmSync(folder, { recursive: true });
    });
  });

  test.run();
}

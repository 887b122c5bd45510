// Processes side by side on one port: only if each of them says so. Every server here is a process of its own, started
// from the command line.

import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { Runtime } from 'featherstar';
import { Response, serve } from 'featherstar/http';
import { listen } from 'featherstar/net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Program } from '../support/child.js';
import { hosts, rejection } from '../support/hosts.js';
import { ask, get, until } from '../support/http.js';

const CLI = fileURLToPath(new URL('../../dist/host/cli/main.js', import.meta.url));
const APP = fileURLToPath(new URL('../support/process-module.js', import.meta.url));
const NOBODY = 65_534;
const CONNECTIONS = 200; // spread by a hash: that one of two listeners gets none is out of the question

const { sharesPorts } = await withRuntime('portable', (runtime) => runtime);
const portable = sharesPorts ? ['portable'] : [];
if (!sharesPorts) console.log('# skipped: portable beside uring: it cannot share a port here');
const available = hosts().filter((host) => host === 'uring' || sharesPorts);

async function withRuntime(host, run) {
  const runtime = await Runtime.start({ shards: 1, host });
  try {
    return await run(runtime);
  } finally {
    await runtime.close();
  }
}

/** Starts a server. `flags`: of the command line. */
function start(host, shards, port, ...flags) {
  const options = ['--hostname', '127.0.0.1', '--port', String(port), '--shards', String(shards)];
  return new Program([CLI, 'serve', APP, ...options, ...flags], { FEATHERSTAR_HOST: host });
}

async function portOf(program) {
  return Number((await program.line(/listening on http:\/\/\S+:(\d+)\//))[1]);
}

/** How a server ends that cannot start. */
async function refusal(program) {
  assert.is(await program.ended(20_000), 1, program.stdout);
  return program.stderr;
}

async function end(...programs) {
  for (const program of programs) program.kill('SIGTERM');
  for (const program of programs) assert.is(await program.ended(), 0, program.stderr);
}

/** How many of CONNECTIONS new connections each process has answered, by its id. */
async function answers(port) {
  const counts = {};
  for (let i = 0; i < CONNECTIONS; i++) {
    const { text } = await ask(port, get());
    counts[text] = (counts[text] ?? 0) + 1;
  }
  return counts;
}

// The kernel closes the files of a ring a moment after its process has ended.
const GONE = 'the listeners of a process that was killed are gone';

function rethrowUnlessReset(error) {
  if (!error.message.includes('ECONNRESET')) throw error;
  return false;
}

for (const host of available) {
  for (const shards of [1, 2]) {
    const test = suite(`processes that share a port (${host}, ${shards} shards)`);

    test('a second process without the option is refused', async () => {
      for (const flags of [[], ['--share-port']]) {
        const first = start(host, shards, 0, ...flags);
        const port = await portOf(first);
        assert.match(await refusal(start(host, shards, port)), /^FEATHERSTAR_SYSTEM: .*EADDRINUSE/);
        assert.equal(Object.keys(await answers(port)), [String(first.pid)]);
        await end(first);
      }
    });

    for (const other of host === 'uring' ? ['uring', ...portable] : [host]) {
      test(`both say so: the kernel spreads connections over them, and one may die (${other})`, async () => {
        const first = start(host, shards, 0, '--share-port');
        const port = await portOf(first);
        const second = start(other, shards, port, '--share-port');
        assert.is(await portOf(second), port);
        const counts = await answers(port);
        assert.equal(Object.keys(counts).sort(), [String(first.pid), String(second.pid)].sort());
        assert.ok(Math.min(...Object.values(counts)) > CONNECTIONS / 10, JSON.stringify(counts));
        first.kill('SIGKILL');
        assert.is(await first.ended(), 'SIGKILL');
        await until(
          () => answers(port).then(({ [second.pid]: count }) => count === CONNECTIONS, rethrowUnlessReset),
          GONE,
        );
        const third = start(host, shards, port, '--share-port');
        assert.is(await portOf(third), port);
        await end(second);
        assert.equal(await answers(port), { [third.pid]: CONNECTIONS });
        await end(third);
      });
    }

    test.run();
  }

  const test = suite(`sharing a port (${host})`);

  test('a first process of one shard that has not said so is alone', async () => {
    const first = start(host, 1, 0);
    const port = await portOf(first);
    assert.match(await refusal(start(host, 1, port, '--share-port')), /^FEATHERSTAR_SYSTEM: .*EADDRINUSE/);
    await end(first);
  });

  if (process.getuid() === 0) {
    test('a process of another user is refused, whatever it says', async () => {
      const own = start(host, 1, 0, '--share-port');
      const port = await portOf(own);
      const args = ['--reuid', String(NOBODY), '--regid', String(NOBODY), '--clear-groups'];
      const text = `const s = require('node:net').createServer(); s.on('error', (e) => console.log(e.code));
        s.listen({ port: ${port}, host: '127.0.0.1', reusePort: true }, () => { console.log('open'); s.close(); });`;
      const theirs = new Program([...args, process.execPath, '-e', text], {}, 'setpriv');
      const [, outcome] = await theirs.line(/^(\w+)\n/);
      await theirs.ended();
      assert.is(outcome, 'EADDRINUSE');
      await end(own);
    });
  }

  test('listen() and serve() take sharePort; with reusePort: false, or a path, it is refused', () =>
    withRuntime(host, async () => {
      const one = await listen({ hostname: '127.0.0.1', sharePort: true });
      const fetch = () => new Response('two');
      const two = await serve({ fetch, hostname: '127.0.0.1', port: one.port, sharePort: true });
      assert.is(two.port, one.port);
      await two.close();
      one.close();
      for (const options of [{ path: '/tmp/x' }, { hostname: 'unix:/tmp/x' }, { reusePort: false }]) {
        const error = await rejection(listen({ ...options, sharePort: true }));
        assert.is(error.code, 'FEATHERSTAR_OPTION');
      }
      assert.is((await rejection(listen({ sharePort: 1 }))).code, 'FEATHERSTAR_OPTION');
    }));

  test('a listener that has not said so keeps sockets of other programs out', () =>
    withRuntime(host, async () => {
      const listener = await listen({ hostname: '127.0.0.1' });
      const other = createServer();
      const refused = new Promise((resolve) => other.once('error', resolve));
      other.listen({ port: listener.port, host: '127.0.0.1', reusePort: true });
      assert.is((await refused).code, 'EADDRINUSE');
      listener.close();
    }));

  test.run();
}

if (!sharesPorts) {
  const test = suite('sharing a port (portable)');

  test('where ports cannot be shared, sharePort is FEATHERSTAR_HOST, and nothing listens', () =>
    withRuntime('portable', async () => {
      const error = await rejection(listen({ hostname: '127.0.0.1', sharePort: true }));
      assert.is(error.code, 'FEATHERSTAR_HOST');
      assert.match(error.message, /cannot share a port/);
    }));

  test.run();
}

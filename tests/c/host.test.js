// The host in C (examples/hosts/c), built from dist/c by the system's compiler. It serves as server-checks.js wants, by
// io_uring and by epoll. Shards call each other. A program that cannot start says why.
//
// Next: server-checks.js; then host-sanitizers.test.js, which runs the same programs under sanitizers.

import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { denyObstacle, denyUring } from '../support/deny.js';
import { buildByReadme, buildHost, buildInCpp, folder, hostObstacle } from './host-build.js';
import { run } from './replayer.js';
import { checkFullTable, checkMostShards, checkServer, exchange, start } from './server-checks.js';

const STEP_MS = 60_000;

const obstacle = await hostObstacle();
if (obstacle === undefined) defineTests();
else test('the host in C', () => console.log(`# skipped: the host in C: ${obstacle}`));

async function greets(program) {
  const { port, stop } = await start(program, ['0']);
  assert.is(await exchange(port), 'Hello, World!\n');
  await stop('SIGKILL');
}

function defineTests() {
  test('the commands of the README build all programs, and the server in 40 lines greets', async () => {
    const built = buildByReadme();
    await greets(join(built, 'greet'));
    for (const name of ['http', 'http-epoll']) {
      const { stop } = await start(join(built, name), ['0', '1']);
      assert.is((await stop()).code, 0);
    }
    assert.match(run(join(built, 'calls'), ['100'], { timeout: STEP_MS }), /^100 calls there and back/);
  });

  const inCpp = [process.env.CXX, 'c++', 'g++', 'clang++'].find(
    (name) => name && spawnSync(name, ['--version']).status === 0,
  );
  if (inCpp === undefined) console.log('# skipped: the headers in C++: no compiler of C++');
  for (const standard of inCpp === undefined ? [] : ['c++11', 'c++20'])
    test(`the same server in C++, ${standard}`, async () => greets(await buildInCpp(inCpp, standard)));

  for (const [ring, count] of [
    ['io_uring', 200_000],
    ['epoll', 20_000],
  ]) {
    test(`HTTP: ${ring}`, async () => checkServer(await buildHost('http', 'plain', ring), ['0', '2']));

    test(`calls and timers: ${ring}`, async () => {
      const text = run(await buildHost('calls', 'plain', ring), [String(count)], { timeout: STEP_MS });
      assert.match(text, new RegExp(`^${count} calls there and back, \\d+ ns each; 1000 timers fired\\n$`));
    });

    test(`more clients than files: ${ring}`, async () =>
      checkFullTable(await buildHost('http', 'plain', ring), ['0', '1']));
  }

  test('limits that leave no file for connections are refused', async () => {
    const program = await buildHost('calls', 'plain', 'io_uring', { connection_slots: 8 });
    const { status, stderr } = spawnSync(program, ['1'], { encoding: 'utf8', timeout: STEP_MS });
    assert.is(`${status} ${stderr}`, '1 connection_slots, which must be more than SHARD_GRANTS: Invalid argument\n');
  });

  test('as many shards as the core allows', async () => checkMostShards(await buildHost('http')));

  test('a server that cannot start says why', async () => {
    const program = await buildHost('http');
    const run = (command, ...args) => spawnSync(command, args, { encoding: 'utf8', timeout: STEP_MS });
    const few = run('sh', '-c', 'ulimit -n 8; exec "$0" 0 1', program);
    assert.is(`${few.status} ${few.stderr}`, '1 io_uring_register: Too many open files\n');
    const tooFew = run('sh', '-c', 'ulimit -n 100; exec "$0" 0 16', program);
    assert.is(`${tooFew.status} ${tooFew.stderr}`, '1 the doorbell of a peer: Too many open files\n');
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const taken = run(program, String(other.address().port), '1');
    other.close();
    assert.is(`${taken.status} ${taken.stderr}`, '1 bind: Address already in use\n');
    for (const args of [['x'], ['70000'], ['0', '0'], ['0', '65'], ['0', '1x']])
      assert.is(run(program, ...args).stderr, 'usage: http [PORT [SHARDS]]\n', args.join(' '));
    if (denyObstacle() !== undefined) return;
    const denied = denyUring('EPERM', [program, '0', '1'], { stdio: ['ignore', 'ignore', 'pipe'] });
    const texts = await denied.stderr.setEncoding('utf8').toArray();
    assert.is(texts.join(''), 'io_uring_setup: Operation not permitted\n');
  });
}

test.after(() => rmSync(folder, { recursive: true }));
test.run();

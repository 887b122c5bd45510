// deadline: 240 s
//
// The host in C (examples/hosts/c). It is built by one command from dist/c. It serves as server-checks.js wants. Shards
// call each other. All of this runs under three sanitizers, too, and some of it by epoll.
//
// Next: server-checks.js; then replay.test.js.

import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { denyObstacle, denyUring } from '../support/deny.js';
import { buildHost, buildInCpp, compiler, folder, VARIANTS } from './host-build.js';
import { run } from './replayer.js';
import { checkFullTable, checkServer, exchange, start } from './server-checks.js';

const STEP_MS = 60_000;

const usable = compiler !== undefined && process.platform === 'linux';
if (!usable) test('the host in C', () => console.log('# skipped: the host in C: it needs Linux and a C compiler'));
else {
  const probe = spawnSync(buildHost('calls'), ['1'], { encoding: 'utf8', timeout: STEP_MS });
  if (probe.status !== 0 && /Operation not permitted|Function not implemented/.test(probe.stderr))
    test('the host in C', () => console.log(`# skipped: the host in C: ${probe.stderr.trim()}`));
  else defineTests();
}

/** The least that the core allows: nearly all that can be refused is refused. */
const LEAST = {
  ...{ ring_slots: 1, credit_count: 1, sqe_slots: 1, cqe_slots: 1, ready_slots: 2, op_slots: 2, task_slots: 1 },
  ...{ connection_slots: 9, recv_buffer_count: 1, recv_buffer_bytes: 1, send_buffer_count: 1, send_buffer_bytes: 1 },
  ...{ large_recv_buffer_count: 1, large_recv_buffer_bytes: 1, arena_bytes: 32, scratch_bytes: 1, call_slots: 0 },
};

function defineTests() {
  test('a server in 40 lines, built by one command', async () => {
    const { port, stop } = await start(buildHost('greet'), ['0']);
    assert.is(await exchange(port), 'Hello, World!\n');
    await stop('SIGKILL');
  });

  const inCpp = [process.env.CXX, 'c++', 'g++', 'clang++'].find(
    (name) => name && spawnSync(name, ['--version']).status === 0,
  );
  if (inCpp === undefined) console.log('# skipped: the headers in C++: no compiler of C++');
  for (const standard of inCpp === undefined ? [] : ['c++11', 'c++20']) {
    test(`the same server in C++, ${standard}`, async () => {
      const { port, stop } = await start(buildInCpp(inCpp, standard), ['0']);
      assert.is(await exchange(port), 'Hello, World!\n');
      await stop('SIGKILL');
    });
  }

  for (const variant of Object.keys(VARIANTS)) {
    test(`HTTP: ${variant}`, () => checkServer(buildHost('http', variant), ['0', '2']));

    test(`calls and timers: ${variant}`, () => {
      const count = variant === 'plain' ? 200_000 : 20_000;
      const text = run(buildHost('calls', variant), [String(count)], { timeout: STEP_MS });
      assert.match(text, new RegExp(`^${count} calls there and back, \\d+ ns each; 1000 timers fired\\n$`));
    });
  }

  for (const variant of ['address, undefined', 'thread']) {
    test(`calls with the smallest limits: ${variant}`, () => {
      const program = buildHost('calls', variant, 'io_uring', LEAST);
      assert.match(run(program, ['2000'], { timeout: STEP_MS }), /^2000 calls there and back/);
    });
  }

  for (const ring of ['io_uring', 'epoll'])
    test(`more clients than files: ${ring}`, () => checkFullTable(buildHost('http', 'plain', ring), ['0', '1']));

  test('limits that leave no file for connections are refused', () => {
    const program = buildHost('calls', 'plain', 'io_uring', { connection_slots: 8 });
    const { status, stderr } = spawnSync(program, ['1'], { encoding: 'utf8', timeout: STEP_MS });
    assert.is(`${status} ${stderr}`, '1 connection_slots, which must be more than SHARD_GRANTS: Invalid argument\n');
  });

  test('a server that cannot start says why', async () => {
    const program = buildHost('http');
    const run = (command, ...args) => spawnSync(command, args, { encoding: 'utf8', timeout: STEP_MS });
    const few = run('sh', '-c', 'ulimit -n 8; exec "$0" 0 1', program);
    assert.is(`${few.status} ${few.stderr}`, '1 io_uring_register: Too many open files\n');
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

  test('the same HTTP server by epoll, without io_uring', async () => {
    await checkServer(buildHost('http', 'plain', 'epoll'), ['0', '2']);
  });

  test('the same calls by epoll, without io_uring', () => {
    const text = run(buildHost('calls', 'plain', 'epoll'), ['20000'], { timeout: STEP_MS });
    assert.match(text, /^20000 calls there and back, \d+ ns each; 1000 timers fired\n$/);
  });
}

test.after(() => rmSync(folder, { recursive: true }));
test.run();

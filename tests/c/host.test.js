// deadline: 240 s
//
// The host in C (examples/hosts/c). It is built by one command from dist/c. It serves as server-checks.js wants. Shards
// call each other. All of this runs under three sanitizers, too, and some of it by epoll.
//
// Next: server-checks.js; then replay.test.js.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { nativeCompilers, run } from './replayer.js';
import { checkServer, exchange, start } from './server-checks.js';

const CORE = fileURLToPath(new URL('../../dist/c/', import.meta.url));
const HOST = fileURLToPath(new URL('../../examples/hosts/c/', import.meta.url));
const STEP_MS = 60_000;
const folder = mkdtempSync(join(tmpdir(), 'featherstar-host-'));
const [compiler] = nativeCompilers;
const WITHOUT_GATE = ['featherstar_core.c', 'listen.c', 'shard.c'];
const VARIANTS = {
  plain: ['-O2', '-Wall', '-Wextra', '-Werror'],
  'address, undefined': ['-O1', '-g', '-fsanitize=address,undefined', '-fno-sanitize-recover=all'],
  thread: ['-O1', '-g', '-fsanitize=thread'],
};

/** Compiles a program of examples/hosts/c. `ring`: by io_uring, or by epoll. */
function build(name, variant = 'plain', ring = 'io_uring') {
  const output = join(folder, `${name}-${variant.slice(0, 3)}-${ring}`);
  const isWanted = (file) => file.endsWith('.c') && (ring !== 'epoll' || WITHOUT_GATE.includes(file));
  const core = readdirSync(CORE).filter(isWanted);
  const own = name === 'greet' ? ['greet.c'] : [`${name}.c`, 'host.c'];
  if (ring === 'epoll') own.push('epoll.c');
  const sources = [...own.map((file) => join(HOST, file)), ...core.map((file) => join(CORE, file))];
  run(compiler, [...VARIANTS[variant], '-D_GNU_SOURCE', '-pthread', `-I${CORE}`, ...sources, '-o', output]);
  return output;
}

const usable = compiler !== undefined && process.platform === 'linux';
if (!usable) test('the host in C', () => console.log('# skipped: the host in C: it needs Linux and a C compiler'));
else {
  const probe = spawnSync(build('calls'), ['1'], { encoding: 'utf8', timeout: STEP_MS });
  if (probe.status !== 0 && /Operation not permitted|Function not implemented/.test(probe.stderr))
    test('the host in C', () => console.log(`# skipped: the host in C: ${probe.stderr.trim()}`));
  else defineTests();
}

function defineTests() {
  test('a server in 40 lines, built by one command', async () => {
    const { port, stop } = await start(build('greet'), ['0']);
    assert.is(await exchange(port), 'Hello, World!\n');
    await stop('SIGKILL');
  });

  for (const variant of Object.keys(VARIANTS)) {
    test(`HTTP: ${variant}`, () => checkServer(build('http', variant), ['0', '2']));

    test(`calls and timers: ${variant}`, () => {
      const count = variant === 'plain' ? 200_000 : 20_000;
      const text = run(build('calls', variant), [String(count)], { timeout: STEP_MS });
      assert.match(text, new RegExp(`^${count} calls there and back, \\d+ ns each; 1000 timers fired\\n$`));
    });
  }

  test('the same HTTP server by epoll, without io_uring', async () => {
    await checkServer(build('http', 'plain', 'epoll'), ['0', '2']);
  });

  test('the same calls by epoll, without io_uring', () => {
    const text = run(build('calls', 'plain', 'epoll'), ['20000'], { timeout: STEP_MS });
    assert.match(text, /^20000 calls there and back, \d+ ns each; 1000 timers fired\n$/);
  });
}

test.after(() => rmSync(folder, { recursive: true }));
test.run();

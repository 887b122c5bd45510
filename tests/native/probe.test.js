// Where io_uring cannot be had: each way of not having it ends with the portable host, a reason in words, and a server
// that serves. Asking for uring there is an error, never a silent fallback.
//
// Next: gate.test.js.

import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { denyObstacle, denyUring } from '../support/deny.js';
import { ADDON_PATH, addon, obstacle } from './rig.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const EXAMPLE = ['dist/host/cli/main.js', 'serve', 'examples/http-echo/app.js', '--hostname', '127.0.0.1'];
const DEADLINE_MS = 30_000;
const DENIED = [
  { errno: 'EPERM', code: -1 },
  { errno: 'ENOSYS', code: -38 },
];

const unbuilt = obstacle() === 'the addon is not built' ? 'the addon is not built' : undefined;
if (unbuilt !== undefined) console.log(`# skipped: probe: ${unbuilt}`);
const undeniable = unbuilt ?? denyObstacle();
const itDenied = undeniable === undefined ? test : test.skip;
const itBuilt = unbuilt === undefined ? test : test.skip;

const children = new Set();
test.after(() => {
  for (const child of children) child.kill('SIGKILL');
});

/** Collects what a child says. `until` resolves with its output when that matches, or when it ends; never hangs. */
function watch(child) {
  const state = { stdout: '', stderr: '', code: undefined };
  children.add(child);
  const timer = setTimeout(() => child.kill('SIGKILL'), DEADLINE_MS);
  const looks = new Set();
  const look = () => {
    for (const each of [...looks]) each();
  };
  child.stdout.on('data', (chunk) => {
    state.stdout += chunk;
    look();
  });
  child.stderr.on('data', (chunk) => {
    state.stderr += chunk;
  });
  child.on('close', (code) => {
    clearTimeout(timer);
    children.delete(child);
    state.code = code;
    look();
  });
  state.until = (pattern) =>
    new Promise((resolve) => {
      const check = () => {
        if (state.code === undefined && !pattern?.test(state.stdout)) return;
        looks.delete(check);
        resolve(state);
      };
      looks.add(check);
      check();
    });
  return state;
}

function environment(changes = {}) {
  const { FEATHERSTAR_HOST, NODE_OPTIONS, ...env } = process.env;
  return { ...env, PORT: '0', FEATHERSTAR_SHARDS: '2', ...changes };
}

/** Starts the example, looks at its line, asks it for its page, ends it. Returns the line. */
async function serveOnce(child) {
  const server = watch(child);
  await server.until(/host .*\n/);
  const match = /listening on (http:\S+) .*\n/.exec(server.stdout);
  assert.ok(match, `it says where it listens: ${server.stdout}${server.stderr}`);
  const response = await fetch(match[1], { signal: AbortSignal.timeout(DEADLINE_MS) });
  assert.equal([response.status, await response.text()], [200, 'Hello, World!']);
  child.kill('SIGTERM');
  await server.until();
  return match[0].trim();
}

function start(args, env, cwd = ROOT) {
  return spawn(process.execPath, args, { cwd, env });
}

for (const { errno, code } of DENIED) {
  itDenied(`${errno}: the probe answers ${code}`, async () => {
    const script = `process.stdout.write(String(require(${JSON.stringify(ADDON_PATH)}).probe()))`;
    const child = watch(denyUring(errno, [process.execPath, '-e', script], { env: environment() }));
    await child.until();
    assert.equal([child.code, child.stdout], [0, String(code)], child.stderr);
  });

  itDenied(`${errno}: the example serves, and says that it is portable, and why`, async () => {
    const child = denyUring(errno, [process.execPath, ...EXAMPLE], { cwd: ROOT, env: environment() });
    const line = await serveOnce(child);
    assert.match(line, new RegExp(`host portable \\(io_uring_setup: .*${errno}.*\\)`));
  });

  itDenied(`${errno}: asking for uring is an error`, async () => {
    const env = environment({ FEATHERSTAR_HOST: 'uring' });
    const child = watch(denyUring(errno, [process.execPath, ...EXAMPLE], { cwd: ROOT, env }));
    await child.until();
    assert.is(child.code, 1, child.stdout + child.stderr);
    assert.match(child.stderr, new RegExp(`FEATHERSTAR_HOST: .*io_uring_setup: .*${errno}`));
  });
}

itDenied('the filter denies io_uring only, and needs its arguments', async () => {
  const fine = watch(denyUring('EPERM', [process.execPath, '-e', 'fetch;process.stdout.write("fine")'], {}));
  await fine.until();
  assert.is(fine.stdout, 'fine');
  const wrong = watch(denyUring('EIO', [process.execPath], {}));
  await wrong.until();
  assert.equal([wrong.code, wrong.stdout], [2, '']);
});

itBuilt('the probe answers here what open() will see', () => {
  const result = addon().probe();
  if (result < 0) console.log(`# skipped: io_uring_setup answers ${result} here`);
  else assert.ok(result & (1 << 8), 'COOP_TASKRUN is the least that is asked for');
});

test('--no-addons: portable, and it says why', async () => {
  const line = await serveOnce(start(['--no-addons', ...EXAMPLE], environment({ NODE_OPTIONS: '--no-addons' })));
  assert.match(line, /host portable \(Node forbids addons \(--no-addons/);
});

test('no addon in the package: portable, and it says so', async () => {
  const copy = mkdtempSync(join(tmpdir(), 'featherstar-probe-'));
  try {
    for (const name of ['package.json', 'examples']) cpSync(join(ROOT, name), join(copy, name), { recursive: true });
    mkdirSync(join(copy, 'dist'));
    for (const name of ['host', 'core.wasm']) {
      cpSync(join(ROOT, 'dist', name), join(copy, 'dist', name), { recursive: true });
    }
    symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
    assert.equal(readdirSync(join(copy, 'dist')).sort(), ['core.wasm', 'host']);
    const line = await serveOnce(start(EXAMPLE, environment(), copy));
    assert.match(line, /host portable \(no addon for linux-|host portable \(io_uring is Linux's/);
    const asked = watch(start(EXAMPLE, environment({ FEATHERSTAR_HOST: 'uring' }), copy));
    await asked.until();
    assert.is(asked.code, 1);
    assert.match(asked.stderr, /FEATHERSTAR_HOST: /);
  } finally {
    rmSync(copy, { recursive: true });
  }
});

test('FEATHERSTAR_HOST is final: portable where asked for, an error for what is no host', async () => {
  const line = await serveOnce(start(EXAMPLE, environment({ FEATHERSTAR_HOST: 'portable' })));
  assert.match(line, /host portable \(asked for/);
  const child = watch(start(EXAMPLE, environment({ FEATHERSTAR_HOST: 'epoll' })));
  await child.until();
  assert.is(child.code, 1);
  assert.match(child.stderr, /FEATHERSTAR_\w+: .*epoll/);
});

test.run();

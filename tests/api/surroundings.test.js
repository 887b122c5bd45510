// A process that forbids something, or lacks a part of the package, gets an error that names the remedy.

import { cpSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Program } from '../support/child.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const HOST = join(ROOT, 'dist', 'host');
const USER = 61_337; // has no other process, so a limit of processes counts this one's threads alone
const isNode = !('Bun' in globalThis || 'Deno' in globalThis);

/** Runs code with these flags of Node, and returns what it prints. */
async function printed(flags, code) {
  const program = new Program([...flags, '--input-type=module', '-e', code]);
  await program.ended();
  return program.stdout;
}

/** Starts a runtime of `shards` with these flags of Node, and returns what it says: its summary, or its error. */
async function start(shards, flags, { index = join(HOST, 'index.js'), threads } = {}) {
  const code = `
    const { Runtime } = await import(${JSON.stringify(pathToFileURL(index).href)});
    try {
      const runtime = await Runtime.start({ shards: ${shards} });
      console.log(runtime.summary);
      await runtime.close();
    } catch (error) {
      console.log(error.code, error.message);
    }
    process.exit(0);`;
  const args = [...flags, '--input-type=module', '-e', code];
  const limit = `if (ulimit -u ${threads}) 2>/dev/null; then ulimit -u ${threads}; else ulimit -p ${threads}; fi`;
  const limited = ['-c', `${limit}; exec "$0" "$@"`, process.execPath, ...args];
  const program =
    threads === undefined ? new Program(args) : new Program(limited, { AS_USER: USER, HOME: tmpdir() }, '/bin/sh');
  await program.ended();
  return program.stdout;
}

const test = suite('surroundings');

if (isNode) {
  const permission = process.allowedNodeEnvironmentFlags.has('--permission')
    ? '--permission'
    : '--experimental-permission';

  test('Node refuses threads', async () => {
    const said = await start(2, [permission, '--allow-fs-read=*']);
    assert.match(said, /^FEATHERSTAR_HOST shard 1: no thread could be started: .*\. Give Node --allow-worker\n/);
    assert.match(await start(2, [permission, '--allow-fs-read=*', '--allow-worker']), /^2 shards · host portable/);
  });

  test('Node refuses the inspector', async () => {
    const sample = pathToFileURL(join(ROOT, 'tests', 'sim', 'module.js')).href;
    const code = `
      const { simulate } = await import(${JSON.stringify(pathToFileURL(join(HOST, 'sim', 'index.js')).href)});
      const real = Date;
      for (const seed of [1, 2]) {
        const options = { seed, module: ${JSON.stringify(sample)} };
        console.log((await simulate(options, async () => 'simulated')).value, Date === real);
      }`;
    const flags = [permission, '--allow-fs-read=*', '--allow-worker'];
    assert.is(await printed(flags, code), 'simulated true\nsimulated true\n');
  });

  test('Node refuses addons', async () => {
    assert.match(await start(1, ['--no-addons']), /^1 shard · host portable \(Node forbids addons \(--no-addons/);
  });

  test('there is no WebAssembly', async () => {
    assert.match(await start(1, ['--jitless']), /^FEATHERSTAR_HOST there is no WebAssembly: start Node without/);
  });

  if (process.platform === 'linux' && process.getuid() === 0) {
    test('the system refuses threads', async () => {
      const said = await start(32, [], { threads: 24 });
      if (said === '') console.log('# skipped: a user without rights cannot read Node or these files');
      else assert.match(said, /^FEATHERSTAR_HOST shard \d+: no thread could be started: .*ulimit -u, the pids limit/);
    });
  } else console.log('# skipped: only root can start a program as another user');
}

test('core.wasm is not beside the code', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'featherstar-'));
  try {
    cpSync(HOST, join(folder, 'dist', 'host'), { recursive: true });
    symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
    const said = await start(1, [], { index: join(folder, 'dist', 'host', 'index.js') });
    assert.match(said, /^FEATHERSTAR_HOST there is no \/.*\/core\.wasm\. Keep the package out of bundles/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test.run();

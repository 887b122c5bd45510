// Everything that can replay vectors in a process of its own: JavaScript engines by main.js, and the hosts of
// examples/hosts/. Each prints a line: hash, seeds, calls, how many differ.
//
// Next: main.js.

import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const RUN_MS = 1_200_000; // a thousand seeds take Python minutes, and more on a busy machine
const LACKS = 3; // exit code of a host that finds something missing
const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));
const BUILT = path('../../dist/conformance/');
export const CORE = path('../../dist/core.wasm');

const viaMain = (wasm, vectors) => [path('./main.js'), '--here', '--vectors', vectors, '--wasm', wasm];
const direct = (wasm, vectors) => [wasm, vectors];

/** JavaScript engines; those of npm are in a folder (tests/contract/matrix.js). */
export function enginesIn(folder) {
  const inFolder = (relative) => join(folder, 'node_modules', relative);
  return [
    { name: `Node ${process.versions.node} (V8)`, commands: [process.execPath], args: viaMain },
    { name: 'a current Node (V8)', commands: [inFolder('node/bin/node')], args: viaMain },
    { name: 'Bun (JavaScriptCore)', commands: [inFolder('bun/bin/bun.exe'), 'bun'], before: ['run'], args: viaMain },
    { name: 'Deno (V8)', commands: [inFolder('deno/deno'), 'deno'], before: ['run', '--allow-all'], args: viaMain },
  ];
}

/** The core in C (dist/c), by one compiler: it is part of the program, so there is no other module to replay on. */
const inC = (compiler) => ({
  name: `C (${compiler})`,
  commands: [compiler],
  build: [
    ...['-std=c11', '-O2', '-Wall', '-Wextra', '-Werror', `-I${path('../../dist/c')}`],
    ...['-o', join(BUILT, `replay-${compiler}`), path('../../examples/hosts/c/replay.c')],
  ],
  built: join(BUILT, `replay-${compiler}`),
  hasCore: true,
  args: (_wasm, vectors) => [vectors],
});

/** The core in C for arm64, under qemu, which is slow where much is reserved: so without guard pages. */
const onArm64 = {
  ...inC(process.env.CC_ARM64 ?? 'aarch64-linux-gnu-gcc'),
  name: 'C for arm64 (qemu)',
  runner: 'qemu-aarch64',
};
onArm64.build.push('-static', '-DFEATHERSTAR_CHECKED=1');

export const HOSTS = [
  inC('gcc'),
  inC('clang'),
  ...(process.arch === 'arm64' ? [] : [onArm64]),
  {
    name: 'wasmtime (Python)',
    commands: ['python3'],
    before: [path('../../examples/hosts/python/replay.py')],
    args: direct,
  },
  {
    name: 'wazero (Go)',
    commands: ['go'],
    version: 'version',
    build: ['build', '-C', path('../../examples/hosts/go'), '-o', join(BUILT, 'replay-go'), '.'],
    built: join(BUILT, 'replay-go'),
    args: direct,
  },
];

const lastLine = (text) => text.trim().split('\n').at(-1);

/** `{ printed }`, or `{ lacks }`: why it cannot be done here. */
export function replayIn(host, wasm, vectors) {
  const { commands, version = '--version', build, built, before = [], runner, args } = host;
  if (host.hasCore && wasm !== CORE) return { lacks: `it has the core of ${CORE} in it` };
  const isThere = (command) => spawnSync(command, [version], { stdio: 'ignore' }).status === 0;
  const found = commands.find(isThere);
  if (found === undefined) return { lacks: `${commands.at(-1)}: not found` };
  if (runner !== undefined && !isThere(runner)) return { lacks: `${runner}: not found` };
  if (build !== undefined) {
    mkdirSync(BUILT, { recursive: true });
    const { status, stderr, error } = spawnSync(found, build, { encoding: 'utf8', timeout: RUN_MS });
    if (status !== 0) return { lacks: `it cannot be built: ${error?.message ?? lastLine(stderr)}` };
  }
  const command = [...(runner === undefined ? [] : [runner]), built ?? found, ...before];
  const options = { encoding: 'utf8', timeout: RUN_MS };
  const { status, stdout, stderr, error } = spawnSync(
    command[0],
    [...command.slice(1), ...args(wasm, vectors)],
    options,
  );
  if (status === LACKS) return { lacks: stderr.trim() };
  return { printed: `${stdout ?? ''}${status === 0 ? '' : (stderr ?? '')}${error ?? ''}`.trim() };
}

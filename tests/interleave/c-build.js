// Compiles C for the interleaving tool into dist/interleave/: a source of this folder, which includes files of ours as
// they are, or as mutants.
//
// Next: c-park.js, c-host.js.

import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, renameSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findCompiler } from '../support/deny.js';
import { writeIfNew } from './mutants.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const NATIVE = join(ROOT, 'host/native');
const HOST = join(ROOT, 'examples/hosts/c');
const FOLDERS = { 'park.h': NATIVE, 'shard.c': NATIVE, 'ring.c': NATIVE, 'gate.c': NATIVE, 'host.c': HOST };

/** Whether there is a compiler. */
export function hasCompiler() {
  return process.platform === 'linux' && findCompiler() !== undefined;
}

/**
 * Compiles `source` of this folder with `flags`. `changes`: the file, what stands there (exactly once), and what stands
 * there instead. Returns the addon.
 */
export function compileC(name, source, flags, changes) {
  const folder = join(ROOT, 'dist/interleave', name);
  mkdirSync(folder, { recursive: true });
  for (const [file, old, fresh] of changes) {
    const text = readFileSync(join(FOLDERS[file], file), 'utf8');
    if (text.split(old).length !== 2) throw new Error(`mutant ${name}: ${file} has not exactly one \`${old}\``);
    writeIfNew(
      join(folder, file),
      text.replace(old, () => fresh),
    );
  }
  const require = createRequire(import.meta.url);
  const headers = join(dirname(require.resolve('node-api-headers/package.json')), 'include');
  const folders = [folder, NATIVE, HOST, join(ROOT, 'dist/c'), headers].map((path) => `-I${path}`);
  const path = join(folder, `${source}.node`);
  const part = `${path}.${process.pid}`; // renamed at the end: another test file may have the old one loaded
  const all = ['-shared', '-fPIC', '-std=gnu11', '-Wall', '-Wextra', '-Werror', ...flags, ...folders];
  execFileSync(findCompiler(), [...all, '-o', part, fileURLToPath(new URL(source, import.meta.url))]);
  renameSync(part, path);
  return require(path);
}

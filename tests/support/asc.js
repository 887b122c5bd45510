// Compiles one part of assembly/ to a module of its own, for tests that need no shard around it.
//
// assembly/build.mjs makes it, as it makes the core, so that a part is tested as it is shipped; with
// FEATHERSTAR_CORE=debug it has asserts. The result is kept while no source is newer. Test files may run at the same
// time: a module is renamed into place when it is whole.

import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, renameSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const BUILD = join(ROOT, 'assembly/build.mjs');
const CONFIG = join(ROOT, 'asconfig.json');

function newestSourceMs(entry) {
  const sources = readdirSync(join(ROOT, 'assembly'), { recursive: true }).filter((path) => path.endsWith('.ts'));
  const paths = [CONFIG, BUILD, join(ROOT, entry), ...sources.map((path) => join(ROOT, 'assembly', path))];
  return Math.max(...paths.map((path) => statSync(path).mtimeMs));
}

/** Whether tests run on the core that has asserts. */
export const isDebug = process.env.FEATHERSTAR_CORE === 'debug';

/** Compiles `entry` to `out`, both relative to the root of the project, and returns the module. */
export function buildWasm(entry, out, withAsserts = isDebug) {
  const name = withAsserts ? out.replace(/\.wasm$/, '.debug.wasm') : out;
  const path = join(ROOT, name);
  const built = statSync(path, { throwIfNoEntry: false });
  if (!built || built.mtimeMs <= newestSourceMs(entry)) {
    mkdirSync(dirname(path), { recursive: true });
    const fresh = `${name}.${process.pid}`;
    execFileSync(process.execPath, [BUILD, entry, fresh, ...(withAsserts ? ['--debug'] : [])]);
    renameSync(join(ROOT, fresh), path);
  }
  return new WebAssembly.Module(readFileSync(path));
}

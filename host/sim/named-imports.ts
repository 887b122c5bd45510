// Named imports of Node's modules: `import { readFile } from 'node:fs'`. When functions of such a module are replaced,
// the named imports have to change, too.
//
//   Node    syncBuiltinESMExports()
//   Bun     mock.module() of bun:test, which also works outside of tests
//   Deno    nothing does: such an import reaches the real world, and simulate() prints a warning
//
// Hooks of Deno's loader could exchange the modules. With Deno 2.9.6 they changed some modules and not others, and one
// import() with a hook never settled.
//
// Next: globals.ts.

import { createRequire, syncBuiltinESMExports } from 'node:module';

/** Modules with functions that a simulation replaces. */
const REPLACED = (
  'child_process cluster crypto dgram dns dns/promises fs fs/promises http http2 https module net os path perf_hooks ' +
  'process timers timers/promises tls worker_threads zlib'
).split(' ');

interface BunTest {
  readonly mock: { module(name: string, make: () => object): void };
}

let areSynced = true;

/** The names and the object of a module, as it is now. */
function exportsOf(name: string): object {
  const object = process.getBuiltinModule(`node:${name}`);
  return { ...object, default: object };
}

function mockModules(): void {
  const { mock } = createRequire(import.meta.url)('bun:test') as BunTest;
  for (const name of REPLACED) {
    for (const specifier of [name, `node:${name}`]) mock.module(specifier, () => exportsOf(name));
  }
}

/** Functions of Node's modules were replaced: named imports are to be the new ones. */
export function syncNamedImports(): void {
  if (process.versions.bun !== undefined) mockModules();
  else if ('Deno' in globalThis) areSynced = false;
  else syncBuiltinESMExports();
}

/** A simulation begins. Tells once what it would not notice. */
export function warnOfNamedImports(): void {
  if (areSynced) return;
  areSynced = true;
  const what = "On Deno, named imports of Node's modules, as { readFile } of node:fs, leave the simulation unnoticed";
  process.emitWarning(`${what}. Use the default import: import fs from 'node:fs'`, 'Featherstar');
}

// Bugs on purpose, each one line of the code that ships: the live mode must find every one. A mutant is a copy of the
// package below dist/mutants/, with that line changed, in the compiled host or in a core that is compiled anew.

import { cpSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildWasm } from '../../support/asc.js';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

/**
 * `changes`: a file below dist/host or assembly/, what stands there (exactly once), and what stands there in the
 * mutant. `seed`: the first that finds it; `text`: what its failure says.
 */
export const MUTANTS = {
  'half-close': {
    what: 'the end of a client whose request is handled is taken for a half-close',
    changes: [['dist/host/http/connection.js', '    onPeerLeft() {\n', '    onPeerLeft() {\n        return;\n']],
    seed: 1,
    text: /handler \/never on shard \d has not settled/,
  },
};

function change(path, name, old, fresh) {
  const text = readFileSync(path, 'utf8');
  if (text.split(old).length !== 2) throw new Error(`mutant ${name}: ${path} has not exactly one \`${old}\``);
  writeFileSync(
    path,
    text.replace(old, () => fresh),
  );
}

/** Makes the mutant, and answers the folder of its package. */
export function makeMutant(name) {
  const folder = join('dist/mutants', name);
  const root = join(ROOT, folder);
  rmSync(join(root, 'dist'), { recursive: true, force: true });
  for (const each of ['dist/host', 'dist/core.wasm', 'tests/sim', 'package.json']) {
    cpSync(join(ROOT, each), join(root, each), { recursive: true });
  }
  cpSync(join(ROOT, 'assembly'), join(root, 'assembly'), { recursive: true, preserveTimestamps: true });
  rmSync(join(root, 'node_modules'), { force: true });
  symlinkSync(join(ROOT, 'node_modules'), join(root, 'node_modules'));
  let isCore = false;
  for (const [file, old, fresh] of MUTANTS[name].changes) {
    change(join(root, file), name, old, fresh);
    isCore ||= file.startsWith('assembly/');
  }
  if (isCore) {
    rmSync(join(root, 'dist/core.wasm')); // it is newer than the sources
    buildWasm(join(folder, 'assembly/index.ts'), join(folder, 'dist/core.wasm'));
  }
  return root;
}

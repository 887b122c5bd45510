// Defects on purpose: the tool must find each. A mutant is one small change of the core's sources, compiled as the
// core is, into dist/interleave/.

import { cpSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildWasm } from '../support/asc.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const SOURCES = join(ROOT, 'assembly');

/** `changes`: the file, what stands there (exactly once), and what stands there in the mutant. */
export const MUTANTS = {
  'no-recheck': {
    what: 'no second look at the dirty word before the sleep',
    scenario: 'sleep',
    changes: [['park.ts', 'if (!isDirty()) return true;', 'return true;']],
  },
  'head-first': {
    what: 'the head is published before the slot is read',
    scenario: 'ring',
    changes: [
      [
        'spsc.ts',
        'return slotAt(ring, slots, mine.taken);',
        'atomic.store<u32>(ring + HEAD, mine.taken + 1); return slotAt(ring, slots, mine.taken);',
      ],
    ],
  },
  'late-clear': {
    what: 'the dirty bits are cleared after the rings were drained',
    scenario: 'sleep',
    changes: [
      ['mesh.ts', 'let dirty = takeDirty();', 'let dirty = atomic.load<u64>(changetype<usize>(control()) + 192);'],
      ['mesh.ts', '  putDirty(again);', '  takeDirty(); putDirty(again);'],
    ],
  },
  'no-room-look': {
    what: 'a producer that asks to be told of room does not look again whether there is some',
    scenario: 'sleep',
    changes: [['mesh.ts', 'setWaiting(ringTo(peer)); // and then', 'setWaiting(ringTo(peer)); return; // and not']],
  },
  'credit-last': {
    what: 'the consumer looks whether the producer waits, and gives the credit back afterwards',
    scenario: 'credit',
    changes: [
      ['mesh.ts', '    giveCredit(ringFrom(peer));\n', ''],
      [
        'mesh.ts',
        'if (takeWaiting(ringFrom(peer))) wake(peer);',
        'if (takeWaiting(ringFrom(peer))) wake(peer); giveCredit(ringFrom(peer));',
      ],
    ],
  },
  'credit-quiet': {
    what: 'the credit is given back and the producer that waits for it is not told',
    scenario: 'credit',
    changes: [['mesh.ts', 'if (takeWaiting(ringFrom(peer))) wake(peer);', 'takeWaiting(ringFrom(peer));']],
  },
};

function writeIfNew(path, text) {
  if (statSync(path, { throwIfNoEntry: false }) && readFileSync(path, 'utf8') === text) return;
  writeFileSync(path, text);
}

/** Compiles a mutant, or takes it as it was compiled from the same sources. Answers its bytes. */
export function mutantBytes(name) {
  const folder = `dist/interleave/${name}`;
  mkdirSync(join(ROOT, folder), { recursive: true });
  cpSync(SOURCES, join(ROOT, folder, 'assembly'), { recursive: true, preserveTimestamps: true });
  const changed = new Map();
  for (const [file, old, fresh] of MUTANTS[name].changes) {
    const text = changed.get(file) ?? readFileSync(join(SOURCES, file), 'utf8');
    if (text.split(old).length !== 2) throw new Error(`mutant ${name}: ${file} has not exactly one \`${old}\``);
    changed.set(
      file,
      text.replace(old, () => fresh),
    );
  }
  for (const [file, text] of changed) writeIfNew(join(ROOT, folder, 'assembly', file), text);
  const out = join(folder, 'core.wasm');
  mkdirSync(dirname(join(ROOT, out)), { recursive: true });
  buildWasm(`${folder}/assembly/index.ts`, out);
  return readFileSync(join(ROOT, out));
}

// Bugs on purpose, each one line of the code that ships: the live mode must find every one. A mutant is a copy of the
// package below dist/mutants/, with that line changed, in the compiled host or in a core that is compiled anew.

import { cpSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildWasm } from '../../support/asc.js';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

/**
 * `changes`: a file below dist/host or assembly/, what stands there (exactly once), and what stands there in the
 * mutant. `seed`: the first that found it; `text`: what its failure says.
 */
export const MUTANTS = {
  'credit-until-reply': {
    what: 'a call holds its credit until its reply, so calls that call back wait for each other',
    changes: [
      ['assembly/mesh.ts', '      countBegun(ring, 1); // true when the host has drained; flush() publishes it\n', ''],
      [
        'assembly/mesh.ts',
        '  } else counters().repliesSent++;\n',
        '  } else { if (kind == 2) { countBegun(ringFrom(peer), 1); owed |= bit(peer); } counters().repliesSent++; }\n',
      ],
    ],
    seed: 1,
    text: /nothing is left to happen.*calls open.*nest\(/s,
  },
  'half-close': {
    what: 'the end of a client whose request is handled is taken for a half-close',
    changes: [['dist/host/http/connection.js', '    onPeerLeft() {\n', '    onPeerLeft() {\n        return;\n']],
    seed: 1,
    text: /handler \/never on shard \d has not settled/,
  },
  'stalled-send': {
    what: 'a send that waits for room in its socket keeps its send buffer',
    changes: [
      [
        'dist/host/shard/send-queue.js',
        '            watchRoom(this.room, this.file);\n        this.giveBack();',
        '            watchRoom(this.room, this.file);',
      ],
      [
        'dist/host/shard/send-queue.js',
        '            this.isFull = false;\n',
        '            this.isFull = false;\n            this.giveBack();\n',
      ],
    ],
    seed: 2,
    text: /that nothing is left has not settled|the answer to a client that behaves well has not settled/,
  },
  'pieces-apart': {
    what: 'small pieces of a body wait one by one, however many they are',
    changes: [
      [
        'dist/host/base/byte-queue.js',
        'else if (this.#tailBytes + count > JOINED_BYTES)',
        'else if (this.#tailBytes + count > 0)',
      ],
    ],
    seed: 3,
    text: /pieces of a body wait for their reader/,
  },
  'room-untold': {
    what: 'wake-up: a shard that waits for room or credit is not told that there is some',
    changes: [['assembly/mesh.ts', 'if (takeWaiting(ringFrom(peer))) wake(peer);', 'takeWaiting(ringFrom(peer));']],
    seed: 16,
    text: /nothing is left to happen|has not settled/,
  },
  'mail-left': {
    what: 'wake-up: messages that found the ready ring full are forgotten until others come',
    changes: [['assembly/mesh.ts', '  putDirty(again);', '']],
    seed: 12,
    text: /nothing is left to happen|has not settled/,
  },
  'reply-lost': {
    what: 'a reply that finds no room is lost',
    changes: [
      [
        'dist/host/calls/outbox.js',
        'if (result === Code.OK || result === Code.PEER_DOWN)\n                return;',
        'return;',
      ],
    ],
    seed: 3,
    text: /nothing is left to happen|has not settled/,
  },
  'drain-untold': {
    what: 'wake-up: a handler has read what waited, and receiving does not go on',
    changes: [['dist/host/http/connection.js', 'onDrain() {\n        this.inbox.resume();', 'onDrain() {']],
    seed: 6,
    text: /the answer to a client that behaves well has not settled/,
  },
  'two-waits': {
    what: 'a connection waits for a send buffer twice, and the second time loses what it has',
    changes: [['dist/host/shard/send-queue.js', 'if (this.waitsForBuffer)\n            return;', '']],
    seed: 285,
    text: /the send buffer at 0 is not in use|the answer to a client that behaves well has not settled/,
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

/** Makes the mutant, with `tests` of this project, and returns the folder of its package. */
export function makeMutant(name, folder = join('dist/mutants', name), tests = 'tests/sim') {
  const root = join(ROOT, folder);
  rmSync(join(root, 'dist'), { recursive: true, force: true });
  for (const each of ['dist/host', 'dist/core.wasm', tests, 'package.json']) {
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
    buildWasm(join(folder, 'assembly/index.ts'), join(folder, 'dist/core.wasm'), false);
  }
  return root;
}

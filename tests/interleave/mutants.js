// Defects on purpose: the tool must find each. A mutant is one small change of the core's sources, compiled as the
// core is, into dist/interleave/. `node tests/interleave/mutants.js NAME ...` only compiles some.

import { cpSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildWasm } from '../support/asc.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const SOURCES = join(ROOT, 'assembly');

const ONCE_A_TURN = [
  [
    'mesh.ts',
    '  if (nudge(peer)) ringDoorbell(peer);',
    '  if ((rang & bit(peer)) != 0 || !nudge(peer)) return;\n  rang |= bit(peer);\n  ringDoorbell(peer);',
  ],
  ['mesh.ts', 'let touched: u64 = 0;', 'let rang: u64 = 0;\nlet touched: u64 = 0;'],
  ['mesh.ts', 'let dirty = takeDirty();', 'rang = 0;\n  let dirty = takeDirty();'],
];
const WAITS_IN_TURN = '	ring_stage(&shard->ring);\n	ring_enter(&shard->ring, 1, -1);';
const NOT_WOKEN = 'if (unpublished == BATCH) {\n    touched &= ~bit(peer);\n    publish(ring);\n  }';

/**
 * `changes`: the file, what stands there (exactly once), and what stands there in the mutant. `park` and `host` are
 * such changes of C. `bound`: where it shows (main.js, BOUNDS).
 */
export const MUTANTS = {
  'no-recheck': {
    what: 'no second look at the dirty word before the sleep',
    bound: ['sleep', 1, 2, 'sc', 'core'],
    changes: [['park.ts', 'if (!isDirty()) return true;', 'return true;']],
  },
  'head-first': {
    what: 'the head is published before the slot is read',
    bound: ['ring', 1, 2, 'sc', 'core'],
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
    bound: ['sleep', 1, 2, 'sc', 'core'],
    changes: [
      ['mesh.ts', 'let dirty = takeDirty();', 'let dirty = atomic.load<u64>(changetype<usize>(control()) + 192);'],
      ['mesh.ts', '  putDirty(again);', '  takeDirty(); putDirty(again);'],
    ],
  },
  'no-room-look': {
    what: 'a producer that asks to be told of room does not look again whether there is some',
    bound: ['sleep', 1, 2, 'sc', 'core'],
    changes: [['mesh.ts', 'setWaiting(ringTo(peer)); // and then', 'setWaiting(ringTo(peer)); return; // and not']],
  },
  'credit-last': {
    what: 'the consumer looks whether the producer waits, and gives the credit back afterwards',
    bound: ['credit', 1, 2, 'sc', 'core'],
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
    bound: ['credit', 1, 2, 'sc', 'core'],
    changes: [['mesh.ts', 'if (takeWaiting(ringFrom(peer))) wake(peer);', 'takeWaiting(ringFrom(peer));']],
  },
  'once-a-turn': {
    what: 'a peer is woken once in a turn: enough, if doorbells go out at its end only',
    bound: ['early', 2, 2, 'sc', 'core'],
    changes: ONCE_A_TURN,
  },
  'once-a-turn-of-host': {
    what: 'the same, and the host in C rings in the middle of a turn',
    bound: ['host', 32, 17, 'sc', 'c'],
    changes: ONCE_A_TURN,
  },
  'quiet-batch': {
    what: 'messages that are published in the middle of a turn wake no peer',
    bound: ['host', 32, 16, 'sc', 'c'],
    changes: [['mesh.ts', 'if (unpublished == BATCH) show(peer);', NOT_WOKEN]],
  },
  'plain-sleeping': {
    what: 'a plain store says "I sleep"',
    bound: ['sleep', 1, 2, 'tso', 'core'],
    changes: [['park.ts', '  atomic.store<u32>(at, 1);', '  store<u32>(at, 1);']],
  },
  'plain-tail': {
    what: 'a plain store publishes messages',
    bound: ['drip', 2, 2, 'tso', 'core'],
    changes: [['spsc.ts', 'atomic.store<u32>(ring + TAIL,', 'store<u32>(ring + TAIL,']],
  },
  'plain-waiting': {
    what: 'a plain store says that the producer waits for room',
    bound: ['sleep', 1, 2, 'tso', 'core'],
    changes: [['spsc.ts', 'atomic.store<u32>(ring + WAITING, 1);', 'store<u32>(ring + WAITING, 1);']],
  },
  'c-no-recheck': {
    what: 'in C, no second look at the dirty word before the sleep',
    bound: ['sleep', 1, 2, 'sc', 'c'],
    park: [['park.h', '	if (!park_is_dirty(control))\n		return true;', '	return true;']],
  },
  'c-look-first': {
    what: 'in C, the second look comes before "I sleep"',
    bound: ['sleep', 1, 2, 'sc', 'c'],
    park: [
      [
        'park.h',
        '	__atomic_store_n(&control->sleeping, 1, __ATOMIC_SEQ_CST);\n	if (!park_is_dirty(control))\n',
        '	bool is_dirty = park_is_dirty(control);\n\n' +
          '	__atomic_store_n(&control->sleeping, 1, __ATOMIC_SEQ_CST);\n	if (!is_dirty)\n',
      ],
    ],
  },
  'c-plain-sleeping': {
    what: 'in C, a store with release order says "I sleep"',
    bound: ['sleep', 1, 2, 'tso', 'c'],
    park: [['park.h', '&control->sleeping, 1, __ATOMIC_SEQ_CST', '&control->sleeping, 1, __ATOMIC_RELEASE']],
  },
  'host-waits-in-turn': {
    what: 'the host in C waits in the middle of a turn, when it rings a doorbell',
    bound: ['host', 32, 17, 'sc', 'c'],
    host: [['shard.c', '	ring_stage(&shard->ring);\n	ring_enter(&shard->ring, 0, 0);', WAITS_IN_TURN]],
  },
  'host-loses-bell': {
    what: 'the host in C empties the window in the middle of a turn, and stages nothing',
    bound: ['host', 32, 16, 'sc', 'c'],
    host: [
      ['shard.c', '	ring_stage(&shard->ring);\n	ring_enter(&', '	shard->control->submit_count = 0;\n	ring_enter(&'],
    ],
  },
  'host-not-staged': {
    what: 'the host in C sleeps and does not stage what is in the window',
    bound: ['host', 1, 2, 'sc', 'c'],
    host: [['shard.c', '	ring_stage(ring);\n	if (!control->submit_count && left_ns', '	if (left_ns']],
  },
  'host-not-flushed': {
    what: 'the host in C does not call flush() at the end of a turn',
    bound: ['host', 1, 2, 'sc', 'c'],
    host: [
      [
        'host.c',
        '			on_entry(shard, entry);\n		featherstar_flush(&shard->core);',
        '			on_entry(shard, entry);',
      ],
    ],
  },
  'ring-stages-nothing': {
    what: 'ring.c takes a submission from the window and does not put it into the queue',
    bound: ['host', 1, 1, 'sc', 'c'],
    host: [['ring.c', 'store_release(ring->sq_tail, *ring->sq_tail + 1);', '(void)0;']],
  },
  'ring-waits-only': {
    what: 'an enter of ring.c that waits submits nothing',
    bound: ['host', 1, 1, 'sc', 'c'],
    host: [['ring.c', 'unsigned submit = staged(ring);', 'unsigned submit = wait ? 0 : staged(ring);']],
  },
  'gate-wrong-peer': {
    what: 'the gate lets a doorbell go to another ring',
    bound: ['host', 1, 1, 'sc', 'c'],
    host: [['gate.c', 'out->fd = ring->peers[in->fd];', 'out->fd = ring->peers[1 - in->fd];']],
  },
  'host-says-nothing': {
    what: 'the host in C sleeps without saying so',
    bound: ['host', 1, 2, 'sc', 'c'],
    host: [['shard.c', 'park_try_sleep(control)', '!park_has_work(control)']],
  },
};

export function writeIfNew(path, text) {
  if (statSync(path, { throwIfNoEntry: false }) && readFileSync(path, 'utf8') === text) return;
  writeFileSync(path, text);
}

/** Compiles a mutant, or takes it as it was compiled from the same sources. Returns its bytes. */
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
  buildWasm(`${folder}/assembly/index.ts`, out, false);
  return readFileSync(join(ROOT, out));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.argv.slice(2).forEach(mutantBytes);

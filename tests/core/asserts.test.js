// The asserts of the debug build: in each file of assembly/, one of them is seen to fail, in a trap whose stack names
// the function. So asserts are there, are checked, and say where.
//
// Next: ../interleave/interleave.test.js.

import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { buildWasm } from '../support/asc.js';
import { Cluster, oneShard } from '../support/core.js';

const ASSEMBLY = new URL('../../assembly/', import.meta.url);
const COUNTERS_OFFSET = 4096 + 112; // class Header of assembly/layout.ts
const MAGIC = 4096;
const QUEUED = 1;

const module = buildWasm('tests/core/internals.ts', 'dist/test-internals.wasm', true);

function core() {
  return oneShard({}, { module }).core;
}

/** A table of two slots in the arena, of which nothing is taken. */
function slab() {
  const shard = oneShard({}, { module });
  const table = shard.base + shard.header.arenaOffset;
  shard.u32.fill(0, table >>> 2, (table >>> 2) + 64);
  shard.core.slabInit(table, 32, 2);
  return { shard, table };
}

/** For each file, the function that refuses and what it refuses. */
const REFUSED = {
  'layout.ts': [
    [
      'bind',
      'a memory in which nothing was planned',
      () => {
        const shard = oneShard({}, { module });
        shard.cluster.setState(0, 0);
        shard.u32[MAGIC >>> 2] = 0;
        shard.boot();
      },
    ],
  ],
  'list.ts': [
    [
      'push',
      'a slot that is on the list',
      () => {
        const { shard, table } = slab();
        const list = shard.base + shard.header.scratchOffset;
        shard.u32.fill(0, list >>> 2, (list >>> 2) + 2);
        shard.core.pushAt(list, table, 32, shard.core.slabTake(table, 32));
        shard.core.pushAt(list, table, 32, QUEUED);
      },
    ],
    [
      'remove',
      'a slot that is on no list',
      () => {
        const { shard, table } = slab();
        const list = shard.base + shard.header.scratchOffset;
        shard.u32.fill(0, list >>> 2, (list >>> 2) + 2);
        shard.core.removeAt(list, table, 32, shard.core.slabTake(table, 32));
      },
    ],
  ],
  'slab.ts': [
    [
      'slabGive',
      'a slot that was given back already',
      () => {
        const { shard, table } = slab();
        const index = shard.core.slabTake(table, 32);
        shard.core.slabGive(table, 32, index);
        shard.core.slabGive(table, 32, index);
      },
    ],
  ],
  'group.ts': [['activate', 'a group that has no task', () => core().activate(3)]],
  'task.ts': [['spawnHost', 'owner 0, which means that no task is ready', () => core().spawnHost(0, 0)]],
  'arena.ts': [
    [
      'arenaRelease',
      'a payload that was read before',
      () => {
        const own = core();
        const payload = own.payloadTake(100);
        own.arenaRelease(payload);
        own.arenaRelease(payload);
      },
    ],
  ],
  'wheel.ts': [
    ['insert', 'a tag that does not fit beside the kind of the ready entry', () => core().armTimer(0, 2 ** 24, 1)],
  ],
  'spsc.ts': [
    [
      'take',
      'a message that is not there',
      () => {
        const { shard, table } = slab();
        shard.core.take(table);
      },
    ],
  ],
  'mesh.ts': [
    [
      'holdRequest',
      'a request of a peer that has sent none',
      () => new Cluster(2, {}, { module }).shards[0].core.holdRequest(1),
    ],
    ['peerDown', 'a peer that runs', () => new Cluster(2, {}, { module }).shards[0].core.peerDown(1)],
  ],
  'park.ts': [['nudge', 'a shard that tells itself', () => core().nudge(0)]],
  'op.ts': [
    ['recycle', 'a buffer that the shard does not have', () => core().recycle(18)],
    ['submit', 'a third group of buffers', () => core().submit(27, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 2)],
    ['submit', 'a position that is not whole', () => core().submit(22, 0, 0, 1, 0.5, 0, 0, 0, 0, 1, 0)],
    [
      'apply',
      'a buffer for which no owner waits',
      () => {
        const shard = oneShard({}, { module });
        shard.core.submit(27, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0);
        shard.enter();
        shard.complete(shard.sqes[0], 1, 1);
        shard.turn();
      },
    ],
  ],
  'stats.ts': [
    [
      'counters',
      'a shard without counters',
      () => {
        const shard = oneShard({}, { module });
        shard.u32[COUNTERS_OFFSET >>> 2] = 0;
        shard.core.turn();
      },
    ],
  ],
  'shard.ts': [['boot', 'a shard that runs', () => oneShard({}, { module }).boot()]],
  'index.ts': [['startShard', 'a shard that the plan does not have', () => core().startShard(1)]],
  'http/connection.ts': [['http_reset', 'address 0', () => core().http_reset(0)]],
  'http/parser.ts': [
    [
      'http_parse',
      'less than it has seen already',
      () => {
        const shard = oneShard({}, { module });
        const at = shard.base + shard.header.scratchOffset;
        new Uint8Array(shard.cluster.memory.buffer).set(Buffer.from('\r\n\r\n'), at);
        shard.core.http_parse(shard.base + shard.header.connectionsOffset, at, 4);
        shard.core.http_parse(shard.base + shard.header.connectionsOffset, at, 2);
      },
    ],
  ],
  'http/chars.ts': [['isToken', 'more than a byte', () => core().isToken(256)]],
  'http/target.ts': [['isTarget', 'an empty target', () => core().isTarget(1, 4096, 4096)]],
  'http/fields.ts': [
    ['applyField', 'a value that ends before it begins', () => core().applyField(4096, 4096, 4, 4101, 4100)],
  ],
  'http/body.ts': [
    [
      'http_body',
      'a state that there is not',
      () => {
        const shard = oneShard({}, { module });
        const conn = shard.base + shard.header.connectionsOffset;
        shard.u32[conn >>> 2] = 25;
        shard.core.http_body(conn, shard.base, 1);
      },
    ],
  ],
  'http/response.ts': [
    ['http_head', 'a template that lies where it is written to', () => core().http_head(8192, 8196, 8, 1)],
  ],
  'websocket/frames.ts': [['ws_reset', 'memory that is not aligned', () => core().ws_reset(8193, 0, 100)]],
  'websocket/mask.ts': [['unmask', 'bytes at no address', () => core().unmask(0, 1, 1)]],
};

for (const [file, cases] of Object.entries(REFUSED)) {
  for (const [name, what, run] of cases) {
    test(`${file}: ${name}() refuses ${what}`, () => {
      assert.throws(run, (error) => {
        const where = error.stack.split('\n').find((line) => line.includes('wasm'));
        return error.message === 'unreachable' && where?.includes(`at assembly/${file.slice(0, -3)}/${name} `);
      });
    });
  }
}

test('each file that has asserts is among these', () => {
  const sources = readdirSync(ASSEMBLY, { recursive: true }).filter((path) => path.endsWith('.ts'));
  const asserting = sources.filter((path) => /^ *assert\(/m.test(readFileSync(new URL(path, ASSEMBLY), 'utf8')));
  assert.equal(asserting.sort(), Object.keys(REFUSED).sort());
});

test.run();

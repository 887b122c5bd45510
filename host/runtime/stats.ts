// Statistics of a shard. Any shard reads them without disturbing it: the core's counters and the fill of its tables are
// in the shared memory. Aligned words do not tear, but each may be a moment old.

import * as kernel from '../core/kernel.js';
import { COUNTER_NAMES, Control, type CounterName, HostControl, OP_BYTES, Slab } from '../core/layout.js';
import { OP_OPCODE, takenSlots } from '../shard/operation.js';
import type { Shard } from '../shard/shard.js';

/** The things that a shard holds at the moment. */
export interface Holdings {
  /** Operations open in the kernel. */
  openOperations: number;
  /** Timers that are armed. */
  pendingTimers: number;
  /** Tasks that are queued. A task that awaits something is not counted. */
  liveTasks: number;
  /** Calls that the shard has open or runs at the moment. */
  openCalls: number;
  /** Buffers on their way out. */
  sendBuffersUsed: number;
}

/** The work of a shard since it started, and how often it slept. */
export type ShardStats = Record<CounterName, number> &
  Holdings & {
    /** Entries into the kernel. */
    enters: number;
    /** Entries that slept: a shard that is busy all the time has none. */
    sleeps: number;
    /** Sleeps that polling made unnecessary. */
    polls: number;
    /** Submissions that the gate refused. */
    refused: number;
    /** Times that the kernel had more completions than room. */
    overflows: number;
  };

function baseOf({ header }: Shard, shard: number): number {
  return header.shardsOffset + shard * header.shardBytes;
}

export function readHoldings(own: Shard, shard: number): Holdings {
  const { header } = own;
  const words = new Uint32Array(own.memory.buffer);
  const base = baseOf(own, shard);
  const word = (offset: number) => words[(base + offset) >>> 2] as number;
  const used = (tableOffset: number) => word(tableOffset + Slab.used);
  return {
    openOperations: used(header.opsOffset),
    pendingTimers: used(header.timersOffset),
    liveTasks: used(header.tasksOffset),
    openCalls: word(HostControl.openCalls) + word(HostControl.servedCalls),
    sendBuffersUsed: word(HostControl.sendBuffersUsed),
  };
}

/** Operations that mostly cannot be cancelled, by opcode. */
const ON_FILES: Record<number, string> = {
  [kernel.OP_FSYNC]: 'fsync',
  [kernel.OP_STATX]: 'stat',
  [kernel.OP_READ]: 'read',
  [kernel.OP_WRITE]: 'write',
  [kernel.OP_OPENAT2]: 'open',
  [kernel.OP_RENAMEAT]: 'rename',
  [kernel.OP_UNLINKAT]: 'unlink',
  [kernel.OP_MKDIRAT]: 'mkdir',
  [kernel.OP_FTRUNCATE]: 'ftruncate',
};

/** The requests to the disk of a shard that does not respond. */
export function openFileOperations(own: Shard, shard: number): string[] {
  const { words, header } = own;
  const table = baseOf(own, shard) + header.opsOffset;
  const names: string[] = [];
  for (const at of takenSlots(words, table, OP_BYTES)) {
    const name = ON_FILES[words[at + OP_OPCODE] as number];
    if (name !== undefined) names.push(name);
  }
  return names;
}

/** Calls of a shard that are not settled. */
export function unansweredCalls(own: Shard, shard: number): number {
  return Atomics.load(own.words, (baseOf(own, shard) + HostControl.openCalls) >>> 2);
}

export function readStats(own: Shard, shard: number): ShardStats {
  const { buffer } = own.memory;
  const base = baseOf(own, shard);
  const counters = new BigUint64Array(buffer, base + own.header.countersOffset, COUNTER_NAMES.length);
  const doubles = new Float64Array(buffer, base, 64);
  const words = new Uint32Array(buffer, base, 128);
  return {
    ...(Object.fromEntries(COUNTER_NAMES.map((name, i) => [name, Number(counters[i])])) as Record<CounterName, number>),
    ...readHoldings(own, shard),
    enters: doubles[Control.enterCount >> 3] as number,
    sleeps: doubles[Control.sleepCount >> 3] as number,
    polls: doubles[Control.pollCount >> 3] as number,
    refused: words[Control.refusedCount >> 2] as number,
    overflows: words[Control.overflowCount >> 2] as number,
  };
}

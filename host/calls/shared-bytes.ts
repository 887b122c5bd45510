// Large bytes by reference. allocate() takes a block of the shared memory; a call or a result that holds it moves it to
// the other shard, which reads and writes it in place; disposed of there, it goes back to the shard that it came from.
//
//   block   holder u32 | power u32 | 8 unused | bytes      holder: a shard + 1; 0: nobody, and its home takes it back
//                                                          power: 2 ** power bytes, with header; written by its home
//
// Exactly one handle is alive for a block, on the shard that holds it. Giving back is one atomic store and no message:
// the home looks when it wants a block and has none. Each shard's part of the memory lies behind the core's plan, and
// untouched pages cost nothing. Blocks have sizes of powers of two, and a free one serves only its own size again.
//
// FinalizationRegistry is the net under results that nobody disposes of: their blocks go back, with a warning.

import { FeatherstarError, fullError, optionError } from '../errors.js';
import { HEADER_STATES, SHARDS_MAX, ShardState } from '../layout.js';
import { currentShard, findShard, type Shard } from '../shard.js';
import type { Calls } from './call.js';

const HEADER_BYTES = 16;
const SMALLEST_POWER = 12; // 4 KiB
const LARGEST_POWER = 28;

class Pool {
  readonly #shard: Shard;
  readonly #free: number[][] = [];
  /** Blocks of ours that other shards hold, and the power of two of their size. */
  readonly #lent = new Map<number, number>();
  readonly #powers = new Map<number, number>();
  readonly #states: Int32Array;
  /** What no block was made of yet. */
  #fresh: number;
  readonly #end: number;

  constructor(shard: Shard) {
    const { header, memory } = shard;
    this.#shard = shard;
    this.#states = new Int32Array(memory.buffer, HEADER_STATES, SHARDS_MAX);
    const first = header.shardsOffset + header.shardCount * header.shardBytes;
    const bytes = (memory.buffer.byteLength - first) / header.shardCount;
    this.#fresh = first + shard.index * bytes;
    this.#end = this.#fresh + bytes;
    this.#inherit();
    (shard.calls as Calls).peers.onDown(() => this.#sweep()); // now, while it is known that its holder died
  }

  /** The blocks of this shard's earlier lives: what others hold stays theirs. Behind the last one lies a 0. */
  #inherit(): void {
    const { words, index } = this.#shard;
    for (let power = 0; this.#fresh < this.#end; this.#fresh += 2 ** power) {
      power = words[(this.#fresh >>> 2) + 1];
      if (power === 0) return;
      this.#powers.set(this.#fresh, power);
      this.#free[power] ??= [];
      if (this.#holder(this.#fresh) === index + 1) this.#setHolder(this.#fresh, 0);
      this.#lent.set(this.#fresh, power);
    }
  }

  #holder(block: number): number {
    return Atomics.load(this.#shard.words, block >>> 2);
  }

  #setHolder(block: number, holder: number): void {
    Atomics.store(this.#shard.words, block >>> 2, holder);
  }

  take(length: number): number {
    const power = Math.max(SMALLEST_POWER, Math.ceil(Math.log2(length + HEADER_BYTES)));
    this.#free[power] ??= [];
    if (this.#free[power].length === 0) this.#sweep();
    const block = this.#free[power].pop() ?? this.#make(power);
    this.#setHolder(block, this.#shard.index + 1);
    return block;
  }

  #make(power: number): number {
    const block = this.#fresh;
    if (block + 2 ** power > this.#end) throw fullError('shared bytes (sharedBytes)');
    this.#fresh += 2 ** power;
    this.#shard.words[(block >>> 2) + 1] = power;
    this.#powers.set(block, power);
    return block;
  }

  /** Takes back what others have given back, and what shards had that do not run any more. */
  #sweep(): void {
    for (const [block, power] of this.#lent) {
      const holder = this.#holder(block);
      if (holder !== 0 && Atomics.load(this.#states, holder - 1) === ShardState.RUNNING) continue;
      this.#lent.delete(block);
      this.#free[power].push(block);
    }
  }

  /** The block is on its way to that shard. */
  send(block: number, peer: number): void {
    this.#setHolder(block, peer + 1);
    const power = this.#powers.get(block);
    if (power !== undefined) this.#lent.set(block, power);
  }

  /** It has come. */
  arrive(block: number): void {
    this.#setHolder(block, this.#shard.index + 1);
    this.#lent.delete(block);
  }

  /** Nobody uses it any more. */
  release(block: number): void {
    const power = this.#powers.get(block);
    this.#setHolder(block, 0);
    if (power === undefined || this.#lent.has(block)) return; // its home will see it
    this.#free[power].push(block);
  }

  view(block: number, length: number): Uint8Array {
    return new Uint8Array(this.#shard.memory.buffer, block + HEADER_BYTES, length);
  }

  /** Blocks of this shard that somebody uses, here or elsewhere. */
  get used(): number {
    this.#sweep();
    return this.#powers.size - this.#free.reduce((sum, list) => sum + list.length, 0);
  }
}

const pools = new WeakMap<Shard, Pool>();

function poolOf(shard: Shard): Pool {
  let pool = pools.get(shard);
  if (pool === undefined) {
    pool = new Pool(shard);
    pools.set(shard, pool);
  }
  return pool;
}

const lost = new FinalizationRegistry<{ pool: Pool; block: number; length: number }>(({ pool, block, length }) => {
  if (findShard() === undefined) return;
  pool.release(block);
  process.emitWarning(`${length} shared bytes were lost without dispose()`, 'Featherstar');
});

/** Bytes that are moved to other shards, not copied. At home in the shard that allocated them. */
export class SharedBytes {
  readonly length: number;
  readonly #pool: Pool;
  #block: number; // 0: it is not here any more
  #isKept = false;

  /** @internal allocate() makes them. */
  constructor(pool: Pool, block: number, length: number) {
    this.#pool = pool;
    this.#block = block;
    this.length = length;
    lost.register(this, { pool, block, length }, this);
  }

  /** The bytes. Do not use the array when this was sent or disposed of: the block is somebody else's then. */
  get bytes(): Uint8Array {
    return this.#pool.view(this.#live(), this.length);
  }

  /** Whether this handle still has the bytes. */
  get isHere(): boolean {
    return this.#block !== 0;
  }

  /** In a called function: the bytes stay when the call ends, until dispose(). Answers the handle. */
  keep(): this {
    this.#live();
    this.#isKept = true;
    return this;
  }

  /** The block goes back to its home. Nothing happens the second time. */
  dispose(): void {
    if (this.#block === 0) return;
    this.#pool.release(this.#block);
    this.#leave();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** @internal The call that it was an argument of has ended. */
  endOfCall(): void {
    if (!this.#isKept) this.dispose();
  }

  /** @internal Where it lies, for the encoder. */
  get block(): number {
    return this.#live();
  }

  /** @internal It is sent to `peer`, or handed to a function here. */
  moveTo(peer: number): void {
    this.#pool.send(this.#live(), peer);
    this.#leave();
  }

  /** @internal Another handle takes its place, in this shard. */
  handOver(): SharedBytes {
    const block = this.#live();
    this.#leave();
    return new SharedBytes(this.#pool, block, this.length);
  }

  #live(): number {
    if (this.#block !== 0) return this.#block;
    throw new FeatherstarError('FEATHERSTAR_CLOSED', 'these shared bytes were sent to another shard or disposed of');
  }

  #leave(): void {
    this.#block = 0;
    lost.unregister(this);
  }
}

/** Bytes that can be moved between shards without a copy: 1 to 2^28 - 16, not cleared. FULL when none are left. */
export function allocate(length: number): SharedBytes {
  if (!Number.isInteger(length) || length < 1 || length > 2 ** LARGEST_POWER - HEADER_BYTES) {
    throw optionError('length', length, `an integer from 1 to ${2 ** LARGEST_POWER - HEADER_BYTES}`);
  }
  const pool = poolOf(currentShard());
  return new SharedBytes(pool, pool.take(length), length);
}

/** What came in a message. */
export function arrived(shard: Shard, block: number, length: number): SharedBytes {
  const pool = poolOf(shard);
  pool.arrive(block);
  return new SharedBytes(pool, block, length);
}

/** Moves the bytes of a message to `peer`. Answers how to take them back, if it is never sent. */
export function moveAll(moves: readonly SharedBytes[], peer: number): () => void {
  const pool = poolOf(currentShard());
  const blocks = moves.map((bytes) => bytes.block);
  for (const bytes of moves) bytes.moveTo(peer);
  return () => {
    for (const block of blocks) pool.release(block);
  };
}

/** A call on the own shard: its function gets handles of its own, as on any other. */
export function handOverAll(args: readonly unknown[]): readonly unknown[] {
  const moves = args.some((arg) => arg instanceof SharedBytes);
  return moves ? args.map((arg) => (arg instanceof SharedBytes ? arg.handOver() : arg)) : args;
}

/** The function has answered `result`: what it does not contain and was not kept goes back. */
export function endOfCallHere(args: readonly unknown[], result: unknown): void {
  for (const arg of args) {
    if (!(arg instanceof SharedBytes) || arg === result) continue;
    const isInside = typeof result === 'object' && result !== null && Object.values(result).includes(arg);
    if (!isInside) arg.endOfCall();
  }
}

/** A block for the library's own use, by the address of its bytes; throws FULL. The shard gives it back itself. */
export function takeBlock(shard: Shard, length: number): number {
  return poolOf(shard).take(length) + HEADER_BYTES;
}

export function giveBlock(shard: Shard, at: number): void {
  poolOf(shard).release(at - HEADER_BYTES);
}

/** Blocks of this shard that are not free. */
export function sharedBlocks(shard: Shard): number {
  return pools.get(shard)?.used ?? 0;
}

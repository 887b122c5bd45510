// Blocks: large pieces of memory that shards hand to each other by reference, and that the kernel reads and writes in
// place. They lie in a memory of their own, which holds nothing else:
//
//   linear memory   ... | block table: shard 0's, shard 1's, ...      one entry for each 4 KiB of block memory
//
//   entry           holder i32 | power u32 | copy u32 | unused        of a block's first 4 KiB; 0: no block begins here
//
//   block memory    | shard 0's part        | shard 1's part        | ...       sharedBytes each
//                   | [4K][4K][  8K  ][     16K     ]  not used yet |
//
// A program may write to each byte of the block memory, also where it has no business, and changes other blocks so. But
// it cannot break the pool. The pool's data is in the table and in JavaScript, which no view of a block reaches.
//
// The writers of an entry:
//   holder   the shard that has the block, its index + 1. 0: no shard, and the block's home may use it again. Only the
//            shard that is named in `holder` stores there; where it is 0, only the home. All accesses are atomic. The
//            store of 0 (release) pairs with the home's load (#sweep): what the last holder wrote is behind it.
//            A store of a peer's number (send) is published by the message that carries the block.
//   power    the home, once: the block has 2 ** power bytes. The next life of the home reads it (#inherit).
//   copy     only if memory is checked (memory-checks.ts): where the bytes of a block lie that was sent. Written by the
//            sender before the message, read by the receiver behind it.
//
// A block's home is the shard in whose part it lies. Giving back is one store and no message: the home looks when it
// wants a block and has none. Untouched pages cost nothing. Blocks have sizes of powers of two, from 4 KiB; a free one
// serves only its own size again. Holders that have died give nothing back. The home takes the blocks when their thread
// has ended, and not before: the kernel may write for a thread as long as it runs.
//
// Next: calls/shared-bytes.ts, the handles that programs see.

import { fullError } from '../base/errors.js';
import type { Calls } from '../calls/call.js';
import { BLOCK_ENTRY_BYTES, BLOCK_SPACE, BLOCK_UNIT } from '../core/layout.js';
import type { MemoryChecks } from './memory-checks.js';
import type { Shard } from './shard.js';

const SMALLEST_POWER = 12; // BLOCK_UNIT
const LARGEST_POWER = 28;
/** The most bytes of one block. */
export const BLOCK_MAX_BYTES = 2 ** LARGEST_POWER;

const ENTRY_WORDS = BLOCK_ENTRY_BYTES >> 2;
const HOLDER = 0;
const POWER = 1;
const COPY = 2; // + 1; 0: the block itself was sent

export class BlockPool {
  readonly #shard: Shard;
  readonly #table: Int32Array;
  readonly #free: number[][] = Array.from({ length: LARGEST_POWER + 1 }, () => []);
  /** Blocks of ours that were sent away. */
  readonly #lent = new Set<number>();
  readonly #first: number;
  readonly #end: number;
  /** Behind the last block that was made. */
  #fresh: number;
  #made = 0;
  #freeCount = 0;
  /** If memory is checked: free blocks by size, oldest first, which are used again only when there is no other room. */
  readonly #kept: number[][] = Array.from({ length: LARGEST_POWER + 1 }, () => []);
  readonly #checks: MemoryChecks | undefined;
  #lookedAt = 0;

  constructor(shard: Shard) {
    const { header, memory, blocks } = shard;
    this.#shard = shard;
    this.#checks = shard.memoryChecks;
    if (this.#checks !== undefined) this.#checks.onTurn = () => this.#lookAtOne();
    const bytes = blocks.length / header.shardCount;
    const table = header.shardsOffset + header.shardCount * header.shardBytes;
    this.#table = new Int32Array(memory.buffer, table, (blocks.length / BLOCK_UNIT) * ENTRY_WORDS);
    this.#first = shard.index * bytes;
    this.#end = this.#first + bytes;
    this.#fresh = this.#first;
    this.#inherit();
    (shard.calls as Calls).peers.onDown(() => this.#sweep()); // now, while it is known that its holder died
  }

  /** The blocks of this shard's earlier lives: what others hold stays theirs. No block begins where `power` is 0. */
  #inherit(): void {
    for (let power = 0; this.#fresh < this.#end; this.#fresh += 2 ** power) {
      power = this.#table[this.#entry(this.#fresh) + POWER] as number;
      if (power === 0) return;
      if (this.#holder(this.#fresh) === this.#shard.index + 1) this.#setHolder(this.#fresh, 0);
      this.#lent.add(this.#fresh);
      this.#made++;
    }
  }

  #entry(block: number): number {
    return (block / BLOCK_UNIT) * ENTRY_WORDS;
  }

  #holder(block: number): number {
    return Atomics.load(this.#table, this.#entry(block) + HOLDER);
  }

  #setHolder(block: number, holder: number): void {
    Atomics.store(this.#table, this.#entry(block) + HOLDER, holder);
  }

  #isHome(block: number): boolean {
    return block >= this.#first && block < this.#end;
  }

  /** A block of at least `length` bytes, by its offset in the block memory. Throws FULL. */
  take(length: number): number {
    const power = Math.max(SMALLEST_POWER, 32 - Math.clz32(length - 1));
    const free = this.#free[power] as number[];
    if (free.length === 0) this.#sweep();
    let block = free.pop();
    if (block !== undefined) this.#freeCount--;
    else block = this.#make(power) ?? this.#takeKept(power);
    if (block === undefined) throw fullError('shared bytes (sharedBytes)');
    this.#setHolder(block, this.#shard.index + 1);
    return block;
  }

  #make(power: number): number | undefined {
    const block = this.#fresh;
    if (block + 2 ** power > this.#end) return undefined;
    this.#fresh += 2 ** power;
    this.#table[this.#entry(block) + POWER] = power;
    this.#made++;
    return block;
  }

  /** Takes back what others have given back, and what shards had whose thread has ended. */
  #sweep(): void {
    const { peers } = this.#shard.calls as Calls;
    for (const block of this.#lent) {
      const holder = this.#holder(block);
      if (holder !== 0 && !peers.isDown(holder - 1)) continue;
      if (holder !== 0) this.#checks?.mark(block, this.#bytes(block));
      this.#lent.delete(block);
      this.#setFree(block);
    }
  }

  #bytes(block: number): number {
    return 2 ** (this.#table[this.#entry(block) + POWER] as number);
  }

  #setFree(block: number): void {
    const lists = this.#checks === undefined ? this.#free : this.#kept;
    const power = this.#table[this.#entry(block) + POWER] as number;
    (lists[power] as number[]).push(block);
    this.#freeCount++;
  }

  /** The block is on its way to that shard. */
  send(block: number, peer: number): void {
    const sent = this.#checks === undefined ? block : this.renew(block);
    if (sent !== block) Atomics.store(this.#table, this.#entry(block) + COPY, sent + 1);
    this.#setHolder(sent, peer + 1);
    if (this.#isHome(sent)) this.#lent.add(sent);
  }

  /** It will never be sent. */
  takeBack(block: number): void {
    this.release(this.#checks === undefined ? block : this.#sent(block));
  }

  /** It has come. Returns where its bytes lie. */
  arrive(block: number): number {
    const here = this.#checks === undefined ? block : this.#sent(block);
    this.#setHolder(here, this.#shard.index + 1);
    if (this.#isHome(here)) this.#lent.delete(here);
    return here;
  }

  /** No owner uses it any more. */
  release(block: number): void {
    this.#checks?.mark(block, this.#bytes(block));
    this.#setHolder(block, 0);
    if (this.#isHome(block) && !this.#lent.has(block)) this.#setFree(block); // else its home will see it
  }

  // --- if memory is checked ------------------------------------------------------------------------------------------

  /** Another block with the same bytes, while this one is kept back; the same one, if there is no room for two. */
  renew(block: number): number {
    const checks = this.#checks;
    if (checks === undefined) return block;
    const bytes = this.#bytes(block);
    let copy: number;
    try {
      copy = this.take(bytes);
    } catch {
      return block; // full: a program that runs unchecked shall run checked, too
    }
    checks.copy(block, copy, bytes);
    this.release(block);
    return copy;
  }

  /** Where the bytes of a block lie that was sent. It is asked once. */
  #sent(block: number): number {
    const copy = Atomics.exchange(this.#table, this.#entry(block) + COPY, 0) >>> 0;
    return copy === 0 ? block : copy - 1;
  }

  /** The oldest one that is kept back, but for those whose receiver has not looked yet where their bytes went. */
  #takeKept(power: number): number | undefined {
    const kept = this.#kept[power] as number[];
    const at = kept.findIndex((block) => this.#isSettled(block));
    if (at < 0) return undefined;
    const [block] = kept.splice(at, 1) as [number];
    this.#checks?.look(block, 2 ** power, this.#shard.index);
    this.#freeCount--;
    return block;
  }

  #isSettled(block: number): boolean {
    const at = this.#entry(block) + COPY;
    const copy = Atomics.load(this.#table, at) >>> 0;
    if (copy === 0) return true;
    const holder = this.#holder(copy - 1);
    if (holder !== 0 && !(this.#shard.calls as Calls).peers.isDown(holder - 1)) return false;
    Atomics.store(this.#table, at, 0); // the receiver has died
    return true;
  }

  /** One block a turn. */
  #lookAtOne(): void {
    const all = this.#kept.flat();
    if (all.length === 0) return;
    this.#lookedAt = (this.#lookedAt + 1) % all.length;
    const block = all[this.#lookedAt] as number;
    this.#checks?.look(block, this.#bytes(block), this.#shard.index);
  }

  /** All that are kept back, at the end. */
  lookAtAll(): void {
    this.#sweep();
    for (const block of this.#kept.flat()) this.#checks?.look(block, this.#bytes(block), this.#shard.index);
  }

  view(block: number, length: number): Uint8Array {
    return new Uint8Array(this.#shard.blocks.buffer, block, length);
  }

  /** Blocks of this shard that are in use, here or elsewhere. */
  get used(): number {
    this.#sweep();
    return this.#made - this.#freeCount;
  }
}

const pools = new WeakMap<Shard, BlockPool>();

export function blockPool(shard: Shard): BlockPool {
  let pool = pools.get(shard);
  if (pool === undefined) {
    pool = new BlockPool(shard);
    pools.set(shard, pool);
  }
  return pool;
}

/** Blocks of this shard that are not free. */
export function sharedBlocks(shard: Shard): number {
  return pools.get(shard)?.used ?? 0;
}

/** How a submission names a byte of the block memory. */
export function blockAddress(block: number): number {
  return BLOCK_SPACE + block;
}

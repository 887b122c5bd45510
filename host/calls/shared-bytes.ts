// Large bytes by reference, as programs see them. First allocate() takes a block (block-pool.ts). A call or a result
// that contains the block moves it to the other shard, which reads and writes it in place. When it is disposed of
// there, it goes back to its home.
//
//   allocate() --> handle here --call--> handle there --dispose()--> free again
//
// Invariant: exactly one handle is alive for a block, on the shard that holds it. A block that the kernel reads or
// writes is pinned by its handle. It cannot be sent meanwhile. If it is disposed of, it goes back when the kernel is
// done.
//
// FinalizationRegistry is the net under results that no caller disposes of: their blocks go back, with a warning.

import { FeatherstarError } from '../base/errors.js';
import { checkInteger } from '../base/options.js';
import { WarningLimit } from '../base/warning-limit.js';
import { monotonicNs } from '../hosts/host.js';
import { BLOCK_MAX_BYTES, type BlockPool, blockAddress, blockPool } from '../shard/block-pool.js';
import { currentShard, findShard, type Shard } from '../shard/shard.js';

const GONE = -1;

const lostWarnings = new WarningLimit();

const lost = new FinalizationRegistry<{ pool: BlockPool; block: number; length: number }>(({ pool, block, length }) => {
  if (findShard() === undefined) return;
  pool.release(block);
  const more = lostWarnings.next(monotonicNs());
  if (more === undefined) return;
  const others = more === 0 ? '' : `; ${more} more blocks were lost since the last warning`;
  process.emitWarning(`${length} shared bytes were lost without dispose()${others}`, 'Featherstar');
});

/** Bytes that are moved to other shards, not copied. At home in the shard that allocated them. */
export class SharedBytes {
  /** How many bytes. */
  readonly length: number;
  readonly #pool: BlockPool;
  #block: number; // GONE: it is not here any more
  #isKept = false;
  #pins = 0;
  #onUnpinned: (() => void) | undefined;

  /** @internal allocate() makes them. */
  constructor(pool: BlockPool, block: number, length: number) {
    this.#pool = pool;
    this.#block = block;
    this.length = length;
    lost.register(this, { pool, block, length }, this);
  }

  /** The bytes. Do not use the array when this was sent or disposed of: the block has another owner then. */
  get bytes(): Uint8Array {
    return this.#pool.view(this.#live(), this.length);
  }

  /** Whether this handle still has the bytes. */
  get isHere(): boolean {
    return this.#block !== GONE;
  }

  /** In a called function: the bytes stay when the call ends, until dispose(). Returns the handle. */
  keep(): this {
    this.#live();
    this.#isKept = true;
    return this;
  }

  /**
   * The block goes back to its home; if a file operation still uses it, when that has ended. The second time nothing
   * happens.
   */
  dispose(): void {
    if (this.#block === GONE) return;
    const block = this.#block;
    const pool = this.#pool;
    this.#leave();
    if (this.#pins === 0) pool.release(block);
    else this.#onUnpinned = () => pool.release(block);
  }

  /** Calls `dispose()`. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  /** @internal The call that it was an argument of has ended. */
  endOfCall(): void {
    if (!this.#isKept) this.dispose();
  }

  /** @internal Where it lies, for the encoder. Throws if it cannot be sent. */
  get block(): number {
    const block = this.#live();
    if (this.#pins === 0) return block;
    const text = 'a file operation still uses these shared bytes: await it before they are sent';
    throw new FeatherstarError('FEATHERSTAR_BUSY', text);
  }

  /** @internal The kernel uses it until unpin(). Returns its address, as submissions name it. */
  pin(): number {
    const block = this.#live();
    this.#pins++;
    return blockAddress(block);
  }

  /** @internal */
  unpin(): void {
    if (--this.#pins === 0) this.#onUnpinned?.();
  }

  /** @internal It is sent to `peer`, or handed to a function here. */
  moveTo(peer: number): void {
    this.#pool.send(this.block, peer);
    this.#leave();
  }

  /** @internal Another handle takes its place, in this shard. */
  handOver(): SharedBytes {
    const block = this.#pool.renew(this.block);
    this.#leave();
    return new SharedBytes(this.#pool, block, this.length);
  }

  #live(): number {
    if (this.#block !== GONE) return this.#block;
    throw new FeatherstarError('FEATHERSTAR_CLOSED', 'these shared bytes were sent to another shard or disposed of');
  }

  #leave(): void {
    this.#block = GONE;
    lost.unregister(this);
  }
}

/** Bytes that can be moved between shards without a copy: 1 to 2^28, not cleared. Throws FULL when none are left. */
export function allocate(length: number): SharedBytes {
  checkInteger('length', length, 1, BLOCK_MAX_BYTES);
  const pool = blockPool(currentShard());
  return new SharedBytes(pool, pool.take(length), length);
}

/** A block that came in a message. */
export function arrived(shard: Shard, block: number, length: number): SharedBytes {
  const pool = blockPool(shard);
  return new SharedBytes(pool, pool.arrive(block), length);
}

/** Moves the bytes of a message to `peer`. Returns how to take them back, if it is never sent. */
export function moveAll(moves: readonly SharedBytes[], peer: number): () => void {
  const pool = blockPool(currentShard());
  const blocks = moves.map((bytes) => bytes.block);
  for (const bytes of moves) bytes.moveTo(peer);
  return () => {
    for (const block of blocks) pool.takeBack(block);
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

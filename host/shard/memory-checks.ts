// A debug mode (`checkMemory`): bytes that no owner may write are filled with a pattern, and looked at again and again.
//
//   linear memory   | header, mesh | shard 0 ... [guard] | shard 1 ... [guard] | block table |
//                   ^ [guard]: the bytes right before the header
//   block memory    a block that was sent or disposed of keeps the pattern, and no next owner, for as long as there is
//                   other room (block-pool.ts)
//
// A guard that is broken means that tables are, too: the shard's turn throws, and so does close(). A late write to a
// block has hurt no owner, for it was kept back: that is a warning which names the block.
//
// Invariant: only writeGuards() and reports write guards; shard 0 runs writeGuards() before any other shard begins.
//
// Next: block-pool.ts.

import { FeatherstarError } from '../base/errors.js';
import { WarningLimit } from '../base/warning-limit.js';
import { GUARD_BYTES, HEADER, type Header } from '../core/layout.js';
import { monotonicNs } from '../hosts/host.js';

const PATTERN = 0xf5;
const WORD = 0xf5f5f5f5 | 0;
const GUARD_WORDS = GUARD_BYTES >> 2;

/** The first byte of `words[from, from + count)` that is not the pattern's, counted from there; -1: all are. */
function firstBroken(words: Int32Array, from: number, count: number): number {
  for (let i = from; i < from + count; i++) {
    if (words[i] === WORD) continue;
    const bytes = new Uint8Array(words.buffer, i << 2, 4);
    return ((i - from) << 2) + bytes.findIndex((byte) => byte !== PATTERN);
  }
  return -1;
}

function overwritten(what: string, at: number): FeatherstarError {
  return new FeatherstarError('FEATHERSTAR_OVERWRITTEN', `${what} was overwritten, from its byte ${at} on`);
}

/** Where the guard behind a shard's part begins, as a word of linear memory; of shard -1: the one before the header. */
function guardWord(header: Header, shard: number): number {
  const end = shard < 0 ? HEADER : header.shardsOffset + (shard + 1) * header.shardBytes;
  return (end - GUARD_BYTES) >>> 2;
}

export function writeGuards(memory: WebAssembly.Memory, header: Header): void {
  const words = new Int32Array(memory.buffer);
  for (let shard = -1; shard < header.shardCount; shard++) {
    const from = guardWord(header, shard);
    words.fill(WORD, from, from + GUARD_WORDS);
  }
}

/** A complaint about a guard, if it is broken. The guard is whole again then, so that the next break is found, too. */
function brokenGuard(words: Int32Array, header: Header, shard: number): FeatherstarError | undefined {
  const from = guardWord(header, shard);
  const at = firstBroken(words, from, GUARD_WORDS);
  if (at < 0) return undefined;
  words.fill(WORD, from, from + GUARD_WORDS);
  return overwritten(shard < 0 ? 'the guard before the header' : `the guard behind shard ${shard}'s memory`, at);
}

/** Complaints about all guards of a runtime. */
export function brokenGuards(memory: WebAssembly.Memory, header: Header): FeatherstarError[] {
  const words = new Int32Array(memory.buffer);
  const shards = Array.from({ length: header.shardCount + 1 }, (_, i) => i - 1);
  return shards.flatMap((shard) => brokenGuard(words, header, shard) ?? []);
}

/** One shard's. */
export class MemoryChecks {
  readonly #words: Int32Array;
  readonly #blocks: Int32Array;
  readonly #header: Header;
  readonly #guards: readonly number[];
  readonly #warnings = new WarningLimit();
  /** Looks at some of the blocks that are kept back. */
  onTurn: (() => void) | undefined;

  constructor(memory: WebAssembly.Memory, blocks: ArrayBufferLike, header: Header, shard: number) {
    this.#words = new Int32Array(memory.buffer);
    this.#blocks = new Int32Array(blocks);
    this.#header = header;
    this.#guards = shard === 0 ? [-1, 0] : [shard];
  }

  /** Behind each turn. Throws FEATHERSTAR_OVERWRITTEN. */
  turn(): void {
    this.onTurn?.();
    for (const shard of this.#guards) {
      const error = brokenGuard(this.#words, this.#header, shard);
      if (error !== undefined) throw error;
    }
  }

  /** The block is kept back from now on. */
  mark(block: number, bytes: number): void {
    this.#blocks.fill(WORD, block >>> 2, (block + bytes) >>> 2);
  }

  /** Warns if the block was written since. */
  look(block: number, bytes: number, home: number): void {
    const at = firstBroken(this.#blocks, block >>> 2, bytes >>> 2);
    if (at < 0) return;
    this.mark(block, bytes);
    const more = this.#warnings.next(monotonicNs());
    if (more === undefined) return;
    const others = more === 0 ? '' : `; ${more} more since the last warning`;
    const what = `block ${block} of shard ${home} (${bytes} bytes), which had been sent or disposed of,`;
    const { code, message } = overwritten(what, at);
    process.emitWarning(message + others, { type: 'Featherstar', code });
  }

  /** Copies a block that is sent, so that its old place can be kept back. */
  copy(from: number, to: number, bytes: number): void {
    this.#blocks.copyWithin(to >>> 2, from >>> 2, (from + bytes) >>> 2);
  }
}

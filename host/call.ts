// Calls between shards. A call names an exported function of the shard module; arguments and result go through
// codec.ts into the ring slot (up to 40 bytes) or the sender's arena. assembly/mesh.ts moves them.
//
// What can hold a call up: no credit (too many open at that peer) or no room in the arena. Then it waits here, in
// order, per peer: that is the backpressure that callers feel as a promise that takes longer.

import { Decoder, Encoder } from './codec.js';
import { Code, FeatherstarError, fullError } from './errors.js';
import { INTERNAL_FIRST, internalMethod, type Part, runInternal } from './internal.js';
import { CALL_BYTES, MESSAGE_BYTES, MESSAGE_OFFSET, ReadyKind } from './layout.js';
import type { Shard } from './shard.js';

const OK = 0;
const THREW = 1;
const ARENA_HEADER_BYTES = 16; // of each block (assembly/arena.ts)
const PAYLOAD_OFFSET = MESSAGE_OFFSET + 24;
const METHOD_WORD = MESSAGE_OFFSET >> 2;

type Resolve = (value: unknown) => void;
type Reject = (reason: unknown) => void;

interface Pending {
  method: number;
  /** The encoded arguments: the encoder's own buffer, or a copy if the call has to wait. */
  bytes: Uint8Array;
  length: number;
  resolve: Resolve;
  reject: Reject;
}

interface Open {
  peer: number;
  resolve: Resolve;
  reject: Reject;
}

/** A reply that found no room in the arena. */
interface HeldReply {
  call: number;
  status: number;
  bytes: Uint8Array;
}

export type ShardFunction = (...args: never[]) => unknown;

export class Calls {
  readonly #shard: Shard;
  readonly #encoder = new Encoder();
  readonly #decoder: Decoder;
  readonly #callsAt: number;
  readonly #open: (Open | undefined)[] = [];
  readonly #waiting: Pending[][];
  readonly #down: boolean[] = [];
  readonly #onDown = new Set<(peer: number) => void>();
  #held: HeldReply[] = [];
  #functions: ShardFunction[] | undefined;
  #methods = new Map<string, number>();
  #early: number[] = [];
  #arenaWaits = false;

  constructor(shard: Shard, shardCount: number) {
    this.#shard = shard;
    this.#decoder = new Decoder(shard.bytes);
    this.#callsAt = shard.base + shard.header.callsOffset;
    this.#waiting = Array.from({ length: shardCount }, () => []);
  }

  /** The shard module's functions. The same module is loaded in every shard, so sorted names give the same numbers. */
  setModule(exports: Record<string, unknown>): void {
    const names = Object.keys(exports)
      .filter((name) => typeof exports[name] === 'function')
      .sort();
    this.#methods = new Map(names.map((name, i) => [name, i]));
    this.#functions = names.map((name) => exports[name] as ShardFunction);
    const early = this.#early;
    this.#early = [];
    for (const index of early) this.#onRequest(index);
  }

  /** A function or class that the shard module exports. */
  exported(name: string): ShardFunction | undefined {
    const method = this.#methods.get(name);
    return method === undefined ? undefined : this.#functions?.[method];
  }

  // --- calling -------------------------------------------------------------------------------------------------------

  call(peer: number, name: string, args: unknown[]): Promise<unknown> {
    const method = this.#methods.get(name);
    if (method !== undefined) return this.#begin(peer, method, args);
    const text = `the shard module exports no function ${JSON.stringify(name)}`;
    return Promise.reject(new FeatherstarError('FEATHERSTAR_MODULE', text));
  }

  /** Calls a function of the library's own (internal.ts). */
  callInternal(peer: number, part: Part, name: string, ...args: unknown[]): Promise<unknown> {
    return this.#begin(peer, internalMethod(part), [name, ...args]);
  }

  #begin(peer: number, method: number, args: unknown[]): Promise<unknown> {
    if (peer === this.#shard.index) return this.#callHere(method, args);
    let length: number;
    try {
      length = this.#encoder.encode(args);
    } catch (error) {
      return Promise.reject(error);
    }
    return new Promise((resolve, reject) => {
      const pending = { method, bytes: this.#encoder.bytes as Uint8Array, length, resolve, reject };
      const queue = this.#waiting[peer];
      if (queue.length === 0 && this.#send(peer, pending)) return;
      pending.bytes = copyOf(pending.bytes, length); // what counts are the arguments as they were when it was called
      queue.push(pending);
    });
  }

  /** A call to the own shard is a call: no copy, but also never in the caller's stack frame. */
  async #callHere(method: number, args: unknown[]): Promise<unknown> {
    await undefined;
    return this.#run(method, args);
  }

  #run(method: number, args: unknown[]): unknown {
    if (method >= INTERNAL_FIRST) return runInternal(method, args);
    const run = this.#functions?.[method] as ((...args: unknown[]) => unknown) | undefined;
    if (run === undefined)
      throw new FeatherstarError('FEATHERSTAR_MODULE', `the shard module has no function ${method}`);
    return run(...args);
  }

  /** False if the call has to wait. */
  #send(peer: number, pending: Pending): boolean {
    const { core } = this.#shard;
    if (this.#down[peer]) {
      pending.reject(downError(peer));
      return true;
    }
    const { bytes, length } = pending;
    const index = core.callBegin(peer);
    if (index < 0) {
      if (index === Code.NO_CREDIT) return false;
      pending.reject(index === Code.PEER_DOWN ? downError(peer) : fullError('calls'));
      return true;
    }
    const payload = this.#write(index, bytes, length);
    if (payload < 0) {
      core.callFree(index);
      if (payload === Code.RANGE) pending.reject(tooLarge(length, this.#shard.header.arenaBytes));
      return payload === Code.RANGE;
    }
    this.#open[index] = { peer, resolve: pending.resolve, reject: pending.reject };
    core.callSend(index, pending.method, length, payload);
    this.#shard.host.poke();
    return true;
  }

  /** Puts the encoded value where it fits: 0 inline, an arena address, FULL to wait, RANGE if it never fits. */
  #write(index: number, source: Uint8Array, length: number): number {
    const { bytes, core, header } = this.#shard;
    if (length <= MESSAGE_BYTES) {
      const at = this.#callsAt + index * CALL_BYTES + PAYLOAD_OFFSET;
      for (let i = 0; i < length; i++) bytes[at + i] = source[i];
      return 0;
    }
    if (length > header.arenaBytes - ARENA_HEADER_BYTES) return Code.RANGE;
    const at = core.arenaTake(length) >>> 0; // an address: Wasm's i32 reads as signed
    if (at === 0) {
      this.#waitForArena();
      return Code.FULL;
    }
    bytes.set(source.subarray(0, length), at);
    return at;
  }

  /** Blocks come free when peers read them, and nobody tells: look again next turn. */
  #waitForArena(): void {
    if (this.#arenaWaits) return;
    this.#arenaWaits = true;
    setImmediate(() => {
      this.#arenaWaits = false;
      if (this.#shard.closed) return;
      const held = this.#held;
      this.#held = [];
      for (const { call, status, bytes } of held) this.#sendReply(call, status, bytes, bytes.length);
      for (let peer = 0; peer < this.#waiting.length; peer++) this.#retry(peer);
    });
  }

  #retry(peer: number): void {
    const queue = this.#waiting[peer];
    let sent = 0;
    while (sent < queue.length && this.#send(peer, queue[sent])) sent++;
    if (sent !== 0) queue.splice(0, sent);
  }

  // --- events --------------------------------------------------------------------------------------------------------

  onReady(kind: number, index: number, abandoned: number): void {
    if (kind === ReadyKind.REQUEST) {
      if (this.#functions === undefined) this.#early.push(index);
      else this.#onRequest(index);
    } else if (kind === ReadyKind.REPLY) this.#onReply(index, abandoned !== 0);
    else this.#retry(index);
  }

  #read(index: number): unknown {
    const { words, core } = this.#shard;
    const word = (this.#callsAt + index * CALL_BYTES + MESSAGE_OFFSET) >>> 2;
    const payload = words[word + 4] >>> 0;
    if (payload === 0) return this.#decoder.decode(this.#callsAt + index * CALL_BYTES + PAYLOAD_OFFSET);
    try {
      return this.#decoder.decode(payload);
    } finally {
      core.arenaRelease(payload);
    }
  }

  #onRequest(index: number): void {
    const word = ((this.#callsAt + index * CALL_BYTES) >>> 2) + METHOD_WORD;
    const method = this.#shard.words[word] >>> 16;
    try {
      const args = this.#read(index) as unknown[];
      const result = this.#run(method, args);
      if (result instanceof Promise) {
        result.then(
          (value) => this.#reply(index, OK, value),
          (error) => this.#reply(index, THREW, error),
        );
      } else this.#reply(index, OK, result);
    } catch (error) {
      this.#reply(index, THREW, error);
    }
  }

  #reply(index: number, status: number, value: unknown): void {
    if (this.#shard.closed) return;
    let length: number;
    let outcome = status;
    try {
      length = this.#encoder.encode(value);
    } catch (error) {
      outcome = THREW;
      length = this.#encoder.encode(error);
    }
    if (length > this.#shard.header.arenaBytes - ARENA_HEADER_BYTES) {
      outcome = THREW;
      length = this.#encoder.encode(tooLarge(length, this.#shard.header.arenaBytes));
    }
    this.#sendReply(index, outcome, this.#encoder.bytes, length);
  }

  #sendReply(index: number, status: number, bytes: Uint8Array, length: number): void {
    const payload = this.#write(index, bytes, length);
    if (payload === Code.FULL) this.#held.push({ call: index, status, bytes: copyOf(bytes, length) });
    else {
      this.#shard.core.callReply(index, status, length, payload);
      this.#shard.host.poke();
    }
  }

  #onReply(index: number, abandoned: boolean): void {
    const open = this.#open[index];
    this.#open[index] = undefined;
    const word = (this.#callsAt + index * CALL_BYTES + MESSAGE_OFFSET) >>> 2;
    const status = (this.#shard.words[word] >>> 8) & 0xff;
    const value = this.#read(index);
    this.#shard.core.callFree(index);
    if (open === undefined || abandoned) return;
    if (status === OK) open.resolve(value);
    else open.reject(value instanceof Error ? value : remoteError(value));
  }

  isDown(peer: number): boolean {
    return this.#down[peer] === true;
  }

  /** Calls back when a shard is gone. Answers how to take that back. */
  onPeerDown(callback: (peer: number) => void): () => void {
    this.#onDown.add(callback);
    return () => this.#onDown.delete(callback);
  }

  /** That shard is gone: everything that waits for it is rejected. */
  peerDown(peer: number): void {
    if (this.#down[peer]) return;
    this.#down[peer] = true;
    this.#shard.core.peerDown(peer);
    this.#open.forEach((open, index) => {
      if (open?.peer !== peer) return;
      this.#open[index] = undefined;
      this.#shard.core.callFree(index);
      open.reject(downError(peer));
    });
    for (const pending of this.#waiting[peer].splice(0)) pending.reject(downError(peer));
    for (const callback of [...this.#onDown]) callback(peer);
  }
}

function copyOf(bytes: Uint8Array, length: number): Uint8Array {
  const copy = new Uint8Array(length);
  copy.set(bytes.subarray(0, length));
  return copy;
}

export function downError(peer: number): FeatherstarError {
  return new FeatherstarError('FEATHERSTAR_PEER_DOWN', `shard ${peer} does not run any more`);
}

function remoteError(value: unknown): FeatherstarError {
  return new FeatherstarError('FEATHERSTAR_REMOTE', `the called function threw ${String(value)}`, { cause: value });
}

function tooLarge(length: number, arenaBytes: number): FeatherstarError {
  const text = `a value of ${length} bytes does not fit the arena of ${arenaBytes} (limits.arenaBytes)`;
  return new FeatherstarError('FEATHERSTAR_CODEC', text);
}

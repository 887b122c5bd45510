// Calls between shards. A call names an exported function of the shard module; arguments and result go in the format of
// codec.ts into the ring slot (up to 40 bytes) or the sender's arena. assembly/mesh.ts moves them.
//
// What can hold a call up: no credit (too many open at that peer) or no room in the arena. Then it waits here, in
// order, per peer: that is the backpressure that callers feel as a promise that takes longer.
//
// Aborts must not wait for the calls that they end. So the core has one credit more for each peer than calls may use
// (options.ts), and it carries the aborts, one at a time. It always comes back: a peer answers an abort at once.

import { Code, FeatherstarError, fullError, textOf } from '../errors.js';
import { ABORT_CREDITS, CALL_BYTES, COUNTER_NAMES, MESSAGE_BYTES, MESSAGE_OFFSET, ReadyKind } from '../layout.js';
import type { Shard } from '../shard.js';
import { Line, type Reject, type Resolve, WaitingCall } from './call-line.js';
import { type CallOptions, GivenSignals, signalsAmong, Watch } from './call-signals.js';
import { Decoder } from './decoder.js';
import { Encoder, tooLarge } from './encoder.js';
import { Functions, type ShardFunction } from './functions.js';
import { internalMethod, type Part } from './internal.js';
import { Peers } from './peers.js';
import { arrived, endOfCallHere, handOverAll, moveAll, type SharedBytes } from './shared-bytes.js';

const OK = 0;
const THREW = 1;
const ABORT = 0xffff; // the method whose arguments are numbers of signals, and the reason
const ARENA_HEADER_BYTES = 16; // of each block (assembly/arena.ts)
const MESSAGE_WORD = MESSAGE_OFFSET >> 2;
const PAYLOAD_WORD = MESSAGE_WORD + 4; // its address, or 0: inline
const INLINE_WORD = MESSAGE_WORD + 6;
const PEER_WORD = 4;
const NOBODY = -1;

/** What a slot of the call table is used for, on this side. Kept and used again with the slot. */
class Open {
  peer = NOBODY;
  isAbort = false;
  resolve: Resolve | undefined;
  reject: Reject | undefined;
  watch: Watch | undefined;

  clear(): void {
    this.peer = NOBODY;
    this.resolve = undefined;
    this.reject = undefined;
    this.watch = undefined;
  }
}

/** A reply that found no room in the arena. */
interface HeldReply {
  call: number;
  status: number;
  bytes: Uint8Array;
}

interface Abort {
  numbers: number[];
  reason: unknown;
}

// One executor for all promises: what it leaves here is taken at once.
let resolveNew: Resolve;
let rejectNew: Reject;
const keepNew = (resolve: Resolve, reject: Reject): void => {
  resolveNew = resolve;
  rejectNew = reject;
};

export class Calls {
  readonly peers: Peers;
  readonly #shard: Shard;
  readonly #encoder: Encoder;
  readonly #decoder: Decoder;
  readonly #callsWord: number;
  readonly #maxBytes: number;
  readonly #credits: number;
  readonly #open: Open[] = [];
  /** Calls that are open at each peer, without aborts. */
  readonly #openAt: number[];
  readonly #waiting: Line[];
  /** Aborts that wait for each peer, and the one that is under way. */
  readonly #aborts: { waiting: Abort[]; isOut: boolean }[];
  readonly #given = new GivenSignals();
  #held: HeldReply[] = [];
  readonly #functions = new Functions();
  #early: number[] = [];
  #arenaWaits = false;
  #caller = NOBODY; // whose arguments are being decoded

  constructor(shard: Shard, shardCount: number) {
    const { header } = shard;
    this.#shard = shard;
    this.#maxBytes = header.arenaBytes - ARENA_HEADER_BYTES;
    this.#encoder = new Encoder(this.#maxBytes);
    const openSignal = (id: number) => this.#given.open(this.#caller, id);
    this.#decoder = new Decoder(shard.bytes, openSignal, (block, length) => arrived(shard, block, length));
    this.#callsWord = (shard.base + header.callsOffset) >>> 2;
    this.#credits = header.creditCount - ABORT_CREDITS;
    this.#openAt = new Array(shardCount).fill(0);
    this.peers = new Peers(shard, shardCount, (peer) => this.#forget(peer));
    this.#waiting = Array.from({ length: shardCount }, () => new Line());
    this.#aborts = Array.from({ length: shardCount }, () => ({ waiting: [], isOut: false }));
  }

  /** The shard module is loaded. Calls that have come before it are run now. */
  setModule(exports: Record<string, unknown>): void {
    this.#functions.set(exports);
    const early = this.#early;
    this.#early = [];
    for (const index of early) this.#onRequest(index);
  }

  /** A function or class that the shard module exports. */
  exported(name: string): ShardFunction | undefined {
    return this.#functions.exported(name);
  }

  /** What a method's number stands for, for warnings. */
  readonly describe = (method: number): string => this.#functions.describe(method);

  // --- calling -------------------------------------------------------------------------------------------------------

  call(peer: number, name: string, args: readonly unknown[], options?: CallOptions): Promise<unknown> {
    const method = this.#functions.number(name);
    if (method !== undefined) return this.#begin(peer, method, args, options);
    const text = `the shard module exports no function ${JSON.stringify(name)}`;
    return Promise.reject(new FeatherstarError('FEATHERSTAR_MODULE', text));
  }

  /** Calls a function of the library's own (internal.ts). */
  callInternal(peer: number, part: Part, name: string, ...args: unknown[]): Promise<unknown> {
    return this.#begin(peer, internalMethod(part), [name, ...args], undefined);
  }

  submitInternal(peer: number, part: Part, args: readonly unknown[], options?: CallOptions): Promise<unknown> {
    return this.#begin(peer, internalMethod(part), args, options);
  }

  #begin(peer: number, method: number, args: readonly unknown[], options: CallOptions | undefined): Promise<unknown> {
    if (peer === this.#shard.index) return this.#callHere(method, args, options);
    const encoder = this.#encoder;
    let length: number;
    try {
      length = encoder.args(args);
    } catch (error) {
      return Promise.reject(error);
    }
    let watch: Watch | undefined;
    if (encoder.signals !== undefined || encoder.moves !== undefined || options !== undefined) {
      watch = new Watch(encoder.signals ?? [], encoder.firstSignal, options?.signal);
      const { aborted } = watch;
      if (aborted !== undefined) return Promise.reject(aborted.reason);
      if (encoder.moves !== undefined) watch.ifNotSent = moveAll(encoder.moves, peer);
    }
    const promise = new Promise(keepNew);
    const resolve = resolveNew;
    const reject = rejectNew;
    watch?.start(options?.timeoutMs);
    if (this.#waiting[peer].first === undefined && this.#send(peer, method, length, resolve, reject, watch)) {
      return promise;
    }
    this.#wait(peer, new WaitingCall(method, encoder.copy(), resolve, reject, watch));
    return promise;
  }

  #wait(peer: number, call: WaitingCall): void {
    const line = this.#waiting[peer];
    line.push(call);
    if (this.#openAt[peer] >= this.#credits) this.#countRefusal();
    const { watch } = call;
    if (watch === undefined) return;
    watch.onAbort = (reason) => {
      line.remove(call); // the peer has not heard of it
      call.reject(reason);
    };
  }

  /** A call to the own shard is a call: no copy, but also never in the caller's stack frame. */
  #callHere(method: number, args: readonly unknown[], options: CallOptions | undefined): Promise<unknown> {
    const signals = signalsAmong(args);
    if (signals.length === 0 && options === undefined) return this.#runSoon(method, args, undefined);
    const watch = new Watch(signals, 0, options?.signal);
    if (watch.aborted !== undefined) return Promise.reject(watch.aborted.reason);
    return new Promise((resolve, reject) => {
      let isOver = false;
      watch.onAbort = (reason) => {
        isOver = true;
        reject(reason);
      };
      watch.start(options?.timeoutMs);
      const end = (settle: (outcome: never) => void) => (outcome: unknown) => {
        watch.stop();
        settle(outcome as never);
      };
      this.#runSoon(method, args, () => isOver).then(end(resolve), end(reject)); // finally() takes fewer ticks on Bun
    });
  }

  async #runSoon(method: number, args: readonly unknown[], isOver: (() => boolean) | undefined): Promise<unknown> {
    const own = handOverAll(args);
    let result: unknown;
    try {
      await undefined;
      if (!isOver?.()) result = await this.#functions.run(method, own);
    } finally {
      if (own !== args) endOfCallHere(own, result);
    }
    return result;
  }

  /** Sends what the encoder holds. False if it has to wait. */
  #send(
    peer: number,
    method: number,
    length: number,
    resolve: Resolve,
    reject: Reject,
    watch: Watch | undefined,
  ): boolean {
    if (this.#openAt[peer] >= this.#credits) return false;
    const { core } = this.#shard;
    const index = this.peers.isDown(peer) ? Code.PEER_DOWN : core.callBegin(peer);
    if (index < 0) {
      watch?.stop();
      reject(index === Code.PEER_DOWN ? downError(peer) : fullError('calls'));
      return true;
    }
    const payload = this.#write(index, length);
    if (payload < 0) {
      core.callFree(index);
      if (payload !== Code.RANGE) return false;
      watch?.stop();
      reject(tooLarge(length, this.#maxBytes));
      return true;
    }
    this.#openAt[peer]++;
    const open = this.#take(index, peer, resolve, reject);
    if (watch !== undefined) this.#watch(index, open, watch);
    core.callSend(index, method, length, payload);
    this.#shard.host.poke();
    return true;
  }

  #take(index: number, peer: number, resolve: Resolve, reject: Reject): Open {
    while (this.#open.length <= index) this.#open.push(new Open());
    const open = this.#open[index];
    open.peer = peer;
    open.isAbort = false;
    open.resolve = resolve;
    open.reject = reject;
    return open;
  }

  #watch(index: number, open: Open, watch: Watch): void {
    open.watch = watch;
    watch.ifNotSent = undefined;
    watch.onAbort = (reason, numbers) => {
      const { peer, reject } = open;
      open.resolve = undefined; // the slot stays until the reply comes
      open.reject = undefined;
      open.watch = undefined;
      this.#shard.core.callAbandon(index);
      if (numbers.length > 0) {
        this.#aborts[peer].waiting.push({ numbers, reason });
        this.#sendAbort(peer);
      }
      reject?.(reason);
    };
  }

  /** The core's counter of calls that have to wait for credit; it does not see these. */
  #countRefusal(): void {
    const { memory, base, header } = this.#shard;
    const at = base + header.countersOffset + 8 * COUNTER_NAMES.indexOf('creditRefused');
    new BigUint64Array(memory.buffer, at, 1)[0]++;
  }

  /** Puts what the encoder holds where it fits: 0 inline, an arena address, FULL to wait, RANGE if it never fits. */
  #write(index: number, length: number): number {
    const { words, bytes, core } = this.#shard;
    if (length <= MESSAGE_BYTES) {
      const from = this.#encoder.words;
      const at = this.#callsWord + index * (CALL_BYTES >> 2) + INLINE_WORD;
      const count = (length + 3) >> 2;
      for (let i = 0; i < count; i++) words[at + i] = from[i];
      return 0;
    }
    if (length > this.#maxBytes) return Code.RANGE;
    const at = core.arenaTake(length) >>> 0; // an address: Wasm's i32 reads as signed
    if (at === 0) {
      this.#waitForArena();
      return Code.FULL;
    }
    this.#encoder.copyTo(bytes, at);
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
      for (const { call, status, bytes } of held) {
        this.#encoder.restore(bytes);
        this.#sendReply(call, status, bytes.length);
      }
      for (let peer = 0; peer < this.#waiting.length; peer++) {
        this.#sendAbort(peer);
        this.#retry(peer);
      }
    });
  }

  #retry(peer: number): void {
    const line = this.#waiting[peer];
    for (let call = line.first; call !== undefined; call = line.first) {
      if (this.#openAt[peer] >= this.#credits) return;
      const { method, bytes, resolve, reject, watch } = call;
      this.#encoder.restore(bytes);
      if (!this.#send(peer, method, bytes.length, resolve, reject, watch)) return;
      line.remove(call);
    }
  }

  // --- aborts --------------------------------------------------------------------------------------------------------

  #sendAbort(peer: number): void {
    const aborts = this.#aborts[peer];
    if (aborts.isOut || aborts.waiting.length === 0) return;
    const { core } = this.#shard;
    const index = core.callBegin(peer);
    if (index < 0) return; // the peer is down: peerDown() will come, and clear this
    const length = this.#encodeAbort(aborts.waiting[0]);
    const payload = this.#write(index, length);
    if (payload < 0) {
      core.callFree(index);
      return;
    }
    aborts.waiting.shift();
    aborts.isOut = true;
    const next = () => {
      aborts.isOut = false;
      this.#sendAbort(peer);
    };
    this.#take(index, peer, next, next).isAbort = true;
    core.callSend(index, ABORT, length, payload);
    this.#shard.host.poke();
  }

  #encodeAbort({ numbers, reason }: Abort): number {
    try {
      const length = this.#encoder.args([numbers, reason]);
      const { signals, moves } = this.#encoder;
      if (length <= this.#maxBytes && signals === undefined && moves === undefined) return length;
    } catch {
      // The reason is such as cannot be sent. That it ends is what counts.
    }
    return this.#encoder.args([numbers, abortedError()]);
  }

  // --- events --------------------------------------------------------------------------------------------------------

  onReady(kind: number, index: number, abandoned: number): void {
    if (kind === ReadyKind.REQUEST) {
      if (!this.#functions.isLoaded) this.#early.push(index);
      else this.#onRequest(index);
    } else if (kind === ReadyKind.REPLY) this.#onReply(index, abandoned !== 0);
    else this.#retry(index);
  }

  #onRequest(index: number): void {
    const { words } = this.#shard;
    const slot = this.#callsWord + index * (CALL_BYTES >> 2);
    const method = words[slot + MESSAGE_WORD] >>> 16;
    const payload = words[slot + PAYLOAD_WORD] >>> 0;
    const peer = words[slot + PEER_WORD];
    const life = this.peers.life(peer);
    let numbers: number[] | undefined;
    let guests: SharedBytes[] | undefined;
    let result: unknown;
    let status = OK;
    try {
      this.#caller = peer;
      const args = this.#decoder.args(payload === 0 ? (slot + INLINE_WORD) << 2 : payload);
      numbers = this.#decoder.signals;
      guests = this.#decoder.arrived;
      if (payload !== 0) this.#shard.core.arenaRelease(payload);
      if (method === ABORT) this.#given.abort(peer, args[0] as number[], args[1]);
      else result = this.#functions.run(method, args);
    } catch (error) {
      status = THREW;
      result = error;
    }
    if (typeof result === 'object' && result !== null && status === OK && isThenable(result)) {
      result.then(
        (value) => this.#end(index, OK, value, peer, life, numbers, guests),
        (error) => this.#end(index, THREW, error, peer, life, numbers, guests),
      );
    } else this.#end(index, status, result, peer, life, numbers, guests);
  }

  /** The function has ended. `numbers`, `guests`: the signals and bytes by reference that it was lent. */
  #end(
    index: number,
    status: number,
    value: unknown,
    peer: number,
    life: number,
    numbers: number[] | undefined,
    guests: SharedBytes[] | undefined,
  ): void {
    const isLate = life !== this.peers.life(peer);
    if (numbers !== undefined && !isLate) this.#given.close(peer, numbers);
    if (this.#shard.closed) return;
    let length: number;
    let outcome = status;
    try {
      length = this.#encoder.value(value);
      if (length > this.#maxBytes) throw tooLarge(length, this.#maxBytes);
    } catch (error) {
      outcome = THREW;
      length = this.#encoder.value(error);
    }
    const { moves } = this.#encoder;
    if (moves !== undefined && isLate) for (const bytes of moves) bytes.dispose();
    else if (moves !== undefined) moveAll(moves, peer);
    if (guests !== undefined) for (const guest of guests) guest.endOfCall();
    if (isLate)
      this.#shard.core.callReply(index, THREW, 0, 0); // frees the slot; for a later life it is stale
    else this.#sendReply(index, outcome, length);
  }

  #sendReply(index: number, status: number, length: number): void {
    const payload = this.#write(index, length);
    if (payload === Code.FULL) this.#held.push({ call: index, status, bytes: this.#encoder.copy() });
    else {
      this.#shard.core.callReply(index, status, length, payload);
      this.#shard.host.poke();
    }
  }

  #onReply(index: number, abandoned: boolean): void {
    const open = this.#open[index];
    const { peer, isAbort, resolve, reject, watch } = open;
    if (peer === NOBODY) return; // that peer was found to be down between the turn and now
    const { words, core } = this.#shard;
    const slot = this.#callsWord + index * (CALL_BYTES >> 2);
    const status = (words[slot + MESSAGE_WORD] >>> 8) & 0xff;
    const payload = words[slot + PAYLOAD_WORD] >>> 0;
    let value: unknown;
    let failure: unknown;
    try {
      value = this.#decoder.value(payload === 0 ? (slot + INLINE_WORD) << 2 : payload);
      if (abandoned) for (const bytes of this.#decoder.arrived ?? []) bytes.dispose();
    } catch (error) {
      failure = error;
    }
    if (payload !== 0) core.arenaRelease(payload);
    core.callFree(index);
    open.clear();
    if (!isAbort) {
      this.#openAt[peer]--;
      watch?.stop();
    }
    if (status === OK && failure === undefined) resolve?.(value);
    else reject?.(failure ?? (value instanceof Error ? value : remoteError(value)));
    if (this.#waiting[peer].first !== undefined) this.#retry(peer);
  }

  /** This shard takes no more turns. */
  close(): void {
    this.peers.close();
  }

  /** That peer is gone: whoever waits for it is told. */
  #forget(peer: number): void {
    this.#aborts[peer] = { waiting: [], isOut: false };
    this.#open.forEach((open, index) => {
      if (open.peer !== peer) return;
      const { reject, watch, isAbort } = open;
      open.clear();
      this.#shard.core.callFree(index);
      watch?.stop();
      if (!isAbort) reject?.(downError(peer));
    });
    this.#openAt[peer] = 0;
    const line = this.#waiting[peer];
    for (let call = line.first; call !== undefined; call = line.first) {
      line.remove(call);
      call.watch?.stop();
      call.reject(downError(peer));
    }
    this.#given.peerDown(peer, downError(peer));
  }

  /** Signals that functions called by peers have at the moment. */
  get givenSignals(): number {
    return this.#given.size;
  }
}

function isThenable(value: object): value is PromiseLike<unknown> {
  return value instanceof Promise || typeof (value as PromiseLike<unknown>).then === 'function';
}

export function downError(peer: number): FeatherstarError {
  return new FeatherstarError('FEATHERSTAR_PEER_DOWN', `shard ${peer} does not run any more`);
}

function abortedError(): FeatherstarError {
  return new FeatherstarError('FEATHERSTAR_ABORTED', 'the caller aborted, with a reason that cannot be sent');
}

export function remoteError(value: unknown): FeatherstarError {
  return new FeatherstarError('FEATHERSTAR_REMOTE', `the called function threw ${textOf(value)}`, { cause: value });
}

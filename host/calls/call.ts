// Calls between shards. A call names an exported function of the shard module. Arguments and result have the format of
// codec.ts. Up to 40 bytes go in the message itself, more in the sender's arena.
//
//   caller   #begin() -> OpenCalls.take() -> Outbox.request() ---- request ---> #onRequest(): the function runs
//            #onReply(): the promise settles  <------------------- reply ------ #end() -> Outbox.control()
//
// A request that arrives is begun at once, in the turn that brings it. So a call holds no room and no credit while its
// function runs, and functions may call each other back to any depth (assembly/mesh.ts).
//
// Next: outbox.ts, where calls wait that cannot be sent yet.

import type { WaitOptions } from '../base/abortable.js';
import { ERROR_KINDS, type ErrorCode, FeatherstarError, fullError, textOf } from '../base/errors.js';
import { HostControl, INLINE_BYTES, MESSAGE_BYTES, ReadyKind } from '../core/layout.js';
import type { Shard } from '../shard/shard.js';
import { sendToAll } from './call-all.js';
import { GivenSignals, signalsAmong, Watch } from './call-signals.js';
import { failCall } from './caller-stack.js';
import { Decoder } from './decoder.js';
import { Encoder, tooLarge } from './encoder.js';
import { Functions, type ShardFunction } from './functions.js';
import { internalMethod, type Part } from './internal.js';
import { type OpenCall, OpenCalls, type Reject, type Resolve } from './open-calls.js';
import { Kind, Outbox, Word } from './outbox.js';
import { Peers } from './peers.js';
import { arrived, endOfCallHere, handOverAll, moveAll, type SharedBytes } from './shared-bytes.js';
import { Standstill } from './standstill.js';

const OK = 0; // status of a reply
const THREW = 1;
const ARENA_HEADER_BYTES = 16; // of each block (assembly/arena.ts)
const BRIEF_BYTES = 64; // more than an error without its text takes, with its name and a code of ours
const MESSAGE_WORDS = MESSAGE_BYTES >> 2;
const ABORT_HEAD = Kind.ABORT | (0xffff << 16); // the method is no function's: for warnings (internal.ts)

/** A request that has come before the shard module was loaded. */
interface EarlyRequest {
  peer: number;
  life: number;
  head: number;
  caller: number;
  number: number;
  payload: Buffer;
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
  readonly #inbox: number; // word of its first message
  readonly #maxBytes: number;
  readonly #open: OpenCalls;
  readonly #outbox: Outbox;
  readonly #given = new GivenSignals();
  readonly #functions = new Functions();
  readonly #served: number; // word: calls of peers that run here
  #callsHere = 0; // of this shard to itself
  #early: EarlyRequest[] = [];
  #caller = 0; // whose arguments are being decoded

  /** Resolves when the shard module is loaded. */
  readonly whenLoaded: Promise<void>;
  #onLoaded = () => {};

  constructor(shard: Shard, shardCount: number) {
    this.whenLoaded = new Promise((resolve) => {
      this.#onLoaded = resolve;
    });
    const { header } = shard;
    this.#shard = shard;
    this.#maxBytes = Math.max(INLINE_BYTES, header.arenaBytes - ARENA_HEADER_BYTES);
    this.#encoder = new Encoder(this.#maxBytes);
    this.#decoder = this.#decoderOf(shard.bytes);
    this.#inbox = (shard.base + header.inboxOffset) >>> 2;
    this.#served = (shard.base + HostControl.servedCalls) >>> 2;
    this.#open = new OpenCalls(shard);
    const standstill = new Standstill(shard, shardCount, {
      first: (peer) => this.#outbox.first(peer),
      fail: (peer, error) => this.#failWaiting(peer, error),
    });
    this.#outbox = new Outbox(shard, shardCount, this.#encoder, () => standstill.begin());
    this.peers = new Peers(shard, shardCount, (peer) => this.#forget(peer));
  }

  #decoderOf(bytes: Buffer): Decoder {
    const openSignal = (id: number) => this.#given.open(this.#caller, id);
    return new Decoder(bytes, openSignal, (block, length) => arrived(this.#shard, block, length));
  }

  /** The shard module is loaded. Requests that have come before it are begun now. */
  setModule(exports: Record<string, unknown>): void {
    this.#functions.set(exports);
    this.#onLoaded();
    this.#shard.words[(this.#shard.base + HostControl.isLoaded) >>> 2] = 1;
    const early = this.#early;
    if (early.length === 0) return;
    this.#early = [];
    for (const { peer, life, head, caller, number, payload } of early) {
      if (life !== this.peers.life(peer)) continue; // its caller has died
      if ((head & 0xff) === Kind.REQUEST) this.#shard.core.beginRequest(peer);
      this.#onRequest(peer, head, caller, number, this.#decoderOf(payload), 0, 0);
    }
    this.#shard.host.poke();
  }

  /** All that the shard module exports; nothing until it is loaded. */
  get moduleExports(): Readonly<Record<string, unknown>> {
    return this.#functions.exports;
  }

  /** The names of the functions and classes that the shard module exports; none until it is loaded. */
  get functionNames(): string[] {
    return this.#functions.names;
  }

  /** A function or class that the shard module exports. */
  exported(name: string): ShardFunction | undefined {
    return this.#functions.exported(name);
  }

  /** The name of the method with this number, for warnings. */
  readonly describe = (method: number): string => this.#functions.describe(method);

  // --- calling -------------------------------------------------------------------------------------------------------

  /** An object whose methods run the shard module's functions on `peer`. */
  remote(peer: number): object {
    return this.#functions.remote((method, args, options) => this.#begin(peer, method, args, options));
  }

  /** An object whose methods run the shard module's functions on all of `peers`. */
  remoteAll(peers: readonly number[]): object {
    return this.#functions.remote(
      sendToAll(peers, (peer, method, args, options) => this.#begin(peer, method, args, options)),
    );
  }

  call(peer: number, name: string, args: readonly unknown[], options?: WaitOptions): Promise<unknown> {
    const method = this.#functions.number(name);
    if (method !== undefined) return this.#begin(peer, method, args, options);
    const text = `the shard module exports no function ${JSON.stringify(name)}`;
    return Promise.reject(new FeatherstarError('FEATHERSTAR_MODULE', text));
  }

  /** Calls a function of the library's own (internal.ts). */
  callInternal(peer: number, part: Part, name: string, ...args: unknown[]): Promise<unknown> {
    return this.#begin(peer, internalMethod(part), [name, ...args], undefined);
  }

  submitInternal(peer: number, part: Part, args: readonly unknown[], options?: WaitOptions): Promise<unknown> {
    return this.#begin(peer, internalMethod(part), args, options);
  }

  #begin(peer: number, method: number, args: readonly unknown[], options: WaitOptions | undefined): Promise<unknown> {
    if (peer === this.#shard.index) return this.#callHere(method, args, options);
    const encoder = this.#encoder;
    let length: number;
    try {
      length = encoder.args(args);
    } catch (error) {
      return Promise.reject(error);
    }
    if (length > this.#maxBytes) return Promise.reject(tooLarge(length, this.#maxBytes));
    let watch: Watch | undefined;
    if (encoder.signals !== undefined || encoder.moves !== undefined || options !== undefined) {
      watch = new Watch(encoder.signals ?? [], encoder.firstSignal, options?.signal);
      const { aborted } = watch;
      if (aborted !== undefined) return Promise.reject(aborted.reason);
      watch.start(options?.timeoutMs); // may throw: nothing is taken yet
    }
    const promise = new Promise(keepNew);
    const reject = rejectNew;
    const call = this.#open.take(peer, method, resolveNew, reject);
    if (call === undefined) {
      watch?.stop();
      reject(fullCalls());
      return promise;
    }
    if (watch !== undefined) this.#watch(call, watch, encoder.moves);
    if (this.peers.isDown(peer) || !this.#outbox.request(call, length)) {
      this.#open.free(call);
      watch?.stop();
      reject(downError(peer));
    }
    return promise;
  }

  /** Lets signals and a timeout end a call. */
  #watch(call: OpenCall, watch: Watch, moves: SharedBytes[] | undefined): void {
    call.watch = watch;
    if (moves !== undefined) watch.ifNotSent = moveAll(moves, call.peer);
    watch.end = (reason, numbers) => {
      const { peer, reject } = call;
      if (call.waiting !== undefined) {
        this.#outbox.remove(call);
        this.#open.free(call); // the peer has not heard of it
      } else {
        call.resolve = undefined; // the slot stays until the reply comes
        call.reject = undefined;
        call.watch = undefined;
        if (numbers.length > 0) this.#outbox.control(peer, ABORT_HEAD, 0, 0, this.#encodeAbort(numbers, reason));
      }
      reject?.(reason);
    };
  }

  /** A call to the own shard is a call: no copy, but also never in the caller's stack frame. */
  #callHere(method: number, args: readonly unknown[], options: WaitOptions | undefined): Promise<unknown> {
    const signals = signalsAmong(args);
    if (signals.length === 0 && options === undefined) return this.#runSoon(method, args, undefined);
    const watch = new Watch(signals, 0, options?.signal);
    if (watch.aborted !== undefined) return Promise.reject(watch.aborted.reason);
    return new Promise((resolve, reject) => {
      let isOver = false;
      watch.end = (reason) => {
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
    if (this.#callsHere >= this.#shard.header.callSlots) throw fullCalls();
    const own = handOverAll(args);
    let result: unknown;
    this.#callsHere++;
    try {
      await undefined;
      if (!isOver?.()) result = await this.#functions.run(method, own);
    } finally {
      this.#callsHere--;
      if (own !== args) endOfCallHere(own, result);
    }
    return result;
  }

  #encodeAbort(numbers: number[], reason: unknown): number {
    try {
      const length = this.#encoder.args([numbers, reason]);
      const { signals, moves } = this.#encoder;
      if (length <= this.#maxBytes && signals === undefined && moves === undefined) return length;
    } catch {
      // This reason cannot be sent. The abort itself is what counts.
    }
    const length = this.#encoder.args([numbers, unsendableReason()]);
    return length <= this.#maxBytes ? length : this.#encoder.args([numbers]);
  }

  // --- events --------------------------------------------------------------------------------------------------------

  /** MAIL: the message in `slot` of the inbox; ROOM: something may go that the core refused. */
  onReady(kind: number, peer: number, slot: number): void {
    if (kind === ReadyKind.ROOM) {
      this.#outbox.onRoom(peer);
      return;
    }
    const { words } = this.#shard;
    const at = this.#inbox + slot * MESSAGE_WORDS;
    const head = words[at + Word.HEAD] as number;
    const caller = words[at + Word.CALLER] as number;
    const number = words[at + Word.NUMBER] as number;
    const payload = (words[at + Word.PAYLOAD] as number) >>> 0;
    const inlineAt = ((at + Word.INLINE) << 2) >>> 0; // without a sign: it may lie beyond 2 GiB
    const bytesAt = payload === 0 ? inlineAt : payload;
    if ((head & 0xff) === Kind.REPLY) this.#onReply(head, caller, number, bytesAt, payload);
    else if (this.#functions.isLoaded) {
      this.#shard.stepMark.markCall(slot);
      this.#onRequest(peer, head, caller, number, this.#decoder, bytesAt, payload);
    } else this.#hold(peer, head, caller, number, bytesAt, words[at + Word.BYTES] as number, payload);
  }

  /** Keeps a request, or an abort, until the module is loaded: a copy, so that it holds up nothing but its credit. */
  #hold(
    peer: number,
    head: number,
    caller: number,
    number: number,
    bytesAt: number,
    length: number,
    payload: number,
  ): void {
    const { bytes, core } = this.#shard;
    const copy = Buffer.from(bytes.subarray(bytesAt, bytesAt + length));
    if (payload !== 0) core.arenaRelease(payload);
    if ((head & 0xff) === Kind.REQUEST) core.holdRequest(peer);
    this.#early.push({ peer, life: this.peers.life(peer), head, caller, number, payload: copy });
  }

  /** A request, or an abort. `payload`: the block of the caller's arena to be given back, or 0. */
  #onRequest(
    peer: number,
    head: number,
    caller: number,
    number: number,
    decoder: Decoder,
    bytesAt: number,
    payload: number,
  ): void {
    const life = this.peers.life(peer);
    let numbers: number[] | undefined;
    let guests: SharedBytes[] | undefined;
    let result: unknown;
    let status = OK;
    if ((head & 0xff) === Kind.ABORT) {
      const [ids, reason] = this.#args(peer, decoder, bytesAt, payload);
      this.#given.abort(peer, ids as number[], reason);
      return;
    }
    (this.#shard.words[this.#served] as number)++;
    try {
      const args = this.#args(peer, decoder, bytesAt, payload);
      numbers = decoder.signals;
      guests = decoder.arrived;
      result = this.#functions.run(head >>> 16, args);
      const pending = typeof result === 'object' && result !== null ? promiseOf(result) : undefined;
      if (pending !== undefined) {
        // This throws for a Proxy of a promise, and for other objects that only look like one.
        pending.then(
          (value) => this.#end(OK, value, peer, caller, number, life, numbers, guests),
          (error) => this.#end(THREW, error, peer, caller, number, life, numbers, guests),
        );
        return;
      }
    } catch (error) {
      status = THREW;
      result = error;
    }
    this.#end(status, result, peer, caller, number, life, numbers, guests);
  }

  #args(peer: number, decoder: Decoder, bytesAt: number, payload: number): unknown[] {
    this.#caller = peer;
    try {
      return decoder.args(bytesAt);
    } finally {
      if (payload !== 0) this.#shard.core.arenaRelease(payload);
    }
  }

  /** The function has ended. `numbers`, `guests`: the signals and bytes by reference that it was lent. */
  #end(
    status: number,
    value: unknown,
    peer: number,
    caller: number,
    number: number,
    life: number,
    numbers: number[] | undefined,
    guests: SharedBytes[] | undefined,
  ): void {
    const isLate = life !== this.peers.life(peer); // the caller has died meanwhile
    (this.#shard.words[this.#served] as number)--;
    if (numbers !== undefined && !isLate) this.#given.close(peer, numbers);
    if (this.#shard.closed) return;
    let length: number;
    let outcome = status;
    try {
      length = this.#encoder.value(value);
      if (length > this.#maxBytes) throw tooLarge(length, this.#maxBytes);
    } catch (error) {
      outcome = THREW;
      length = this.#encodeBriefly(status === THREW ? value : error);
    }
    const { moves } = this.#encoder;
    if (moves !== undefined && isLate) for (const bytes of moves) bytes.dispose();
    else if (moves !== undefined) moveAll(moves, peer);
    if (guests !== undefined) for (const guest of guests) guest.endOfCall();
    if (!isLate) this.#outbox.control(peer, Kind.REPLY | (outcome << 8), caller, number, length);
  }

  /**
   * An error that cannot be sent as it is: its text without its stack, cut to what fits, and nothing if its code does
   * not fit either.
   */
  #encodeBriefly(error: unknown): number {
    const { message, code } = ownError(error) ?? remoteError(error);
    const fits = Math.max(0, this.#maxBytes - BRIEF_BYTES) >> 1; // a character has up to two bytes
    const brief = new FeatherstarError(code, message.slice(0, fits));
    brief.stack = undefined;
    const length = this.#encoder.value(brief);
    return length <= this.#maxBytes ? length : this.#encoder.value(undefined);
  }

  #onReply(head: number, slot: number, number: number, bytesAt: number, payload: number): void {
    let value: unknown;
    let failure: unknown;
    try {
      value = this.#decoder.value(bytesAt);
    } catch (error) {
      failure = error;
    }
    if (payload !== 0) this.#shard.core.arenaRelease(payload);
    const call = this.#open.find(slot, number);
    if (call?.resolve === undefined) for (const bytes of this.#decoder.arrived ?? []) bytes.dispose(); // no caller
    if (call === undefined) return;
    const { resolve, watch } = call;
    this.#open.free(call);
    watch?.stop();
    if (((head >>> 8) & 0xff) === OK && failure === undefined) resolve?.(value);
    else resolve?.(failCall(failure ?? (value instanceof Error ? value : remoteError(value))));
  }

  /** This shard takes no more turns. */
  close(): void {
    this.peers.close();
  }

  /** That peer is gone: its callers here are told. */
  #forget(peer: number): void {
    this.#outbox.forget(peer);
    for (const call of this.#open.at(peer)) this.#fail(call, downError(peer));
    this.#early = this.#early.filter((each) => each.peer !== peer);
    this.#given.peerDown(peer, downError(peer));
  }

  #failWaiting(peer: number, error: FeatherstarError): void {
    for (const call of this.#outbox.waitingAt(peer)) {
      this.#outbox.remove(call);
      this.#fail(call, error);
    }
  }

  #fail(call: OpenCall, error: FeatherstarError): void {
    const { reject, watch } = call;
    this.#open.free(call);
    watch?.stop();
    reject?.(error);
  }

  /** Calls that are not settled, waiting or sent. */
  get openCount(): number {
    return this.#open.count;
  }

  /** Calls of peers that run here. */
  get servedCount(): number {
    return this.#shard.words[this.#served] as number;
  }

  /** The calls that are open, for reports. */
  get open(): Iterable<OpenCall> {
    return this.#open;
  }

  /** Signals that functions called by peers have at the moment. */
  get givenSignals(): number {
    return this.#given.size;
  }
}

function fullCalls(): FeatherstarError {
  return fullError('calls (limits.callSlots): a recursion without an end, or more than can be under way at once');
}

/**
 * The result of a function, if it is a promise. If it is an object with a `then()` of its own, a promise of ours waits
 * for it. That promise settles once, whatever `then()` does.
 */
function promiseOf(value: object): PromiseLike<unknown> | undefined {
  const { then } = value as PromiseLike<unknown>;
  if (then === Promise.prototype.then) return value as Promise<unknown>;
  return typeof then === 'function' ? new Promise((resolve) => resolve(value)) : undefined;
}

export function downError(peer: number): FeatherstarError {
  return new FeatherstarError('FEATHERSTAR_PEER_DOWN', `shard ${peer} does not run any more`);
}

function unsendableReason(): FeatherstarError {
  return new FeatherstarError('FEATHERSTAR_ABORTED', 'the caller aborted, with a reason that cannot be sent');
}

/** The code and text of an error of ours, unless the program has changed them to something that no error has. */
function ownError(error: unknown): { code: ErrorCode; message: string } | undefined {
  if (!FeatherstarError.is(error)) return undefined;
  try {
    const { code, message } = error;
    return Object.hasOwn(ERROR_KINDS, code) && typeof message === 'string' ? { code, message } : undefined;
  } catch {
    return undefined; // a getter of the program throws
  }
}

export function remoteError(value: unknown): FeatherstarError {
  return new FeatherstarError('FEATHERSTAR_REMOTE', `the called function threw ${textOf(value)}`, { cause: value });
}

// socket.pipeTo(): the bytes of one connection go to another one, until the first one has ended.
//
//   source --receive--> a buffer of the pipes, an array of the host's, or a receive buffer --send--> target
//      ^                                                                                      |
//      +----------------------- at most HIGH_WATER_BYTES wait to be sent <--------------------+
//
// Where the kernel receives into bytes of JavaScript's, large pieces are sent from where they were received: nothing is
// copied. All pipes of a shard share a few buffers, so that these stay in the cache. A pipe takes one when bytes have
// come, and gives it back when they are sent:
//
//   none --bytes have come, and fewer than ACTIVE_BUFFERS are active--> active --sent--> none
//                                                                         \--slow target--> parked --sent--> none
//
// A slow target parks its pipe's buffer, and other pipes get new ones. So it holds up none of them. Each pipe has one
// buffer at most. Small pieces, and the first large ones, are copied into send buffers.
//
// Next: connection.ts.

import { addAbortListener, removeAbortListener } from '../base/abort-listeners.js';
import { abortable, type WaitOptions, withDeadline } from '../base/abortable.js';
import { ownCopy, received, uninitialized } from '../base/own-bytes.js';
import { Queue } from '../base/queue.js';
import { perShard } from '../shard/per-shard.js';
import type { Shard } from '../shard/shard.js';
import type { Connection } from './connection.js';
import { type SocketTransport, socketClosed } from './socket.js';

const ACTIVE_BUFFERS = 4; // of a shard (RATIONALE.md, "Why pipes share few buffers")
const HIGH_WATER_BYTES = 65_536;

/** The buffers of a shard's pipes. */
class PipeBuffers {
  readonly #shard: Shard;
  readonly #bytes: number;
  readonly #free: Uint8Array[] = [];
  readonly #waiting = new Queue<SocketPipe>();
  #active = 0;

  constructor(shard: Shard) {
    this.#shard = shard;
    this.#bytes = shard.header.largeRecvBufferBytes;
  }

  /** An active buffer. Undefined: the pipe's onBuffer() is called when it gets one. */
  take(pipe: SocketPipe): Uint8Array | undefined {
    if (this.#active < ACTIVE_BUFFERS) return this.#next();
    this.#waiting.push(pipe);
    this.#shard.hurry();
    return undefined;
  }

  /** Whether a pipe waits for one. */
  get areWanted(): boolean {
    return this.#waiting.length !== 0;
  }

  #next(): Uint8Array {
    this.#active++;
    return this.#free.pop() ?? uninitialized(this.#bytes);
  }

  /** A buffer is not active any more: it is parked, or the pipes do without it. */
  release(): void {
    this.#active--;
    while (this.#active < ACTIVE_BUFFERS) {
      const pipe = this.#waiting.shift();
      if (pipe === undefined) return;
      if (pipe.waitsForBuffer) pipe.onBuffer(this.#next());
    }
  }

  /** Takes a buffer back that nothing reads or writes any more. */
  give(buffer: Uint8Array, isActive: boolean): void {
    if (this.#free.length < ACTIVE_BUFFERS) this.#free.push(buffer);
    if (isActive) this.release();
  }
}

const buffersOf = perShard((shard) => new PipeBuffers(shard));

/** A pipe between two connections of one shard. */
export class SocketPipe {
  readonly #source: Connection;
  readonly #target: Connection;
  readonly #buffers: PipeBuffers;
  readonly #resolve: (bytes: number) => void;
  readonly #reject: (reason: unknown) => void;
  #bytes = 0;
  #buffer: Uint8Array | undefined; // of the pipes': the next receive goes there, or it is being sent
  #isSending = false; // it is being sent
  #isParked = false; // and its target is slow
  #sentAt = 0; // the target's sentBytes when it will be sent
  #isStarved = false; // the next receive waits until something is sent
  #isOver = false;
  /** No buffer was free. */
  waitsForBuffer = false;

  constructor(
    shard: Shard,
    source: Connection,
    target: Connection,
    resolve: (bytes: number) => void,
    reject: (reason: unknown) => void,
  ) {
    this.#source = source;
    this.#target = target;
    this.#buffers = buffersOf(shard);
    this.#resolve = resolve;
    this.#reject = reject;
  }

  // --- the source's side ---------------------------------------------------------------------------------------------

  /** The buffer that the source is to receive into. Null: not now. It is told to receive() when there is one. */
  takeBuffer(): Uint8Array | null {
    if (this.#isSending) {
      this.#isStarved = true;
      this.#target.out.hurry();
      return null;
    }
    if (this.waitsForBuffer) return null;
    this.#buffer ??= this.#buffers.take(this);
    this.waitsForBuffer = this.#buffer === undefined;
    return this.#buffer ?? null;
  }

  onBuffer(buffer: Uint8Array): void {
    this.#buffer = buffer;
    this.waitsForBuffer = false;
    this.#source.receive();
  }

  /** Nothing was received into an array. */
  onUnused(array: Uint8Array): void {
    if (array !== this.#buffer) return; // it was a reader's
    this.#buffer = undefined;
    this.#buffers.give(array, true);
  }

  /** The first `bytes` of an array were received. */
  onArray(array: Uint8Array, bytes: number): void {
    if (!this.#prepare(bytes)) return;
    const { out } = this.#target;
    if (array !== this.#buffer) out.enqueue(received(array, bytes));
    else {
      out.enqueue(bytes === array.length ? array : array.subarray(0, bytes));
      this.#isSending = true;
      this.#sentAt = out.sentBytes + out.backlogBytes;
      if (this.#buffers.areWanted) out.hurry();
      if (out.isBehind) this.#park();
    }
    this.#goOn();
  }

  /** Bytes were received into a receive buffer, which the source releases. */
  onReceiveBuffer(buffer: number, bytes: number): void {
    if (this.#prepare(bytes)) this.#target.writeReceived(buffer, bytes);
    this.#source.release(buffer);
    if (!this.#isOver) this.#goOn();
  }

  /** Whether the target still takes bytes. */
  #prepare(bytes: number): boolean {
    const { refusal } = this.#target;
    if (refusal !== undefined) this.fail(refusal);
    else this.#bytes += bytes;
    return refusal === undefined;
  }

  #goOn(): void {
    if (this.#target.out.backlogBytes <= HIGH_WATER_BYTES) this.#source.receive();
    else {
      this.#isStarved = true;
      this.#target.out.hurry();
    }
  }

  /** A large chunk has come, which is only there until this returns. False: it is to come as an event. */
  onChunk(chunk: Uint8Array): boolean {
    const { out } = this.#target;
    if (this.#target.refusal !== undefined) return false;
    const sent = out.sendAtOnce(chunk);
    if (sent === 0) return false;
    this.#bytes += chunk.length;
    if (sent < chunk.length) {
      out.enqueue(ownCopy(chunk, sent, chunk.length));
      this.#goOn();
    }
    return true;
  }

  onEnd(): void {
    const end = () => {
      const { failure } = this.#target;
      if (failure !== undefined) this.fail(failure);
      else if (this.#finish()) this.#resolve(this.#bytes);
    };
    this.#target.end().then(end, (error) => this.fail(error));
  }

  // --- the target's side ---------------------------------------------------------------------------------------------

  /** The target has sent some bytes, or its socket is full. */
  onSent(): void {
    const { out } = this.#target;
    if (this.#isSending) {
      if (out.sentBytes >= this.#sentAt) this.#giveBack();
      else if (out.isBehind) this.#park();
    }
    if (!this.#isStarved || this.#isSending || out.backlogBytes > HIGH_WATER_BYTES) return;
    this.#isStarved = false;
    this.#source.receive();
  }

  #park(): void {
    if (this.#isParked) return;
    this.#isParked = true;
    this.#buffers.release();
  }

  #giveBack(): void {
    const isActive = !this.#isParked;
    const buffer = this.#buffer as Uint8Array;
    this.#buffer = undefined;
    this.#isSending = false;
    this.#isParked = false;
    this.#buffers.give(buffer, isActive);
  }

  // --- the end -------------------------------------------------------------------------------------------------------

  fail(reason: unknown): void {
    if (this.#finish()) this.#reject(reason);
  }

  /** Received bytes are still sent. Those that arrive from now on are for the next read. */
  cancel(): void {
    this.#finish();
  }

  /** Lets go of both ends. A buffer that the kernel may still use is left to it. False: it was over. */
  #finish(): boolean {
    if (this.#isOver) return false;
    this.#isOver = true;
    this.#source.leavePipe(this);
    this.#target.leavePipe(this);
    this.waitsForBuffer = false;
    if (this.#buffer !== undefined && !this.#isParked) this.#buffers.release();
    this.#buffer = undefined;
    return true;
  }
}

/** Moves bytes by reads and writes: an end is encrypted, or another shard keeps it. */
function pipeByReads(source: SocketTransport, target: SocketTransport, options: WaitOptions): Promise<number> {
  return withDeadline(options, async (outer) => {
    const controller = new AbortController(); // a target that is closed ends the wait for a silent source
    const { signal } = controller;
    const signals = [outer, target.closing];
    const stop = () => controller.abort(signals.find((each) => each?.aborted)?.reason);
    for (const each of signals) addAbortListener(each, stop);
    let bytes = 0;
    try {
      for (let piece = await source.read({ signal }); piece !== null; piece = await source.read({ signal })) {
        await abortable(target.write(piece), { signal });
        bytes += piece.length;
      }
    } finally {
      for (const each of signals) removeAbortListener(each, stop);
    }
    await abortable(target.end(), { signal: outer });
    return bytes;
  });
}

/** Resolves to the count of bytes when all are sent, and the target's end, too. */
export async function pipeBetween(
  source: SocketTransport,
  target: SocketTransport,
  options: WaitOptions,
): Promise<number> {
  if (target.isClosed) throw socketClosed();
  return source.pipeInto?.(target, options) ?? pipeByReads(source, target, options);
}

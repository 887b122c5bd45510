// One connection of this shard: what a Socket does, done by operations on a file slot. It is read one buffer at a time,
// so a slow reader fills the TCP window of its peer. A write resolves when few enough bytes wait to be sent.
//
// Handing it over: 1. The open receive is cancelled, and bytes that it still brings are kept. 2. Written bytes go out.
// 3. The file is put into a slot of the peer's ring (MSG_RING). 4. The peer gets the slot, the bytes that were read,
// and the function to call. 5. Our own slot is closed. Where files cannot move (host.movesFiles) it stays, and serves
// the peer by calls (homes.ts).
//
// Next: homes.ts.

import { abortable, type WaitOptions } from '../base/abortable.js';
import { Code, optionError } from '../base/errors.js';
import { checkWait } from '../base/options.js';
import { ownCopy, received, receiveTarget, spare } from '../base/own-bytes.js';
import type { Calls } from '../calls/call.js';
import { Errno } from '../core/kernel.js';
import { type ChunkUse, COPIED, KEPT, type NetAddress, REFUSED } from '../hosts/host.js';
import { Operation } from '../shard/operation.js';
import { handOverFile, operationError } from '../shard/ops.js';
import { COPIED_BYTES, hasFixedLength, LENT_BYTES } from '../shard/send-queue.js';
import type { Shard } from '../shard/shard.js';
import { FIRST_TAG, StreamSocket } from '../shard/stream-socket.js';
import { keepFor } from './homes.js';
import { checkInto, fillFrom } from './read-into.js';
import { addressesOf, readIsOpen, type SocketTransport, socketClosed } from './socket.js';
import { SocketPipe } from './socket-pipe.js';

const MOVED = FIRST_TAG; // a tag
const HIGH_WATER_BYTES = 65_536;

interface SocketWaiter<T> {
  resolve: (value: T) => void;
  reject: (reason: unknown) => void;
}

/** `into`: it wants the bytes there, and is told their count. */
type Reader =
  | (SocketWaiter<Uint8Array | null> & { readonly into?: undefined })
  | (SocketWaiter<number | null> & { readonly into: Uint8Array });

/** The state that goes along when a connection moves to another shard. */
export interface CarriedState {
  /** Bytes that were received and not read. */
  readonly bytes: Uint8Array | undefined;
  /** Whether the peer has ended. */
  readonly ended: boolean;
  /** The address that a proxy has told. */
  readonly client: NetAddress | undefined;
}

/** One connection of this shard. */
export class Connection extends StreamSocket implements SocketTransport {
  readonly isProxy = false;
  readonly #moving: Operation; // MSG_RING, which needs the file
  #reader: Reader | undefined;
  #writers: (SocketWaiter<void> & { readonly sentBytes: number })[] = [];
  #pipe: SocketPipe | undefined; // reads, in place of #reader
  #pipesInto: Set<SocketPipe> | undefined; // those that write to it
  #arrived: Uint8Array | null | undefined; // came for a reader that had gone
  #client: NetAddress | undefined; // as a proxy has told
  #ended = false;
  #finishing = false;
  #error: unknown;
  #closing: AbortController | undefined;
  #onMoved: ((result: number) => void) | undefined;
  #onReceiveEnd: (() => void) | undefined;

  /** `carried`: what another shard knows of it. */
  constructor(shard: Shard, file: number, carried?: CarriedState) {
    super(shard, file);
    this.#arrived = carried?.bytes;
    this.#ended = carried?.ended ?? false;
    this.peer = carried?.client;
    this.#client = carried?.client;
    this.#moving = new Operation(shard, this.id, MOVED);
  }

  get isReading(): boolean {
    return this.#reader !== undefined || this.#pipe !== undefined;
  }

  /** A proxy has told the client's address, or that it has none. `rest`: the bytes behind that. */
  behindProxy(client: NetAddress | undefined, rest: Uint8Array): void {
    this.#client = client;
    if (client !== undefined) this.peer = client;
    if (rest.length !== 0) this.#arrived = rest;
  }

  async read(options: WaitOptions = {}): Promise<Uint8Array | null> {
    checkWait(options);
    if (this.#arrived !== undefined) {
      const bytes = this.#arrived;
      this.#arrived = undefined;
      return bytes;
    }
    if (this.#checkReadable()) return null;
    this.receive();
    return abortable<Uint8Array | null>((resolve, reject) => {
      this.#reader = { resolve, reject };
      return () => {
        this.#reader = undefined; // what the receive brings late waits for the next read
      };
    }, options);
  }

  async readInto(into: Uint8Array, options: WaitOptions = {}): Promise<number | null> {
    checkWait(options);
    checkInto(into);
    if (this.#arrived) return this.#moveInto(into, this.#arrived);
    if (this.#checkReadable()) return null;
    return abortable<number | null>((resolve, reject) => {
      this.#reader = { resolve, reject, into: into.length > LENT_BYTES ? into.subarray(0, LENT_BYTES) : into };
      this.receive();
      return () => {
        this.#reader = undefined;
        this.withdrawTarget();
      };
    }, options);
  }

  /** Throws if nothing can be read. True: the peer has ended. */
  #checkReadable(): boolean {
    if (this.#error !== undefined) throw this.#error;
    if (this.isClosed) throw socketClosed();
    if (this.isReading) throw readIsOpen();
    return this.#ended;
  }

  /** Moves received bytes to a reader's array. The rest waits for the next read. */
  #moveInto(into: Uint8Array, bytes: Uint8Array): number {
    this.#arrived = bytes;
    const count = fillFrom(into, bytes);
    this.#arrived = count < bytes.length ? bytes.subarray(count) : undefined;
    return count;
  }

  unread(bytes: Uint8Array): void {
    this.#arrived = this.#arrived ? Buffer.concat([bytes, this.#arrived]) : bytes;
  }

  // --- pipes ---------------------------------------------------------------------------------------------------------

  /** See SocketTransport. */
  pipeInto(target: SocketTransport, options: WaitOptions): Promise<number> | undefined {
    if (!(target instanceof Connection)) return undefined;
    checkWait(options);
    this.#checkReadable();
    if (target.refusal !== undefined) throw target.refusal;
    return abortable<number>((resolve, reject) => {
      const pipe = new SocketPipe(this.shard, this, target, resolve, reject);
      const arrived = this.#arrived;
      this.#arrived = undefined;
      this.#pipe = pipe;
      target.#pipesInto ??= new Set();
      target.#pipesInto.add(pipe);
      if (arrived) pipe.onArray(arrived, arrived.length);
      else this.receive();
      return () => pipe.cancel();
    }, options);
  }

  /** A pipe is over. */
  leavePipe(pipe: SocketPipe): void {
    if (this.#pipe === pipe) this.#pipe = undefined;
    this.#pipesInto?.delete(pipe);
  }

  /** Why it can send nothing. */
  get failure(): unknown {
    return this.#error ?? (this.isClosed ? socketClosed() : undefined);
  }

  /** Why it takes no bytes to be sent. */
  get refusal(): unknown {
    return this.failure ?? (this.#finishing ? socketClosed() : undefined);
  }

  /** Sends `bytes` of a receive buffer, which can be released then. */
  writeReceived(buffer: number, bytes: number): void {
    const { out, shard } = this;
    const from = shard.recvBufferAt(buffer);
    const at = out.reserve(bytes);
    if (at === 0) out.enqueue(shard.copyOut(from, from + bytes));
    else shard.bytes.copyWithin(at, from, from + bytes);
  }

  get closing(): AbortSignal {
    this.#closing ??= new AbortController();
    return this.#closing.signal;
  }

  // --- writing -------------------------------------------------------------------------------------------------------

  async write(bytes: Uint8Array | string, options: WaitOptions = {}): Promise<void> {
    checkWait(options);
    if (this.refusal !== undefined) throw this.refusal;
    const data = typeof bytes === 'string' ? Buffer.from(bytes, 'utf8') : bytes;
    if (!(data instanceof Uint8Array)) throw optionError('bytes', bytes, 'a string or a Uint8Array');
    if (data.length === 0) return;
    const { out, shard } = this;
    const isOwn = typeof bytes === 'string';
    const sent = data.length > COPIED_BYTES && !options.signal?.aborted ? out.sendAtOnce(data) : 0;
    if (sent === data.length) return;
    if (sent !== 0) {
      out.enqueue(isOwn ? data.subarray(sent) : new Uint8Array(data.subarray(sent)));
      await this.#sent(options);
      return;
    }
    if (!isOwn && data.length > COPIED_BYTES && !canEnd(options) && !shard.host.keepsLentBytes) {
      out.enqueue(data);
      await this.#sent(options, out.sentBytes + out.backlogBytes);
      return;
    }
    const at = out.reserve(data.length);
    if (at !== 0) shard.bytes.set(data, at);
    else out.enqueue(isOwn ? data : new Uint8Array(data)); // callers may use theirs again
    if (out.backlogBytes <= HIGH_WATER_BYTES && at !== 0) return;
    await this.#sent(options);
  }

  /** Resolves when few bytes wait, and so many of all have been sent. */
  #sent(options: WaitOptions = {}, sentBytes = 0): Promise<void> {
    this.out.hurry();
    return abortable<void>((resolve, reject) => {
      const writer = { resolve, reject, sentBytes };
      this.#writers.push(writer);
      return () => {
        this.#writers = this.#writers.filter((other) => other !== writer);
      };
    }, options);
  }

  async end(): Promise<void> {
    if (this.isClosed || this.#finishing) return;
    this.#finishing = true;
    if (!this.out.isIdle) await this.#sent();
    if (this.isClosed) return;
    this.sendEnd();
  }

  protected onShut(result: number): void {
    if (result === Code.FULL) this.close(); // the peer waits to be told of the end: this tells it, too
  }

  protected onOther(_moved: number, result: number): void {
    this.#moving.ended();
    this.afterFileUse();
    this.#onMoved?.(result);
  }

  protected override get needsFile(): boolean {
    return super.needsFile || this.#moving.isOpen;
  }

  /** A copy of what was received, as the kernel gets the buffer back. */
  #copyOut(buffer: number, bytes: number): Uint8Array {
    const at = this.shard.recvBufferAt(buffer);
    const copy = this.shard.copyOut(at, at + bytes);
    this.release(buffer);
    return copy;
  }

  /** Receives once, if the peer has not ended. */
  receive(): void {
    if (this.#ended) this.#pipe?.onEnd();
    else if (this.receiving.isOpen || this.isClosed) return;
    else if (this.prefersDirect) this.startDirect();
    else this.startReceiving(false);
  }

  protected override makeTarget(): Uint8Array | null | undefined {
    if (this.#pipe !== undefined) return this.#pipe.takeBuffer();
    const into = this.#reader?.into;
    if (into !== undefined) return hasFixedLength(into) ? into : undefined;
    return receiveTarget(this.shard.header.largeRecvBufferBytes);
  }

  protected override onUnused(target: Uint8Array): void {
    if (this.#pipe !== undefined) this.#pipe.onUnused(target);
    else if (!this.isClosed && target !== this.#reader?.into) spare(target); // close() has forgotten whose it is
  }

  protected override onChunk(chunk: Uint8Array, isOwn: boolean): ChunkUse {
    if (this.#pipe !== undefined) return this.#pipe.onChunk(chunk) ? COPIED : REFUSED;
    const reader = this.#reader;
    if (reader === undefined || (reader.into !== undefined && reader.into.length < chunk.length)) return REFUSED;
    this.#reader = undefined;
    if (reader.into === undefined) {
      reader.resolve(isOwn ? chunk : ownCopy(chunk, 0, chunk.length));
      return KEPT;
    }
    this.#answer(reader, reader.into, chunk);
    if (this.#arrived) this.#arrived = ownCopy(this.#arrived, 0, this.#arrived.length);
    return COPIED;
  }

  protected onReceived(result: number, buffer: number, target?: Uint8Array): void {
    if (this.#pipe !== undefined) {
      this.#pipeReceived(this.#pipe, result, buffer, target);
      return;
    }
    const reader = this.#reader;
    this.#reader = undefined;
    if (result > 0 && reader?.into !== undefined && reader.into === target) reader.resolve(result);
    else if (result > 0) {
      const bytes =
        target === undefined ? (this.takeBytes(buffer) ?? this.#copyOut(buffer, result)) : received(target, result);
      if (reader === undefined) {
        if (!this.isClosed) this.#arrived = this.#arrived ? Buffer.concat([this.#arrived, bytes]) : bytes;
      } else if (reader.into === undefined) reader.resolve(bytes);
      else this.#answer(reader, reader.into, bytes);
    } else if (this.isClosed) reader?.reject(socketClosed());
    else if (result === 0) {
      this.#ended = true;
      reader?.resolve(null);
    } else if (result === Errno.ENOBUFS) {
      this.#reader = reader; // buffers go back with the same enter that takes the new receive, so this does not spin
      if (reader !== undefined) this.receive();
    } else if (result !== Errno.ECANCELED || reader !== undefined) {
      this.#error = operationError('recv', result);
      reader?.reject(this.#error);
    }
    this.#onReceiveEnd?.();
  }

  #answer(reader: SocketWaiter<number | null>, into: Uint8Array, bytes: Uint8Array): void {
    try {
      reader.resolve(this.#moveInto(into, bytes));
    } catch (error) {
      reader.reject(error);
    }
  }

  #pipeReceived(pipe: SocketPipe, result: number, buffer: number, target: Uint8Array | undefined): void {
    if (result > 0) {
      const array = target ?? this.takeBytes(buffer);
      if (array === undefined) pipe.onReceiveBuffer(buffer, result);
      else pipe.onArray(array, result);
    } else if (result === 0) {
      this.#ended = true;
      pipe.onEnd();
    } else if (result === Errno.ENOBUFS) this.receive();
    else {
      this.#error = operationError('recv', result);
      pipe.fail(this.#error);
    }
  }

  protected onSending(isWhole: boolean, result: number): void {
    if (!isWhole && !this.isClosed) {
      this.#error = operationError('send', result === 0 ? Errno.EPIPE : result);
      this.out.break();
    }
    const { failure } = this;
    if (failure !== undefined) this.#failWrites(failure);
    else if (this.out.isIdle || (!this.#finishing && this.out.backlogBytes <= HIGH_WATER_BYTES)) {
      const { sentBytes } = this.out;
      const writers = this.#writers;
      this.#writers = writers.filter((writer) => writer.sentBytes > sentBytes);
      for (const writer of writers) if (writer.sentBytes <= sentBytes) writer.resolve();
    }
    if (this.#pipesInto !== undefined) for (const pipe of this.#pipesInto) pipe.onSent();
  }

  #failWrites(failure: unknown): void {
    for (const writer of this.#writers.splice(0)) writer.reject(failure);
    this.#closing?.abort(failure);
    if (this.#pipesInto !== undefined) for (const pipe of this.#pipesInto) pipe.fail(failure);
  }

  close(): void {
    if (this.isClosed) return;
    this.closeSocket();
    this.#reader?.reject(socketClosed());
    this.#reader = undefined;
    this.#pipe?.fail(socketClosed());
    this.#failWrites(socketClosed());
  }

  onShutdown(): void {
    this.close();
  }

  // --- to another shard ----------------------------------------------------------------------------------------------

  async handOver(peer: number, name: string, args: unknown[]): Promise<void> {
    if (this.#error !== undefined) throw this.#error;
    if (this.isClosed || this.#finishing) throw socketClosed();
    const calls = this.shard.calls as Calls;
    if (!this.shard.host.movesFiles) {
      await keepFor(this.shard, this, peer, (id) =>
        calls.callInternal(peer, 'net', 'adoptProxy', this.shard.index, id, addressesOf(this), name, args),
      );
      return;
    }
    try {
      await this.#quiesce();
      const slot = await this.#move(calls, peer);
      await this.#introduce(calls, peer, slot, name, args);
    } finally {
      this.close(); // the peer has a file of its own by now, or no shard has one
    }
  }

  /**
   * Nothing of this connection is in the kernel's hands any more. Bytes that came meanwhile are kept for the shard that
   * gets the connection.
   */
  async #quiesce(): Promise<void> {
    this.#finishing = true;
    if (this.receiving.isOpen) {
      const ended = new Promise<void>((resolve) => {
        this.#onReceiveEnd = resolve;
      });
      this.pause();
      await ended;
    }
    if (!this.out.isIdle) await this.#sent();
    if (this.#error !== undefined) throw this.#error;
  }

  /** Puts the file into a slot of the peer's ring, and resolves with the slot. It stays in ours, too. */
  async #move(calls: Calls, peer: number): Promise<number> {
    if (this.isClosed) throw socketClosed(); // the slot may have another file by now
    const result = await new Promise<number>((resolve) => {
      this.#onMoved = resolve;
      handOverFile(this.#moving, peer, this.file);
    });
    this.#onMoved = undefined;
    if (result >= 0) return result;
    await calls.callInternal(peer, 'net', 'isThere'); // a ring that is torn down says ENFILE, too: it rejects if so
    throw operationError('msg_ring', result);
  }

  /** Tells the peer what is in its slot. If it cannot be told, it closes it; if it is gone, its ring has. */
  async #introduce(calls: Calls, peer: number, slot: number, name: string, args: unknown[]): Promise<void> {
    let refusal: unknown;
    try {
      if (this.isClosed) throw socketClosed();
      const carried: CarriedState = { bytes: this.#arrived ?? undefined, ended: this.#ended, client: this.#client };
      refusal = await calls.callInternal(peer, 'net', 'adopt', slot, carried, name, args);
    } catch (error) {
      await calls.callInternal(peer, 'net', 'drop', slot).catch(() => undefined);
      throw error;
    }
    if (refusal !== undefined) throw refusal;
  }
}

/** Whether a wait can end before the event that it is for. */
function canEnd({ signal, timeoutMs }: WaitOptions): boolean {
  return signal !== undefined || timeoutMs !== undefined;
}

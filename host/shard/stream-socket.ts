// The common part of all stream sockets (TCP or Unix) of this shard: file slot, operations, outgoing bytes, and the
// time to close the file. Two classes extend it, and decide what bytes and ends mean:
//
//   StreamTransport (stream-transport.ts)   receives all the time, has deadlines, and lingers at the end: for HTTP
//   Connection (net/connection.ts)          receives when a program reads: for sockets of programs
//
// The kernel looks the file of some operations up late, in a thread of its own. If the file were closed before, it
// would find the next connection in the slot. So the file stays until those operations are over (needsFile).
//
// Where much comes in, a receive goes straight into an array of the program's (direct), if the host can do that:
//
//   bytes left in the socket? --no--> WAITING: a poll, which holds no memory --bytes--> DIRECT: a receive that does not
//                             --yes---------------------------------------------------> wait, into makeTarget()
//
// Receiving begins with small buffers (limits.recvBufferBytes). A socket that fills one moves much, so it changes over
// to large ones (limits.largeRecvBufferBytes), of which there are few. After SHORT_RECEIVES receives in a row that a
// small one would have held it changes back. A buffer is taken only when bytes have come, so a slow peer holds none.
//
// After closeSocket() only the last events of its operations come; then its number is free (owners.ts).
//
// Next: send-queue.ts.

import { CQE_BUFFER_SHIFT, CQE_SOCK_NONEMPTY, Errno, LARGE_BUFFERS, SMALL_BUFFERS } from '../core/kernel.js';
import { type ChunkSink, type ChunkUse, type NetAddress, REFUSED } from '../hosts/host.js';
import { Operation } from './operation.js';
import { receive, receiveInto, shutdownWrites, whenBytes } from './ops.js';
import type { Owner } from './owners.js';
import { SendQueue } from './send-queue.js';
import type { Shard } from './shard.js';

const RECEIVED = 1; // tags
const SENT = 2;
const ROOM = 3;
const SHUT = 4;
/** Tags from here on are those of the class that extends this. */
export const FIRST_TAG = 5;

const SHORT_RECEIVES = 8;

const BUFFERED = 0; // what the open receive is
const WAITING = 1; // a poll
const DIRECT = 2;

const NOTHING = new Uint8Array(0);

export abstract class StreamSocket implements Owner, ChunkSink {
  readonly out: SendQueue;
  /** closeSocket() was called. */
  isClosed = false;
  protected readonly shard: Shard;
  protected readonly file: number;
  protected readonly id: number;
  protected readonly receiving: Operation;
  private readonly shutting: Operation;
  /** Undefined: the host was not asked. Null: it has none. */
  protected peer: NetAddress | null | undefined;
  private own: NetAddress | null | undefined;
  private group = SMALL_BUFFERS; // of the buffers that it receives into
  private shortReceives = 0; // since a large buffer was needed
  private kind = BUFFERED; // of `receiving`
  private target: Uint8Array | undefined; // if it is DIRECT
  protected hasMore = false; // the last receive left bytes in the socket
  private isPaused = false; // since the receive began
  private events = 0; // of the open receive

  constructor(shard: Shard, file: number) {
    this.shard = shard;
    this.file = file;
    this.id = shard.register(this);
    this.receiving = new Operation(shard, this.id, RECEIVED);
    this.shutting = new Operation(shard, this.id, SHUT);
    this.out = new SendQueue(shard, file, this.id, SENT, ROOM);
  }

  onEvent(tag: number, result: number, flags: number): void {
    if (tag === RECEIVED) {
      this.receiving.ended(flags);
      if (this.kind !== BUFFERED) this.onDirect(result, flags);
      else {
        const buffer = flags >>> CQE_BUFFER_SHIFT;
        this.events++;
        this.hasMore = (flags & CQE_SOCK_NONEMPTY) !== 0;
        if (result > 0) this.chooseBuffers(result, buffer);
        this.onReceived(result, buffer);
      }
    } else if (tag === SENT) this.onSending(this.out.onSent(result), result);
    else if (tag === ROOM) this.onSending(this.out.onRoom(result, flags), result);
    else if (tag === SHUT) {
      this.shutting.ended();
      this.afterFileUse();
      this.onShut(result);
    } else this.onOther(tag, result, flags);
  }

  /** The peer's address. Undefined: it has none of the Internet, or the socket was closed before it was asked. */
  get remote(): NetAddress | undefined {
    if (this.peer === undefined && !this.isClosed) this.peer = this.shard.host.remoteOf?.(this.file) ?? null;
    return this.peer ?? undefined;
  }

  /** The own address, likewise. */
  get local(): NetAddress | undefined {
    if (this.own === undefined && !this.isClosed) this.own = this.shard.host.localOf?.(this.file) ?? null;
    return this.own ?? undefined;
  }

  /** Whether TCP probes the peer when it was silent for `idleMs`; 0: the system's time. */
  keepAlive(isOn: boolean, idleMs: number): void {
    if (!this.isClosed) this.shard.host.keepAlive?.(this.file, isOn, idleMs);
  }

  /** Bytes in receive buffer `buffer`, or in `target`; 0 at the peer's end, or an error. */
  protected abstract onReceived(result: number, buffer: number, target?: Uint8Array): void;
  /**
   * An array for a direct receive. Undefined: it is not wanted any more, and a buffer is used. Null: it is to wait, and
   * startDirect() is called again.
   */
  protected makeTarget(): Uint8Array | null | undefined {
    return undefined;
  }
  /** Nothing was received into an array of makeTarget(). */
  protected onUnused(_target: Uint8Array): void {}
  /** Something has gone out, or there is room. `isWhole` false: the connection is broken. */
  protected abstract onSending(isWhole: boolean, result: number): void;
  /** The end has been sent, or could not be. */
  protected abstract onShut(result: number): void;
  protected abstract onOther(tag: number, result: number, flags: number): void;
  abstract onShutdown(): void;

  /** Receives once, or until it is cancelled (`multishot`). */
  protected startReceiving(multishot: boolean, group = this.group): void {
    this.kind = BUFFERED;
    this.isPaused = false;
    this.events = 0;
    this.shard.sinks[this.file] = this;
    receive(this.receiving, this.file, multishot, group);
  }

  /** Whether much comes in, and the host can put it where it belongs. */
  protected get prefersDirect(): boolean {
    return this.group === LARGE_BUFFERS && this.shard.host.receivesIntoLent === true;
  }

  /** Receives once, into an array of makeTarget(), which is made when bytes are there. */
  protected startDirect(): void {
    this.isPaused = false;
    if (this.hasMore) this.receiveDirect();
    else this.waitForBytes();
  }

  private waitForBytes(): void {
    this.kind = WAITING;
    whenBytes(this.receiving, this.file);
  }

  private receiveDirect(): void {
    const target = this.makeTarget();
    const bytes = target?.length ?? 0; // read once: optimised code may see the length that a detached array had
    if (target === undefined || (target !== null && bytes === 0)) {
      this.startReceiving(false);
      return;
    }
    this.hasMore = true; // for a receive that is to wait
    if (target === null) return;
    this.kind = DIRECT;
    this.target = target;
    this.shard.targets[this.file] = target;
    receiveInto(this.receiving, this.file, bytes);
  }

  /** A receive that the host has not taken yet has no target any more: it fails with EFAULT. */
  private hideTarget(): void {
    const { target, file, shard } = this;
    if (target !== undefined && shard.targets[file] === target) shard.targets[file] = undefined;
  }

  /** The target is its owner's again: nothing is written to it from now on. The event gets a copy of what it has. */
  protected withdrawTarget(): void {
    if (this.target === undefined) return;
    this.hideTarget();
    try {
      this.target = new Uint8Array(this.target); // the receive may be over, though its event has not come
    } catch {
      this.target = NOTHING; // its owner has transferred it
    }
  }

  private onDirect(result: number, flags: number): void {
    const { target } = this;
    const isPoll = this.kind === WAITING;
    this.hideTarget();
    this.kind = BUFFERED;
    this.target = undefined;
    this.hasMore = (flags & CQE_SOCK_NONEMPTY) !== 0;
    if (target !== undefined && result <= 0) this.onUnused(target);
    const isOver = isPoll ? result < 0 : result !== Errno.EAGAIN && result !== Errno.EFAULT;
    if (this.isClosed || (this.isPaused && !isOver)) this.onReceived(Errno.ECANCELED, 0);
    else if (isOver) {
      if (result > 0) this.countReceived(result);
      const isLost = target === NOTHING && result > 0;
      this.onReceived(isLost ? Errno.EFAULT : result, 0, target);
    } else if (isPoll) this.receiveDirect();
    else if (result === Errno.EAGAIN) this.waitForBytes();
    else this.startReceiving(false); // the kernel has not taken it
  }

  /** Looks whether buffers of the other size fit better what comes in. The next receive picks from those. */
  private chooseBuffers(bytes: number, buffer: number): void {
    const { recvBufferCount, recvBufferBytes, largeRecvBufferBytes } = this.shard.header;
    if (buffer < recvBufferCount) {
      if (bytes < recvBufferBytes && this.group === LARGE_BUFFERS && !this.receiving.isOpen) this.countReceived(bytes);
      if (bytes < recvBufferBytes || largeRecvBufferBytes <= recvBufferBytes) return;
      if (this.group === LARGE_BUFFERS) return; // this one was received before the change
      this.group = LARGE_BUFFERS;
      this.shortReceives = 0;
    } else if (!this.countReceived(bytes)) return;
    if (this.receiving.isOpen) this.receiving.cancel();
  }

  /** Looks whether small buffers would do. True: they are used from now on. */
  private countReceived(bytes: number): boolean {
    if (bytes > this.shard.header.recvBufferBytes || this.group === SMALL_BUFFERS) this.shortReceives = 0;
    else this.shortReceives++;
    if (this.shortReceives < SHORT_RECEIVES) return false;
    this.group = SMALL_BUFFERS;
    this.shortReceives = 0;
    return true;
  }

  takeChunk(chunk: Uint8Array, isOwn: boolean, told: number): ChunkUse {
    if (this.isClosed || this.isPaused || told !== this.events) return REFUSED;
    const use = this.onChunk(chunk, isOwn);
    if (use !== REFUSED) this.shortReceives = 0;
    return use;
  }

  /** A large chunk has come. If it is refused, it comes as an event. `isOwn`: see ChunkSink. */
  protected onChunk(_chunk: Uint8Array, _isOwn: boolean): ChunkUse {
    return REFUSED;
  }

  /** Bytes of a receive, if the host holds them itself; then there is no buffer to release. */
  protected takeBytes(buffer: number): Uint8Array | undefined {
    if (buffer < this.shard.header.recvBufferCount) return undefined;
    return this.shard.host.receivedBytes?.(buffer);
  }

  /** Stops receiving. Events that have come already are still reported. */
  pause(): void {
    this.isPaused = true;
    this.receiving.cancel();
  }

  /** Gives a receive buffer back to the kernel. */
  release(buffer: number): void {
    const { core, header, host } = this.shard;
    if (buffer < header.recvBufferCount + header.largeRecvBufferCount) core.recycle(buffer);
    else host.receivedBytes?.(buffer); // it stands for bytes of the host's
  }

  /** Sends the end (FIN), behind what has been sent. Receiving goes on. */
  protected sendEnd(): void {
    shutdownWrites(this.shutting, this.file);
  }

  /** Whether an operation still needs the file. */
  protected get needsFile(): boolean {
    return this.shutting.isOpen;
  }

  /** An operation that needed the file is over. */
  protected afterFileUse(): void {
    if (this.isClosed && !this.needsFile) this.shard.closeFile(this.file);
  }

  /** Closes at once; what is queued is lost. Once. */
  protected closeSocket(): void {
    this.isClosed = true;
    if (this.shard.sinks[this.file] === this) this.shard.sinks[this.file] = undefined;
    this.hideTarget();
    this.out.break();
    this.pause();
    if (!this.needsFile) this.shard.closeFile(this.file);
    this.shard.unregister(this.id);
  }
}

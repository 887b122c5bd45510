// A NodeSocket works through a handle: bytes in, bytes out, and the ends, as callbacks. There are two kinds:
//
//   StreamHandle   a connection of this shard: its operations, without a promise between. Most sockets have it
//   SocketHandle   a Socket of featherstar/net, by its promises: also one that another shard keeps (socket-handle.ts)
//
// A StreamHandle receives until it is told to stop, as libuv does. A write is over at once if its bytes are copied and
// few wait. Else the user is told later. Another write may begin meanwhile, as a reply of TLS does: then the user is
// told once, when both are over.
//
//   OPEN --close()--> LEAVING --the socket has taken what it has room for, or is full--> CLOSED
//   OPEN --close(), nothing to send--> CLOSED
//
// LEAVING is there because libuv writes at once: programs call `write()` and then `destroy()`, and expect the peer to
// get the bytes.
//
// Next: node-socket.ts.

import { Code, type FeatherstarError } from '../base/errors.js';
import { copyTo } from '../base/own-bytes.js';
import { Errno } from '../core/kernel.js';
import type { NetAddress } from '../hosts/host.js';
import { operationError } from '../shard/ops.js';
import { COPIED_BYTES } from '../shard/send-queue.js';
import type { Shard } from '../shard/shard.js';
import { StreamSocket } from '../shard/stream-socket.js';

const HIGH_WATER_BYTES = 65_536;

/** A piece of a write: a string has the encoding that a program has given. */
export interface Piece {
  chunk: Uint8Array | string;
  encoding: BufferEncoding;
}

/** The receiver of what happens to a connection. */
export interface HandleUser {
  onBytes(bytes: Buffer): void;
  /** The peer has ended its side. */
  onPeerEnd(): void;
  /** All writes that returned false are over. */
  onWritten(): void;
  /** All bytes are out, and the end behind them: end() is over. */
  onEndSent(): void;
  /** No bytes come or go any more. close() it. */
  onBroken(error: unknown): void;
  /** The runtime closes, and has closed this. */
  onShutdown(): void;
}

/** One connection, for a NodeSocket. */
export interface Handle {
  readonly remote: NetAddress | undefined;
  readonly local: NetAddress | undefined;
  /** All bytes of writes, also those that still wait. */
  readonly writtenBytes: number;
  /** Whether TCP probes the peer when it was silent for `idleMs`. A connection without it was handed over. */
  keepAlive?(isOn: boolean, idleMs: number): void;
  /** Receives from now on. */
  readStart(): void;
  /** Receives no more. Bytes that are on their way still come. */
  readStop(): void;
  /** Sends pieces, in order. False: they must not change until onWritten(). */
  write(pieces: readonly Piece[]): boolean;
  /** Sends the end behind all bytes. */
  end(): void;
  close(): void;
}

export class StreamHandle extends StreamSocket implements Handle {
  readonly #user: HandleUser;
  #wantsBytes = false;
  #peerEnded = false;
  #isEnding = false;
  #isLeaving = false;
  #isWriting = false; // the user waits for onWritten()
  #goalBytes = 0; // so many of all bytes must be out before

  constructor(shard: Shard, file: number, user: HandleUser) {
    super(shard, file);
    this.#user = user;
  }

  // --- receiving -----------------------------------------------------------------------------------------------------

  readStart(): void {
    this.#wantsBytes = true;
    this.#receive();
  }

  readStop(): void {
    if (!this.#wantsBytes) return;
    this.#wantsBytes = false;
    this.pause();
  }

  #receive(): void {
    if (!this.#wantsBytes || this.receiving.isOpen || this.#peerEnded || this.isClosed || this.#isLeaving) return;
    this.startReceiving(true);
  }

  protected onReceived(result: number, buffer: number): void {
    if (result > 0) {
      const bytes = this.#take(buffer, result);
      if (!this.isClosed && !this.#isLeaving) this.#user.onBytes(bytes);
    } else if (result === 0) {
      this.#peerEnded = true;
      if (!this.isClosed && !this.#isLeaving) this.#user.onPeerEnd();
    } else if (result !== Errno.ENOBUFS && result !== Errno.ECANCELED) {
      this.#fail(operationError('read', result));
      return;
    }
    this.#receive(); // ENOBUFS: buffers go back with the same enter that takes the new receive, so this does not spin
  }

  /** Received bytes, in memory of their own. */
  #take(buffer: number, size: number): Buffer {
    const own = this.takeBytes(buffer);
    if (own !== undefined) return Buffer.from(own.buffer, own.byteOffset, own.byteLength);
    const at = this.shard.recvBufferAt(buffer);
    const bytes = Buffer.allocUnsafe(size);
    copyTo(bytes, 0, this.shard.bytes, at, at + size);
    this.release(buffer);
    return bytes;
  }

  // --- sending -------------------------------------------------------------------------------------------------------

  get writtenBytes(): number {
    return this.out.sentBytes + this.out.backlogBytes;
  }

  /** Bytes that the kernel has taken. */
  get sentBytes(): number {
    return this.out.sentBytes;
  }

  write(pieces: readonly Piece[]): boolean {
    const { out } = this;
    const isCopied = this.#writeText(pieces) || this.#writeBytes(pieces);
    if (isCopied && out.backlogBytes <= HIGH_WATER_BYTES) return true;
    const goal = isCopied ? 0 : this.writtenBytes;
    this.#goalBytes = this.#isWriting ? Math.max(this.#goalBytes, goal) : goal;
    this.#isWriting = true;
    out.hurry();
    return false;
  }

  /** Short strings, the way of most responses: from JavaScript's heap into a send buffer, without a Buffer. */
  #writeText(pieces: readonly Piece[]): boolean {
    let bytes = 0;
    for (const { chunk, encoding } of pieces) {
      if (typeof chunk !== 'string' || chunk.length > COPIED_BYTES) return false;
      if (encoding === 'latin1') bytes += chunk.length;
      else if (encoding === 'utf8') bytes += Buffer.byteLength(chunk);
      else return false;
    }
    if (bytes === 0) return true;
    if (bytes > COPIED_BYTES) return false;
    let at = this.out.reserve(bytes);
    if (at === 0) return false;
    for (const { chunk, encoding } of pieces) {
      const written = this.shard.bytes.write(chunk as string, at, bytes, encoding);
      at += written;
      bytes -= written;
    }
    return true;
  }

  /** Whether the bytes were copied, so that the caller may change them. */
  #writeBytes(pieces: readonly Piece[]): boolean {
    const all: Uint8Array[] = [];
    let bytes = 0;
    let isLent = false;
    for (const { chunk, encoding } of pieces) {
      const isText = typeof chunk === 'string';
      let data = isText ? Buffer.from(chunk, encoding) : chunk;
      if (!isText && data.length > COPIED_BYTES) {
        if (this.shard.host.keepsLentBytes) data = new Uint8Array(data);
        else isLent = true;
      }
      if (data.length !== 0) all.push(data);
      bytes += data.length;
    }
    if (bytes !== 0 && !this.#gather(all, bytes)) {
      for (const [i, data] of all.entries()) {
        const isSmall = data.length <= COPIED_BYTES;
        this.out.enqueue(isSmall ? new Uint8Array(data) : data, i < all.length - 1);
      }
    }
    return !isLent;
  }

  /** Few bytes, or few and then many, as a head and a body are: by one send. False if there is no room for that. */
  #gather(all: readonly Uint8Array[], bytes: number): boolean {
    const { out, shard } = this;
    const last = all.at(-1) as Uint8Array;
    const body = last.length > COPIED_BYTES ? last : undefined;
    const headBytes = bytes - (body?.length ?? 0);
    if (headBytes === 0 || headBytes > COPIED_BYTES) return false;
    let at = out.reserve(headBytes, body);
    if (at === 0) return false;
    for (const data of all) {
      if (data === body) break;
      copyTo(shard.bytes, at, data, 0, data.length);
      at += data.length;
    }
    return true;
  }

  protected onSending(isWhole: boolean, result: number): void {
    if (this.isClosed) return;
    const { out } = this;
    if (!isWhole) this.#fail(operationError('write', result === 0 ? Errno.EPIPE : result));
    else if (this.#isLeaving) {
      if (out.isIdle || out.waitsForRoom) this.closeSocket();
    } else {
      if (this.#isWriting && out.sentBytes >= this.#goalBytes && out.backlogBytes <= HIGH_WATER_BYTES) {
        this.#isWriting = false;
        this.#user.onWritten(); // it may close this
      }
      if (this.#isEnding && out.isIdle && !this.isClosed) this.#sendEnd();
    }
  }

  // --- the end -------------------------------------------------------------------------------------------------------

  end(): void {
    if (this.isClosed || this.#isLeaving) return;
    this.#isEnding = true;
    if (this.out.isIdle) this.#sendEnd();
    else this.out.hurry();
  }

  #sendEnd(): void {
    this.#isEnding = false;
    this.sendEnd();
    this.#user.onEndSent();
  }

  protected onShut(result: number): void {
    if (result === Code.FULL && !this.isClosed) this.#fail(operationError('shutdown', result));
  }

  protected onOther(): void {}

  #fail(error: FeatherstarError): void {
    if (this.isClosed) return;
    const wasLeaving = this.#isLeaving;
    this.closeSocket();
    if (!wasLeaving) this.#user.onBroken(error);
  }

  close(): void {
    if (this.isClosed || this.#isLeaving) return;
    this.#isLeaving = true;
    const { out } = this;
    if (out.isIdle || out.waitsForRoom) this.closeSocket();
    else {
      this.pause();
      out.hurry();
    }
  }

  onShutdown(): void {
    if (this.isClosed) return;
    const wasLeaving = this.#isLeaving;
    this.closeSocket();
    if (!wasLeaving) this.#user.onShutdown();
  }
}

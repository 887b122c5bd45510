// A transport (shard/transport.ts) as a Duplex: the encrypted side of a connection, which node:tls reads and writes.
//
//   transport --onBuffer(), onBytes()--> push() --> node:tls --> _write() --> transport.out
//
// Deadlines, the pace of a slow peer, and the way in which a connection ends stay with the transport. Its `user` is
// told of deadlines and of the end; bytes go to the reader of the stream.
//
// Next: tls-transport.ts, the decrypted side.

import { Duplex } from 'node:stream';
import { copyTo } from '../base/own-bytes.js';
import { COPIED_BYTES } from '../shard/send-queue.js';
import type { Shard } from '../shard/shard.js';
import type { Transport, TransportUser } from '../shard/transport.js';

const HIGH_WATER_BYTES = 65_536;

/** The encrypted side of a connection. */
export interface RawStream extends Duplex {
  /** `ns` from now on; it takes the place of the last deadline. */
  setDeadline(ns: number): void;
  clearDeadline(): void;
}

/** The receiver of what is no byte. */
export interface RawStreamUser {
  /** Bytes have come for the first time. They are given to the stream when `go` is called; without this, at once. */
  onFirstBytes?(go: () => void): void;
  onPeerLeft?(): void;
  /** The peer has sent its last byte, and the reader gets the end now. */
  onRawEnd(): void;
  onSent?(): void;
  onDeadline(): void;
  /** The connection below is closed: by this error, if there is one. */
  onClosed(error?: Error | null): void;
}

/** The user of a stream that has another one soon. */
export const NO_RAW_USER: RawStreamUser = {
  onRawEnd: () => {},
  onDeadline: () => {},
  onClosed: () => {},
};

export type StreamDone = (error?: Error | null) => void;

export class TransportStream extends Duplex implements RawStream, TransportUser {
  readonly transport: Transport;
  owner: RawStreamUser;
  /** The end of the peer is told to the owner alone. */
  hidesEnd = false;
  readonly #shard: Shard;
  #wants = true;
  #hasBegun = false;
  #early: Buffer[] | undefined;
  #earlyEnd = false;
  #onWritten: StreamDone | undefined;
  #peerIsDone = false;

  constructor(shard: Shard, owner: RawStreamUser, open: (user: TransportUser) => Transport) {
    super({ decodeStrings: true, allowHalfOpen: true });
    this.#shard = shard;
    this.owner = owner;
    this.transport = open(this);
    this.on('error', () => {}); // the transport's end has told the owner already
  }

  /** For reports of what a shard has open. */
  override toString(): string {
    return `TLS over ${String(this.owner)}`;
  }

  // --- reading -------------------------------------------------------------------------------------------------------

  get mayReceive(): boolean {
    return this.#wants;
  }

  override _read(): void {
    this.#wants = true;
    this.transport.receive();
  }

  onBuffer(at: number, end: number, buffer: number): void {
    const bytes = Buffer.allocUnsafe(end - at);
    copyTo(bytes, 0, this.#shard.bytes, at, end);
    this.transport.release(buffer);
    this.#take(bytes);
  }

  onBytes(bytes: Uint8Array): void {
    this.#take(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  }

  #take(bytes: Buffer): void {
    if (this.#early !== undefined) this.#early.push(bytes);
    else if (this.#hasBegun) this.#push(bytes);
    else {
      this.#hasBegun = true;
      this.#early = [bytes];
      if (this.owner.onFirstBytes === undefined) this.#begin();
      else this.owner.onFirstBytes(() => this.#begin());
      if (this.#early === undefined) return;
      this.#wants = false; // until its turn
      this.transport.pause();
    }
  }

  #begin(): void {
    const early = this.#early ?? [];
    this.#early = undefined;
    this.#wants = true;
    for (const bytes of early) this.#push(bytes);
    if (this.#wants && !this.destroyed) this.transport.receive();
    if (this.#earlyEnd) this.onPeerEnd();
  }

  #push(bytes: Buffer): void {
    if (this.destroyed || this.push(bytes)) return;
    this.#wants = false;
    this.transport.pause();
  }

  onPeerLeft(): void {
    this.owner.onPeerLeft?.();
  }

  onPeerEnd(): void {
    if (this.#early !== undefined) {
      this.#earlyEnd = true;
      return;
    }
    this.owner.onRawEnd();
    if (this.hidesEnd) return;
    this.push(null);
    this.read(0); // 'end' comes now if no bytes wait
  }

  // --- writing -------------------------------------------------------------------------------------------------------

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: StreamDone): void {
    this.#send(chunk, false);
    this.#afterWrite(done);
  }

  override _writev(pieces: { chunk: Buffer }[], done: StreamDone): void {
    for (const [i, { chunk }] of pieces.entries()) this.#send(chunk, i < pieces.length - 1);
    this.#afterWrite(done);
  }

  /** node:tls gives its buffers away, so they may be lent to the kernel. */
  #send(bytes: Buffer, moreFollows: boolean): void {
    const { out } = this.transport;
    const at = moreFollows || bytes.length > COPIED_BYTES ? 0 : out.reserve(bytes.length);
    if (at === 0) out.enqueue(bytes, moreFollows);
    else copyTo(this.#shard.bytes, at, bytes, 0, bytes.length);
  }

  #afterWrite(done: StreamDone): void {
    const { out } = this.transport;
    if (out.backlogBytes <= HIGH_WATER_BYTES) done();
    else {
      this.#onWritten = done;
      out.hurry();
    }
  }

  onSent(): void {
    const done = this.#onWritten;
    if (done !== undefined && this.transport.out.backlogBytes <= HIGH_WATER_BYTES) {
      this.#onWritten = undefined;
      done();
    }
    this.owner.onSent?.();
  }

  // --- the end -------------------------------------------------------------------------------------------------------

  /** Neither side has more to say: when the end is out, the connection may be closed. */
  peerIsDone(): void {
    this.#peerIsDone = true;
  }

  override _final(done: StreamDone): void {
    this.transport.finish(this.#peerIsDone);
    done();
  }

  override _destroy(error: Error | null, done: StreamDone): void {
    this.transport.destroy();
    const written = this.#onWritten;
    this.#onWritten = undefined;
    written?.(error ?? new Error('the connection is closed'));
    done(error);
  }

  setDeadline(ns: number): void {
    this.transport.setDeadline(ns);
  }

  clearDeadline(): void {
    this.transport.clearDeadline();
  }

  onDeadline(): void {
    this.owner.onDeadline();
  }

  onClosed(): void {
    this.owner.onClosed();
    this.destroy();
  }
}

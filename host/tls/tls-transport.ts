// A transport over TLS: decrypted bytes in and out, so that HTTP runs over it as over a plain connection.
//
//   HttpConnection <--TransportUser-- TlsTransport <-- TLSSocket (node:tls) <-- TransportStream <-- transport
//
// OPEN       bytes that are queued in one go are encrypted together, behind the JavaScript that runs now
// FINISHING  the rest is encrypted, then close_notify and FIN go out, and the transport below lingers
// CLOSED     by destroy(), or because the transport below is
//
// Bytes for the peer are written into a send buffer first, where that is cheap (reserve()), or kept as they are.
//
// Next: terminator.ts, which makes these.

import type { TLSSocket } from 'node:tls';
import { type LongText, shiftBytes } from '../base/long-text.js';
import { Queue } from '../base/queue.js';
import type { NetAddress } from '../hosts/host.js';
import type { Shard } from '../shard/shard.js';
import type { ByteSink, Transport, TransportUser } from '../shard/transport.js';
import { NodeTlsInfo, type TlsInfo } from './info.js';
import type { RawStreamUser, TransportStream } from './transport-stream.js';

const RECORD_BYTES = 16_384; // of plain bytes at most; several small pieces share one
const AHEAD_BYTES = 262_144; // that node:tls has at a time: it encrypts all of them at once, into memory of its own

const OPEN = 0; // states
const FINISHING = 1;
const CLOSED = 2;

/** The bytes to be encrypted. */
class TlsSink implements ByteSink {
  #queuedBytes = 0;
  #writtenBytes = 0; // the transport below has them
  #lastSentBytes = 0;
  #isBroken = false;
  #isScheduled = false;
  #isEnding = false;
  readonly #pieces = new Queue<Uint8Array | LongText>();
  #aheadBytes = 0; // node:tls has them, and the transport below does not
  #staged = 0; // the address of a send buffer
  #stagedBytes = 0; // of it that are filled
  #stagedBody: Uint8Array | undefined; // goes out behind them
  readonly #shard: Shard;
  readonly #socket: TLSSocket;
  readonly #below: ByteSink;
  readonly #onWritten: () => void;

  constructor(shard: Shard, socket: TLSSocket, below: ByteSink, onWritten: () => void) {
    this.#shard = shard;
    this.#socket = socket;
    this.#below = below;
    this.#onWritten = onWritten;
  }

  get isIdle(): boolean {
    return (this.#queuedBytes === this.#writtenBytes || this.#isBroken) && this.#below.isIdle;
  }

  get backlogBytes(): number {
    return this.#queuedBytes - this.#writtenBytes + this.#below.backlogBytes;
  }

  /** Of the plain bytes. Bytes that wait below are encrypted, and somewhat more than they are. */
  get sentBytes(): number {
    this.#lastSentBytes = Math.max(this.#lastSentBytes, this.#writtenBytes - this.#below.backlogBytes);
    return this.#lastSentBytes;
  }

  reserve(bytes: number, body?: Uint8Array): number {
    if (this.#isBroken || bytes > this.#shard.header.sendBufferBytes) return 0;
    if (this.#stagedBody !== undefined || this.#stagedBytes + bytes > this.#shard.header.sendBufferBytes)
      this.#unstage();
    if (this.#staged === 0) this.#staged = this.#shard.sendBuffers.take();
    if (this.#staged === 0) return 0;
    const at = this.#staged + this.#stagedBytes;
    this.#stagedBytes += bytes;
    this.#stagedBody = body;
    this.#queuedBytes += bytes + (body?.length ?? 0);
    this.#schedule();
    return at;
  }

  /** Copies out what was written into the send buffer, and gives that back. */
  #unstage(): void {
    if (this.#staged === 0) return;
    const { bytes, sendBuffers } = this.#shard;
    this.#pieces.push(Buffer.copyBytesFrom(bytes, this.#staged, this.#stagedBytes));
    if (this.#stagedBody !== undefined) this.#pieces.push(this.#stagedBody);
    sendBuffers.give(this.#staged);
    this.#staged = 0;
    this.#stagedBytes = 0;
    this.#stagedBody = undefined;
  }

  enqueue(bytes: Uint8Array): void {
    if (!this.#isBroken && bytes.length !== 0) this.#push(bytes);
  }

  enqueueText(text: LongText): void {
    if (!this.#isBroken) this.#push(text);
  }

  #push(piece: Uint8Array | LongText): void {
    this.#unstage();
    this.#pieces.push(piece);
    this.#queuedBytes += piece.length;
    this.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    queueMicrotask(() => {
      this.#isScheduled = false;
      this.flush();
    });
  }

  /** Encrypts what is queued: the rest of many bytes when the first ones are written. */
  flush(): void {
    this.#unstage();
    if (this.#isBroken) return;
    const pieces = this.#takeAhead();
    if (pieces.length !== 0) this.#write(joinSmall(pieces));
    if (this.#pieces.length !== 0 || !this.#isEnding) return;
    this.#isEnding = false;
    this.#socket.end();
  }

  /** The next pieces. At most AHEAD_BYTES are under way. */
  #takeAhead(): Uint8Array[] {
    const taken: Uint8Array[] = [];
    while (this.#aheadBytes < AHEAD_BYTES) {
      const piece = shiftBytes(this.#pieces);
      if (piece === undefined) break;
      if (piece.length === 0) return this.#fail();
      const room = AHEAD_BYTES - this.#aheadBytes;
      if (piece.length > room) this.#pieces.unshift(piece.subarray(room));
      const part = piece.length > room ? piece.subarray(0, room) : piece;
      taken.push(part);
      this.#aheadBytes += part.length;
    }
    return taken;
  }

  #write(pieces: readonly Uint8Array[]): void {
    if (pieces.length > 1) this.#socket.cork();
    for (const bytes of pieces) {
      const { length } = bytes;
      this.#socket.write(bytes, (error) => {
        if (bytes.length !== length) this.#fail();
        else if (!error) this.#written(length); // else the connection is over, and its end is reported
      });
    }
    if (pieces.length > 1) this.#socket.uncork();
  }

  /** The program has detached bytes that were not sent yet. The message cannot be sent. */
  #fail(): Uint8Array[] {
    this.break();
    this.#socket.destroy();
    return [];
  }

  #written(bytes: number): void {
    this.#aheadBytes -= bytes;
    this.#writtenBytes += bytes;
    if (this.#pieces.length !== 0 || this.#isEnding) this.flush();
    this.#onWritten();
  }

  /** Sends close_notify behind all that is queued. */
  end(): void {
    this.#isEnding = true;
    this.flush();
  }

  hurry(): void {
    this.#below.hurry();
  }

  /** Nothing more goes out. */
  break(): void {
    this.#unstage();
    this.#isBroken = true;
    this.#pieces.clear();
  }
}

/** Neighbours that fit into one record are put together. */
function joinSmall(pieces: readonly Uint8Array[]): Uint8Array[] {
  if (pieces.length === 1) return [pieces[0] as Uint8Array];
  const whole: Uint8Array[] = [];
  let run: Uint8Array[] = [];
  let runBytes = 0;
  const endRun = () => {
    if (run.length !== 0) whole.push(run.length === 1 ? (run[0] as Uint8Array) : Buffer.concat(run, runBytes));
    run = [];
    runBytes = 0;
  };
  for (const piece of pieces) {
    if (runBytes + piece.length > RECORD_BYTES) endRun();
    run.push(piece);
    runBytes += piece.length;
  }
  endRun();
  return whole;
}

export class TlsTransport implements Transport, RawStreamUser {
  readonly out: TlsSink;
  readonly tls: TlsInfo;
  peerEnded = false;
  readonly #socket: TLSSocket;
  readonly #stream: TransportStream;
  user: TransportUser;
  #state = OPEN;
  #hasLeft = false;

  constructor(shard: Shard, socket: TLSSocket, stream: TransportStream, user: TransportUser) {
    this.#socket = socket;
    this.#stream = stream;
    this.user = user;
    this.tls = new NodeTlsInfo(socket);
    this.out = new TlsSink(shard, socket, stream.transport.out, () => this.onSent());
    stream.owner = this;
    socket.on('data', (bytes: Buffer) => this.#onBytes(bytes));
    socket.on('end', () => this.#onEnd());
    socket.on('error', () => this.destroy());
    socket.on('close', () => this.destroy());
  }

  toString(): string {
    return String(this.user);
  }

  get peerLeft(): boolean {
    return this.#hasLeft || this.peerEnded || this.#stream.transport.peerLeft;
  }

  get isClosed(): boolean {
    return this.#state === CLOSED;
  }

  get remote(): NetAddress | undefined {
    return this.#stream.transport.remote;
  }

  // --- receiving -----------------------------------------------------------------------------------------------------

  receive(): void {
    if (this.#state === OPEN && this.user.mayReceive && this.#socket.isPaused()) this.#socket.resume();
  }

  pause(): void {
    if (this.#state === OPEN) this.#socket.pause();
  }

  /** It has no buffers of linear memory to be given back. */
  release(): void {}

  #onBytes(bytes: Buffer): void {
    if (this.#state !== OPEN) return; // no code reads what comes behind finish()
    this.user.onBytes(bytes);
    if (this.#state === OPEN && !this.user.mayReceive) this.#socket.pause();
  }

  #onEnd(): void {
    this.peerEnded = true;
    if (this.#state === OPEN) this.user.onPeerEnd();
  }

  onPeerLeft(): void {
    this.#hasLeft = true;
    if (this.#state === OPEN) this.user.onPeerLeft();
  }

  onRawEnd(): void {
    this.onPeerLeft();
  }

  // --- sending -------------------------------------------------------------------------------------------------------

  onSent(): void {
    this.user.onSent();
  }

  // --- the end -------------------------------------------------------------------------------------------------------

  finish(peerIsDone = false): void {
    if (this.#state !== OPEN) return;
    this.#state = FINISHING;
    if (peerIsDone) this.#stream.peerIsDone();
    this.clearDeadline(); // what is queued goes out, or the pace of the transport below ends it
    this.#socket.resume();
    this.out.end();
  }

  destroy(): void {
    if (this.#state === CLOSED) return;
    this.#state = CLOSED;
    this.out.break();
    this.#socket.destroy();
    this.#stream.destroy();
    this.#stream.transport.destroy();
    this.user.onClosed();
  }

  onClosed(): void {
    this.destroy();
  }

  setDeadline(ns: number): void {
    this.#stream.setDeadline(ns);
  }

  clearDeadline(): void {
    this.#stream.clearDeadline();
  }

  onDeadline(): void {
    if (this.#state === OPEN) this.user.onDeadline();
    else this.destroy();
  }
}

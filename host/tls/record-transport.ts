// A connection over TLS whose records the addon encrypts and decrypts, between a transport and its user.
//
//   user <-- plain bytes, in the same receive buffer -- RecordTransport <-- transport below
//   user --> RecordSink ------------------------------------------------> its sink
//
// HANDSHAKE  the handshake is the user; bytes of the first request may come with its last ones
// OPEN       the user of the connection gets the events
// FINISHING  the rest is encrypted, then close_notify and FIN go out, and the transport below lingers
// LOST       what has come cannot be decrypted: the alert goes out, and for the user the connection is closed
// CLOSED     by destroy(), or because the transport below is
//
// Next: record-sink.ts.

import { ownCopy } from '../base/own-bytes.js';
import type { NetAddress } from '../hosts/host.js';
import type { Shard } from '../shard/shard.js';
import type { Transport, TransportUser } from '../shard/transport.js';
import { ENDED, FAILED, type RecordConnection, type RecordContext } from './record-engine.js';
import { RecordInfo } from './record-info.js';
import { RecordSink } from './record-sink.js';

const HANDSHAKE = 0; // states
const OPEN = 1;
const FINISHING = 2;
const LOST = 3;
const CLOSED = 4;

/** The user until the handshake is over. */
export interface HandshakeOwner extends TransportUser {
  /** Bytes have come for the first time. The handshake begins when `go` is called. */
  onFirstBytes(go: () => void): void;
  /** The certificate for the name that the client asks for. Undefined: that of the server. */
  contextFor(servername: string): RecordContext | undefined;
  /** The handshake is over: another user takes its place, or the transport is closed. */
  onSecure(): void;
  /** The handshake has failed. The alert that says why is on its way, and then the transport closes. */
  onRefused(reason: string): void;
}

export class RecordTransport implements Transport, TransportUser {
  readonly out: RecordSink;
  readonly tls: RecordInfo;
  peerEnded = false;
  user: TransportUser;
  readonly #shard: Shard;
  readonly #connection: RecordConnection;
  readonly #handshake: HandshakeOwner;
  readonly #below: Transport;
  #state = HANDSHAKE;
  #hasBegun = false; // the handshake
  #early: Uint8Array[] = []; // came before it has begun
  #earlyEnd = false;

  constructor(
    shard: Shard,
    connection: RecordConnection,
    handshake: HandshakeOwner,
    open: (user: TransportUser) => Transport,
  ) {
    this.#shard = shard;
    this.#connection = connection;
    this.#handshake = handshake;
    this.user = handshake;
    this.tls = new RecordInfo(connection);
    this.#below = open(this);
    this.out = new RecordSink(shard, connection, this.#below.out, () => this.destroy());
  }

  /** For reports of what a shard has open. */
  toString(): string {
    return `TLS over ${String(this.user)}`;
  }

  get peerLeft(): boolean {
    return this.peerEnded || this.#below.peerLeft;
  }

  get isClosed(): boolean {
    return this.#state >= LOST;
  }

  get remote(): NetAddress | undefined {
    return this.#below.remote;
  }

  // --- receiving -----------------------------------------------------------------------------------------------------

  get mayReceive(): boolean {
    if (this.#state >= FINISHING) return true;
    return (this.#hasBegun || this.#early.length === 0) && this.user.mayReceive;
  }

  receive(): void {
    this.#below.receive();
  }

  pause(): void {
    this.#below.pause();
  }

  release(buffer: number): void {
    this.#below.release(buffer);
  }

  onBuffer(at: number, end: number, buffer: number): void {
    const connection = this.#connection;
    if (this.#state !== OPEN || connection.holds) {
      const bytes = ownCopy(this.#shard.bytes, at, end);
      this.#below.release(buffer);
      this.onBytes(bytes);
      return;
    }
    const outcome = connection.receiveInPlace(this.#shard.bytes, at, end);
    const { plainBytes } = connection;
    const isTooMuch = this.#reply();
    if (plainBytes === 0) this.#below.release(buffer);
    else this.user.onBuffer(at, at + plainBytes, buffer);
    this.#after(isTooMuch ? FAILED : outcome);
  }

  /** Sends the output of the last receive(). Returns whether the peer reads none of it, and asks for more. */
  #reply(): boolean {
    const { outputBytes } = this.#connection;
    if (outputBytes === 0) return false;
    const { sentBytes, backlogBytes } = this.#below.out;
    const isTooMuch = this.#connection.repliesTooMuch(sentBytes + backlogBytes + outputBytes, sentBytes);
    this.out.sendOutput(outputBytes);
    return isTooMuch;
  }

  onBytes(bytes: Uint8Array): void {
    if (this.#state >= FINISHING) return; // no code reads what comes behind finish()
    if (this.#hasBegun) this.#decrypt(bytes);
    else if (this.#early.push(bytes) === 1) {
      this.#handshake.onFirstBytes(() => this.#begin());
      if (!this.#hasBegun) this.#below.pause(); // until its turn
    }
  }

  #begin(): void {
    this.#hasBegun = true;
    for (const bytes of this.#early) this.onBytes(bytes);
    this.#early = [];
    if (this.isClosed) return;
    this.receive();
    if (this.#earlyEnd) this.onPeerEnd();
  }

  #decrypt(bytes: Uint8Array): void {
    const connection = this.#connection;
    const handshake = this.#handshake;
    const { outcome, plain } = connection.receive(bytes, (name) => handshake.contextFor(name));
    const isTooMuch = this.#reply();
    if (this.#state === HANDSHAKE && connection.isSecure) {
      this.#state = OPEN;
      handshake.onSecure();
    }
    if (plain !== undefined && this.#state === OPEN) this.user.onBytes(plain);
    this.#after(isTooMuch ? FAILED : outcome);
  }

  #after(outcome: number): void {
    if (outcome === ENDED) this.#onEnd();
    else if (outcome === FAILED) this.#fail();
  }

  /** The alert goes out, and the transport below lingers. The user need not wait for that. */
  #fail(): void {
    const state = this.#state;
    if (state >= FINISHING) return;
    const { failure } = this.#connection;
    this.#state = LOST;
    this.out.break();
    this.#below.clearDeadline();
    this.#below.finish();
    if (state === HANDSHAKE) this.#handshake.onRefused(failure.message);
    else this.user.onClosed();
  }

  #onEnd(): void {
    if (this.peerEnded) return;
    this.peerEnded = true;
    if (this.#state <= OPEN) this.user.onPeerEnd();
  }

  onPeerLeft(): void {
    if (this.#state <= OPEN) this.user.onPeerLeft();
  }

  onPeerEnd(): void {
    if (this.#early.length !== 0 && !this.#hasBegun) this.#earlyEnd = true;
    else this.#onEnd();
  }

  // --- sending -------------------------------------------------------------------------------------------------------

  onSent(): void {
    this.out.advance();
    this.user.onSent();
  }

  // --- the end -------------------------------------------------------------------------------------------------------

  finish(peerIsDone = false): void {
    if (this.#state !== OPEN) return;
    this.#state = FINISHING;
    this.clearDeadline(); // what is queued goes out, or the pace of the transport below ends it
    this.receive();
    this.out.whenWritten(() => {
      this.out.sendOutput(this.#connection.end());
      this.#below.finish(peerIsDone);
    });
  }

  destroy(): void {
    if (!this.isClosed) this.#close();
  }

  onClosed(): void {
    if (this.#state !== CLOSED) this.#close();
  }

  #close(): void {
    const isTold = this.#state === LOST;
    this.#state = CLOSED;
    this.out.break();
    this.#connection.close();
    this.#below.destroy();
    if (!isTold) this.user.onClosed();
  }

  setDeadline(ns: number): void {
    if (!this.isClosed) this.#below.setDeadline(ns);
  }

  clearDeadline(): void {
    if (!this.isClosed) this.#below.clearDeadline();
  }

  onDeadline(): void {
    if (this.#state <= OPEN) this.user.onDeadline();
    else this.destroy();
  }
}

// A connection over TLS whose records the addon encrypts and decrypts, as callbacks: a Handle over another one.
//
//   SecureSocket <-- plain bytes -- RecordHandle <-- encrypted bytes -- StreamHandle (handle.ts)
//
// EARLY      bytes have come, and wait until the handshake may begin
// HANDSHAKE  its user is the handshake (secure-acceptor.ts)
// OPEN       its user is the socket
//
// Next: secure-acceptor.ts.

import { ownCopy } from '../base/own-bytes.js';
import type { NetAddress } from '../hosts/host.js';
import { COPIED_BYTES } from '../shard/send-queue.js';
import type { Shard } from '../shard/shard.js';
import { tlsError } from '../tls/options.js';
import { ENDED, FAILED, PART_BYTES, type RecordConnection, UNREAD_REPLIES } from '../tls/record-engine.js';
import { RecordInfo } from '../tls/record-info.js';
import type { RecordTerminator } from '../tls/record-terminator.js';
import { type Handle, type HandleUser, type Piece, StreamHandle } from './handle.js';

const JOINED_BYTES = 16_384; // of a write, at most: its pieces share a record

/** The user until the handshake is over. */
export interface HandshakeHandleUser extends HandleUser {
  onSecure(): void;
}

export class RecordHandle implements Handle, HandleUser {
  readonly tls: RecordInfo;
  user: HandleUser;
  writtenBytes = 0;
  readonly #below: StreamHandle;
  readonly #connection: RecordConnection;
  readonly #terminator: RecordTerminator;
  readonly #handshake: HandshakeHandleUser;
  #early: Buffer[] | undefined = []; // until the handshake begins
  #isWriting = false; // the user waits for onWritten()
  #peerEnded = false;
  #isClosed = false;

  constructor(shard: Shard, file: number, terminator: RecordTerminator, handshake: HandshakeHandleUser) {
    this.#connection = terminator.connect();
    this.#terminator = terminator;
    this.#handshake = handshake;
    this.user = handshake;
    this.tls = new RecordInfo(this.#connection);
    this.#below = new StreamHandle(shard, file, this);
    this.#below.readStart();
  }

  get remote(): NetAddress | undefined {
    return this.#below.remote;
  }

  get local(): NetAddress | undefined {
    return this.#below.local;
  }

  keepAlive(isOn: boolean, idleMs: number): void {
    this.#below.keepAlive(isOn, idleMs);
  }

  // --- receiving -----------------------------------------------------------------------------------------------------

  readStart(): void {
    this.#below.readStart();
  }

  readStop(): void {
    this.#below.readStop();
  }

  onBytes(bytes: Buffer): void {
    const early = this.#early;
    if (early === undefined) this.#decrypt(bytes);
    else if (early.push(bytes) === 1) {
      this.#below.readStop(); // until its turn
      this.#terminator.limits.inTurn(() => this.#begin(early));
    }
  }

  #begin(early: readonly Buffer[]): void {
    this.#early = undefined;
    for (const bytes of early) this.#decrypt(bytes);
    if (!this.#isClosed) this.readStart();
  }

  #decrypt(bytes: Buffer): void {
    if (this.#isClosed || this.#peerEnded) return;
    const connection = this.#connection;
    const wasSecure = connection.isSecure;
    let plain: Uint8Array | undefined;
    let outcome: number;
    if (connection.holds) {
      ({ outcome, plain } = connection.receive(bytes, (name) => this.#terminator.sni.listed(name)));
    } else {
      outcome = connection.receiveInPlace(bytes, 0, bytes.length);
      plain = connection.plainBytes === 0 ? undefined : bytes.subarray(0, connection.plainBytes);
    }
    let error = outcome === FAILED ? connection.failure : undefined; // another call may fail meanwhile
    if (connection.outputBytes !== 0) {
      const { sentBytes, writtenBytes } = this.#below;
      if (connection.repliesTooMuch(writtenBytes + connection.outputBytes, sentBytes))
        error ??= new Error(UNREAD_REPLIES);
      this.#sendOutput(connection.outputBytes);
    }
    if (!wasSecure && connection.isSecure) this.#handshake.onSecure();
    if (plain !== undefined && !this.#isClosed) {
      this.user.onBytes(Buffer.from(plain.buffer, plain.byteOffset, plain.byteLength));
    }
    if (outcome === ENDED) this.#end();
    else if (error !== undefined && !this.#isClosed) {
      this.#below.end(); // behind the alert that says why
      this.user.onBroken(tlsError('the connection is broken', error));
    }
  }

  #end(): void {
    if (this.#peerEnded || this.#isClosed) return;
    this.#peerEnded = true;
    this.user.onPeerEnd();
  }

  /** Perhaps without close_notify. A handshake that waits for its turn finds out when it begins. */
  onPeerEnd(): void {
    this.#end();
  }

  // --- sending -------------------------------------------------------------------------------------------------------

  /** Handshake messages, alerts and replies to key updates. */
  #sendOutput(count: number): void {
    if (count !== 0) this.#below.write([{ chunk: ownCopy(this.#connection.output, 0, count), encoding: 'latin1' }]);
  }

  write(pieces: readonly Piece[]): boolean {
    const plain = pieces.map(({ chunk, encoding }) =>
      typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk,
    );
    const bytes = plain.reduce((sum, { length }) => sum + length, 0);
    this.writtenBytes += bytes;
    if (bytes !== 0 && this.#connection.encryptedBytes(bytes, 1) <= COPIED_BYTES) return this.#writeSmall(plain, bytes);
    const encrypted: Piece[] = [];
    for (const part of bytes <= JOINED_BYTES ? [joined(plain, bytes)] : plain) {
      for (let at = 0; at < part.length; at += PART_BYTES) {
        const chunk = this.#connection.encrypt(part, at, Math.min(at + PART_BYTES, part.length));
        if (chunk === undefined) return this.#break();
        encrypted.push({ chunk, encoding: 'latin1' });
      }
    }
    this.#isWriting = encrypted.length !== 0 && !this.#below.write(encrypted);
    return !this.#isWriting;
  }

  /** The handle below copies few bytes at once. So they need no array of their own. */
  #writeSmall(plain: readonly Uint8Array[], bytes: number): boolean {
    const connection = this.#connection;
    const count = connection.send(joined(plain, bytes), 0, bytes);
    if (count < 0) return this.#break();
    this.#isWriting = !this.#below.write([{ chunk: connection.output.subarray(0, count), encoding: 'latin1' }]);
    return !this.#isWriting;
  }

  /** Tells the user. */
  #break(): false {
    this.user.onBroken(tlsError('the connection is broken', this.#connection.failure));
    return false;
  }

  onWritten(): void {
    if (!this.#isWriting) return;
    this.#isWriting = false;
    this.user.onWritten();
  }

  // --- the end -------------------------------------------------------------------------------------------------------

  end(): void {
    if (this.#isClosed) return;
    this.#sendOutput(this.#connection.end()); // close_notify
    this.#below.end();
  }

  onEndSent(): void {
    this.user.onEndSent();
  }

  onBroken(error: unknown): void {
    this.user.onBroken(error);
  }

  onShutdown(): void {
    this.user.onShutdown();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#connection.close();
    this.#below.close();
  }
}

function joined(pieces: readonly Uint8Array[], bytes: number): Uint8Array {
  return pieces.length === 1 ? (pieces[0] as Uint8Array) : Buffer.concat(pieces, bytes);
}

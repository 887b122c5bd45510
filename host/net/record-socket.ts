// One connection over TLS that a listener has accepted, whose records the addon encrypts and decrypts, over another
// connection.
//
//   Socket --> RecordSocket --> RecordConnection (the addon) --> Connection
//
// It means the same as TlsConnection, which node:tls does: an end without close_notify is an error, and a connection
// that is handed over stays on this shard.
//
// Next: tls-connect.ts, how it begins.

import type { WaitOptions } from '../base/abortable.js';
import { optionError } from '../base/errors.js';
import { checkWait } from '../base/options.js';
import { ownCopy, uninitialized } from '../base/own-bytes.js';
import type { Calls } from '../calls/call.js';
import type { NetAddress } from '../hosts/host.js';
import type { Shard } from '../shard/shard.js';
import { handshakeError } from '../tls/handshake-limits.js';
import { tlsError } from '../tls/options.js';
import { ENDED, FAILED, type RecordConnection } from '../tls/record-engine.js';
import { RecordInfo } from '../tls/record-info.js';
import type { RecordTerminator } from '../tls/record-terminator.js';
import { ArrivedBytes } from './arrived-bytes.js';
import { keepFor } from './homes.js';
import { readAndFill } from './read-into.js';
import { addressesOf, type SocketTransport, socketClosed } from './socket.js';

const PART_BYTES = 1_048_576; // encrypted into one array

export class RecordSocket implements SocketTransport {
  readonly isProxy = false;
  readonly tls: RecordInfo;
  isClosed = false;
  readonly #shard: Shard;
  readonly #connection: RecordConnection;
  readonly #below: SocketTransport;
  readonly #arrived = new ArrivedBytes(() => this.#onRoom?.());
  #onRoom: (() => void) | undefined;
  #peerEnded = false; // close_notify has come
  #isFinishing = false;
  #error: unknown;
  #closing: AbortController | undefined;

  constructor(shard: Shard, connection: RecordConnection, below: SocketTransport) {
    this.#shard = shard;
    this.#connection = connection;
    this.#below = below;
    this.tls = new RecordInfo(connection);
  }

  get remote(): NetAddress | undefined {
    return this.#below.remote;
  }

  get local(): NetAddress | undefined {
    return this.#below.local;
  }

  get isReading(): boolean {
    return this.#arrived.isReading;
  }

  get closing(): AbortSignal {
    this.#closing ??= new AbortController();
    return this.#closing.signal;
  }

  // --- the handshake -------------------------------------------------------------------------------------------------

  /** Does the server's side. Rejects with TLS; then the alert that says why is out. */
  async shakeHands(terminator: RecordTerminator): Promise<void> {
    let bytes = await this.#below.read();
    if (bytes !== null) await new Promise<void>((resolve) => terminator.limits.inTurn(resolve));
    while (!this.#connection.isSecure) {
      if (this.isClosed) throw socketClosed();
      if (bytes === null) throw handshakeError('the client has left');
      await this.#decrypt(bytes, terminator).catch((error) => {
        throw handshakeError(error.message);
      });
      if (!this.#connection.isSecure) bytes = await this.#below.read();
    }
    if (terminator.needsCertificate && !this.tls.isAuthorized) {
      throw handshakeError(`the client's certificate is not accepted: ${this.tls.authorizationError}`);
    }
    this.#receive().catch((error) => this.#fail(error));
  }

  // --- reading -------------------------------------------------------------------------------------------------------

  async #receive(): Promise<void> {
    while (!this.#peerEnded) {
      if (this.#arrived.isFull) await new Promise<void>((resolve) => (this.#onRoom = resolve));
      if (this.isClosed) return;
      const bytes = await this.#below.read();
      if (bytes === null) {
        this.#arrived.cutOff();
        return;
      }
      await this.#decrypt(bytes);
    }
  }

  /** Decrypts, and sends what the addon has to say to it. */
  async #decrypt(bytes: Uint8Array, terminator?: RecordTerminator): Promise<void> {
    if (this.isClosed) return;
    const connection = this.#connection;
    const target = connection.holds ? connection.scratch(bytes.length) : undefined;
    const outcome = connection.receive(bytes, 0, bytes.length, target, (name) => terminator?.sni.listed(name));
    const { failure, outputBytes, plainBytes } = connection;
    if (plainBytes !== 0) this.#arrived.push(Buffer.from(ownCopy(target ?? bytes, 0, plainBytes).buffer));
    if (outcome === ENDED) {
      this.#peerEnded = true;
      this.#arrived.end();
    }
    if (outputBytes !== 0) await this.#below.write(ownCopy(connection.output, 0, outputBytes));
    if (outcome !== FAILED) return;
    await this.#below.end();
    throw new Error(failure);
  }

  read(options: WaitOptions = {}): Promise<Uint8Array | null> {
    return this.#arrived.read(options, this.isClosed);
  }

  readInto(into: Uint8Array, options?: WaitOptions): Promise<number | null> {
    return readAndFill(this, into, options);
  }

  unread(bytes: Uint8Array): void {
    this.#arrived.unread(bytes);
  }

  // --- writing -------------------------------------------------------------------------------------------------------

  async write(bytes: Uint8Array | string, options: WaitOptions = {}): Promise<void> {
    checkWait(options);
    if (this.#error !== undefined) throw this.#error;
    if (this.isClosed || this.#isFinishing) throw socketClosed();
    const data = typeof bytes === 'string' ? Buffer.from(bytes, 'utf8') : bytes;
    if (!(data instanceof Uint8Array)) throw optionError('bytes', bytes, 'a string or a Uint8Array');
    if (data.length === 0) return;
    const writes: Promise<void>[] = []; // all of them begin now, so no other write comes between them
    for (let at = 0; at < data.length; at += PART_BYTES) {
      const part = data.subarray(at, at + PART_BYTES);
      const encrypted = uninitialized(this.#connection.encryptedBytes(part.length, 1));
      const count = this.#connection.send(part, 0, part.length, encrypted);
      if (count < 0) throw this.#fail(new Error(this.#connection.failure));
      writes.push(this.#below.write(encrypted.subarray(0, count), options));
    }
    await Promise.all(writes);
  }

  async end(): Promise<void> {
    if (this.isClosed || this.#isFinishing) return;
    this.#isFinishing = true;
    const count = this.#connection.end();
    await this.#below.write(ownCopy(this.#connection.output, 0, count));
    await this.#below.end();
  }

  /** Closes it. Returns the error that reads and writes reject with. */
  #fail(cause: unknown): unknown {
    if (this.isClosed) return this.#error ?? socketClosed();
    this.#error = tlsError('the connection is broken', cause);
    this.#arrived.fail(this.#error);
    this.close();
    return this.#error;
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.#connection.close();
    this.#below.close();
    this.#arrived.rejectReader(socketClosed());
    this.#closing?.abort(this.#error ?? socketClosed());
    this.#onRoom?.();
  }

  async handOver(peer: number, name: string, args: unknown[]): Promise<void> {
    if (this.isClosed || this.#isFinishing) throw this.#error ?? socketClosed();
    const calls = this.#shard.calls as Calls;
    await keepFor(this.#shard, this, peer, (id) =>
      calls.callInternal(peer, 'net', 'adoptProxy', this.#shard.index, id, addressesOf(this), name, args),
    );
  }
}

// The common part of all connections over TLS: reading, the checks of a write, the end, failures and handing over. Two
// classes encrypt and decrypt.
//
//   Socket --> DecryptedSocket <|-- RecordSocket    the addon
//                              <|-- TlsConnection   node:tls
//
// A peer that has said everything sends close_notify before it ends the connection. Without it, bytes at the end may
// have been cut off on the way. So without it the reader gets an error instead of the end.
//
// Handing it over: the state of the encryption cannot move. So the connection stays on this shard, and serves the other
// one by calls (homes.ts).
//
// Next: record-socket.ts, tls-connection.ts.

import type { WaitOptions } from '../base/abortable.js';
import { optionError } from '../base/errors.js';
import { checkWait } from '../base/options.js';
import type { Calls } from '../calls/call.js';
import type { NetAddress } from '../hosts/host.js';
import type { Shard } from '../shard/shard.js';
import type { TlsInfo } from '../tls/info.js';
import { ArrivedBytes } from './arrived-bytes.js';
import { keepFor } from './homes.js';
import { readAndFill } from './read-into.js';
import { addressesOf, type SocketTransport, socketClosed } from './socket.js';

export abstract class DecryptedSocket implements SocketTransport {
  readonly isProxy = false;
  abstract readonly tls: TlsInfo;
  isClosed = false;
  /** An end without close_notify is an end like any other: for programs that expect what node:tls does. */
  allowsCut = false;
  protected readonly below: SocketTransport;
  protected readonly arrived = new ArrivedBytes(() => this.onRoom());
  protected error: unknown; // why reads and writes reject
  readonly #shard: Shard;
  #isFinishing = false;
  #closing: AbortController | undefined;

  constructor(shard: Shard, below: SocketTransport) {
    this.#shard = shard;
    this.below = below;
  }

  /** More bytes are welcome again. */
  protected abstract onRoom(): void;

  /** Encrypts and sends at least one byte. The caller may use the array again when the promise has settled. */
  protected abstract encrypt(bytes: Uint8Array, options: WaitOptions): Promise<void>;

  /** Sends close_notify, and then the end. */
  protected abstract finish(): Promise<void>;

  /** Ends the encryption at once. */
  protected abstract free(): void;

  get remote(): NetAddress | undefined {
    return this.below.remote;
  }

  get local(): NetAddress | undefined {
    return this.below.local;
  }

  get isReading(): boolean {
    return this.arrived.isReading;
  }

  get closing(): AbortSignal {
    this.#closing ??= new AbortController();
    return this.#closing.signal;
  }

  read(options: WaitOptions = {}): Promise<Uint8Array | null> {
    return this.arrived.read(options, this.isClosed);
  }

  readInto(into: Uint8Array, options?: WaitOptions): Promise<number | null> {
    return readAndFill(this, into, options);
  }

  unread(bytes: Uint8Array): void {
    this.arrived.unread(bytes);
  }

  async write(bytes: Uint8Array | string, options: WaitOptions = {}): Promise<void> {
    checkWait(options);
    if (this.error !== undefined) throw this.error;
    if (this.isClosed || this.#isFinishing) throw socketClosed();
    const data = typeof bytes === 'string' ? Buffer.from(bytes, 'utf8') : bytes;
    if (!(data instanceof Uint8Array)) throw optionError('bytes', bytes, 'a string or a Uint8Array');
    if (data.length !== 0) await this.encrypt(data, options);
  }

  /** The peer has ended the connection without close_notify. */
  protected cutOff(): void {
    if (this.allowsCut) this.arrived.end();
    else this.arrived.cutOff();
  }

  async end(): Promise<void> {
    if (this.isClosed || this.#isFinishing) return;
    this.#isFinishing = true;
    await this.finish();
  }

  /** Closes it. Reads and writes reject with the first error. */
  protected fail(error: unknown): void {
    this.error ??= error;
    this.arrived.fail(error);
    this.close();
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.free();
    this.below.close();
    this.arrived.rejectReader(socketClosed());
    this.#closing?.abort(this.error ?? socketClosed());
  }

  async handOver(peer: number, name: string, args: unknown[]): Promise<void> {
    if (this.isClosed || this.#isFinishing) throw this.error ?? socketClosed();
    const calls = this.#shard.calls as Calls;
    await keepFor(this.#shard, this, peer, (id) =>
      calls.callInternal(peer, 'net', 'adoptProxy', this.#shard.index, id, addressesOf(this), name, args),
    );
  }
}

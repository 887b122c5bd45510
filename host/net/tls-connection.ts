// One connection over TLS: what a Socket does, by node:tls over another connection.
//
//   Socket --> TlsConnection --> TLSSocket (node:tls) --> SocketStream --> Connection
//
// A peer that has said everything sends close_notify before it ends the connection. Without it, bytes at the end may
// have been cut off on the way. So without it the reader gets an error instead of the end.
//
// Handing it over: the state of the encryption cannot move. So the connection stays on this shard, and serves the other
// one by calls (homes.ts).
//
// Next: tls-connect.ts, how it begins.

import type { TLSSocket } from 'node:tls';
import { abortable, type WaitOptions } from '../base/abortable.js';
import { optionError } from '../base/errors.js';
import { checkWait } from '../base/options.js';
import type { Calls } from '../calls/call.js';
import type { NetAddress } from '../hosts/host.js';
import type { Shard } from '../shard/shard.js';
import { NodeTlsInfo, type TlsInfo } from '../tls/info.js';
import { tlsError } from '../tls/options.js';
import type { RawStreamUser } from '../tls/transport-stream.js';
import { ArrivedBytes } from './arrived-bytes.js';
import { keepFor } from './homes.js';
import { readAndFill } from './read-into.js';
import { addressesOf, type SocketTransport, socketClosed } from './socket.js';
import type { SocketStream } from './socket-stream.js';

export class TlsConnection implements SocketTransport, RawStreamUser {
  readonly isProxy = false;
  readonly tls: TlsInfo;
  isClosed = false;
  readonly #shard: Shard;
  readonly #socket: TLSSocket;
  readonly #below: SocketTransport;
  readonly #arrived = new ArrivedBytes(() => this.#socket.resume());
  #isRawEnd = false; // the connection below has ended
  #isTruncated = false; // it had, when no close_notify had come
  #isFinishing = false;
  #error: unknown;
  #closing: AbortController | undefined;

  constructor(shard: Shard, socket: TLSSocket, stream: SocketStream, below: SocketTransport) {
    this.#shard = shard;
    this.#socket = socket;
    this.#below = below;
    this.tls = new NodeTlsInfo(socket);
    stream.user = this;
    this.#watchEnd();
    socket.on('data', (bytes: Buffer) => this.#onBytes(bytes));
    socket.on('end', () => this.#onEnd());
    socket.on('error', (error) => this.#fail(tlsError('the connection is broken', error)));
    socket.on('close', () => this.close());
  }

  /** node:tls reports close_notify and the end of the connection alike. Only the order tells them apart. */
  #watchEnd(): void {
    const socket = this.#socket;
    const push = socket.push.bind(socket);
    socket.push = (chunk, encoding) => {
      if (chunk === null) this.#isTruncated = this.#isRawEnd;
      return push(chunk, encoding);
    };
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

  // --- reading -------------------------------------------------------------------------------------------------------

  #onBytes(bytes: Uint8Array): void {
    this.#arrived.push(bytes);
    if (this.#arrived.isFull) this.#socket.pause();
  }

  #onEnd(): void {
    if (this.#isTruncated) this.#arrived.cutOff();
    else this.#arrived.end();
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
    if (typeof bytes !== 'string' && !(bytes instanceof Uint8Array)) {
      throw optionError('bytes', bytes, 'a string or a Uint8Array');
    }
    const data = typeof bytes === 'string' ? Buffer.from(bytes, 'utf8') : new Uint8Array(bytes);
    if (data.length === 0) return;
    await abortable<void>((resolve, reject) => {
      this.#socket.write(data, (error) => (error ? reject(this.#error ?? socketClosed()) : resolve()));
      return () => {}; // the bytes are sent
    }, options);
  }

  async end(): Promise<void> {
    if (this.isClosed || this.#isFinishing) return;
    this.#isFinishing = true;
    await new Promise<void>((resolve) => this.#socket.end(resolve));
  }

  #fail(error: unknown): void {
    this.#error ??= error;
    this.#arrived.fail(error);
    this.close();
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.#socket.destroy();
    this.#below.close();
    this.#arrived.rejectReader(socketClosed());
    this.#closing?.abort(this.#error ?? socketClosed());
  }

  async handOver(peer: number, name: string, args: unknown[]): Promise<void> {
    if (this.isClosed || this.#isFinishing) throw this.#error ?? socketClosed();
    const calls = this.#shard.calls as Calls;
    await keepFor(this.#shard, this, peer, (id) =>
      calls.callInternal(peer, 'net', 'adoptProxy', this.#shard.index, id, addressesOf(this), name, args),
    );
  }

  // --- of the connection below ---------------------------------------------------------------------------------------

  onRawEnd(): void {
    this.#isRawEnd = true;
  }

  onDeadline(): void {}

  onClosed(): void {
    this.close();
  }
}

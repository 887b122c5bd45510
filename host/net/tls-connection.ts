// One connection over TLS: what a Socket does, by node:tls over another connection.
//
//   Socket --> TlsConnection --> TLSSocket (node:tls) --> SocketStream --> Connection
//
// Next: tls-connect.ts, how it begins.

import type { TLSSocket } from 'node:tls';
import { abortable, type WaitOptions } from '../base/abortable.js';
import type { Shard } from '../shard/shard.js';
import { NodeTlsInfo, type TlsInfo } from '../tls/info.js';
import { tlsError } from '../tls/options.js';
import type { RawStreamUser } from '../tls/transport-stream.js';
import { DecryptedSocket } from './decrypted-socket.js';
import { type SocketTransport, socketClosed } from './socket.js';
import type { SocketStream } from './socket-stream.js';

export class TlsConnection extends DecryptedSocket implements RawStreamUser {
  readonly tls: TlsInfo;
  readonly #socket: TLSSocket;
  #isRawEnd = false; // the connection below has ended
  #isTruncated = false; // it had, when no close_notify had come

  /** `label`: that of its sessions, if it is a client. */
  constructor(shard: Shard, socket: TLSSocket, stream: SocketStream, below: SocketTransport, label?: Uint8Array) {
    super(shard, below);
    this.#socket = socket;
    this.tls = new NodeTlsInfo(socket, label);
    stream.user = this;
    this.#watchEnd();
    socket.on('data', (bytes: Buffer) => this.#onBytes(bytes));
    socket.on('end', () => this.#onEnd());
    socket.on('error', (error) => this.fail(tlsError('the connection is broken', error)));
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

  #onBytes(bytes: Uint8Array): void {
    this.arrived.push(bytes);
    if (this.arrived.isFull) this.#socket.pause();
  }

  #onEnd(): void {
    if (this.#isTruncated) this.cutOff();
    else this.arrived.end();
  }

  protected onRoom(): void {
    this.#socket.resume();
  }

  protected async encrypt(bytes: Uint8Array, options: WaitOptions): Promise<void> {
    const data = new Uint8Array(bytes); // node:tls keeps them until they are sent, even if the caller stops waiting
    await abortable<void>((resolve, reject) => {
      this.#socket.write(data, (error) => (error ? reject(this.error ?? socketClosed()) : resolve()));
      return () => {}; // the bytes are sent
    }, options);
  }

  protected async finish(): Promise<void> {
    await new Promise<void>((resolve) => this.#socket.end(resolve));
  }

  protected free(): void {
    this.#socket.destroy();
  }

  // --- of the connection below ---------------------------------------------------------------------------------------

  onRawEnd(): void {
    this.#isRawEnd = true;
  }

  onDeadline(): void {}

  onClosed(error?: Error | null): void {
    if (error && !this.isClosed) this.fail(tlsError('the connection is broken', error));
    else this.close();
  }
}

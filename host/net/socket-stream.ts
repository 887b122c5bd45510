// A connection (SocketTransport) as a Duplex: the encrypted side, which node:tls reads and writes.
//
// Next: tls-connection.ts, the decrypted side.

import { Duplex } from 'node:stream';
import type { RawStream, RawStreamUser, StreamDone } from '../tls/transport-stream.js';
import type { SocketTransport } from './socket.js';

export class SocketStream extends Duplex implements RawStream {
  user: RawStreamUser;
  readonly #via: SocketTransport;
  #isReading = false;
  #hasBegun = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(via: SocketTransport, user: RawStreamUser) {
    super({ allowHalfOpen: true });
    this.#via = via;
    this.user = user;
    this.on('error', () => {}); // node:tls has told its user already
    this.on('end', () => this.user.onRawEnd()); // node:tls has read all that came before, and hears of the end next
  }

  override _read(): void {
    if (this.#isReading) return;
    this.#isReading = true;
    this.#via.read().then(
      (bytes) => this.#onRead(bytes),
      (error) => this.destroy(error),
    );
  }

  #onRead(bytes: Uint8Array | null): void {
    this.#isReading = false;
    if (this.destroyed) return;
    if (bytes === null) {
      this.push(null);
      this.read(0); // 'end' comes now if no bytes wait
    } else if (this.#hasBegun || this.user.onFirstBytes === undefined) this.push(bytes);
    else {
      this.#hasBegun = true;
      this.#isReading = true; // until its turn
      this.user.onFirstBytes(() => {
        this.#isReading = false;
        if (!this.destroyed) this.push(bytes);
      });
    }
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: StreamDone): void {
    this.#via.write(chunk).then(() => done(), done);
  }

  override _final(done: StreamDone): void {
    this.#via.end().then(() => done(), done);
  }

  override _destroy(error: Error | null, done: StreamDone): void {
    this.clearDeadline();
    this.#via.close();
    this.user.onClosed(error);
    done(error);
  }

  setDeadline(ns: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.user.onDeadline(), ns / 1e6);
  }

  clearDeadline(): void {
    clearTimeout(this.#timer);
  }
}

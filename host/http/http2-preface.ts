// Tells HTTP/2 without TLS (h2c, by prior knowledge) from HTTP/1.1: by the first bytes of a connection.
//
//   bytes --> Preface: "PRI * HTTP/2.0 ..." --> a TransportStream, for an Http2Connection
//                      anything else        --> the HttpConnection that is there from the beginning
//
// Next: http2-connection.ts.

import type { Shard } from '../shard/shard.js';
import type { Transport, TransportUser } from '../shard/transport.js';

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

export class Http2Preface implements TransportUser {
  transport: Transport | undefined;
  readonly #shard: Shard;
  readonly #onHttp2: (first: Uint8Array, use: (user: TransportUser) => Transport) => void;
  #user: TransportUser;
  #isKnown = false;
  #first = Buffer.alloc(0);

  /** `onHttp2`: the connection is one of HTTP/2. `use` gives its bytes to another user from now on. */
  constructor(
    shard: Shard,
    user: TransportUser,
    onHttp2: (first: Uint8Array, use: (user: TransportUser) => Transport) => void,
  ) {
    this.#shard = shard;
    this.#user = user;
    this.#onHttp2 = onHttp2;
  }

  toString(): string {
    return `${this.#user}`;
  }

  get mayReceive(): boolean {
    return this.#user.mayReceive;
  }

  onBuffer(at: number, end: number, buffer: number): void {
    const { bytes } = this.#shard;
    if (!this.#isKnown && this.#first.length === 0 && bytes[at] !== PREFACE[0]) this.#isKnown = true;
    if (this.#isKnown) {
      this.#user.onBuffer(at, end, buffer);
      return;
    }
    const copy = Buffer.from(bytes.subarray(at, end));
    this.transport?.release(buffer);
    this.onBytes(copy);
  }

  onBytes(bytes: Uint8Array): void {
    if (this.#isKnown) {
      this.#user.onBytes(bytes);
      return;
    }
    this.#first = Buffer.concat([this.#first, bytes]);
    const length = Math.min(this.#first.length, PREFACE.length);
    if (!this.#first.subarray(0, length).equals(PREFACE.subarray(0, length))) {
      this.#isKnown = true;
      this.#user.onBytes(this.#first);
    } else if (length === PREFACE.length) {
      this.#isKnown = true;
      const transport = this.transport as Transport;
      this.#onHttp2(this.#first, (user) => {
        this.#user = user;
        return transport;
      });
    }
  }

  onPeerLeft(): void {
    this.#user.onPeerLeft();
  }

  onPeerEnd(): void {
    this.#user.onPeerEnd();
  }

  onSent(): void {
    this.#user.onSent();
  }

  onDeadline(): void {
    this.#user.onDeadline();
  }

  onClosed(): void {
    this.#user.onClosed();
  }
}

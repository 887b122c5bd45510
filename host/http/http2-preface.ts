// Tells HTTP/2 without TLS (h2c, by prior knowledge) from HTTP/1.1: by the first bytes of a connection.
//
//   bytes --> Http2Preface: "PRI * HTTP/2.0 ..." --> a TransportStream, for an Http2Connection
//                           anything else        --> the HttpConnection that is there from the beginning
//
// Next: http2-connection.ts.

import type { Shard } from '../shard/shard.js';
import type { Transport, TransportUser } from '../shard/transport.js';
import { FirstBytes } from './first-bytes.js';

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

/** The connection is one of HTTP/2. `use` gives the transport's events to another user from now on. */
type OnHttp2 = (first: Uint8Array, use: (user: TransportUser) => Transport) => void;

export class Http2Preface extends FirstBytes {
  readonly #onHttp2: OnHttp2;

  constructor(shard: Shard, user: TransportUser, onHttp2: OnHttp2) {
    super(shard, user);
    this.#onHttp2 = onHttp2;
  }

  protected concerns(first: number): boolean {
    return first === PREFACE[0];
  }

  protected look(bytes: Buffer): void {
    const length = Math.min(bytes.length, PREFACE.length);
    if (!bytes.subarray(0, length).equals(PREFACE.subarray(0, length))) this.giveWay(bytes);
    else if (length === PREFACE.length) {
      const { transport } = this;
      this.#onHttp2(bytes, (user) => {
        transport.user = user;
        return transport;
      });
    }
  }
}

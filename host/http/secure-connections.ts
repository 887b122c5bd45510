// The connections of a server over TLS: a handshake first, then HTTP over what is decrypted.
//
//   file --> transport --> PendingConnection: handshake --secure--> HttpConnection over a TlsTransport
//                                                  \--failed: closed
//
// Next: host/tls/terminator.ts.

import type { TLSSocket } from 'node:tls';
import type { NetAddress } from '../hosts/host.js';
import type { Transport, TransportUser } from '../shard/transport.js';
import { TlsInfo } from '../tls/info.js';
import type { TlsServerOptions } from '../tls/options.js';
import { type Handshake, TlsTerminator } from '../tls/terminator.js';
import { TlsTransport } from '../tls/tls-transport.js';
import { TransportStream } from '../tls/transport-stream.js';
import { HttpConnection } from './connection.js';
import { type ConnectionServer, FIRST_REQUEST_NS, type ServedConnection } from './connection-server.js';
import { Http2Connection, type Http2Sessions } from './http2-connection.js';

/** Opens the transport of a connection, whose user is the encrypted stream. */
type OpenTransport = (user: TransportUser) => Transport;

/** The server, as far as its pending connections use it. */
export interface SecureServer extends ConnectionServer {
  /** Undefined: it does not speak HTTP/2. */
  readonly http2: Http2Sessions | undefined;
  /** It takes no more requests, but the first one of each client. */
  readonly isLast: boolean;
}

export class SecureConnections {
  readonly terminator: TlsTerminator;
  readonly #server: SecureServer;

  constructor(server: SecureServer, options: TlsServerOptions) {
    this.#server = server;
    const alpn = server.http2 === undefined ? ['http/1.1'] : ['h2', 'http/1.1'];
    this.terminator = new TlsTerminator(options, (error) => server.report(error), alpn);
  }

  /** `parser`: as of HttpConnection. */
  open(parser: number, open: OpenTransport): ServedConnection {
    return new PendingConnection(this.#server, this.terminator, parser, open);
  }
}

class PendingConnection implements ServedConnection {
  readonly #server: SecureServer;
  readonly #parser: number;
  readonly #handshake: Handshake<TransportStream>;

  constructor(server: SecureServer, terminator: TlsTerminator, parser: number, open: OpenTransport) {
    this.#server = server;
    this.#parser = parser;
    this.#handshake = terminator.accept((own) => new TransportStream(server.shard, own, open), {
      onSecure: (socket, stream) => this.#onSecure(socket, stream),
      onFailed: () => server.forget(this),
    });
  }

  get remote(): NetAddress | undefined {
    return this.#handshake.stream.transport.remote;
  }

  #onSecure(socket: TLSSocket, stream: TransportStream): void {
    const server = this.#server;
    const connection = this.#connectionOver(socket, stream);
    server.replace(this, connection);
    if (server.draining) connection.drain();
    if (server.isLast) connection.closeIdle();
  }

  #connectionOver(socket: TLSSocket, stream: TransportStream): ServedConnection {
    const server = this.#server;
    if (socket.alpnProtocol === 'h2' && server.http2 !== undefined) {
      return new Http2Connection(server, server.http2, socket, stream, new TlsInfo(socket));
    }
    return new HttpConnection(server, this.#parser, (user) => new TlsTransport(server.shard, socket, stream, user));
  }

  drain(): void {}

  unhold(): void {}

  closeIdle(): void {
    this.#handshake.stream.setDeadline(FIRST_REQUEST_NS);
  }

  destroy(): void {
    this.#handshake.destroy();
  }
}

// The connections of a server over TLS: a handshake first, then HTTP over what is decrypted.
//
//   file --> transport --> PendingConnection:   handshake by node:tls   --> HttpConnection over a TlsTransport
//                      \-> PendingRecords:      handshake by the addon  --> HttpConnection over a RecordTransport
//
// Next: host/tls/terminators.ts.

import type { TLSSocket } from 'node:tls';
import type { NetAddress } from '../hosts/host.js';
import type { Transport, TransportUser } from '../shard/transport.js';
import { NodeTlsInfo } from '../tls/info.js';
import type { TlsServerOptions } from '../tls/options.js';
import { recordEngine } from '../tls/record-engine.js';
import { type RecordHandshake, RecordTerminator } from '../tls/record-terminator.js';
import type { RecordTransport } from '../tls/record-transport.js';
import type { Handshake, TlsTerminator } from '../tls/terminator.js';
import { Terminators } from '../tls/terminators.js';
import { TlsTransport } from '../tls/tls-transport.js';
import { NO_RAW_USER, TransportStream } from '../tls/transport-stream.js';
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
  readonly #server: SecureServer;
  readonly #terminators: Terminators;

  constructor(server: SecureServer, options: TlsServerOptions) {
    const alpn = options.alpn ?? (server.http2 === undefined ? ['http/1.1'] : ['h2', 'http/1.1']);
    this.#server = server;
    const report = (error: unknown) => server.report(error);
    this.#terminators = new Terminators(recordEngine(server.shard), { ...options, alpn }, report);
  }

  /** `parser`: as of HttpConnection. */
  open(parser: number, open: OpenTransport): ServedConnection {
    const { current } = this.#terminators;
    if (current instanceof RecordTerminator) return new PendingRecords(this.#server, current, parser, open);
    return new PendingConnection(this.#server, current, parser, open);
  }

  /** New connections have these certificates and keys. */
  setSecureContext(options: TlsServerOptions): void {
    this.#terminators.setSecureContext(options);
  }
}

/** A connection takes the place of its handshake. */
function enter(server: SecureServer, pending: ServedConnection, connection: ServedConnection): void {
  server.replace(pending, connection);
  if (server.draining) connection.drain();
  if (server.isLast) connection.closeIdle();
}

class PendingRecords implements ServedConnection {
  readonly #server: SecureServer;
  readonly #parser: number;
  readonly #handshake: RecordHandshake;

  constructor(server: SecureServer, terminator: RecordTerminator, parser: number, open: OpenTransport) {
    this.#server = server;
    this.#parser = parser;
    this.#handshake = terminator.accept(server.shard, open, {
      onSecure: (transport) => enter(server, this, this.#connectionOver(transport)),
      onFailed: () => server.forget(this),
    });
  }

  get remote(): NetAddress | undefined {
    return this.#handshake.transport.remote;
  }

  #connectionOver(transport: RecordTransport): ServedConnection {
    const server = this.#server;
    const use = (user: TransportUser) => {
      transport.user = user;
      return transport;
    };
    if (transport.tls.alpnProtocol === 'h2' && server.http2 !== undefined) {
      const stream = new TransportStream(server.shard, NO_RAW_USER, use);
      return new Http2Connection(server, server.http2, stream, stream, transport.tls);
    }
    return new HttpConnection(server, this.#parser, use);
  }

  drain(): void {}

  unhold(): void {}

  closeIdle(): void {
    this.#handshake.transport.setDeadline(FIRST_REQUEST_NS);
  }

  destroy(): void {
    this.#handshake.destroy();
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
      onSecure: (socket, stream) => enter(server, this, this.#connectionOver(socket, stream)),
      onFailed: () => server.forget(this),
    });
  }

  get remote(): NetAddress | undefined {
    return this.#handshake.stream.transport.remote;
  }

  #connectionOver(socket: TLSSocket, stream: TransportStream): ServedConnection {
    const server = this.#server;
    if (socket.alpnProtocol === 'h2' && server.http2 !== undefined) {
      return new Http2Connection(server, server.http2, socket, stream, new NodeTlsInfo(socket));
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

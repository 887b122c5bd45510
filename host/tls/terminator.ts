// The server's side of TLS by node:tls: handshakes over transports of this shard.
//
//   accept(): transport --first bytes, in turn--> handshake --secureConnection--> onSecure(socket, stream)
//                                   \--failed, too slow, one too many--> closed, onFailed()
//
// A `tls.Server` that never listens has the context, and makes the sockets. It emits its events on the object that
// 'connection' was emitted on. So each handshake emits on an object of its own, which knows its connection.
//
// Next: tls-transport.ts.

import { constants } from 'node:crypto';
import { createServer, type SecureContext, type Server, type TLSSocket, type TlsOptions } from 'node:tls';
import type { FeatherstarError } from '../base/errors.js';
import { type HandshakeLimits, handshakeError, handshakeTimeout, type OpenHandshake } from './handshake-limits.js';
import {
  contextOf,
  contextOptions,
  HANDSHAKE_MAX_MS,
  hasTickets,
  sessionContext,
  sessionSeconds,
  type TlsServerOptions,
  ticketKeys,
  tlsError,
} from './options.js';
import { Sni } from './sni.js';
import type { RawStream, RawStreamUser } from './transport-stream.js';

/** Makes the encrypted side of a connection. */
export type OpenRawStream<S extends RawStream> = (user: RawStreamUser) => S;

/** The receiver of a connection after its handshake, or of its failure. */
export interface HandshakeUser<S extends RawStream> {
  onSecure(socket: TLSSocket, stream: S): void;
  /** It is closed. */
  onFailed(error: FeatherstarError): void;
}

export class TlsTerminator {
  readonly limits: HandshakeLimits;
  readonly #server: Server;

  /** Throws TLS. `report` gets errors of the function `sni`. */
  constructor(options: TlsServerOptions, limits: HandshakeLimits, report: (error: unknown) => void) {
    this.limits = limits;
    this.#server = createServer(serverOptions(options, new Sni(options, contextOf, report)));
    this.#server.setTicketKeys(Buffer.from(ticketKeys(options)));
  }

  /** Begins a handshake. destroy() of what it returns ends it. */
  accept<S extends RawStream>(open: OpenRawStream<S>, user: HandshakeUser<S>): Handshake<S> {
    const handshake = new Handshake(this.limits, open, user);
    this.limits.add(handshake);
    handshake.stream.setDeadline(this.limits.timeoutNs);
    handshake.begin(this.#server);
    return handshake;
  }
}

/** One connection until it is secure. */
export class Handshake<S extends RawStream> implements RawStreamUser, OpenHandshake {
  readonly stream: S;
  readonly #limits: HandshakeLimits;
  readonly #user: HandshakeUser<S>;
  #isOver = false;

  constructor(limits: HandshakeLimits, open: OpenRawStream<S>, user: HandshakeUser<S>) {
    this.#limits = limits;
    this.#user = user;
    this.stream = open(this);
  }

  toString(): string {
    return 'handshake';
  }

  begin(server: Server): void {
    const own = Object.create(server) as Server;
    own.emit = (event: string, ...args: unknown[]): boolean => {
      if (event === 'secureConnection') this.#succeed(args[0] as TLSSocket);
      else if (event === 'tlsClientError') this.fail(tlsError('a handshake failed', args[0]));
      else return server.emit(event, ...args);
      return true;
    };
    const [makeSocket] = server.listeners('connection');
    makeSocket?.call(own, this.stream);
  }

  #succeed(socket: TLSSocket): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#limits.remove(this);
    this.#user.onSecure(socket, this.stream);
  }

  /** Closes it. */
  fail(error: FeatherstarError): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#limits.remove(this);
    // An alert that says why may wait to be sent.
    this.stream.end(() => this.stream.destroy());
    this.#user.onFailed(error);
  }

  destroy(): void {
    this.fail(handshakeError('the server closes'));
    this.stream.destroy();
  }

  onFirstBytes(go: () => void): void {
    this.#limits.inTurn(go);
  }

  /** It cannot go on. */
  onRawEnd(): void {
    this.fail(handshakeError('the client has left'));
  }

  onDeadline(): void {
    if (this.#isOver) this.stream.destroy();
    else this.fail(handshakeTimeout());
  }

  onClosed(): void {
    this.fail(handshakeError('the client has left'));
  }
}

function serverOptions(options: TlsServerOptions, sni: Sni<SecureContext>): TlsOptions {
  const { requestCert = false, rejectUnauthorized = true, alpn } = options;
  const result: TlsOptions = {
    ...contextOptions(options),
    requestCert,
    rejectUnauthorized,
    honorCipherOrder: true,
    handshakeTimeout: HANDSHAKE_MAX_MS, // Node ends a handshake by itself, whatever the time that this one has
    sessionTimeout: sessionSeconds(options),
    sessionIdContext: sessionContext(options), // a session of one shard is resumed on another one
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION | (hasTickets(options) ? 0 : constants.SSL_OP_NO_TICKET),
    SNICallback: (name, done) => sni.find(name, done),
  };
  if (alpn !== undefined) result.ALPNProtocols = [...alpn];
  return result;
}

// The server's side of TLS by the addon: handshakes over transports of this shard.
//
//   accept(): transport --first bytes, in turn--> RecordHandshake --secure--> onSecure(transport)
//                                   \--failed, too slow, one too many--> closed, onFailed()
//
// Next: record-transport.ts.

import type { FeatherstarError } from '../base/errors.js';
import type { Shard } from '../shard/shard.js';
import type { Transport, TransportUser } from '../shard/transport.js';
import { type HandshakeLimits, handshakeError, handshakeTimeout, type OpenHandshake } from './handshake-limits.js';
import { needsCertificate, type TlsContextOptions, type TlsServerOptions } from './options.js';
import { recordContextOptions } from './record-context.js';
import { RecordConnection, type RecordContext, type RecordEngine } from './record-engine.js';
import { type HandshakeOwner, RecordTransport } from './record-transport.js';
import { Sni } from './sni.js';

/** The receiver of a connection after its handshake, or of its failure. */
export interface RecordUser {
  /** It puts a user of its own into the transport. */
  onSecure(transport: RecordTransport): void;
  /** It is closed, or soon will be. */
  onFailed(error: FeatherstarError): void;
}

export class RecordTerminator {
  readonly limits: HandshakeLimits;
  readonly needsCertificate: boolean;
  readonly sni: Sni<RecordContext>;
  readonly #engine: RecordEngine;
  readonly #context: RecordContext;
  readonly #asksForCertificate: boolean;

  /** Throws TLS. */
  constructor(engine: RecordEngine, options: TlsServerOptions, limits: HandshakeLimits) {
    const make = (of: TlsContextOptions) => engine.makeContext(recordContextOptions(of, options));
    this.limits = limits;
    this.needsCertificate = needsCertificate(options);
    this.#engine = engine;
    this.#context = make(options);
    this.#asksForCertificate = options.requestCert ?? false;
    this.sni = new Sni(options, make, () => {});
  }

  connect(): RecordConnection {
    return new RecordConnection(this.#engine, this.#context, this.#asksForCertificate);
  }

  /** Begins a handshake. destroy() of what it returns ends it. */
  accept(shard: Shard, open: (user: TransportUser) => Transport, user: RecordUser): RecordHandshake {
    const handshake = new RecordHandshake(shard, this, open, user);
    this.limits.add(handshake);
    handshake.transport.setDeadline(this.limits.timeoutNs);
    handshake.transport.receive();
    return handshake;
  }
}

/** One connection until it is secure. */
export class RecordHandshake implements HandshakeOwner, OpenHandshake {
  readonly mayReceive = true;
  readonly transport: RecordTransport;
  readonly #terminator: RecordTerminator;
  readonly #user: RecordUser;
  #isOver = false;

  constructor(shard: Shard, terminator: RecordTerminator, open: (user: TransportUser) => Transport, user: RecordUser) {
    this.#terminator = terminator;
    this.#user = user;
    this.transport = new RecordTransport(shard, terminator.connect(), this, open);
  }

  toString(): string {
    return 'handshake';
  }

  onFirstBytes(go: () => void): void {
    this.#terminator.limits.inTurn(go);
  }

  contextFor(servername: string): RecordContext | undefined {
    return this.#terminator.sni.listed(servername);
  }

  onSecure(): void {
    const { tls } = this.transport;
    if (this.#terminator.needsCertificate && !tls.isAuthorized) {
      this.#end(handshakeError(`the client's certificate is not accepted: ${tls.authorizationError}`));
      this.transport.finish();
    } else if (!this.#isOver) {
      this.#isOver = true;
      this.#terminator.limits.remove(this);
      this.#user.onSecure(this.transport);
    }
  }

  onRefused(reason: string): void {
    this.#end(handshakeError(reason));
  }

  /** Tells the user, and nothing more. */
  #end(error: FeatherstarError): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#terminator.limits.remove(this);
    this.#user.onFailed(error);
  }

  fail(error: FeatherstarError): void {
    this.#end(error);
    this.transport.destroy();
  }

  destroy(): void {
    this.fail(handshakeError('the server closes'));
  }

  onPeerEnd(): void {
    this.fail(handshakeError('the client has left'));
  }

  onDeadline(): void {
    this.fail(handshakeTimeout());
  }

  onClosed(): void {
    this.#end(handshakeError('the client has left'));
  }

  // --- what comes behind the handshake, for a client that was refused ------------------------------------------------

  onBuffer(_at: number, _end: number, buffer: number): void {
    this.transport.release(buffer);
  }

  onBytes(): void {}
  onPeerLeft(): void {}
  onSent(): void {}
}

// A socket over TLS with the interface of `tls.TLSSocket`, as a server has it when the handshake is over.
//
//   library <-- Duplex --> SecureSocket <-- RecordHandle --> the connection                          by the addon
//                                       <-- SecureHandle --> DecryptedSocket (net/) --> the same     by node:tls
//
// An end without close_notify is an end like any other, as in node:tls. HTTP says by itself how long a message is.

import { X509Certificate } from 'node:crypto';
import type { CipherNameAndProtocol, PeerCertificate } from 'node:tls';
import { FeatherstarError } from '../base/errors.js';
import type { Connection } from '../net/connection.js';
import type { DecryptedSocket } from '../net/decrypted-socket.js';
import type { TlsInfo } from '../tls/info.js';
import type { HandleUser } from './handle.js';
import { NodeSocket, type NodeSocketOptions } from './node-socket.js';
import { SocketHandle } from './socket-handle.js';

export class SecureHandle extends SocketHandle {
  readonly #below: Connection;

  constructor(socket: DecryptedSocket, below: Connection, user: HandleUser) {
    super(socket, user);
    socket.allowsCut = true;
    this.#below = below;
  }

  keepAlive(isOn: boolean, idleMs: number): void {
    this.#below.keepAlive(isOn, idleMs);
  }
}

export class SecureSocket extends NodeSocket {
  readonly encrypted = true;
  readonly authorized: boolean;
  readonly authorizationError: string | null;
  readonly alpnProtocol: string | false;
  readonly servername: string | false;
  readonly #tls: TlsInfo;

  constructor(options: NodeSocketOptions, tls: TlsInfo) {
    super(options);
    this.#tls = tls;
    this.authorized = tls.isAuthorized;
    this.authorizationError = tls.authorizationError ?? null;
    this.alpnProtocol = tls.alpnProtocol ?? false;
    this.servername = tls.servername ?? false;
  }

  /** A failure of the connection below is told as one of a plain socket: ECONNRESET. */
  override onBroken(error: unknown): void {
    const cause = FeatherstarError.is(error) ? error.cause : undefined;
    super.onBroken(FeatherstarError.is(cause) && cause.errnoName !== undefined ? cause : error);
  }

  getProtocol(): string | null {
    return this.#tls.protocol ?? null;
  }

  getCipher(): CipherNameAndProtocol | undefined {
    return this.#tls.cipherNames;
  }

  /** Without those that have signed it, whatever the argument. */
  getPeerCertificate(): PeerCertificate | Record<string, never> {
    return this.#tls.peerCertificate ?? {};
  }

  getPeerX509Certificate(): X509Certificate | undefined {
    const raw = this.#tls.peerCertificate?.raw;
    return raw && new X509Certificate(raw);
  }

  getSession(): Buffer | undefined {
    const { session } = this.#tls;
    return session && Buffer.from(session.buffer, session.byteOffset, session.byteLength);
  }

  isSessionReused(): boolean {
    return this.#tls.isResumed;
  }
}

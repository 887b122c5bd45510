// The facts about a connection over TLS, for handlers (`info.tls`).

import type { PeerCertificate, TLSSocket } from 'node:tls';

/** A connection over TLS. Its members ask OpenSSL when they are read. */
export class TlsInfo {
  readonly #socket: TLSSocket;

  /** @internal */
  constructor(socket: TLSSocket) {
    this.#socket = socket;
  }

  /** The version: 'TLSv1.3' or 'TLSv1.2'. Undefined when the connection is closed. */
  get protocol(): string | undefined {
    return this.#socket.getProtocol() ?? undefined;
  }

  /** The cipher, in the name of the standard: 'TLS_AES_256_GCM_SHA384'. Undefined when the connection is closed. */
  get cipher(): string | undefined {
    return this.#socket.getCipher()?.standardName;
  }

  /** The application protocol that both sides have agreed on, or undefined. */
  get alpnProtocol(): string | undefined {
    return this.#socket.alpnProtocol || undefined;
  }

  /** The name that the client has asked for, or undefined. */
  get servername(): string | undefined {
    const { servername } = this.#socket as TLSSocket & { servername?: string | false | null };
    return servername || undefined;
  }

  /** Whether the peer has a certificate that an authority of `ca` has signed. False if it was not asked for one. */
  get isAuthorized(): boolean {
    return this.#socket.authorized;
  }

  /** Why the peer's certificate is not accepted, such as 'CERT_HAS_EXPIRED'. Undefined: it is, or was not asked for. */
  get authorizationError(): string | undefined {
    const error = this.#socket.authorizationError as Error | string | null | undefined;
    return error === null || error === undefined ? undefined : String(error);
  }

  /** The peer's certificate, in node:tls's form; undefined: it has sent none, or the connection is closed. */
  get peerCertificate(): PeerCertificate | undefined {
    const certificate = this.#socket.getPeerCertificate();
    return certificate === null || Object.keys(certificate).length === 0 ? undefined : certificate;
  }

  /** Whether an earlier session was resumed, so that no certificate was sent. */
  get isResumed(): boolean {
    return this.#socket.isSessionReused();
  }

  /** The session, for `session` of another connect() to the same server. With TLS 1.3 it comes behind the handshake. */
  get session(): Uint8Array | undefined {
    return this.#socket.getSession();
  }
}

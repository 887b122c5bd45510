// The facts about a connection over TLS, for handlers (`info.tls`).
//
// Next: terminators.ts.

import type { CipherNameAndProtocol, PeerCertificate, TLSSocket } from 'node:tls';
import { labelled } from './client-context.js';

/** A connection over TLS. Its members ask OpenSSL when they are read. */
export interface TlsInfo {
  /** The part that encrypts: the addon, or node:tls, which takes more processor time. */
  readonly engine: 'addon' | 'node:tls';
  /** The version: 'TLSv1.3' or 'TLSv1.2'. Undefined when the connection is closed. */
  readonly protocol: string | undefined;
  /** The cipher, in the name of the standard: 'TLS_AES_256_GCM_SHA384'. Undefined when the connection is closed. */
  readonly cipher: string | undefined;
  /** @internal The cipher in the form of node:tls. */
  readonly cipherNames: CipherNameAndProtocol | undefined;
  /** The application protocol that both sides have agreed on, or undefined. */
  readonly alpnProtocol: string | undefined;
  /** The name that the client has asked for, or undefined. */
  readonly servername: string | undefined;
  /** Whether the peer has a certificate that an authority of `ca` has signed. False if it was not asked for one. */
  readonly isAuthorized: boolean;
  /** Why the peer's certificate is not accepted, such as 'CERT_HAS_EXPIRED'. Undefined: it is, or was not asked for. */
  readonly authorizationError: string | undefined;
  /** The peer's certificate, in node:tls's form; undefined: it has sent none, or the connection is closed. */
  readonly peerCertificate: PeerCertificate | undefined;
  /** Whether an earlier session was resumed, so that no certificate was sent. */
  readonly isResumed: boolean;
  /** The session, for `session` of another connect() to the same server. With TLS 1.3 it comes behind the handshake. */
  readonly session: Uint8Array | undefined;
}

/** A connection over node:tls. */
export class NodeTlsInfo implements TlsInfo {
  readonly engine = 'node:tls';
  readonly #socket: TLSSocket;
  readonly #label: Uint8Array | undefined;

  /** `label`: that of its sessions, if it is a client. */
  constructor(socket: TLSSocket, label?: Uint8Array) {
    this.#socket = socket;
    this.#label = label;
  }

  get protocol(): string | undefined {
    return this.#socket.getProtocol() ?? undefined;
  }

  get cipher(): string | undefined {
    return this.cipherNames?.standardName;
  }

  get cipherNames(): CipherNameAndProtocol | undefined {
    return this.#socket.getCipher();
  }

  get alpnProtocol(): string | undefined {
    return this.#socket.alpnProtocol || undefined;
  }

  get servername(): string | undefined {
    const { servername } = this.#socket as TLSSocket & { servername?: string | false | null };
    return servername || undefined;
  }

  get isAuthorized(): boolean {
    return this.#socket.authorized && !this.#hasNoCertificate;
  }

  /**
   * node:tls takes a client of TLS 1.3 for authorized if its session is resumed and its first connection had no
   * certificate. Deno does so with each client that was not asked for one.
   */
  get #hasNoCertificate(): boolean {
    return this.peerCertificate === undefined;
  }

  get authorizationError(): string | undefined {
    if (this.#socket.authorized && this.isResumed && this.#hasNoCertificate) return 'UNABLE_TO_GET_ISSUER_CERT';
    const error = this.#socket.authorizationError as Error | string | null | undefined;
    return error === null || error === undefined ? undefined : String(error);
  }

  get peerCertificate(): PeerCertificate | undefined {
    const certificate = this.#socket.getPeerCertificate();
    return certificate === null || Object.keys(certificate).length === 0 ? undefined : certificate;
  }

  get isResumed(): boolean {
    return this.#socket.isSessionReused();
  }

  get session(): Uint8Array | undefined {
    return labelled(this.#socket.getSession(), this.#label);
  }
}

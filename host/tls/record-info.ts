// The facts about a connection over TLS that the addon knows (`info.tls`).
//
// Next: record-engine.ts.

import { X509Certificate } from 'node:crypto';
import nodeTls, { type CipherNameAndProtocol, type PeerCertificate } from 'node:tls';
import { labelled } from './client-context.js';
import type { TlsInfo } from './info.js';
import type { RecordConnection } from './record-engine.js';

const VERIFIED = 0;
const NO_CERTIFICATE = 2; // X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, as node:tls has it

/** The names that node:tls has for OpenSSL's numbers. */
const VERIFY_ERRORS: Readonly<Record<number, string>> = {
  2: 'UNABLE_TO_GET_ISSUER_CERT',
  4: 'UNABLE_TO_DECRYPT_CERT_SIGNATURE',
  6: 'UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY',
  7: 'CERT_SIGNATURE_FAILURE',
  9: 'CERT_NOT_YET_VALID',
  10: 'CERT_HAS_EXPIRED',
  13: 'ERROR_IN_CERT_NOT_BEFORE_FIELD',
  14: 'ERROR_IN_CERT_NOT_AFTER_FIELD',
  17: 'OUT_OF_MEM',
  18: 'DEPTH_ZERO_SELF_SIGNED_CERT',
  19: 'SELF_SIGNED_CERT_IN_CHAIN',
  20: 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  21: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  22: 'CERT_CHAIN_TOO_LONG',
  24: 'INVALID_CA',
  25: 'PATH_LENGTH_EXCEEDED',
  26: 'INVALID_PURPOSE',
  27: 'CERT_UNTRUSTED',
  28: 'CERT_REJECTED',
};

export class RecordInfo implements TlsInfo {
  readonly engine = 'addon';
  readonly #connection: RecordConnection;
  readonly #label: Uint8Array | undefined;
  #nameError: string | undefined; // the certificate is one of another server

  /** `label`: that of its sessions, if it is a client. */
  constructor(connection: RecordConnection, label?: Uint8Array) {
    this.#connection = connection;
    this.#label = label;
  }

  /**
   * Of a client, when the handshake is over: why the server is not the one of this name, in the form of node:tls.
   * Undefined: it is. Unlike node:tls, it checks the name even if a session was resumed.
   */
  checkServer(name: string): Error | undefined {
    const code = this.authorizationError;
    if (code !== undefined) return Object.assign(new Error(this.#connection.describe()?.verifyText), { code });
    const error = nodeTls.checkServerIdentity(name, this.peerCertificate as PeerCertificate) as NodeJS.ErrnoException;
    this.#nameError = error && (error.code ?? error.message);
    return error;
  }

  get protocol(): string | undefined {
    return this.#connection.describe()?.protocol;
  }

  get cipher(): string | undefined {
    return this.cipherNames?.standardName;
  }

  get cipherNames(): CipherNameAndProtocol | undefined {
    return this.#connection.describe()?.cipher;
  }

  get alpnProtocol(): string | undefined {
    return this.#connection.describe()?.alpnProtocol;
  }

  get servername(): string | undefined {
    return this.#connection.describe()?.servername;
  }

  get isAuthorized(): boolean {
    return this.#connection.asksForCertificate && this.authorizationError === undefined;
  }

  get authorizationError(): string | undefined {
    const result = this.#connection.asksForCertificate ? this.#verifyResult() : VERIFIED;
    return result === VERIFIED ? this.#nameError : (VERIFY_ERRORS[result] ?? 'UNSPECIFIED');
  }

  /** OpenSSL takes an absent certificate for a good one. */
  #verifyResult(): number {
    const result = this.#connection.describe()?.verifyResult;
    if (result === undefined || (result === VERIFIED && this.#connection.certificate === undefined)) {
      return NO_CERTIFICATE;
    }
    return result;
  }

  get peerCertificate(): PeerCertificate | undefined {
    const der = this.#connection.certificate;
    return der && (new X509Certificate(der).toLegacyObject() as PeerCertificate);
  }

  get isResumed(): boolean {
    return this.#connection.describe()?.isResumed ?? false;
  }

  get session(): Uint8Array | undefined {
    return labelled(this.#connection.session, this.#label);
  }
}

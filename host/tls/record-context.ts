// The options of TLS, as the addon takes them: keys and certificates in DER, and lists in OpenSSL's form. Errors in the
// options are known by then: node:tls has read the same ones before (options.ts).
//
// Next: record-engine.ts.

import { createPrivateKey, hkdfSync, type KeyObject, X509Certificate } from 'node:crypto';
import type { SecureVersion } from 'node:tls';
import { defaultAuthorities } from './authorities.js';
import {
  filesOf,
  hasTickets,
  needsCertificate,
  sessionContext,
  sessionSeconds,
  type TlsClientOptions,
  type TlsContextOptions,
  type TlsFile,
  type TlsServerOptions,
  ticketKeys,
  type WithDefaults,
  withDefaults,
} from './options.js';

/** The argument of the addon's makeContext() (host/native/tls_context.c). */
export interface RecordContextOptions {
  readonly isClient: boolean;
  /** In DER: the own certificate first, then those that have signed it. */
  readonly chains: readonly (readonly Uint8Array[])[];
  /** In DER, PKCS #8. */
  readonly keys: readonly Uint8Array[];
  /** In DER. */
  readonly authorities: readonly Uint8Array[];
  readonly ciphers: string | undefined;
  readonly suites: string | undefined;
  readonly groups: string | undefined;
  readonly signatures: string | undefined;
  readonly minVersion: number;
  readonly maxVersion: number;
  /** In the form of the TLS extension. An empty array: no protocols. */
  readonly alpn: Uint8Array;
}

/** That of a server. */
interface RecordServerOptions extends RecordContextOptions {
  readonly sessionSeconds: number;
  readonly ticketKeys: Uint8Array;
  readonly requestCert: boolean;
  /** Whether a client without a certificate is refused. */
  readonly needsCert: boolean;
  /** Sessions of another context are not resumed. */
  readonly sessionContext: Uint8Array;
  readonly hasTickets: boolean;
  /** Whether a handshake stops for the name that the client asks for. */
  readonly asksForName: boolean;
}

/** OpenSSL's numbers. The first two may be Node's highest version. Then no version is left, as with node:tls. */
const VERSIONS: Readonly<Record<SecureVersion, number>> = {
  TLSv1: 0x0301,
  'TLSv1.1': 0x0302,
  'TLSv1.2': 0x0303,
  'TLSv1.3': 0x0304,
};
const TICKET_KEY_BYTES = 80; // of OpenSSL: a name, a key for HMAC, a key for AES
const CHAIN_BYTES = 65_536; // so many fit into the engine's output, with the rest of a handshake
const CERTIFICATE = /-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----[^-]+-----END (?:X509 |TRUSTED )?CERTIFICATE-----/g;
const TRUSTED = /-----BEGIN TRUSTED CERTIFICATE-----/;

/** Why the addon cannot do TLS for a server with these options. Undefined: it can. */
export function whyNoRecords(options: TlsServerOptions): string | undefined {
  if (typeof options.sni === 'function') return 'sni is a function';
  if (options.requestCert && options.ca === undefined) return 'requestCert has no ca';
  for (const one of [options, ...Object.values(options.sni ?? {})]) {
    const obstacle = obstacleOf(one);
    if (obstacle !== undefined) return obstacle;
  }
  return undefined;
}

/** Why the addon cannot do TLS for a client with these options. Undefined: it can. */
export function whyNoClientRecords(options: TlsClientOptions): string | undefined {
  if (options.ca === undefined && defaultAuthorities() === undefined)
    return 'ca is not given, and Node does not list all authorities that it trusts';
  // With a security level OpenSSL may accept a short key for Diffie-Hellman. Node refuses it by itself.
  if (cipherNames(withDefaults(options)).some((name) => name.startsWith('@'))) return 'ciphers has a security level';
  return obstacleOf(options);
}

function obstacleOf(options: TlsContextOptions): string | undefined {
  const { ca, cert, crl, key, passphrase, pfx } = options;
  const { ciphers, maxVersion } = withDefaults(options);
  if (pfx !== undefined) return 'pfx is given';
  if (crl !== undefined) return 'crl is given';
  if (maxVersion === 'TLSv1.2' && cipherLists({ ciphers }).ciphers === undefined)
    return `maxVersion is 'TLSv1.2', and ciphers must have one of that version, got ${JSON.stringify(ciphers)}`;
  if (filesOf(ca).some((file) => TRUSTED.test(pemText(file))))
    return 'ca has a TRUSTED CERTIFICATE, which says what it is trusted for';
  if (![ca, cert].every(isReadable)) return 'a certificate has an unusual form';
  if (chainsOf(cert).some((chain) => chainBytes(chain) > CHAIN_BYTES)) return 'a certificate chain is very long';
  if (filesOf(key).some((one) => readKey(one, passphrase) === undefined)) return 'a key has an unusual form';
  return undefined;
}

/** The options of a client, for the addon. It has no obstacle. */
export function recordClientOptions(options: TlsClientOptions): RecordContextOptions {
  const authorities = options.ca === undefined ? defaultAuthorities() : chainsOf(options.ca).flat();
  return { ...commonOptions(withDefaults(options), authorities ?? [], options.alpn), isClient: true };
}

/** `server`: the options that are of no context. */
export function recordContextOptions(options: TlsContextOptions, server: TlsServerOptions): RecordServerOptions {
  return {
    ...commonOptions(withDefaults(options), chainsOf(options.ca).flat(), server.alpn),
    isClient: false,
    sessionSeconds: sessionSeconds(server),
    ticketKeys: new Uint8Array(hkdfSync('sha256', ticketKeys(server), '', 'featherstar tickets', TICKET_KEY_BYTES)),
    requestCert: server.requestCert ?? false,
    needsCert: needsCertificate(server),
    sessionContext: Buffer.from(sessionContext(server)),
    hasTickets: hasTickets(server),
    asksForName: server.sni !== undefined,
  };
}

function commonOptions(
  options: WithDefaults<TlsContextOptions>,
  authorities: readonly Uint8Array[],
  alpn: readonly string[] = [],
) {
  const { ecdhCurve } = options;
  const { ciphers, suites } = cipherLists(options);
  return {
    chains: chainsOf(options.cert),
    keys: filesOf(options.key).flatMap((key) => {
      const read = readKey(key, options.passphrase);
      return read === undefined ? [] : [read.export({ type: 'pkcs8', format: 'der' })];
    }),
    authorities,
    ciphers,
    suites,
    groups: ecdhCurve === 'auto' ? undefined : ecdhCurve,
    signatures: options.sigalgs,
    minVersion: VERSIONS[ciphers === undefined ? 'TLSv1.3' : options.minVersion],
    maxVersion: VERSIONS[options.maxVersion],
    alpn: Buffer.concat(alpn.flatMap((name) => [Buffer.of(Buffer.byteLength(name)), Buffer.from(name)])),
  };
}

function cipherNames({ ciphers }: { readonly ciphers: string }): string[] {
  return ciphers.split(':').filter((name) => name !== '');
}

/** TLS 1.3 has a list of its own. Without a cipher of TLS 1.2 that version is not spoken, as in node:tls. */
function cipherLists(options: { readonly ciphers: string }) {
  const names = cipherNames(options);
  const isSuite = (name: string) => /^!?TLS_/.test(name);
  return {
    ciphers: names.filter((name) => !isSuite(name)).join(':') || undefined,
    suites: names.filter(isSuite).join(':') || undefined,
  };
}

function pemText(file: string | Uint8Array): string {
  return typeof file === 'string' ? file : Buffer.from(file).toString('latin1');
}

/** The certificates of each file. */
function chainsOf(file: TlsFile | undefined): Uint8Array[][] {
  return filesOf(file).map((one) => (pemText(one).match(CERTIFICATE) ?? []).map((pem) => new X509Certificate(pem).raw));
}

/** Whether node:crypto can read the certificates. node:tls leaves out those that cannot be read. */
function isReadable(file: TlsFile | undefined): boolean {
  try {
    chainsOf(file);
    return true;
  } catch {
    return false;
  }
}

function chainBytes(chain: readonly Uint8Array[]): number {
  return chain.reduce((sum, { length }) => sum + length, 0);
}

/** Undefined: node:crypto cannot read it. node:tls, which has read it before, can do more. */
function readKey(key: string | Uint8Array, passphrase: string | undefined): KeyObject | undefined {
  const pem = typeof key === 'string' ? key : Buffer.from(key);
  try {
    return createPrivateKey({ key: pem, ...(passphrase === undefined ? {} : { passphrase }) });
  } catch {
    return undefined;
  }
}

// The options of TLS, as the addon takes them: keys and certificates in DER, and lists in OpenSSL's form. Errors in the
// options are known by then: node:tls has read the same ones before (options.ts).
//
// Next: record-engine.ts.

import { createPrivateKey, hkdfSync, type KeyObject, X509Certificate } from 'node:crypto';
import { DEFAULT_CIPHERS, DEFAULT_ECDH_CURVE } from 'node:tls';
import {
  filesOf,
  hasTickets,
  needsCertificate,
  sessionContext,
  sessionSeconds,
  type TlsContextOptions,
  type TlsFile,
  type TlsServerOptions,
  type TlsVersion,
  ticketKeys,
} from './options.js';

/** The argument of the addon's makeContext() (host/native/tls_context.c). */
export interface RecordContextOptions {
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
  readonly sessionSeconds: number;
  readonly ticketKeys: Uint8Array;
  /** In the form of the TLS extension. An empty array: no protocols. */
  readonly alpn: Uint8Array;
  readonly requestCert: boolean;
  /** Whether a client without a certificate is refused. */
  readonly needsCert: boolean;
  /** Sessions of another context are not resumed. */
  readonly sessionContext: Uint8Array;
  readonly hasTickets: boolean;
  /** Whether a handshake stops for the name that the client asks for. */
  readonly asksForName: boolean;
}

const VERSIONS: Readonly<Record<TlsVersion, number>> = { 'TLSv1.2': 0x0303, 'TLSv1.3': 0x0304 };
const TICKET_KEY_BYTES = 80; // of OpenSSL: a name, a key for HMAC, a key for AES
const CHAIN_BYTES = 65_536; // so many fit into the engine's output, with the rest of a handshake
const CERTIFICATE = /-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----[^-]+-----END (?:X509 |TRUSTED )?CERTIFICATE-----/g;

/** Why the addon cannot do TLS with these options. Undefined: it can. */
export function whyNoRecords(options: TlsServerOptions): string | undefined {
  if (typeof options.sni === 'function') return 'sni is a function';
  if (options.requestCert && options.ca === undefined) return 'requestCert has no ca';
  for (const one of [options, ...Object.values(options.sni ?? {})]) {
    if (one.pfx !== undefined) return 'pfx is given';
    if (one.crl !== undefined) return 'crl is given';
    if (one.maxVersion === 'TLSv1.2' && cipherLists(one).ciphers === undefined) return 'no cipher is of TLS 1.2';
    if (chainsOf(one.cert).some((chain) => chainBytes(chain) > CHAIN_BYTES)) return 'a certificate chain is very long';
    if (filesOf(one.key).some((key) => readKey(key, one.passphrase) === undefined)) return 'a key has an unusual form';
  }
  return undefined;
}

/** `server`: the options that are of no context. */
export function recordContextOptions(options: TlsContextOptions, server: TlsServerOptions): RecordContextOptions {
  const { ecdhCurve = DEFAULT_ECDH_CURVE } = options;
  const { ciphers, suites } = cipherLists(options);
  const alpn = server.alpn ?? [];
  return {
    chains: chainsOf(options.cert),
    keys: filesOf(options.key).flatMap((key) => {
      const read = readKey(key, options.passphrase);
      return read === undefined ? [] : [read.export({ type: 'pkcs8', format: 'der' })];
    }),
    authorities: chainsOf(options.ca).flat(),
    ciphers,
    suites,
    groups: ecdhCurve === 'auto' ? undefined : ecdhCurve,
    signatures: options.sigalgs,
    minVersion: VERSIONS[ciphers === undefined ? 'TLSv1.3' : (options.minVersion ?? 'TLSv1.2')],
    maxVersion: VERSIONS[options.maxVersion ?? 'TLSv1.3'],
    sessionSeconds: sessionSeconds(server),
    ticketKeys: new Uint8Array(hkdfSync('sha256', ticketKeys(server), '', 'featherstar tickets', TICKET_KEY_BYTES)),
    alpn: Buffer.concat(alpn.flatMap((name) => [Buffer.of(Buffer.byteLength(name)), Buffer.from(name)])),
    requestCert: server.requestCert ?? false,
    needsCert: needsCertificate(server),
    sessionContext: Buffer.from(sessionContext(server)),
    hasTickets: hasTickets(server),
    asksForName: server.sni !== undefined,
  };
}

/** TLS 1.3 has a list of its own. Without a cipher of TLS 1.2 that version is not spoken, as in node:tls. */
function cipherLists({ ciphers }: TlsContextOptions) {
  const names = (ciphers || DEFAULT_CIPHERS).split(':').filter((name) => name !== '');
  const isSuite = (name: string) => /^!?TLS_/.test(name);
  return {
    ciphers: names.filter((name) => !isSuite(name)).join(':') || undefined,
    suites: names.filter(isSuite).join(':') || undefined,
  };
}

/** The certificates of each file. */
function chainsOf(file: TlsFile | undefined): Uint8Array[][] {
  return filesOf(file).map((one) => {
    const text = typeof one === 'string' ? one : Buffer.from(one).toString('latin1');
    return (text.match(CERTIFICATE) ?? []).map((pem) => new X509Certificate(pem).raw);
  });
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

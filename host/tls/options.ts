// The options of TLS: `tls` of serve(), listen() and connect(). Most have the names and the meaning that they have in
// node:tls. They are checked before anything listens, also where the addon does the work.
//
//   { key, cert, ... } --checkTlsServer()--> contextOf(): node:tls reads keys and certificates, or TLS is thrown
//
// Keys stay in JavaScript's heap and in OpenSSL's. They are never in the memory that the shards share.
//
// Next: terminator.ts.

import { createHash, hkdfSync } from 'node:crypto';
import nodeTls, {
  createSecureContext,
  type SecureContext,
  type SecureContextOptions,
  type SecureVersion,
} from 'node:tls'; // programs may change its defaults
import { FeatherstarError, optionError } from '../base/errors.js';
import { type Checks, checkBoolean, checkOptions, checkString, integer, oneOf } from '../base/options.js';
import { processSecret } from '../base/secrets.js';

/** A key, a certificate or a list of them: the text of a PEM file, or its bytes. */
export type TlsFile = string | Uint8Array | readonly (string | Uint8Array)[];

/** A version of the protocol. */
export type TlsVersion = 'TLSv1.2' | 'TLSv1.3';

/** A key with its certificate, and the versions and ciphers of its connections. */
export interface TlsContextOptions {
  /** The private key, in PEM. Several for several kinds: RSA and ECDSA. */
  key?: TlsFile | undefined;
  /** The certificate chain, in PEM: the own certificate first. */
  cert?: TlsFile | undefined;
  /** The authorities that sign the peer's certificate, in PEM. Default: those of Node. */
  ca?: TlsFile | undefined;
  /** Key and certificate in one file (PKCS #12), instead of `key` and `cert`. */
  pfx?: Uint8Array | undefined;
  /** The password of `key` or `pfx`. */
  passphrase?: string | undefined;
  /** Certificates that are not valid any more, in PEM. */
  crl?: TlsFile | undefined;
  /** The least version. Default 'TLSv1.2', or 'TLSv1.3' if that is Node's (--tls-min-v1.3). */
  minVersion?: TlsVersion | undefined;
  /** The highest version. Default: that of Node, 'TLSv1.3' without --tls-max-v1.2. */
  maxVersion?: TlsVersion | undefined;
  /** Ciphers in OpenSSL's form. Default: Node's list. */
  ciphers?: string | undefined;
  /** Signature algorithms in OpenSSL's form. Default: OpenSSL's list. */
  sigalgs?: string | undefined;
  /** Curves in OpenSSL's form. Default: Node's, which are 'auto'. */
  ecdhCurve?: string | undefined;
}

/** Returns the certificate for a name, or undefined: the server's own. */
export type SniCallback = (
  servername: string,
) => TlsContextOptions | undefined | PromiseLike<TlsContextOptions | undefined>;

/** `tls` of `serve()` and `listen()`. */
export interface TlsServerOptions extends TlsContextOptions {
  /** The application protocols that the server speaks, the best first. Default of `serve()`: h2 and http/1.1. */
  alpn?: readonly string[] | undefined;
  /** Certificates by the name that a client asks for, such as `*.example.org`, or a function that returns one. */
  sni?: Readonly<Record<string, TlsContextOptions>> | SniCallback | undefined;
  /** Whether clients are asked for a certificate. Default false. */
  requestCert?: boolean | undefined;
  /** Whether a client without a certificate that `ca` has signed is refused, if one is asked for. Default true. */
  rejectUnauthorized?: boolean | undefined;
  /** The 48 bytes that encrypt session tickets, for servers that share them. Default: those of the process. */
  ticketKeys?: Uint8Array | undefined;
  /** How long a session may be resumed, from 1000 to 604,800,000 milliseconds. Default 300,000. */
  sessionTimeoutMs?: number | undefined;
  /** How long a handshake may take, from 1 to 600,000 milliseconds. Default 10,000. */
  handshakeTimeoutMs?: number | undefined;
  /** How many handshakes may be under way on a shard. Beyond that the oldest one is ended. Default 1024. */
  maxHandshakes?: number | undefined;
}

/** `tls` of `connect()`. */
export interface TlsClientOptions extends TlsContextOptions {
  /** The name that the server's certificate has to have, and that it is asked for. Default: the hostname. */
  servername?: string | undefined;
  /** The application protocols that the client speaks, the best first. Default: none. */
  alpn?: readonly string[] | undefined;
  /** Whether a server whose certificate is not valid is refused. Default true. */
  rejectUnauthorized?: boolean | undefined;
  /** The session of an earlier connection with the same options (`socket.tls.session`), to be resumed. */
  session?: Uint8Array | undefined;
}

const TICKET_KEY_BYTES = 48;
const SESSION_MS = 300_000;
const SESSION_CONTEXT_BYTES = 32; // OpenSSL has room for these
export const HANDSHAKE_MAX_MS = 600_000;
const HANDSHAKES_MAX = 1_048_576;
const SESSION_MAX_MS = 604_800_000; // RFC 8446 4.6.1
const ALPN_NAME_BYTES = 255;

function checkFile(name: string, value: unknown): void {
  const isFile = (one: unknown) => typeof one === 'string' || one instanceof Uint8Array;
  if (isFile(value) || (Array.isArray(value) && value.length !== 0 && value.every(isFile))) return;
  throw optionError(name, value, 'PEM as a string or bytes, or an array of them');
}

function checkBinary(name: string, value: unknown): void {
  if (!(value instanceof Uint8Array)) throw optionError(name, value, 'a Uint8Array');
}

function checkTicketKeys(name: string, value: unknown): void {
  if (value instanceof Uint8Array && value.length === TICKET_KEY_BYTES) return;
  throw optionError(name, value, `a Uint8Array of ${TICKET_KEY_BYTES} bytes`);
}

function checkAlpn(name: string, value: unknown): void {
  const isName = (one: unknown) => typeof one === 'string' && one !== '' && Buffer.byteLength(one) <= ALPN_NAME_BYTES;
  if (Array.isArray(value) && value.length !== 0 && value.every(isName)) return;
  throw optionError(name, value, `an array of names of 1 to ${ALPN_NAME_BYTES} bytes`);
}

function checkSni(name: string, value: unknown): void {
  if (typeof value === 'function') return;
  if (typeof value !== 'object' || value === null) throw optionError(name, value, 'an object or a function');
  for (const [host, options] of Object.entries(value)) {
    contextOf(checkOptions(options as TlsContextOptions, CONTEXT_CHECKS, `${name}[${JSON.stringify(host)}]`));
  }
}

const version = oneOf('TLSv1.2', 'TLSv1.3');

export const CONTEXT_CHECKS: Checks<TlsContextOptions> = {
  key: checkFile,
  cert: checkFile,
  ca: checkFile,
  pfx: checkBinary,
  passphrase: checkString,
  crl: checkFile,
  minVersion: version,
  maxVersion: version,
  ciphers: checkString,
  sigalgs: checkString,
  ecdhCurve: checkString,
};

const SERVER_CHECKS: Checks<TlsServerOptions> = {
  ...CONTEXT_CHECKS,
  alpn: checkAlpn,
  sni: checkSni,
  requestCert: checkBoolean,
  rejectUnauthorized: checkBoolean,
  ticketKeys: checkTicketKeys,
  sessionTimeoutMs: integer(1000, SESSION_MAX_MS),
  handshakeTimeoutMs: integer(1, HANDSHAKE_MAX_MS),
  maxHandshakes: integer(1, HANDSHAKES_MAX),
};

export const CLIENT_CHECKS: Checks<TlsClientOptions> = {
  ...CONTEXT_CHECKS,
  servername: checkString,
  alpn: checkAlpn,
  rejectUnauthorized: checkBoolean,
  session: checkBinary,
};

/** Throws HOST: Bun's `tls.Server` emits its events on itself, and does not tell which connection they are of. */
export function checkTlsHost(): void {
  if (!('Bun' in globalThis)) return;
  const text = "TLS of servers needs Node's own tls.Server, which Bun does not have";
  throw new FeatherstarError('FEATHERSTAR_HOST', text);
}

/** `tls` of a server: throws OPTION, and TLS for a key or a certificate that cannot be used. */
export function checkTlsServer(name: string, options: unknown): TlsServerOptions {
  const checked = checkOptions(options as TlsServerOptions, SERVER_CHECKS, name);
  if (checked.pfx === undefined && (checked.key === undefined || checked.cert === undefined)) {
    const missing = checked.key === undefined ? 'key' : 'cert';
    throw optionError(`${name}.${missing}`, undefined, 'given, as a server needs key and cert');
  }
  contextOf(checked);
  return checked;
}

/** The least version has no default below 1.2, whatever the flags of Node say. */
function minVersionOf({ minVersion }: TlsContextOptions): TlsVersion {
  return minVersion ?? (nodeTls.DEFAULT_MIN_VERSION === 'TLSv1.3' ? 'TLSv1.3' : 'TLSv1.2');
}

/** The options that make a context, in node:tls's form. */
export function contextOptions(options: TlsContextOptions): SecureContextOptions {
  const { key, cert, ca, pfx, passphrase, crl, maxVersion, ciphers, sigalgs, ecdhCurve } = options;
  const given = { key, cert, ca, pfx, passphrase, crl, maxVersion, ciphers, sigalgs, ecdhCurve };
  const defined = Object.entries(given).filter(([, value]) => value !== undefined);
  return { minVersion: minVersionOf(options), ...Object.fromEntries(defined) };
}

/** Options whose versions, ciphers and curves are those of node:tls where they are not given. */
export type WithDefaults<T extends TlsContextOptions> = Omit<T, 'maxVersion'> & {
  readonly minVersion: TlsVersion;
  readonly maxVersion: SecureVersion;
  readonly ciphers: string;
  readonly ecdhCurve: string;
};

export function withDefaults<T extends TlsContextOptions>(options: T): WithDefaults<T> {
  return {
    ...options,
    minVersion: minVersionOf(options),
    maxVersion: options.maxVersion ?? nodeTls.DEFAULT_MAX_VERSION,
    ciphers: options.ciphers || nodeTls.DEFAULT_CIPHERS,
    ecdhCurve: options.ecdhCurve ?? nodeTls.DEFAULT_ECDH_CURVE,
  };
}

/** Throws TLS for a key or a certificate that cannot be read, or that do not belong together. */
export function contextOf(options: TlsContextOptions): SecureContext {
  try {
    return createSecureContext(contextOptions(options));
  } catch (cause) {
    throw tlsError('key, certificate or cipher cannot be used', cause);
  }
}

/** The keys of session tickets. All shards of a process have the same ones. */
export function ticketKeys(options: TlsServerOptions): Uint8Array {
  if (options.ticketKeys !== undefined) return options.ticketKeys;
  return new Uint8Array(hkdfSync('sha256', processSecret(), '', 'featherstar session tickets', TICKET_KEY_BYTES));
}

export function sessionSeconds({ sessionTimeoutMs = SESSION_MS }: TlsServerOptions): number {
  return Math.floor(sessionTimeoutMs / 1000);
}

export function filesOf(file: TlsFile | undefined): readonly (string | Uint8Array)[] {
  if (file === undefined) return [];
  return typeof file === 'string' || file instanceof Uint8Array ? [file] : file;
}

/** Whether clients without a certificate that `ca` has signed are refused. */
export function needsCertificate({ requestCert = false, rejectUnauthorized = true }: TlsServerOptions): boolean {
  return requestCert && rejectUnauthorized;
}

/**
 * A session is resumed only where this text is the same. A session has the result of the check of the client's
 * certificate, which is not checked again. So servers with other authorities or rules have another text.
 */
export function sessionContext(options: TlsServerOptions): string {
  const { requestCert = false, ca, crl } = options;
  if (!requestCert) return 'featherstar';
  const hash = createHash('sha256').update(`${needsCertificate(options)};`);
  for (const files of [ca, crl].map(filesOf)) {
    hash.update(`${files.length};`);
    for (const file of files) hash.update(`${Buffer.byteLength(file)};`).update(file);
  }
  return hash.digest('base64url').slice(0, SESSION_CONTEXT_BYTES);
}

/**
 * Whether sessions may be resumed. OpenSSL resumes one for any name. So clients are checked each time if the names have
 * authorities of their own.
 */
export function hasTickets({ requestCert = false, sni = {} }: TlsServerOptions): boolean {
  if (!requestCert) return true;
  return typeof sni !== 'function' && Object.values(sni).every(({ ca, crl }) => ca === undefined && crl === undefined);
}

export function noTlsError(maker: string): FeatherstarError {
  return new FeatherstarError('FEATHERSTAR_STATE', `there is no TLS: give ${maker} the option tls`);
}

/** A failure of TLS: OpenSSL's own words and code are in the text. */
export function tlsError(what: string, cause: unknown): FeatherstarError {
  const { code, message, reason } = cause as { code?: string; message: string; reason?: string };
  const why = reason ?? message.replace(/\s+/g, ' ').trim();
  const text = code === undefined || why.includes(code) ? why : `${code}: ${why}`;
  return new FeatherstarError('FEATHERSTAR_TLS', `${what}: ${text}`, { cause });
}

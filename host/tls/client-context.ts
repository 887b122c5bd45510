// Client connections with the same options share what is made of them. Reading keys and certificates costs more than a
// handshake, so the last ones that were used are kept.
//
//   options --digest--> ClientContext   the addon's keys, certificates and authorities, made when they are first used
//                   \-> TlsClient       one connection
//
// A session holds the result of the check of a certificate, and resuming it checks nothing. OpenSSL and node:tls would
// resume one for another name, or for other authorities. A session given to the program ends with a label: the digest
// of the name and of the options. One with another label is not resumed, and the server sends its certificate again.
//
// Next: ../net/tls-connect.ts.

import { createHash } from 'node:crypto';
import { isIP } from 'node:net';
import { checkOptions } from '../base/options.js';
import { authoritiesDigest } from './authorities.js';
import { chooseEngine } from './engine-choice.js';
import {
  CLIENT_CHECKS,
  CONTEXT_CHECKS,
  contextOf,
  filesOf,
  type TlsClientOptions,
  type TlsFile,
  withDefaults,
} from './options.js';
import { recordClientOptions, whyNoClientRecords } from './record-context.js';
import { RecordConnection, type RecordContext, type RecordEngine } from './record-engine.js';

const CONTEXTS_MAX = 16; // of a thread; making one again costs time, and no more
const LABEL_BYTES = 32;
const SERVERNAME = /^[\x21-\x7e]{1,255}$/; // that OpenSSL takes as it is
const DIGESTED = Object.keys(CONTEXT_CHECKS) as (keyof typeof CONTEXT_CHECKS)[];

const contexts = new Map<string, ClientContext>(); // the last one that was used is at the end

/** `tls` of a client: throws OPTION. A TlsClient finds out whether keys and certificates can be used. */
export function checkTlsClient(name: string, options: unknown): TlsClientOptions {
  return checkOptions(options as TlsClientOptions, CLIENT_CHECKS, name);
}

/** Like checkTlsClient(), for a TlsClient that is made later: throws TLS for a key that cannot be used, too. */
export function checkTlsClientKeys(name: string, options: unknown): TlsClientOptions {
  const checked = checkTlsClient(name, options);
  contextFor(checked);
  return checked;
}

/** The last ones that were used are kept. Throws TLS. */
function contextFor(options: TlsClientOptions): ClientContext {
  const digest = digestOf(options);
  const context = contexts.get(digest) ?? new ClientContext(digest, options);
  contexts.delete(digest);
  contexts.set(digest, context);
  const [oldest] = contexts.keys();
  if (contexts.size > CONTEXTS_MAX && oldest !== undefined) contexts.delete(oldest);
  return context;
}

class ClientContext {
  readonly digest: string;
  #records: RecordContext | undefined;
  #obstacle: string | undefined;
  #isKnown = false; // whether there is an obstacle

  /** Throws TLS for keys and certificates that cannot be used. */
  constructor(digest: string, options: TlsClientOptions) {
    contextOf(options);
    this.digest = digest;
  }

  /** Why the addon cannot have these options, if it cannot. */
  whyNot(options: TlsClientOptions): string | undefined {
    if (!this.#isKnown) this.#obstacle = whyNoClientRecords(options);
    this.#isKnown = true;
    return this.#obstacle;
  }

  /** The addon's. There is no obstacle. */
  records(engine: RecordEngine, options: TlsClientOptions): RecordContext {
    this.#records ??= engine.makeContext(recordClientOptions(options));
    return this.#records;
  }
}

/** The client's side of one connection. Keys and authorities are read at once: programs may overwrite theirs. */
export class TlsClient {
  readonly options: TlsClientOptions;
  readonly hostname: string;
  /** The name that the server is asked for. An address is none: ''. */
  readonly servername: string;
  /** Of its sessions. */
  readonly label: Uint8Array;
  readonly mustBeTrusted: boolean;
  readonly #engine: RecordEngine | undefined; // undefined: node:tls has to do it
  readonly #records: RecordContext | undefined;

  /** `engine`: undefined without the addon; 'node:tls' for a user that has no other. Throws TLS, HOST and OPTION. */
  constructor(engine: RecordEngine | 'node:tls' | undefined, options: TlsClientOptions, hostname: string) {
    const isName = isIP(hostname) === 0 && !hostname.startsWith('unix:');
    this.options = options;
    this.hostname = hostname;
    this.servername = options.servername ?? (isName ? hostname : '');
    this.mustBeTrusted = options.rejectUnauthorized ?? true;
    const context = contextFor(options);
    const server = JSON.stringify([this.mustBeTrusted, this.servername, hostname]);
    this.label = createHash('sha256').update(context.digest).update(server).digest();
    const whyNot = () => this.#whyNoName() ?? context.whyNot(options);
    this.#engine = engine === 'node:tls' ? undefined : chooseEngine(engine, whyNot);
    this.#records = this.#engine && context.records(this.#engine, options);
  }

  #whyNoName(): string | undefined {
    const name = this.servername;
    if (name === '' || (SERVERNAME.test(name) && isIP(name) === 0)) return undefined;
    return `servername must be a name of ASCII characters, not an address, got ${JSON.stringify(name)}`;
  }

  /** The name or the address that the certificate must have. */
  get expectedName(): string {
    return this.servername || this.hostname;
  }

  /** That the program has given, if it may be resumed. */
  get session(): Uint8Array | undefined {
    const { session } = this.options;
    if (session === undefined || session.length < LABEL_BYTES) return undefined;
    const end = session.length - LABEL_BYTES;
    return Buffer.compare(session.subarray(end), this.label) === 0 ? session.subarray(0, end) : undefined;
  }

  /** A connection of the addon. Undefined: node:tls has to do it. */
  openRecords(): RecordConnection | undefined {
    if (this.#engine === undefined || this.#records === undefined) return undefined;
    const { servername, session } = this;
    return new RecordConnection(this.#engine, this.#records, true, { servername: servername || undefined, session });
  }
}

/** Programs may change the defaults of node:tls, so these count as options. */
function digestOf(given: TlsClientOptions): string {
  const options = withDefaults(given);
  const hash = createHash('sha256');
  const add = (name: string, file: TlsFile | undefined) => {
    const parts = filesOf(file);
    hash.update(`${name} ${parts.length};`);
    for (const part of parts) hash.update(`${Buffer.byteLength(part)};`).update(part);
  };
  for (const name of DIGESTED) add(name, options[name]);
  add('alpn', options.alpn);
  if (options.ca === undefined) hash.update(authoritiesDigest());
  return hash.digest('base64');
}

/** A session for the program. `label`: none for a server. */
export function labelled(session: Uint8Array | undefined, label: Uint8Array | undefined): Uint8Array | undefined {
  return session === undefined || label === undefined ? session : Buffer.concat([session, label]);
}

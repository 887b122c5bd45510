// TLS by the addon: OpenSSL, as it is in Node, called directly on the bytes of a connection.
//
//   RecordEngine       one for each shard: it has the array in which OpenSSL leaves the bytes that are to be sent
//   RecordConnection   a number in the addon's table, until close()
//
// Next: host/native/tls.c.

import type { CipherNameAndProtocol } from 'node:tls';
import { internalError } from '../base/errors.js';
import { ownCopy, uninitialized } from '../base/own-bytes.js';
import { perShard } from '../shard/per-shard.js';
import type { Shard } from '../shard/shard.js';
import { tlsError } from './options.js';
import type { RecordContextOptions } from './record-context.js';

// The addon's receive() returns one of these, or 0 if it waits for more bytes; and flags.
export const ENDED = 1; // the peer has sent close_notify
export const FAILED = 2;
const WANTS_NAME = 3;
const OUTCOMES = 7;
const SECURE = 8;
const HOLDS = 16;

const PLAIN = 0; // places in the results
const OUTPUT = 1;
const TAKEN = 2;
const RESULTS = 3;

const OUTPUT_BYTES = 131_072; // room for the longest chain of certificates, and for what a full receive buffer causes
const RECORD_BYTES = 16_384; // plain bytes at most
/** Of plain bytes that encrypt() gets at once, at most. */
export const PART_BYTES = 1_048_576;
const RECORD_OVERHEAD_BYTES = 128; // more than the head, nonce, padding and tag of a record of any cipher

const REPLY_BYTES = 16_384; // limit of unsent replies, about 600 key updates

/** Keys and certificates in OpenSSL's memory, until this is collected. */
export interface RecordContext {
  readonly isRecordContext?: true;
}

/** The certificate for a name. Undefined: that of the server. */
type ContextFor = (servername: string) => RecordContext | undefined;

export interface Description {
  readonly protocol?: string;
  readonly cipher?: CipherNameAndProtocol;
  readonly alpnProtocol?: string;
  readonly servername?: string;
  readonly verifyResult: number;
  readonly verifyText: string;
  readonly isResumed: boolean;
}

/** A client's wishes for its handshake. */
export interface ClientOpening {
  readonly servername: string | undefined;
  readonly session: Uint8Array | undefined;
}

/** host/native/tls.c. A connection is a number. */
export interface NativeTls {
  makeContext(options: RecordContextOptions, alike?: RecordContext): RecordContext | string;
  open(context: RecordContext, servername?: string, session?: Uint8Array): number;
  receive(connection: number, bytes: Uint8Array, at: number, end: number, target: Uint8Array | undefined): number;
  send(connection: number, bytes: Uint8Array, at: number, end: number, target: Uint8Array | undefined): number;
  end(connection: number): number;
  close(connection: number): void;
  useContext(connection: number, context: RecordContext | undefined): void;
  describe(connection: number): Description;
  certificate(connection: number): Uint8Array | undefined;
  session(connection: number): Uint8Array | undefined;
  recordBytes(connection: number): number;
  failure(): string;
}

/** Undefined: there is no OpenSSL that the addon can use. */
export type OpenNativeTls = (output: Uint8Array, results: Uint32Array) => NativeTls | undefined;

export class RecordEngine {
  readonly output: Buffer;
  readonly native: NativeTls;
  readonly results: Uint32Array;
  readonly #contexts = new WeakMap<readonly Uint8Array[], RecordContext>(); // the first one of an array of authorities
  #scratch = Buffer.alloc(0);

  private constructor(native: NativeTls, output: Buffer, results: Uint32Array) {
    this.native = native;
    this.output = output;
    this.results = results;
  }

  static open({ host }: Shard): RecordEngine | undefined {
    const output = Buffer.alloc(OUTPUT_BYTES);
    const results = new Uint32Array(RESULTS);
    const native = host.openTls?.(output, results);
    return native && new RecordEngine(native, output, results);
  }

  /** Clients with the same array of authorities share OpenSSL's copies of them. Throws TLS. */
  makeContext(options: RecordContextOptions): RecordContext {
    const { authorities } = options;
    const alike = this.#contexts.get(authorities);
    const made = this.native.makeContext(options, alike);
    if (typeof made === 'string') throw tlsError('key, certificate or cipher cannot be used', new Error(made));
    if (options.isClient && alike === undefined) this.#contexts.set(authorities, made);
    return made;
  }

  /** For the plain bytes of as many received ones, and of a record that has begun. */
  scratch(receivedBytes: number): Buffer {
    const bytes = receivedBytes + RECORD_BYTES;
    if (this.#scratch.length < bytes) this.#scratch = Buffer.allocUnsafeSlow(bytes);
    return this.#scratch;
  }
}

/** The engine of a shard. Undefined: its host has no OpenSSL to call. */
export const recordEngine = perShard(RecordEngine.open);

export class RecordConnection {
  /** Whether the handshake is over. */
  isSecure = false;
  /** Whether OpenSSL may have part of a record: then plain bytes may be more than the encrypted ones that come. */
  holds = true;
  readonly asksForCertificate: boolean;
  readonly #engine: RecordEngine;
  readonly #number: number;
  #isOpen = true;
  #sentRecordBytes = 0; // plain bytes at most; 0: OpenSSL was not asked
  readonly #replies: { bytes: number; end: number }[] = []; // of OpenSSL: those that wait to be sent
  #replyBytes = 0; // of all that wait

  /** `client`: the name that it asks for, and the session to be resumed, if there are any. Undefined: a server. */
  constructor(engine: RecordEngine, context: RecordContext, asksForCertificate: boolean, client?: ClientOpening) {
    this.asksForCertificate = asksForCertificate;
    this.#engine = engine;
    this.#number = engine.native.open(context, client?.servername, client?.session);
    if (this.#number < 0) throw internalError('OpenSSL has no memory for a connection');
  }

  /** Where send() without a target, and receive(), put what is to be sent. */
  get output(): Buffer {
    return this.#engine.output;
  }

  /** Of the last call. */
  get outputBytes(): number {
    return this.#engine.results[OUTPUT] as number;
  }

  /** Decrypted by the last receive(). */
  get plainBytes(): number {
    return this.#engine.results[PLAIN] as number;
  }

  /** Decrypts in place: it holds nothing. Returns ENDED, FAILED, or 0 if it waits for more bytes. */
  receiveInPlace(bytes: Uint8Array, at: number, end: number): number {
    return this.#receive(bytes, at, end);
  }

  /**
   * Decrypts an array, whose content is lost. The outcome is that of receiveInPlace(), and `plain` has an array of its
   * own. `contextFor` finds the certificate of a name.
   */
  receive(bytes: Uint8Array, contextFor: ContextFor): { outcome: number; plain: Uint8Array | undefined } {
    const target = this.holds ? this.#engine.scratch(bytes.length) : undefined;
    const outcome = this.#receive(bytes, 0, bytes.length, target, contextFor);
    const { plainBytes } = this;
    return { outcome, plain: plainBytes === 0 ? undefined : ownCopy(target ?? bytes, 0, plainBytes) };
  }

  #receive(bytes: Uint8Array, at: number, end: number, target?: Uint8Array, contextFor?: ContextFor): number {
    const { native, results } = this.#engine;
    let result = native.receive(this.#number, bytes, at, end, target);
    if ((result & OUTCOMES) === WANTS_NAME) {
      const taken = results[TAKEN] as number;
      native.useContext(this.#number, contextFor?.(this.describe()?.servername ?? ''));
      result = native.receive(this.#number, bytes, at + taken, end, target);
    }
    this.isSecure = (result & SECURE) !== 0;
    this.holds = (result & HOLDS) !== 0;
    return result & OUTCOMES;
  }

  /** Room for as many plain bytes when they are encrypted by `sends` calls of send(). */
  encryptedBytes(plainBytes: number, sends: number): number {
    if (this.#sentRecordBytes === 0) this.#sentRecordBytes = this.#engine.native.recordBytes(this.#number);
    const records = Math.ceil(plainBytes / this.#sentRecordBytes) + sends;
    return plainBytes + records * RECORD_OVERHEAD_BYTES;
  }

  /**
   * Counts the output of the last receive(), which is a reply. `end`: how many bytes are sent when the reply is.
   * `sentBytes`: how many are sent now. Returns true if the peer asks for key updates and reads none of the replies
   * before this one. They would fill memory. One receive() may bring more requests than the limit allows.
   */
  repliesTooMuch(end: number, sentBytes: number): boolean {
    const replies = this.#replies;
    for (let [first] = replies; first !== undefined && first.end <= sentBytes; [first] = replies) {
      this.#replyBytes -= first.bytes;
      replies.shift();
    }
    const isTooMuch = this.isSecure && this.#replyBytes > REPLY_BYTES;
    replies.push({ bytes: this.outputBytes, end });
    this.#replyBytes += this.outputBytes;
    return isTooMuch;
  }

  /** Encrypts into `target`, or into the output. Returns how many bytes, or -1. */
  send(bytes: Uint8Array, at: number, end: number, target?: Uint8Array): number {
    return this.#engine.native.send(this.#number, bytes, at, end, target);
  }

  /** Encrypts into an array of its own. Returns undefined if that fails. */
  encrypt(bytes: Uint8Array, at: number, end: number): Uint8Array | undefined {
    const encrypted = uninitialized(this.encryptedBytes(end - at, 1));
    const count = this.send(bytes, at, end, encrypted);
    return count < 0 ? undefined : encrypted.subarray(0, count);
  }

  /** Makes close_notify. Returns how many bytes of output. */
  end(): number {
    return this.#engine.native.end(this.#number);
  }

  /** Why the last receive() or send() has failed, in the form of node:tls. */
  get failure(): Error {
    const reason = this.#engine.native.failure();
    const code = `ERR_SSL_${reason.toUpperCase().replaceAll(' ', '_')}`;
    return Object.assign(new Error(reason), { code, reason });
  }

  describe(): Description | undefined {
    return this.#isOpen ? this.#engine.native.describe(this.#number) : undefined;
  }

  /** The peer's, in DER. */
  get certificate(): Uint8Array | undefined {
    return this.#isOpen ? this.#engine.native.certificate(this.#number) : undefined;
  }

  get session(): Uint8Array | undefined {
    return this.#isOpen ? this.#engine.native.session(this.#number) : undefined;
  }

  /** Frees what OpenSSL has of it. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#engine.native.close(this.#number);
  }
}

/** The error of a connection for which repliesTooMuch() returns true. */
export const UNREAD_REPLIES = 'the peer asks for many key updates, and reads none of the replies';

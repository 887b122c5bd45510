// permessage-deflate (RFC 7692). By default each message is compressed by itself: no connection keeps a window. So it
// costs no memory between messages, and a published message is compressed once for all.
//
//   offer:   permessage-deflate; client_max_window_bits, ...      the first offer that can be met is accepted
//   accept:  permessage-deflate; server_no_context_takeover; client_no_context_takeover
//
// With the option `contextWindowBits` a message may refer to those before it (context takeover). zlib keeps no state.
// The connection keeps the last bytes of each direction. They are the dictionary of the next message:
//
//   message --> deflateRawSync({ dictionary: last bytes sent }) --> frame       then the message joins the last bytes
//
// So a published message can be compressed by itself, once for all, and still joins the last bytes of each connection.
//
// The inflated size is limited by maxPayloadBytes: a bomb is refused when it goes beyond, and closed with 1009.
//
// Next: connection.ts.

import { constants, deflateRawSync, inflateRawSync } from 'node:zlib';
import { FeatherstarError } from '../base/errors.js';
import { copyTo, ownCopy, uninitialized } from '../base/own-bytes.js';

const NAME = 'permessage-deflate';
const TAIL = Buffer.from([0, 0, 0xff, 0xff]); // ends a message, and is not sent
const LAST_BLOCK = Buffer.from([1, 0, 0, 0xff, 0xff]); // empty: zlib reaches it only if the message before it is whole
export const WINDOW_BITS_LEAST = 9; // zlib makes no smaller ones
export const WINDOW_BITS = 15;

/** How messages are compressed. */
export interface PerMessageDeflateOptions {
  /** Messages of fewer bytes are sent as they are. 0 to 2,147,483,647, default 1024. */
  thresholdBytes?: number | undefined;
  /** zlib's level, 0 to 9; default 1: fast. */
  level?: number | undefined;
  /**
   * Base 2 logarithm of the bytes that a connection keeps of each direction, so that messages can refer to earlier
   * ones: 9 to 15. 0: none, each message is compressed by itself. Default 0.
   */
  contextWindowBits?: number | undefined;
}

let knowsDictionaries: boolean | undefined;

/** Throws HOST if zlib ignores a dictionary, as Deno's does. Messages would be broken. */
export function checkDictionaries(): void {
  const text = Buffer.from('a text that its own dictionary makes short');
  knowsDictionaries ??= deflateRawSync(text, { dictionary: text }).length < deflateRawSync(text).length;
  if (!knowsDictionaries)
    throw new FeatherstarError('FEATHERSTAR_HOST', 'contextWindowBits: node:zlib of this runtime ignores dictionaries');
}

/** The last bytes of the compressed messages of one direction. */
export class MessageContext {
  readonly #mostBytes: number;
  #bytes: Uint8Array = new Uint8Array(0);

  constructor(windowBits: number) {
    this.#mostBytes = 2 ** windowBits;
  }

  /** An option of zlib. */
  get dictionary(): { dictionary?: Uint8Array } {
    return this.#bytes.length === 0 ? {} : { dictionary: this.#bytes };
  }

  add(message: Uint8Array): void {
    const addedBytes = Math.min(message.length, this.#mostBytes);
    const keptBytes = Math.min(this.#bytes.length, this.#mostBytes - addedBytes);
    const bytes = uninitialized(keptBytes + addedBytes); // a part of Node's pool would keep all of that
    copyTo(bytes, 0, this.#bytes, this.#bytes.length - keptBytes, this.#bytes.length);
    copyTo(bytes, keptBytes, message, message.length - addedBytes, message.length);
    this.#bytes = bytes;
  }
}

/** The outcome of an offer, for one connection. */
export interface Deflate {
  /** The value of sec-websocket-extensions in the response. */
  readonly text: string;
  /** Base 2 logarithm of the window for the own messages. */
  readonly windowBits: number;
  /** Undefined: the own messages do not refer to earlier ones. */
  readonly sent: MessageContext | undefined;
  /** Undefined: those of the peer do not. */
  readonly received: MessageContext | undefined;
}

/** The parameters of an offer; undefined: it is malformed, or for another extension. */
function parametersOf(offer: string): Map<string, string> | undefined {
  const [name, ...rest] = offer.split(';').map((each) => each.trim());
  if (name !== NAME) return undefined;
  const parameters = new Map<string, string>();
  for (const each of rest) {
    const match = /^([\w-]+)(?:\s*=\s*(?:"([^"]*)"|([^"\s]+)))?$/.exec(each);
    if (match === null || parameters.has(match[1] as string)) return undefined;
    parameters.set(match[1] as string, match[2] ?? match[3] ?? '');
  }
  return parameters;
}

const contextOf = (isKept: boolean, bits: number) => (isKept ? new MessageContext(bits) : undefined);

/** The agreement on an offer that can be met. */
function agreementOn(parameters: ReadonlyMap<string, string>, contextWindowBits: number): Deflate | undefined {
  let windowBits = contextWindowBits || WINDOW_BITS;
  for (const [name, value] of parameters) {
    const isFlag = name === 'server_no_context_takeover' || name === 'client_no_context_takeover';
    const isBits = /^([89]|1[0-5])$/.test(value);
    if (isFlag && value === '') continue;
    if (name === 'client_max_window_bits' && (value === '' || isBits)) continue;
    if (name !== 'server_max_window_bits' || !isBits || Number(value) < WINDOW_BITS_LEAST) return undefined;
    windowBits = Math.min(windowBits, Number(value));
  }
  const clientBits = parameters.get('client_max_window_bits'); // undefined: the client cannot limit its window
  const receivedBits = Math.min(contextWindowBits, Number(clientBits || WINDOW_BITS));
  const isLimited = clientBits !== undefined || contextWindowBits === WINDOW_BITS;
  const keepsSent = contextWindowBits !== 0 && !parameters.has('server_no_context_takeover');
  const keepsReceived = contextWindowBits !== 0 && isLimited && !parameters.has('client_no_context_takeover');
  const ownBits = parameters.has('server_max_window_bits') || windowBits < WINDOW_BITS;
  const text = [
    NAME,
    ...(keepsSent ? [] : ['server_no_context_takeover']),
    ...(keepsReceived ? [] : ['client_no_context_takeover']),
    ...(ownBits ? [`server_max_window_bits=${windowBits}`] : []),
    ...(keepsReceived && clientBits !== undefined ? [`client_max_window_bits=${receivedBits}`] : []),
  ].join('; ');
  const sent = contextOf(keepsSent, windowBits);
  return { text, windowBits, sent, received: contextOf(keepsReceived, receivedBits) };
}

/** The agreement on the first offer that can be met; undefined: there is none. */
export function agreedDeflate(offers: string | undefined, contextWindowBits: number): Deflate | undefined {
  for (const offer of (offers ?? '').split(',')) {
    const parameters = parametersOf(offer.trim());
    const agreement = parameters && agreementOn(parameters, contextWindowBits);
    if (agreement !== undefined) return agreement;
  }
  return undefined;
}

const OFFER = `${NAME}; server_no_context_takeover; client_no_context_takeover`;

/** The offers of a client, the best first. */
export function deflateOffers(contextWindowBits: number): string {
  if (contextWindowBits === 0) return OFFER;
  const bits = `server_max_window_bits=${contextWindowBits}; client_max_window_bits=${contextWindowBits}`;
  return `${NAME}; ${bits}, ${OFFER}`;
}

/** The agreement on one of deflateOffers(); undefined: the server may not agree to this. */
export function acceptedDeflate(text: string, contextWindowBits: number): Deflate | undefined {
  const parameters = parametersOf(text);
  if (parameters === undefined) return undefined;
  const bits = { server_max_window_bits: WINDOW_BITS, client_max_window_bits: WINDOW_BITS };
  for (const [name, value] of parameters) {
    const isFlag = name === 'server_no_context_takeover' || name === 'client_no_context_takeover';
    const isServers = name === 'server_max_window_bits' && /^([89]|1[0-5])$/.test(value);
    const isClients = name === 'client_max_window_bits' && contextWindowBits !== 0 && /^(9|1[0-5])$/.test(value);
    if (isServers || isClients) bits[name] = Number(value);
    else if (!isFlag || value !== '') return undefined;
  }
  const keepsReceived = !parameters.has('server_no_context_takeover');
  if (keepsReceived && (contextWindowBits === 0 || bits.server_max_window_bits > contextWindowBits)) return undefined;
  const windowBits = bits.client_max_window_bits;
  const keepsSent = contextWindowBits !== 0 && !parameters.has('client_no_context_takeover');
  const sent = contextOf(keepsSent, Math.min(windowBits, contextWindowBits));
  return { text, windowBits, sent, received: contextOf(keepsReceived, bits.server_max_window_bits) };
}

/** The bytes of a message. They are read twice: another thread must not change them between. */
export function unchangingBytes(message: string | Uint8Array): Uint8Array {
  if (typeof message === 'string') return Buffer.from(message);
  return message.buffer instanceof ArrayBuffer ? message : ownCopy(message, 0, message.length);
}

/** A message, compressed. `context`: of the messages before it. */
export function deflateMessage(
  message: string | Uint8Array,
  level: number,
  windowBits: number,
  context?: MessageContext,
): Uint8Array {
  const options = { level, windowBits, finishFlush: constants.Z_SYNC_FLUSH, ...context?.dictionary };
  const plain = unchangingBytes(message);
  const bytes = deflateRawSync(plain, options);
  context?.add(plain);
  return bytes.subarray(0, bytes.length - TAIL.length);
}

/** The bytes of a compressed message; a number: the close code for one that is too large, or broken. */
export function inflateMessage(
  message: Uint8Array,
  maxBytes: number,
  context: MessageContext | undefined,
): Uint8Array | 1007 | 1009 {
  if (message.length === 0) return message;
  const whole = Buffer.concat([message, TAIL, LAST_BLOCK]);
  try {
    const bytes = inflateRawSync(whole, { maxOutputLength: maxBytes, ...context?.dictionary });
    context?.add(bytes);
    return bytes;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ERR_BUFFER_TOO_LARGE') return 1009;
    if (typeof code === 'string' && code.startsWith('Z_')) return 1007;
    throw new FeatherstarError('FEATHERSTAR_INTERNAL', 'inflating a message failed', { cause: error });
  }
}

// permessage-deflate (RFC 7692), each message by itself: no connection keeps a window. So it costs no memory between
// messages, and a published message is compressed once for all.
//
//   offer:   permessage-deflate; client_max_window_bits, ...      the first offer that can be met is accepted
//   accept:  permessage-deflate; server_no_context_takeover; client_no_context_takeover
//
// The inflated size is limited by maxPayloadBytes: a bomb is refused when it goes beyond, and closed with 1009.
//
// Next: connection.ts.

import { constants, deflateRawSync, inflateRawSync } from 'node:zlib';
import { FeatherstarError } from '../base/errors.js';

const NAME = 'permessage-deflate';
const TAIL = Buffer.from([0, 0, 0xff, 0xff]); // ends a message, and is not sent
const WINDOW_BITS_LEAST = 9; // zlib makes no smaller ones
export const WINDOW_BITS = 15;

/** How messages are compressed. */
export interface PerMessageDeflateOptions {
  /** Messages of fewer bytes are sent as they are. 0 to 2,147,483,647, default 1024. */
  thresholdBytes?: number | undefined;
  /** zlib's level, 0 to 9; default 1: fast. */
  level?: number | undefined;
}

/** The outcome of an offer. */
export interface Deflate {
  /** The value of sec-websocket-extensions in the response. */
  readonly text: string;
  /** Base 2 logarithm of the server's window. */
  readonly windowBits: number;
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

/** The agreement on an offer that can be met. */
function agreementOn(parameters: ReadonlyMap<string, string>): Deflate | undefined {
  let windowBits = WINDOW_BITS;
  for (const [name, value] of parameters) {
    const isFlag = name === 'server_no_context_takeover' || name === 'client_no_context_takeover';
    const isBits = /^([89]|1[0-5])$/.test(value);
    if (isFlag && value === '') continue;
    if (name === 'client_max_window_bits' && (value === '' || isBits)) continue;
    if (name !== 'server_max_window_bits' || !isBits || Number(value) < WINDOW_BITS_LEAST) return undefined;
    windowBits = Number(value);
  }
  const own = parameters.has('server_max_window_bits') ? `; server_max_window_bits=${windowBits}` : '';
  return { text: `${NAME}; server_no_context_takeover; client_no_context_takeover${own}`, windowBits };
}

/** The agreement on the first offer that can be met; undefined: there is none. */
export function agreedDeflate(offers: string | undefined): Deflate | undefined {
  for (const offer of (offers ?? '').split(',')) {
    const parameters = parametersOf(offer.trim());
    const agreement = parameters && agreementOn(parameters);
    if (agreement !== undefined) return agreement;
  }
  return undefined;
}

/** The offer of a client. A server that agrees keeps no window either, so each of its messages is inflated alone. */
export const OFFER = `${NAME}; server_no_context_takeover; client_no_context_takeover`;

/** The agreement on OFFER; undefined: the server may not agree to this. */
export function acceptedDeflate(text: string): Deflate | undefined {
  const parameters = parametersOf(text);
  if (parameters === undefined || !parameters.has('server_no_context_takeover')) return undefined;
  for (const [name, value] of parameters) {
    const isFlag = name === 'server_no_context_takeover' || name === 'client_no_context_takeover';
    const isBits = name === 'server_max_window_bits' && /^([89]|1[0-5])$/.test(value);
    if (!isBits && !(isFlag && value === '')) return undefined;
  }
  return { text, windowBits: WINDOW_BITS };
}

/** A message, compressed. */
export function deflateMessage(message: string | Uint8Array, level: number, windowBits: number): Uint8Array {
  const bytes = deflateRawSync(message, { level, windowBits, finishFlush: constants.Z_SYNC_FLUSH });
  return bytes.subarray(0, bytes.length - TAIL.length);
}

/** The bytes of a compressed message; a number: the close code for one that is too large, or broken. */
export function inflateMessage(message: Uint8Array, maxBytes: number): Uint8Array | 1007 | 1009 {
  const whole = Buffer.concat([message, TAIL]);
  try {
    return inflateRawSync(whole, { maxOutputLength: maxBytes, finishFlush: constants.Z_SYNC_FLUSH });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ERR_BUFFER_TOO_LARGE') return 1009;
    if (typeof code === 'string' && code.startsWith('Z_')) return 1007;
    throw new FeatherstarError('FEATHERSTAR_INTERNAL', 'inflating a message failed', { cause: error });
  }
}

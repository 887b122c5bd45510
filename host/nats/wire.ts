// The payloads of calls through NATS: the format of calls between shards (calls/codec.ts), without what only shards of
// one process share.
//
//   request   3 values: VERSION, timeoutMs, arguments           to   prefix.any.method or prefix.on.shard.method
//   reply     2 values: is it a result, the result or the error to   the caller's inbox
//   abort     4 values: VERSION, the call's inbox, numbers of signals, the reason   to   prefix.abort
//
// The first byte is the number of values. No text of JSON begins with such a byte. A payload that begins otherwise is
// JSON, so a client without this library can call, too. An array has the arguments; another value is the only one.
//
// Invariant: a payload that is not of this format throws FEATHERSTAR_CODEC, whatever its bytes are. Lengths in it are
// compared with the bytes that are there before memory is taken for them.

import { FeatherstarError, optionError } from '../base/errors.js';
import { codecError } from '../calls/codec.js';
import { Decoder } from '../calls/decoder.js';
import { Encoder } from '../calls/encoder.js';
import type { SharedBytes } from '../calls/shared-bytes.js';

const VERSION = 1;
const REQUEST_VALUES = 3;
const REPLY_VALUES = 2;
const ABORT_VALUES = 4;
const JSON_MIN_BYTE = 9; // a tab is the first byte that white space before JSON may have
const HEAD_BYTES = 1024; // of a message, kept free for subject and headers
const PAYLOAD_BYTES = 1_048_576; // what nats-server takes if it does not say so
const PAYLOAD_MIN_BYTES = 2048; // so that an error fits

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** A request as the service reads it. */
export interface CallRequest {
  args: unknown[];
  timeoutMs: number | undefined;
  /** The numbers of the signals among the arguments. */
  signals: readonly number[];
}

/** The signals that a called function shall see abort, and why. */
export interface AbortMessage {
  inbox: string;
  signals: readonly number[];
  reason: unknown;
}

function tooLargeForNats(length: number, maxBytes: number): FeatherstarError {
  return codecError(
    `a value of ${length} bytes does not fit a message: at most ${maxBytes} (max_payload of the server)`,
  );
}

/** Writes payloads. */
export class WireEncoder {
  /** The signals of the request that was encoded last; their numbers begin with `firstSignal`. */
  signals: readonly AbortSignal[] = [];
  firstSignal = 0;
  readonly #maxBytes: number;
  readonly #encoder: Encoder;

  /** `payloadBytes`: what the server takes in a message. Throws OPTION if that is too little for an error. */
  constructor(payloadBytes = PAYLOAD_BYTES) {
    if (payloadBytes < PAYLOAD_MIN_BYTES) {
      const wanted = `to a server whose max_payload is at least ${PAYLOAD_MIN_BYTES} bytes`;
      throw optionError('connection', payloadBytes, wanted);
    }
    this.#maxBytes = payloadBytes - HEAD_BYTES;
    this.#encoder = new Encoder(this.#maxBytes, tooLargeForNats);
  }

  request(args: readonly unknown[], timeoutMs: number): Uint8Array {
    const payload = this.#encode([VERSION, timeoutMs, args]);
    this.signals = this.#encoder.signals ?? [];
    this.firstSignal = this.#encoder.firstSignal;
    return payload;
  }

  reply(isResult: boolean, value: unknown): Uint8Array {
    const payload = this.#encode([isResult, value]);
    if (this.#encoder.signals !== undefined)
      throw codecError('an AbortSignal can be an argument of a call, not a result');
    return payload;
  }

  abort(inbox: string, signals: readonly number[], reason: unknown): Uint8Array {
    return this.#encode([VERSION, inbox, signals, reason]);
  }

  /** A result for a caller that has sent JSON. */
  jsonReply(value: unknown): string {
    let text: string;
    try {
      text = JSON.stringify(value) ?? 'null';
    } catch (cause) {
      throw new FeatherstarError('FEATHERSTAR_CODEC', `a result cannot be written as JSON: ${cause}`, { cause });
    }
    const length = Buffer.byteLength(text);
    if (length > this.#maxBytes) throw tooLargeForNats(length, this.#maxBytes);
    return text;
  }

  #encode(values: unknown[]): Uint8Array {
    const length = this.#encoder.args(values);
    if (length > this.#maxBytes) throw tooLargeForNats(length, this.#maxBytes);
    if (this.#encoder.moves !== undefined) throw codecError('shared bytes cannot leave their process: send a copy');
    return this.#encoder.copy();
  }
}

/** Whether a payload has this format; else it is taken for JSON. */
export function isWire(data: Uint8Array): boolean {
  return data.length > 0 && (data[0] as number) < JSON_MIN_BYTE;
}

/** Reads a request, or JSON. `openSignal` makes the signals among the arguments, by their numbers. */
export function decodeRequest(data: Uint8Array, openSignal: (id: number) => AbortSignal): CallRequest {
  if (!isWire(data)) return { args: jsonArguments(data), timeoutMs: undefined, signals: [] };
  const { values, signals } = decodeValues(data, REQUEST_VALUES, openSignal);
  const [version, timeoutMs, args] = values;
  if (version !== VERSION || typeof timeoutMs !== 'number' || !Array.isArray(args)) throw notOurs('a request');
  return { args, timeoutMs, signals };
}

/** Reads a reply. */
export function decodeReply(data: Uint8Array): { isResult: boolean; value: unknown } {
  const [isResult, value] = decodeValues(data, REPLY_VALUES, refuseSignal).values;
  if (typeof isResult !== 'boolean') throw notOurs('a reply');
  return { isResult, value };
}

/** Reads an abort. */
export function decodeAbort(data: Uint8Array): AbortMessage {
  const [version, inbox, signals, reason] = decodeValues(data, ABORT_VALUES, refuseSignal).values;
  if (version !== VERSION || typeof inbox !== 'string' || !Array.isArray(signals)) throw notOurs('an abort');
  return { inbox, signals, reason };
}

function jsonArguments(data: Uint8Array): unknown[] {
  if (data.length === 0) return [];
  try {
    const value: unknown = JSON.parse(utf8.decode(data));
    return Array.isArray(value) ? value : [value];
  } catch (cause) {
    throw new FeatherstarError('FEATHERSTAR_CODEC', 'the arguments are neither of this format nor JSON', { cause });
  }
}

function decodeValues(data: Uint8Array, count: number, openSignal: (id: number) => AbortSignal) {
  if (data[0] !== count) throw notOurs(`a message of ${count} values`);
  const decoder = new Decoder(Buffer.from(data.buffer, data.byteOffset, data.length), openSignal, refuseShared);
  let values: unknown[];
  try {
    values = decoder.args(0);
  } catch (cause) {
    throw notOurs('a message', cause);
  }
  if (decoder.end !== data.length) throw notOurs(`a message of ${data.length} bytes`);
  return { values, signals: decoder.signals ?? [] };
}

function notOurs(what: string, cause?: unknown): FeatherstarError {
  return new FeatherstarError('FEATHERSTAR_CODEC', `a payload is not ${what} of featherstar`, { cause });
}

function refuseSignal(): AbortSignal {
  throw notOurs('a message that may have a signal');
}

function refuseShared(): SharedBytes {
  throw notOurs('a message: shared bytes cannot come from another process');
}

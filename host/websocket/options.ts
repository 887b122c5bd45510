// The option `websocket` of serve(): the handlers of a program, and the limits of each connection.
//
// Next: server-socket.ts, which the handlers get.

import { optionError } from '../base/errors.js';
import { type Checks, checkBoolean, checkFunction, checkOptions, definedOnly, integer } from '../base/options.js';
import { checkDictionaries, type PerMessageDeflateOptions, WINDOW_BITS, WINDOW_BITS_LEAST } from './deflate.js';
import type { DeflateSettings } from './message-connection.js';
import type { ServerWebSocket } from './server-socket.js';

/**
 * The option `websocket` of `serve()`. The handlers are for all connections, so that none of them costs a closure each.
 * An error that a handler throws, or rejects with, goes to `onError`; the connection stays open.
 */
export interface WebSocketOptions<Data = unknown> {
  /** The connection is open. */
  open?(ws: ServerWebSocket<Data>): void | Promise<void>;
  /**
   * A message has come: a string for text, a Uint8Array of its own for binary. While 16 promises that it has returned
   * are pending, no more is received of this connection.
   */
  message?(ws: ServerWebSocket<Data>, data: string | Uint8Array): void | Promise<void>;
  /** The backlog is short again, after `send()` returned -1 or 0. */
  drain?(ws: ServerWebSocket<Data>): void | Promise<void>;
  /** The connection is closed. 1005: the peer gave no code. 1006: it left without a close frame. */
  close?(ws: ServerWebSocket<Data>, code: number, reason: string): void | Promise<void>;
  /** A ping has come. The server has replied by itself. */
  ping?(ws: ServerWebSocket<Data>, data: Uint8Array): void | Promise<void>;
  /** A pong has come. */
  pong?(ws: ServerWebSocket<Data>, data: Uint8Array): void | Promise<void>;
  /** Bytes of a message; the connection is closed with 1009 beyond. 1 to 2,147,483,647, default 16,777,216. */
  maxPayloadBytes?: number | undefined;
  /**
   * Bytes that may wait for a slow peer, 0 to 2,147,483,647, default 16,777,216. While more wait, `send()` drops
   * messages and returns 0.
   */
  maxBacklogBytes?: number | undefined;
  /** Whether a connection whose backlog is full is closed, instead of a message dropped. Default false. */
  closeOnBacklog?: boolean | undefined;
  /** A connection of which nothing comes for so long is closed. 0 to 86,400,000, default 120,000. 0: never. */
  idleTimeoutMs?: number | undefined;
  /** Whether a silent peer is sent a ping after half of `idleTimeoutMs`. Default true. */
  sendPings?: boolean | undefined;
  /** How long a peer has to reply to a close frame, 1 to 86,400,000, default 5000. */
  closeTimeoutMs?: number | undefined;
  /**
   * Whether messages are compressed, if the client can (RFC 7692), and how. Default false.
   */
  perMessageDeflate?: boolean | PerMessageDeflateOptions | undefined;
}

const DEFAULTS = {
  maxPayloadBytes: 16_777_216,
  maxBacklogBytes: 16_777_216,
  idleTimeoutMs: 120_000,
  closeTimeoutMs: 5000,
};

const HIGHEST: typeof DEFAULTS = {
  maxPayloadBytes: 2_147_483_647,
  maxBacklogBytes: 2_147_483_647,
  idleTimeoutMs: 86_400_000,
  closeTimeoutMs: 86_400_000,
};

const CHOICES = { closeOnBacklog: false, sendPings: true };

const CHECKS: Checks<WebSocketOptions> = {
  open: checkFunction,
  message: checkFunction,
  drain: checkFunction,
  close: checkFunction,
  ping: checkFunction,
  pong: checkFunction,
  maxPayloadBytes: integer(1, HIGHEST.maxPayloadBytes),
  maxBacklogBytes: integer(0, HIGHEST.maxBacklogBytes),
  closeOnBacklog: checkBoolean,
  idleTimeoutMs: integer(0, HIGHEST.idleTimeoutMs),
  sendPings: checkBoolean,
  closeTimeoutMs: integer(1, HIGHEST.closeTimeoutMs),
  perMessageDeflate: checkDeflate,
};

const DEFLATE_DEFAULTS: DeflateSettings = { thresholdBytes: 1024, level: 1, contextWindowBits: 0 };
const DEFLATE_CHECKS: Checks<PerMessageDeflateOptions> = {
  thresholdBytes: integer(0, HIGHEST.maxPayloadBytes),
  level: integer(0, 9),
  contextWindowBits: checkContextWindow,
};

function checkContextWindow(name: string, value: unknown): void {
  if (value === 0) return;
  const isWindow =
    Number.isInteger(value) && (value as number) >= WINDOW_BITS_LEAST && (value as number) <= WINDOW_BITS;
  if (!isWindow) throw optionError(name, value, `0, or an integer from ${WINDOW_BITS_LEAST} to ${WINDOW_BITS}`);
  checkDictionaries();
}

export function checkDeflate(name: string, value: unknown): void {
  if (typeof value !== 'boolean') checkOptions(value as PerMessageDeflateOptions, DEFLATE_CHECKS, name);
}

/** The option with its defaults. Undefined: no message is compressed. */
export function deflateSettings(given: boolean | PerMessageDeflateOptions): DeflateSettings | undefined {
  if (given === false) return undefined;
  return { ...DEFLATE_DEFAULTS, ...(given === true ? {} : definedOnly(given)) };
}

export type WebSocketSettings = typeof DEFAULTS &
  typeof CHOICES &
  WebSocketOptions & {
    /** Undefined: no message is compressed. */
    readonly deflate: DeflateSettings | undefined;
  };

/** A check of the option. */
export function checkWebSocket(name: string, value: unknown): void {
  checkOptions(value as WebSocketOptions, CHECKS, name);
}

/** The options with their defaults. The program's object stays the prototype, for handlers that use `this`. */
export function webSocketSettings(options: WebSocketOptions): WebSocketSettings {
  const deflate = deflateSettings(options.perMessageDeflate ?? false);
  return Object.assign(Object.create(options), { ...DEFAULTS, ...CHOICES, ...definedOnly(options), deflate });
}

// The arguments of `new WebSocket(url, protocols)`, checked as the standard says, and the options beyond the standard.
//
// Next: client-handshake.ts.

import { type Checks, checkBoolean, checkedLater, checkOptions, definedOnly, integer } from '../base/options.js';
import { type HeadersValue, TOKEN } from '../http/headers.js';
import { checkTlsClientKeys } from '../tls/client-context.js';
import type { TlsClientOptions } from '../tls/options.js';
import type { PerMessageDeflateOptions } from './deflate.js';
import type { MessageSettings } from './message-connection.js';
import { checkDeflate, deflateSettings } from './options.js';

/** The second argument of `new WebSocket()`, where it is not the protocols alone. Node and Bun have this form, too. */
export interface WebSocketClientOptions {
  /** The subprotocols that are offered, the best first. Default: none. */
  protocols?: string | readonly string[] | undefined;
  /** Further headers of the request, such as `authorization` or `cookie`. */
  headers?: HeadersValue | undefined;
  /** For `wss:`. Default: `{}`, for a server whose certificate Node trusts. */
  tls?: TlsClientOptions | undefined;
  /** Whether compression is offered (RFC 7692), and how messages are compressed. Default true. */
  perMessageDeflate?: boolean | PerMessageDeflateOptions | undefined;
  /** Bytes of a message; the connection fails beyond. 1 to 2,147,483,647, default 16,777,216. */
  maxPayloadBytes?: number | undefined;
  /** Bytes that may wait to be sent; `send()` fails the connection beyond. 0 to 2,147,483,647, default 16,777,216. */
  maxBacklogBytes?: number | undefined;
  /** How long it may take until the connection is open, 1 to 86,400,000; default 10,000. */
  connectTimeoutMs?: number | undefined;
  /** A connection of which nothing comes for so long is closed. 0 to 86,400,000, default 120,000. 0: never. */
  idleTimeoutMs?: number | undefined;
  /** Whether a silent server is sent a ping after half of `idleTimeoutMs`. Default true. */
  sendPings?: boolean | undefined;
  /** How long the server has to reply to a close frame, 1 to 86,400,000, default 5000. */
  closeTimeoutMs?: number | undefined;
}

const CLIENT_DEFAULTS = {
  maxPayloadBytes: 16_777_216,
  maxBacklogBytes: 16_777_216,
  connectTimeoutMs: 10_000,
  idleTimeoutMs: 120_000,
  closeTimeoutMs: 5000,
};

const CLIENT_HIGHEST: typeof CLIENT_DEFAULTS = {
  maxPayloadBytes: 2_147_483_647,
  maxBacklogBytes: 2_147_483_647,
  connectTimeoutMs: 86_400_000,
  idleTimeoutMs: 86_400_000,
  closeTimeoutMs: 86_400_000,
};

const CLIENT_CHECKS: Checks<WebSocketClientOptions> = {
  protocols: checkedLater,
  headers: checkedLater,
  tls: checkTlsClientKeys,
  perMessageDeflate: checkDeflate,
  maxPayloadBytes: integer(1, CLIENT_HIGHEST.maxPayloadBytes),
  maxBacklogBytes: integer(0, CLIENT_HIGHEST.maxBacklogBytes),
  connectTimeoutMs: integer(1, CLIENT_HIGHEST.connectTimeoutMs),
  idleTimeoutMs: integer(0, CLIENT_HIGHEST.idleTimeoutMs),
  sendPings: checkBoolean,
  closeTimeoutMs: integer(1, CLIENT_HIGHEST.closeTimeoutMs),
};

export interface ClientSettings extends MessageSettings {
  readonly connectTimeoutMs: number;
  readonly headers: HeadersValue | undefined;
  readonly tls: TlsClientOptions;
  readonly protocols: readonly string[];
}

/** Throws a SyntaxError for protocols that cannot be, and OPTION. */
export function clientSettings(given: string | Iterable<string> | WebSocketClientOptions): ClientSettings {
  const isList = typeof given !== 'object' || given === null || Symbol.iterator in given;
  const options = isList ? {} : checkOptions(given, CLIENT_CHECKS);
  const protocols = protocolsOf((isList ? given : options.protocols) ?? []);
  const { perMessageDeflate = true, headers, tls = {} } = options;
  const own = { headers, tls, protocols, deflate: deflateSettings(perMessageDeflate) };
  return { ...CLIENT_DEFAULTS, sendPings: true, ...definedOnly(options), ...own };
}

export function syntaxError(text: string): DOMException {
  return new DOMException(text, 'SyntaxError');
}

function protocolsOf(given: string | Iterable<string>): readonly string[] {
  const protocols = typeof given === 'object' ? Array.from(given, String) : [String(given)];
  for (const each of protocols) {
    if (!TOKEN.test(each)) throw syntaxError(`protocol ${JSON.stringify(each)} must be a token of HTTP`);
  }
  const distinct = new Set(protocols.map((each) => each.toLowerCase()));
  if (distinct.size !== protocols.length) throw syntaxError(`protocols must differ, got ${protocols.join(', ')}`);
  return protocols;
}

const SCHEMES: Readonly<Record<string, string>> = { 'http:': 'ws:', 'https:': 'wss:', 'ws:': 'ws:', 'wss:': 'wss:' };

/** The URL to connect to. Throws a SyntaxError. */
export function webSocketUrl(given: string | URL): URL {
  const text = String(given);
  if (!URL.canParse(text)) throw syntaxError(`url must be a URL, got ${JSON.stringify(text)}`);
  const url = new URL(text);
  const scheme = SCHEMES[url.protocol];
  if (scheme === undefined) throw syntaxError(`url must begin with ws: or wss:, got ${JSON.stringify(text)}`);
  if (url.href.includes('#')) throw syntaxError(`url must have no fragment, got ${JSON.stringify(text)}`);
  url.protocol = scheme;
  return url;
}

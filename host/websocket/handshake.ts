// The server's side of the handshake (RFC 6455 4.2): which requests ask for a WebSocket, and the head of the response
// that agrees.
//
// Next: websockets.ts.

import { createHash } from 'node:crypto';
import { FeatherstarError, optionError } from '../base/errors.js';
import { type Checks, checkedLater, checkOptions, checkString } from '../base/options.js';
import { HttpFlag, HttpMethod } from '../core/offsets.js';
import { fieldOf, type Head } from '../http/head.js';
import type { HeadersValue } from '../http/headers.js';
import { FeatherResponse } from '../http/response.js';

/** Options of `info.upgrade()`. */
export interface UpgradeOptions<Data = unknown> {
  /** The program's own: `ws.data` of the connection. */
  data?: Data | undefined;
  /** The subprotocol, one of those that the client offers. Default: none. */
  protocol?: string | undefined;
  /** Further headers of the response. */
  headers?: HeadersValue | undefined;
}

const CHECKS: Checks<UpgradeOptions> = { data: checkedLater, protocol: checkString, headers: checkedLater };

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const KEY = /^[+/0-9A-Za-z]{21}[AQgw]==$/; // 16 bytes in base64
const VERSION = '13';
const OF_CONNECTION = /^(connection|upgrade|content-length|transfer-encoding|trailer|sec-websocket-.*)$/;

/** The elements of a list. */
export function elementsOf(value: string | undefined): string[] {
  return (value ?? '').split(',').flatMap((each) => each.trim() || []);
}

/** The response to a request that is no handshake; undefined: it is one. `isPlain`: HTTP/1.1, and without a body. */
export function refusalOf(head: Head, isPlain: boolean): FeatherResponse | undefined {
  const upgrades = elementsOf(fieldOf(head, 'upgrade')).map((each) => each.toLowerCase());
  const asks = (head.flags & HttpFlag.UPGRADE) !== 0 && upgrades.includes('websocket');
  const version = fieldOf(head, 'sec-websocket-version');
  if (!asks || version !== VERSION) {
    const text = asks ? `the version of WebSocket must be ${VERSION}` : 'this resource is a WebSocket';
    const headers = { upgrade: 'websocket', 'sec-websocket-version': VERSION };
    return new FeatherResponse(`${text}\n`, { status: 426, headers });
  }
  if (head.methodId !== HttpMethod.GET || !isPlain) return badRequest('a handshake is GET of HTTP/1.1 without a body');
  if (!KEY.test(fieldOf(head, 'sec-websocket-key') ?? '')) return badRequest('sec-websocket-key must be 16 bytes');
  return undefined;
}

function badRequest(text: string): FeatherResponse {
  return new FeatherResponse(`${text}\n`, { status: 400 });
}

/** The head of the response to a handshake. Throws OPTION, and TypeError for what no header can be. */
export function agreementHead(head: Head, options: UpgradeOptions, extensions = ''): string {
  const { protocol, headers } = checkOptions(options, CHECKS);
  if (protocol !== undefined && !elementsOf(fieldOf(head, 'sec-websocket-protocol')).includes(protocol))
    throw optionError('protocol', protocol, 'one that the client offers in sec-websocket-protocol');
  const accept = acceptOf(fieldOf(head, 'sec-websocket-key') as string);
  let lines = `Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n`;
  if (protocol !== undefined) lines += `Sec-WebSocket-Protocol: ${protocol}\r\n`;
  if (extensions !== '') lines += `Sec-WebSocket-Extensions: ${extensions}\r\n`;
  const text = 'the server writes it itself; the option `protocol` chooses a subprotocol';
  lines += ownLines(headers, OF_CONNECTION, text);
  return `HTTP/1.1 101 Switching Protocols\r\n${lines}\r\n`;
}

/** The proof that a server has read the key. */
export function acceptOf(key: string): string {
  return createHash('sha1').update(`${key}${GUID}`).digest('base64');
}

/** The program's own header lines. Throws OPTION for a name that `refused` matches, and TypeError. */
export function ownLines(headers: HeadersValue | undefined, refused: RegExp, why: string): string {
  let lines = '';
  for (const [name, value] of new Headers(headers as HeadersInit | undefined)) {
    if (refused.test(name)) throw new FeatherstarError('FEATHERSTAR_OPTION', `header ${name}: ${why}`);
    lines += `${name}: ${value}\r\n`;
  }
  return lines;
}

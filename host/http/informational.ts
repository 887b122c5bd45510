// Informational responses (RFC 9110 15.2): heads without a body, before the response. A client of HTTP/1.0 knows none.
//
// Next: writer.ts, for responses.

import { STATUS_CODES } from 'node:http';
import { FeatherstarError } from '../base/errors.js';
import { checkInteger } from '../base/options.js';
import type { HeadersValue } from './headers.js';

const LEAST = 102; // 100 is the server's own, and 101 would end HTTP
const MOST = 199;
const OF_CONNECTION = ['connection', 'content-length', 'keep-alive', 'trailer', 'transfer-encoding', 'upgrade'];

/** The head as text. Throws OPTION, and TypeError for what no header can be. */
export function informationalHead(status: number, headers: HeadersValue): string {
  checkInteger('status', status, LEAST, MOST);
  let lines = '';
  for (const [name, value] of new Headers(headers as HeadersInit)) {
    if (OF_CONNECTION.includes(name)) {
      const text = `header ${name}: not in an informational response, which has no body`;
      throw new FeatherstarError('FEATHERSTAR_OPTION', text);
    }
    lines += `${name}: ${value}\r\n`;
  }
  return `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Unknown'}\r\n${lines}\r\n`;
}

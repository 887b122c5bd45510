// The payload of a close frame: a code in two bytes and a reason in UTF-8, or nothing at all. RFC 6455 7.4 and its
// registry at IANA say which codes may be sent.
//
// Next: text.ts.

import { messageText } from './text.js';

/** Stands for a close frame without a code, and is never sent. */
export const NO_CODE = 1005;
const LEAST_CODE = 1000;
const MOST_CODE = 4999;

/** Whether a close frame may have this code. */
export function mayBeSent(code: number): boolean {
  if (code < LEAST_CODE || code > MOST_CODE) return false;
  return code >= 3000 || (code <= 1014 && (code < 1004 || code > 1006));
}

/** Reads the payload of a peer's close frame. A number: the close code with which the connection fails. */
export function readClose(payload: Uint8Array): { code: number; reason: string } | number {
  if (payload.length === 0) return { code: NO_CODE, reason: '' };
  if (payload.length === 1) return 1002;
  const code = ((payload[0] as number) << 8) | (payload[1] as number);
  if (!mayBeSent(code)) return 1002;
  const reason = messageText(payload.subarray(2));
  return typeof reason === 'number' ? reason : { code, reason };
}

/** The payload of a close frame. `reason`: UTF-8. */
export function writeClose(code: number, reason: Uint8Array): Uint8Array {
  if (code === NO_CODE) return new Uint8Array(0);
  const payload = new Uint8Array(2 + reason.length);
  payload[0] = code >>> 8;
  payload[1] = code;
  payload.set(reason, 2);
  return payload;
}

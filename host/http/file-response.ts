// A response with a file. It states the length, the type and the version. If a range is asked for, it has that part. If
// the client has the content already, it has none.
//
// The body is read while it is sent. So the file must not be cut meanwhile: then the response is broken off.
//
// Next: serve-static.ts.

import { lookup } from 'mrmime';
import { checkConditions, mayTakeRange, type Validators } from './conditions.js';
import { parseRange } from './ranges.js';
import type { FeatherRequest } from './request.js';
import { FeatherResponse } from './response.js';

/** The length and the version of a file that is sent. */
export interface FileFacts extends Validators {
  readonly size: number;
}

/** A version that changes with the file: by its length and the time of its last change. */
export function validatorsOf(size: number, mtimeMs: number, nowMs: number, coding = ''): Validators {
  // A file that was changed just now may change again without another time, so this says that it may not be the same.
  const weak = nowMs - mtimeMs < 2000 ? 'W/' : '';
  const suffix = coding === '' ? '' : `-${coding}`;
  return { etag: `${weak}"${Math.floor(mtimeMs).toString(16)}-${size.toString(16)}${suffix}"`, mtimeMs };
}

/** The media type of a file's name, with its charset if it is text. */
export function typeOf(path: string): string {
  const type = lookup(path) ?? 'application/octet-stream';
  return /^text\/|^application\/(javascript|json)$|\+(json|xml)$/.test(type) ? `${type};charset=utf-8` : type;
}

/**
 * The response to GET or HEAD. `open` gives the file when its bytes are wanted; `headers` are sent in any case.
 */
export function respondWithFile(
  request: FeatherRequest & Request,
  facts: FileFacts,
  headers: Record<string, string>,
  open: (start: number, end: number) => ReadableStream<Uint8Array>,
): FeatherResponse {
  const { size, etag, mtimeMs } = facts;
  const asked = request.headers;
  const all = {
    ...headers,
    etag,
    'last-modified': new Date(mtimeMs).toUTCString(),
    'accept-ranges': 'bytes',
  };
  const status = checkConditions(asked, facts);
  if (status !== 0) return new FeatherResponse(null, { status, headers: without(all, 'content-type') });
  const field = asked.get('range');
  const isWhole = field === null || request.method !== 'GET' || !mayTakeRange(asked, facts);
  const range = isWhole ? undefined : parseRange(field, size);
  if (range === 'unsatisfiable') {
    const unsatisfied = { ...without(all, 'content-type'), 'content-range': `bytes */${size}` };
    return new FeatherResponse(null, { status: 416, headers: unsatisfied });
  }
  const { start, end } = range ?? { start: 0, end: size };
  const framed = { ...all, 'content-length': `${end - start}` };
  if (request.method === 'HEAD') return new FeatherResponse(null, { headers: framed });
  const body = start === end ? null : open(start, end);
  if (range === undefined) return new FeatherResponse(body, { headers: framed });
  return new FeatherResponse(body, {
    status: 206,
    headers: { ...framed, 'content-range': `bytes ${start}-${end - 1}/${size}` },
  });
}

function without(headers: Record<string, string>, name: string): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([key]) => key !== name));
}

// Whether a request wants what a file is now: the conditions of RFC 9110, section 13, in the order of 13.2.2.
//
//   If-Match, If-Unmodified-Since     not the one that the client has: 412
//   If-None-Match, If-Modified-Since  the one that the client has: 304
//   If-Range                          not the one that the client has a part of: all of it instead of the range
//
// Next: ranges.ts.

/** The version of a file's content, as a response states it. */
export interface Validators {
  /** With its quotes, and `W/` in front if it is weak. */
  readonly etag: string;
  /** When the content was changed, in milliseconds since 1970. */
  readonly mtimeMs: number;
}

/** 0: go on; or the status of a response without the content, 304 or 412. For GET and HEAD. */
export function checkConditions(headers: Headers, { etag, mtimeMs }: Validators): number {
  const ifMatch = headers.get('if-match');
  if (ifMatch !== null) {
    if (!isListed(ifMatch, etag, false)) return 412;
  } else {
    const unmodifiedSince = dateOf(headers.get('if-unmodified-since'));
    if (unmodifiedSince !== undefined && wholeSecond(mtimeMs) > unmodifiedSince) return 412;
  }
  const ifNoneMatch = headers.get('if-none-match');
  if (ifNoneMatch !== null) return isListed(ifNoneMatch, etag, true) ? 304 : 0;
  const modifiedSince = dateOf(headers.get('if-modified-since'));
  return modifiedSince !== undefined && wholeSecond(mtimeMs) <= modifiedSince ? 304 : 0;
}

/** Whether the range that is asked for belongs to the version that the client has. */
export function mayTakeRange(headers: Headers, { etag, mtimeMs }: Validators): boolean {
  const ifRange = headers.get('if-range');
  if (ifRange === null) return true;
  if (ifRange.startsWith('"') || ifRange.startsWith('W/')) return ifRange === etag && !etag.startsWith('W/');
  return dateOf(ifRange) === wholeSecond(mtimeMs);
}

function isListed(list: string, etag: string, isWeak: boolean): boolean {
  if (list.trim() === '*') return true;
  if (!isWeak && etag.startsWith('W/')) return false;
  const wanted = isWeak ? opaque(etag) : etag;
  for (const [tag] of list.matchAll(/(?:W\/)?"[^"]*"/g)) if ((isWeak ? opaque(tag) : tag) === wanted) return true;
  return false;
}

function opaque(etag: string): string {
  return etag.startsWith('W/') ? etag.slice(2) : etag;
}

/** A date of HTTP has whole seconds. */
function wholeSecond(ms: number): number {
  return Math.floor(ms / 1000) * 1000;
}

/** A date that cannot be read does not count (RFC 9110 13.1.3). */
function dateOf(text: string | null): number | undefined {
  if (text === null || !/^[A-Z][a-z]{2,8}[, ]/.test(text)) return undefined;
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? undefined : ms;
}

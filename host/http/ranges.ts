// The part of a file that a request asks for (RFC 9110, section 14). A server may send all of it instead: this one does
// so for several ranges at once, and for a field that it cannot read.
//
// Next: file-response.ts.

/** Bytes [start, end). */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** The range; undefined: send all; 'unsatisfiable': 416, for it begins behind the last byte. */
export function parseRange(field: string, size: number): ByteRange | 'unsatisfiable' | undefined {
  const [, first = '', last = ''] = /^bytes=[ \t]*(\d*)-(\d*)[ \t]*$/i.exec(field) ?? [];
  if (first === '' && last === '') return undefined;
  if (first === '') {
    const count = Number(last); // the last so many bytes
    return count === 0 || size === 0 ? 'unsatisfiable' : { start: Math.max(size - count, 0), end: size };
  }
  const start = Number(first);
  const end = last === '' ? size : Math.min(Number(last) + 1, size);
  if (last !== '' && Number(last) < start) return undefined;
  return start >= size ? 'unsatisfiable' : { start, end };
}

// Trailers: fields behind the last chunk of a body (RFC 9110 6.5), both ways.
//
//   request    0 CRLF name: value CRLF CRLF --takenTrailers()--> RequestTrailers --the body is in--> request.trailers
//   response   info.sendTrailers(make) --the stream has ended--> make() --lastChunk()--> 0 CRLF name: value CRLF CRLF
//
// The parser has checked each line, and its limit (8 KiB) holds. Behind a body some fields would be a danger: those by
// which a message is framed, routed, authenticated, cached or understood. Another server, or a program that adds
// trailers to the headers, could take them for the message's own. So they are left out of requests, and refused in
// responses.
//
// Next: body.ts, writer.ts.

import { FeatherstarError } from '../base/errors.js';
import { HttpState, ParserState } from '../core/offsets.js';
import type { Shard } from '../shard/shard.js';
import { eachField } from './head.js';
import { type FeatherHeaders, type HeadersValue, withLines } from './headers.js';

/** Makes the trailers of a response when its body has ended. */
export type MakeTrailers = () => HeadersValue | PromiseLike<HeadersValue>;

// RFC 9110 6.5.1
const FORBIDDEN_NAMES = `
  connection content-length host keep-alive proxy-connection te trailer transfer-encoding upgrade
  content-encoding content-range content-type
  authorization cookie proxy-authenticate proxy-authorization set-cookie www-authenticate
  cache-control expect if-match if-modified-since if-none-match if-range if-unmodified-since max-forwards pragma range
  age date expires location retry-after vary warning
  forwarded x-forwarded-for x-forwarded-host x-forwarded-proto`;
const FORBIDDEN = new Set(FORBIDDEN_NAMES.trim().split(/\s+/));

const { TRAILER_START, LAST_LF, DONE } = HttpState;
const STATE_BITS = 8 * (ParserState.lineBytes - ParserState.state);
const STATE_MASK = (1 << STATE_BITS) - 1;

/**
 * The part of the trailers that is in a piece of a body, as text. The parser has taken the piece, up to `pieceEnd`.
 * `before` and `after`: the first word of the parser's state.
 */
export function takenTrailers(shard: Shard, before: number, after: number, pieceEnd: number): string {
  const state = after & STATE_MASK;
  if (state < TRAILER_START) return '';
  const bytesBefore = (before & STATE_MASK) < TRAILER_START ? 0 : before >>> STATE_BITS;
  const bytes = (after >>> STATE_BITS) - bytesBefore;
  if (bytes === 0) return '';
  const emptyLineBytes = state === DONE ? 2 : state === LAST_LF ? 1 : 0; // they do not count as those of a line
  const end = pieceEnd - emptyLineBytes;
  return shard.latin1(end - bytes, end);
}

/** The trailers of one request. Made if some come, or if they are asked for. */
export class RequestTrailers {
  #text = '';
  #resolve: (headers: Headers) => void = () => {};
  #reject: (error: unknown) => void = () => {};
  readonly whole: Promise<Headers>;

  constructor() {
    this.whole = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.whole.catch(() => {}); // the reader of the body gets the error, too
  }

  /** A part of their lines, as they were sent. */
  add(text: string): void {
    this.#text += text;
  }

  end(): void {
    const lines: string[] = [];
    eachField({ text: this.#text, start: 0, headersStart: 0, headEnd: this.#text.length + 2 }, (name, value) => {
      const key = name.toLowerCase();
      if (!FORBIDDEN.has(key)) lines.push(key, name, value);
    });
    this.#resolve(withLines(lines, false) as FeatherHeaders & Headers); // it is given what Headers has, too
  }

  fail(error: unknown): void {
    this.#reject(error);
  }
}

/** The end of a body in chunks. Rejects with OPTION, with TypeError, and with what `make` fails with. */
export async function lastChunk(make: MakeTrailers): Promise<Buffer> {
  let lines = '';
  for (const [name, value] of new Headers((await make()) as HeadersInit)) {
    if (FORBIDDEN.has(name)) {
      const text = `trailer ${name}: a client could take it for a header. Send it before the body`;
      throw new FeatherstarError('FEATHERSTAR_OPTION', text);
    }
    lines += `${name}: ${value}\r\n`;
  }
  return Buffer.from(`0\r\n${lines}\r\n`, 'latin1');
}

// The responses of an HttpConnection, from the text of HTTP/1.1 that writer.ts makes to the frames of an HTTP/2 stream.
//
//   HEAD --1xx--> HEAD,  HEAD --no body--> DONE,  HEAD --> LENGTH or CHUNKS --all of it--> DONE
//
// The text comes from this library, so it is known how it is written. Fields of the connection are left out
// (RFC 9113 8.2.2), and so are the names' capital letters.
//
// Next: http2-stream.ts.

import type { OutgoingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { internalError } from '../base/errors.js';
import { type LongText, shiftBytes } from '../base/long-text.js';
import { Queue } from '../base/queue.js';
import type { ByteSink } from '../shard/transport.js';

const HEAD = 0; // states
const LENGTH = 1; // a body of known length
const SIZE = 2; // the line before a chunk
const CHUNK = 3; // its bytes, and the line's end behind them
const TRAILERS = 4;
const DONE = 5;

const END_OF_HEAD = Buffer.from('\r\n\r\n', 'latin1');
const LINE_END_BYTES = 2;
/** node:http2 throws for each of these. */
const OF_CONNECTION = new Set([
  'connection',
  'keep-alive',
  'transfer-encoding',
  'proxy-connection',
  'upgrade',
  'te',
  'http2-settings',
]);
const NOTHING = Buffer.alloc(0);
const PIECE_BYTES = 65_536;
const HTTP_INTERNAL_ERROR = 2;

export class ResponseFrames implements ByteSink {
  readonly #stream: ServerHttp2Stream;
  readonly #isHead: boolean;
  readonly #onSent: () => void;
  #state = HEAD;
  #pending = NOTHING; // the beginning of a head or a line
  #left = 0; // bytes of the body or the chunk
  #trailers: OutgoingHttpHeaders = {};
  #queuedBytes = 0;
  #waitingBytes = 0; // of them, not written yet
  #isBroken = false;
  #isWriting = false;
  readonly #queue = new Queue<Uint8Array | LongText>(); // of the body

  constructor(stream: ServerHttp2Stream, isHead: boolean, onSent: () => void) {
    this.#stream = stream;
    this.#isHead = isHead;
    this.#onSent = onSent;
  }

  /** All of the response is queued. */
  get isComplete(): boolean {
    return this.#state === DONE;
  }

  get isIdle(): boolean {
    return this.#waitingBytes === 0;
  }

  get backlogBytes(): number {
    return this.#waitingBytes;
  }

  get sentBytes(): number {
    return this.#queuedBytes - this.#waitingBytes;
  }

  /** Its bytes are not in linear memory. */
  reserve(): number {
    return 0;
  }

  hurry(): void {}

  /** Nothing more is sent, and none of what waits. */
  break(): void {
    this.#isBroken = true;
    this.#queuedBytes -= this.#waitingBytes;
    this.#waitingBytes = 0;
    this.#queue.clear();
  }

  /** The stream has ended on both sides. node:http2 may not have said yet that it has sent the last piece. */
  streamEnded(): void {
    if (this.#state === DONE && this.#queue.length === 0) this.#waitingBytes = 0;
  }

  enqueue(bytes: Uint8Array): void {
    if (this.#isBroken || this.#stream.destroyed) return;
    this.#queuedBytes += bytes.length;
    let rest = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    while (rest.length !== 0) {
      if (this.#state === DONE) throw internalError('bytes behind a response of HTTP/2');
      if (this.#state === LENGTH) rest = this.#body(rest);
      else if (this.#state === CHUNK) rest = this.#chunk(rest);
      else rest = this.#text(rest);
    }
  }

  /** The rest of a body of known length. */
  enqueueText(text: LongText): void {
    if (this.#isBroken || this.#stream.destroyed) return;
    this.#queuedBytes += text.length;
    this.#left -= text.length;
    this.#write(text, this.#left === 0);
  }

  /** A head, the line before a chunk, or the trailers: all of it, or it waits for more. */
  #text(bytes: Buffer): Buffer {
    const whole = this.#pending.length === 0 ? bytes : Buffer.concat([this.#pending, bytes]);
    this.#pending = NOTHING;
    if (this.#state === TRAILERS && whole[0] === END_OF_HEAD[0] && whole.length >= LINE_END_BYTES) {
      this.#end();
      return whole.subarray(LINE_END_BYTES);
    }
    const isLine = this.#state === SIZE;
    const end = whole.indexOf(isLine ? END_OF_HEAD.subarray(0, LINE_END_BYTES) : END_OF_HEAD);
    if (end < 0) {
      this.#pending = Buffer.from(whole);
      return NOTHING;
    }
    const text = whole.latin1Slice(0, end);
    if (this.#state === HEAD) this.#head(text);
    else if (isLine) {
      this.#left = Number.parseInt(text, 16);
      this.#state = this.#left === 0 ? TRAILERS : CHUNK;
      if (this.#left !== 0) this.#left += LINE_END_BYTES;
    } else {
      this.#trailers = fieldsOf(text.split('\r\n'));
      this.#end();
    }
    return whole.subarray(end + (isLine ? LINE_END_BYTES : END_OF_HEAD.length));
  }

  #head(text: string): void {
    const [first = '', ...lines] = text.split('\r\n');
    const status = Number(first.slice('HTTP/1.1 '.length, 'HTTP/1.1 200'.length));
    const isChunked = lines.includes('Transfer-Encoding: chunked');
    const headers = { ':status': status, ...fieldsOf(lines) };
    if (status < 200) {
      this.#stream.additionalHeaders(headers);
      return;
    }
    const bytes = Number(headers['content-length'] ?? 0);
    if (this.#isHead || (bytes === 0 && !isChunked)) {
      this.#stream.respond(headers, { endStream: true });
      this.#state = DONE;
      return;
    }
    this.#stream.respond(headers, { waitForTrailers: isChunked });
    this.#left = bytes;
    this.#state = isChunked ? SIZE : LENGTH;
    if (isChunked) this.#stream.once('wantTrailers', () => this.#stream.sendTrailers(this.#trailers));
  }

  #body(bytes: Buffer): Buffer {
    const piece = bytes.subarray(0, this.#left);
    this.#left -= piece.length;
    this.#write(piece, this.#left === 0);
    return bytes.subarray(piece.length);
  }

  #chunk(bytes: Buffer): Buffer {
    const piece = bytes.subarray(0, this.#left);
    const bodyBytes = Math.min(piece.length, this.#left - LINE_END_BYTES);
    this.#left -= piece.length;
    if (bodyBytes > 0) this.#write(piece.subarray(0, bodyBytes), false);
    if (this.#left === 0) this.#state = SIZE;
    return bytes.subarray(piece.length);
  }

  #write(bytes: Uint8Array | LongText, isLast: boolean): void {
    if (isLast) this.#state = DONE;
    this.#waitingBytes += bytes.length;
    this.#queue.push(bytes);
    this.#pump();
  }

  #end(): void {
    this.#state = DONE;
    this.#pump();
  }

  /** Gives node:http2 the next piece, when it has sent the last one. It copies all that it has for a fast client. */
  #pump(): void {
    if (this.#isWriting || this.#isBroken) return;
    const first = shiftBytes(this.#queue);
    if (first === undefined) {
      if (this.#state === DONE && !this.#stream.writableEnded) this.#stream.end();
      return;
    }
    if (first.length === 0) {
      this.#stream.close(HTTP_INTERNAL_ERROR); // the program has detached it, and the message would be cut off
      return;
    }
    const piece = first.subarray(0, PIECE_BYTES);
    const { length } = piece;
    if (length < first.length) this.#queue.unshift(first.subarray(PIECE_BYTES));
    const written = () => this.#written(length);
    this.#isWriting = true;
    if (this.#state === DONE && this.#queue.length === 0) this.#stream.end(piece, written);
    else this.#stream.write(piece, written);
  }

  #written(bytes: number): void {
    this.#isWriting = false;
    if (this.#isBroken) return;
    this.#waitingBytes -= bytes;
    this.#pump();
    this.#onSent();
  }
}

/** node:http2 throws if some fields have two lines, so lines of one name become a list (RFC 9110 5.2). */
function fieldsOf(lines: readonly string[]): OutgoingHttpHeaders {
  const fields: Record<string, string | string[]> = {};
  const cookies: string[] = []; // the only field that is no list
  for (const line of lines) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    if (OF_CONNECTION.has(name)) continue;
    if (name === 'set-cookie') cookies.push(value);
    else fields[name] = Object.hasOwn(fields, name) ? `${fields[name]}, ${value}` : value;
  }
  if (cookies.length !== 0) fields['set-cookie'] = cookies;
  return fields;
}

// Writes one answer into a connection's send queue. There are two ways. A featherstar Response with a string or bytes
// and plain headers is written at once, head and body in one piece. Everything else (streams, the global Response)
// takes the slower way, which awaits.

import { STATUS_CODES } from 'node:http';
import { FeatherstarError, optionError } from '../base/errors.js';
import { LongText, TEXT_PIECE_BYTES } from '../base/long-text.js';
import { COPIED_BYTES } from '../shard/send-queue.js';
import type { Shard } from '../shard/shard.js';
import type { ByteSink } from '../shard/transport.js';
import { CLOSE, type Heads, KEEP_ALIVE_1_0, type Template } from './heads.js';
import { type Pieces, piecesOf } from './pieces.js';
import {
  FeatherResponse,
  hasNoBody,
  impliedTypeOf,
  isFeatherResponse,
  sourceOf,
  statedLines,
  statusOf,
  statusTextOf,
} from './response.js';
import { lastChunk, type MakeTrailers } from './trailers.js';

const TEMPLATE_LENGTH_MAX = 0xffffffff; // the core writes a u32
/** The next chunk of a stream is asked for while so many bytes wait to be sent: several go out by one operation. */
export const STREAM_AHEAD_BYTES = 262_144;
const SHORT_TEXT = 24; // up to here a loop beats a call into C++
const ASCII_OVERRUN = 4;
// Looked up once: Buffer's prototype is in V8's dictionary mode.
const { latin1Write, utf8Write } = Buffer.prototype;

const CRLF = Buffer.from('\r\n', 'latin1');
const END = Buffer.from('0\r\n\r\n', 'latin1');

/** The facts about a request that the writer needs. */
export interface Exchange {
  readonly isHead: boolean;
  readonly isHttp10: boolean;
  /** CLOSE and the like: what the answer says of the connection. */
  connection: number;
  /** Makes the fields behind a body in chunks; undefined: there are none. */
  readonly trailers: MakeTrailers | undefined;
  /**
   * The head of a streamed answer is queued now, and `stream` is read from then on, unless the body is here already.
   * Throws if the client does not wait for a response any more. `streamsEvents`: a text/event-stream, which has no end
   * of its own.
   */
  beginStream(stream?: ReadableStreamDefaultReader<Uint8Array>, streamsEvents?: boolean): void;
  /** Resolves when no more than `bytes` wait to be sent (by default, few); rejects when the client is gone. */
  drained(bytes?: number): Promise<void> | undefined;
}

export class Writer {
  private readonly shard: Shard;
  private readonly heads: Heads;

  constructor(shard: Shard, heads: Heads) {
    this.shard = shard;
    this.heads = heads;
  }

  /** Writes the answer if that can be done at once. False: use write(). Throws OPTION for bad headers. */
  writeNow(response: FeatherResponse, queue: ByteSink, exchange: Exchange): boolean {
    const body = sourceOf(response);
    if (hasNoBody(statusOf(response)) || (body === null && exchange.isHead))
      return this.writeHead(response, queue, exchange);
    if (typeof body === 'string') return this.writeText(response, body, queue, exchange);
    if (body === null) return this.writeBytes(response, EMPTY, queue, exchange);
    if (body instanceof Uint8Array) return this.writeBytes(response, body, queue, exchange);
    return false;
  }

  /** An answer that says no more than its status. */
  writeStatus(status: number, queue: ByteSink, exchange: Exchange): void {
    this.writeNow(new FeatherResponse(STATUS_CODES[status] ?? '', { status }), queue, exchange);
  }

  private writeText(response: FeatherResponse, text: string, queue: ByteSink, exchange: Exchange): boolean {
    const { length } = text;
    if (length > TEXT_PIECE_BYTES || exchange.isHead)
      return this.writeBytes(response, new LongText(text), queue, exchange);
    if (length > COPIED_BYTES) return this.writeBytes(response, Buffer.from(text, 'utf8'), queue, exchange);
    const type = plainType(response);
    const template =
      type === undefined ? undefined : this.heads.template(statusOf(response), type, exchange.connection);
    if (template === undefined) return this.writeTextWithLines(response, text, queue, exchange);
    const headBytes = template.bytes + digits(length) + 4;
    const at = queue.reserve(headBytes + length);
    if (at === 0) return this.writeBytes(response, Buffer.from(text, 'utf8'), queue, exchange);
    const { core, bytes } = this.shard;
    core.http_head(at, template.ptr, template.bytes, length); // before the text: it may write over its own end
    const isAscii = writeAscii(text, bytes, at + headBytes);
    if (!isAscii) this.writeLonger(template, text, at, headBytes + length, queue);
    return true;
  }

  /** A text with header lines of its own. They and the text take the place of the empty line of a head without them. */
  private writeTextWithLines(response: FeatherResponse, text: string, queue: ByteSink, exchange: Exchange): boolean {
    const { length } = text;
    const isPlain = statusTextOf(response) === '' && Buffer.byteLength(text) === length;
    const fields = isPlain ? this.fieldsOf(response, exchange) : undefined;
    const template =
      fields === undefined || fields.hasDate
        ? undefined
        : this.heads.template(statusOf(response), '', exchange.connection);
    if (fields !== undefined && template !== undefined) {
      checkedLength(fields.length, length, false);
      const rest = `${fields.lines}\r\n${text}`;
      const restAt = template.bytes + digits(length) + CRLF.length;
      const at = queue.reserve(restAt + rest.length);
      if (at !== 0) {
        const { core, bytes } = this.shard;
        core.http_head(at, template.ptr, template.bytes, length);
        latin1Write.call(bytes, rest, at + restAt, rest.length);
        return true;
      }
    }
    return this.writeBytes(response, Buffer.from(text, 'utf8'), queue, exchange);
  }

  /** A head and a text whose body is longer than was thought: it begins in the `reserved` bytes at `at`. */
  private writeLonger(template: Template, text: string, at: number, reserved: number, queue: ByteSink): void {
    const { core, bytes } = this.shard;
    const length = Buffer.byteLength(text);
    const headBytes = core.http_head(at, template.ptr, template.bytes, length);
    const fitting = reserved - headBytes;
    const behind = queue.reserve(length - fitting);
    if (behind === at + reserved) {
      utf8Write.call(bytes, text, at + headBytes, length);
      return;
    }
    const body = Buffer.from(text, 'utf8');
    body.copy(bytes, at + headBytes, 0, fitting);
    if (behind === 0) queue.enqueue(body.subarray(fitting));
    else body.copy(bytes, behind, fitting);
  }

  private writeBytes(
    response: FeatherResponse,
    body: Uint8Array | LongText,
    queue: ByteSink,
    exchange: Exchange,
  ): boolean {
    const { length } = body;
    if (exchange.isHead) return this.writeFirst(response, EMPTY, length, queue, exchange);
    if (!(body instanceof LongText)) return this.writeFirst(response, body, length, queue, exchange);
    this.writeFirst(response, body.next(), length, queue, exchange);
    if (body.length !== 0) queue.enqueueText(body);
    return true;
  }

  /** The head, and the `first` bytes of a body of `length` bytes. */
  private writeFirst(
    response: FeatherResponse,
    first: Uint8Array,
    length: number,
    queue: ByteSink,
    exchange: Exchange,
  ): boolean {
    const plain = plainType(response);
    const template =
      plain === undefined ? undefined : this.heads.template(statusOf(response), plain, exchange.connection);
    if (template !== undefined && length <= TEMPLATE_LENGTH_MAX) {
      const headBytes = template.bytes + digits(length) + 4;
      const isLent = first.length > COPIED_BYTES;
      const at = isLent ? queue.reserve(headBytes, first) : queue.reserve(headBytes + first.length);
      if (at !== 0) {
        this.shard.core.http_head(at, template.ptr, template.bytes, length);
        if (first.length !== 0 && !isLent) this.shard.bytes.set(first, at + headBytes);
        return true;
      }
    }
    const fields = this.fieldsOf(response, exchange);
    const framing = lengthLine(checkedLength(fields.length, length, exchange.isHead));
    this.enqueueFirst(this.headText(response, exchange, fields, framing), first, queue);
    return true;
  }

  /** The head alone: to HEAD, or with a status that has no body. */
  private writeHead(response: FeatherResponse | Response, queue: ByteSink, exchange: Exchange): boolean {
    dropBody(response);
    const fields = this.fieldsOf(response, exchange);
    this.enqueueHead(response, queue, exchange, fields, framingWithoutBody(response.status, fields.length));
    return true;
  }

  /** Header lines of the handler, without those of framing. Throws OPTION for what would break the message. */
  private fieldsOf(response: FeatherResponse | Response, exchange: Exchange): Fields {
    const fields = { lines: '', length: NO_LENGTH, hasDate: false, isChunked: false };
    const visit = (name: string, value: string, key: string) => {
      if (key === 'transfer-encoding') {
        fields.isChunked = /^chunked$/i.test(value);
        return;
      }
      if (key === 'content-length') {
        fields.length = parseLength(value, fields.length);
        return;
      }
      if (key === 'connection') {
        if (/\bclose\b/i.test(value)) exchange.connection = CLOSE;
        return;
      }
      if (key === 'date') fields.hasDate = true;
      fields.lines += `${name}: ${value}\r\n`;
    };
    if (isFeatherResponse(response)) eachLine(response, visit);
    else {
      response.headers.forEach((value, name) => {
        visit(name, value, name);
      });
    }
    return fields;
  }

  private headText(
    response: FeatherResponse | Response,
    exchange: Exchange,
    { lines, hasDate }: Fields,
    framing: string,
  ): string {
    const head = this.heads.text(response.status, response.statusText, lines, !hasDate, exchange.connection);
    return `${head}${framing}\r\n`;
  }

  private enqueueHead(
    response: FeatherResponse | Response,
    queue: ByteSink,
    exchange: Exchange,
    fields: Fields,
    framing: string,
    hasBody = false,
  ): void {
    queue.enqueue(Buffer.from(this.headText(response, exchange, fields, framing), 'latin1'), hasBody);
  }

  /** A head, and the first bytes of a body. */
  private enqueueFirst(head: string, first: Uint8Array, queue: ByteSink): void {
    const { length } = first;
    const isLent = length > COPIED_BYTES;
    const at = isLent ? queue.reserve(head.length, first) : queue.reserve(head.length + length);
    if (at === 0) {
      queue.enqueue(Buffer.from(head, 'latin1'), length !== 0);
      if (length !== 0) queue.enqueue(first);
      return;
    }
    const { bytes } = this.shard;
    latin1Write.call(bytes, head, at, head.length);
    if (length !== 0 && !isLent) bytes.set(first, at + head.length);
  }

  /** The slower road: a body that has to be read first. Rejects if reading fails or the client goes away. */
  async write(response: FeatherResponse | Response, queue: ByteSink, exchange: Exchange): Promise<void> {
    if (response.bodyUsed) throw new TypeError('the body of the response was read before it could be sent');
    const { stream, size } = streamOf(response);
    if (hasNoBody(response.status) || (stream === null && exchange.isHead)) {
      this.writeHead(response, queue, exchange);
      return;
    }
    if (stream === null) {
      this.writeWhole(response, EMPTY, queue, exchange, this.fieldsOf(response, exchange));
      return;
    }
    const reader = stream.getReader();
    try {
      const pieces = piecesOf(stream);
      if (pieces === undefined) await this.pump(response, reader, queue, exchange, size);
      else await this.sendPieces(response, reader, pieces, queue, exchange, size);
    } catch (error) {
      giveUp(reader, error);
      throw error;
    }
  }

  private async pump(
    response: FeatherResponse | Response,
    reader: ReadableStreamDefaultReader<Uint8Array>,
    queue: ByteSink,
    exchange: Exchange,
    size: number,
  ): Promise<void> {
    const fields = this.fieldsOf(response, exchange);
    if (exchange.trailers !== undefined) fields.isChunked = true;
    if (fields.length === NO_LENGTH && !fields.isChunked) fields.length = size;
    if (exchange.isHead && fields.length !== NO_LENGTH) {
      this.enqueueHead(response, queue, exchange, fields, lengthLine(fields.length));
      giveUp(reader);
      return;
    }
    const opening = readAhead(reader);
    const first = await soon(opening);
    let ahead: Promise<Read> | undefined;
    if (first !== undefined) {
      if (!first.done) {
        first.value = chunkBytes(first.value); // the loop below gets the same object
        checkRoom(fields.length, first.value.length);
        ahead = readAhead(reader);
      }
      if (!fields.isChunked && (ahead === undefined || (await soon(ahead))?.done)) {
        this.writeWhole(response, first.value ?? EMPTY, queue, exchange, fields);
        return;
      }
    }
    const chunked = fields.length === NO_LENGTH && !exchange.isHttp10;
    const framing = framingOfStream(fields.length, chunked);
    if (framing === '') exchange.connection = CLOSE; // its end ends the body
    const streamsEvents = response.headers.get('content-type')?.startsWith('text/event-stream') === true;
    exchange.beginStream(reader, streamsEvents);
    const isAhead = first?.done === false && first.value.length !== 0 && !exchange.isHead;
    this.enqueueHead(response, queue, exchange, fields, framing, isAhead); // now: the first bytes may take their time
    if (exchange.isHead) {
      giveUp(reader);
      return;
    }
    let bytes = 0;
    for (let step = await opening; !step.done; ) {
      const chunk = chunkBytes(step.value);
      bytes += chunk.length;
      checkRoom(fields.length, bytes);
      if (chunk.length !== 0) enqueueChunk(chunk, chunked, queue);
      step = await (ahead ?? reader.read());
      ahead = undefined;
      const drained = step.done ? undefined : exchange.drained(); // the end goes out with the last chunk
      if (drained !== undefined) await drained;
    }
    checkedLength(fields.length, bytes, false);
    if (chunked) queue.enqueue(exchange.trailers === undefined ? END : await lastChunk(exchange.trailers));
  }

  /** A body that is read into the same memory again and again: each piece goes out before the next one is read. */
  private async sendPieces(
    response: FeatherResponse | Response,
    reader: ReadableStreamDefaultReader<Uint8Array>,
    pieces: Pieces,
    queue: ByteSink,
    exchange: Exchange,
    size: number,
  ): Promise<void> {
    const fields = this.fieldsOf(response, exchange);
    if (exchange.isHead || fields.length === NO_LENGTH) {
      await this.pump(response, reader, queue, exchange, size);
      return;
    }
    let piece = await pieces.next();
    exchange.beginStream(reader);
    this.enqueueHead(response, queue, exchange, fields, lengthLine(fields.length), piece !== undefined);
    let bytes = 0;
    for (; piece !== undefined; piece = await pieces.next()) {
      bytes += piece.length;
      checkRoom(fields.length, bytes);
      queue.enqueue(piece);
      await exchange.drained(0);
    }
    checkedLength(fields.length, bytes, false);
  }

  /** All of the body is here: says how long it is. */
  private writeWhole(
    response: FeatherResponse | Response,
    body: Uint8Array,
    queue: ByteSink,
    exchange: Exchange,
    fields: Fields,
  ): void {
    const length = checkedLength(fields.length, body.length, exchange.isHead);
    exchange.beginStream();
    const head = this.headText(response, exchange, fields, lengthLine(length));
    this.enqueueFirst(head, exchange.isHead ? EMPTY : body, queue);
  }
}

interface Fields {
  lines: string;
  hasDate: boolean;
  /** The handler asks for chunks: a stream gets no length, even if it ends at once. */
  isChunked: boolean;
  /** The handler's own length of the body, or NO_LENGTH. */
  length: number;
}

const NO_LENGTH = -1;

function parseLength(text: string, before: number): number {
  const length = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (before === NO_LENGTH && Number.isSafeInteger(length)) return length;
  throw optionError('content-length', before === NO_LENGTH ? text : `${before}, ${text}`, 'one number of bytes');
}

/** The length for the head of a body that is `bytes` long. A handler of HEAD need not make a body. */
function checkedLength(stated: number, bytes: number, isHead: boolean): number {
  if (stated === NO_LENGTH || stated === bytes) return bytes;
  if (isHead && bytes === 0) return stated;
  throw lengthError(stated, `${bytes}`);
}

/** Throws if a body that is not at its end has more bytes than were stated. */
function checkRoom(stated: number, bytes: number): void {
  if (stated !== NO_LENGTH && bytes > stated) throw lengthError(stated, `${bytes} or more`);
}

function lengthError(stated: number, bytes: string): FeatherstarError {
  const text = `content-length says ${stated} bytes, and the body has ${bytes}`;
  return new FeatherstarError('FEATHERSTAR_OPTION', `${text}: give the body's length, or leave the header out`);
}

function lengthLine(bytes: number): string {
  return `Content-Length: ${bytes}\r\n`;
}

/** RFC 9110 8.6: 304 and HEAD may say how long the body would be, 204 says nothing. 205 must say that it has none. */
function framingWithoutBody(status: number, stated: number): string {
  if (status !== 204 && status !== 205) return stated === NO_LENGTH ? '' : lengthLine(stated);
  if (stated > 0) throw lengthError(stated, `none, for its status is ${status}`);
  return status === 205 ? lengthLine(0) : '';
}

/** Nothing: HTTP/1.0 knows no chunks. */
function framingOfStream(stated: number, chunked: boolean): string {
  if (stated !== NO_LENGTH) return lengthLine(stated);
  return chunked ? 'Transfer-Encoding: chunked\r\n' : '';
}

const EMPTY = new Uint8Array(0);

type Read = ReadableStreamReadResult<Uint8Array>;

function readAhead(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<Read> {
  const read = reader.read();
  read.catch(() => undefined); // it is awaited later, or never, when the client has gone: no unhandled rejection
  return read;
}

/** Tells a stream that its rest is not wanted. Not awaited: a source may never say that it has stopped. */
function giveUp(reader: ReadableStreamDefaultReader<Uint8Array>, reason?: unknown): void {
  reader.cancel(reason).catch(() => undefined); // it failed already, or does now: one error is enough
}

/** The bytes that were read, if they come within a few microtasks. So short bodies can have a length. */
function soon(read: Promise<Read>): Promise<Read | undefined> {
  return Promise.race([read, nextTicks(8)]);
}

async function nextTicks(count: number): Promise<undefined> {
  for (let i = 0; i < count; i++) await undefined;
  return undefined;
}

/** A chunk of a stream as bytes. The standard allows Uint8Array alone; other servers take text and buffers, too. */
function chunkBytes(chunk: unknown): Uint8Array<ArrayBuffer> {
  if (chunk instanceof Uint8Array) return chunk as Uint8Array<ArrayBuffer>;
  if (typeof chunk === 'string') return Buffer.from(chunk, 'utf8');
  if (chunk instanceof ArrayBuffer) return new Uint8Array(chunk);
  if (ArrayBuffer.isView(chunk)) return new Uint8Array(chunk.buffer as ArrayBuffer, chunk.byteOffset, chunk.byteLength);
  throw new FeatherstarError('FEATHERSTAR_OPTION', `a body stream must yield bytes or text, not ${typeof chunk}`);
}

/** The answer is not sent, or not its body: a stream is told, so that what feeds it can stop. */
export function dropBody(response: unknown): void {
  const body = isFeatherResponse(response) ? sourceOf(response) : response instanceof Response && response.body;
  if (body instanceof ReadableStream && !body.locked) body.cancel().catch(() => undefined); // no code waits for it
}

/** Small chunks are copied together with their framing; large ones are lent, between its two pieces. */
function enqueueChunk(bytes: Uint8Array, chunked: boolean, queue: ByteSink): void {
  if (!chunked) queue.enqueue(bytes);
  else if (bytes.length <= COPIED_BYTES) queue.enqueue(frame(bytes));
  else {
    queue.enqueue(Buffer.from(`${bytes.length.toString(16)}\r\n`, 'latin1'), true);
    queue.enqueue(bytes, true);
    queue.enqueue(CRLF);
  }
}

function frame(bytes: Uint8Array): Uint8Array {
  const size = `${bytes.length.toString(16)}\r\n`;
  const out = Buffer.allocUnsafe(size.length + bytes.length + 2);
  out.latin1Write(size, 0, size.length);
  out.set(bytes, size.length);
  out.latin1Write('\r\n', out.length - 2, 2);
  return out;
}

/** The content type ('': none), if the response has no other headers of its own; otherwise undefined. */
function plainType(response: FeatherResponse): string | undefined {
  if (statusTextOf(response) !== '') return undefined;
  const lines = statedLines(response);
  if (lines === undefined) return impliedTypeOf(response);
  if (lines.length === 0) return '';
  return lines.length === 3 && lines[0] === 'content-type' ? lines[2] : undefined;
}

function eachLine(response: FeatherResponse, visit: (name: string, value: string, key: string) => void): void {
  const lines = statedLines(response);
  if (lines === undefined) {
    const type = impliedTypeOf(response);
    if (type !== '') visit('Content-Type', type, 'content-type');
    return;
  }
  for (let i = 0; i < lines.length; i += 3) visit(lines[i + 1] as string, lines[i + 2] as string, lines[i] as string);
}

/** The body to be read, and its size if it is known. */
function streamOf(response: FeatherResponse | Response): { stream: ReadableStream<Uint8Array> | null; size: number } {
  const source = isFeatherResponse(response) ? sourceOf(response) : response.body;
  if (source instanceof Blob) return { stream: source.stream(), size: source.size };
  return { stream: source as ReadableStream<Uint8Array> | null, size: NO_LENGTH };
}

/**
 * Writes text to memory, and up to ASCII_OVERRUN bytes more. False: it is not all ASCII, and what was written is of no
 * use. UTF-8 has one byte for each character only then. A character has four bytes at most. So if text is longer than
 * its bytes may be here, some of the four behind `length` are written.
 */
function writeAscii(text: string, memory: Buffer, at: number): boolean {
  const { length } = text;
  if (length > SHORT_TEXT) return utf8Write.call(memory, text, at, length + ASCII_OVERRUN) === length;
  let all = 0;
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i);
    all |= code;
    memory[at + i] = code;
  }
  return all < 128;
}

function digits(value: number): number {
  let count = 1;
  for (let rest = value; rest >= 10; rest = Math.floor(rest / 10)) count++;
  return count;
}

export function connectionFor(keepAlive: boolean, isHttp10: boolean): number {
  if (!keepAlive) return CLOSE;
  return isHttp10 ? KEEP_ALIVE_1_0 : 0;
}

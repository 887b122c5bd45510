// Writes one answer into a connection's send queue. Two roads: a featherstar Response with a string or bytes and plain
// headers is written at once, head and body in one piece; everything else (streams, the global Response) takes the
// slower one, which awaits.

import { STATUS_CODES } from 'node:http';
import { FeatherstarError } from '../errors.js';
import type { SendQueue } from '../send-queue.js';
import type { Shard } from '../shard.js';
import { CLOSE, type Heads, KEEP_ALIVE_1_0 } from './heads.js';
import { FeatherResponse } from './response.js';

const TEXT_TYPE = 'text/plain;charset=UTF-8';
const SHORT_TEXT = 256; // up to here a loop beats a call into C++
const END = Buffer.from('0\r\n\r\n', 'latin1');

/** What the writer has to know of the request that it answers. */
export interface Exchange {
  readonly isHead: boolean;
  readonly isHttp10: boolean;
  /** CLOSE and the like: what the answer says of the connection. */
  connection: number;
  /**
   * The head of a streamed answer is queued now, and `stream` is read from then on, unless the body is here already.
   * Throws if nobody waits for an answer any more. `streamsEvents`: a text/event-stream, which has no end of its own.
   */
  beginStream(stream?: ReadableStreamDefaultReader<Uint8Array>, streamsEvents?: boolean): void;
  /** Resolves when the client has taken enough that more may be queued; rejects when it is gone. */
  drained(): Promise<void> | undefined;
}

export class Writer {
  private readonly shard: Shard;
  private readonly heads: Heads;

  constructor(shard: Shard, heads: Heads) {
    this.shard = shard;
    this.heads = heads;
  }

  /** Writes the answer if that can be done at once. False: use write(). Throws OPTION for bad headers. */
  writeNow(response: FeatherResponse, queue: SendQueue, exchange: Exchange): boolean {
    const body = response.rawBody;
    if (response.status === 204 || response.status === 304) return this.writeBodiless(response, queue, exchange);
    if (typeof body === 'string') return this.writeText(response, body, queue, exchange);
    if (body == null) return this.writeBytes(response, EMPTY, queue, exchange);
    if (body instanceof Uint8Array) return this.writeBytes(response, body, queue, exchange);
    if (body instanceof ArrayBuffer) return this.writeBytes(response, new Uint8Array(body), queue, exchange);
    return false;
  }

  /** An answer that says no more than its status. */
  writeStatus(status: number, queue: SendQueue, exchange: Exchange): void {
    this.writeNow(new FeatherResponse(STATUS_CODES[status] ?? '', { status }), queue, exchange);
  }

  private writeText(response: FeatherResponse, text: string, queue: SendQueue, exchange: Exchange): boolean {
    const length = text.length;
    if (response.hasHeaders || length > SHORT_TEXT || exchange.isHead || response.statusText !== '' || !isAscii(text)) {
      return this.writeBytes(response, Buffer.from(text, 'utf8'), queue, exchange, TEXT_TYPE);
    }
    const template = this.heads.template(response.status, TEXT_TYPE, exchange.connection);
    const headBytes = template === undefined ? 0 : template.bytes + digits(length) + 4;
    const at = template === undefined ? 0 : queue.reserve(headBytes + length);
    if (template === undefined || at === 0) {
      return this.writeBytes(response, Buffer.from(text, 'latin1'), queue, exchange, TEXT_TYPE);
    }
    this.shard.core.http_head(at, template.ptr, template.bytes, length);
    const bytes = this.shard.bytes;
    const start = at + headBytes;
    for (let i = 0; i < length; i++) bytes[start + i] = text.charCodeAt(i);
    return true;
  }

  private writeBytes(
    response: FeatherResponse,
    body: Uint8Array,
    queue: SendQueue,
    exchange: Exchange,
    type = '',
  ): boolean {
    const plain = plainType(response, type);
    const template = plain === undefined ? undefined : this.heads.template(response.status, plain, exchange.connection);
    const bodyBytes = exchange.isHead ? 0 : body.length;
    if (template !== undefined) {
      const headBytes = template.bytes + digits(body.length) + 4;
      const at = queue.reserve(headBytes + bodyBytes);
      if (at !== 0) {
        this.shard.core.http_head(at, template.ptr, template.bytes, body.length);
        if (bodyBytes !== 0) this.shard.bytes.set(body, at + headBytes);
        return true;
      }
    }
    const head = this.headText(response, exchange, type, `Content-Length: ${body.length}\r\n\r\n`);
    queue.enqueue(Buffer.from(head, 'latin1'));
    if (bodyBytes !== 0) queue.enqueue(body);
    return true;
  }

  private writeBodiless(response: FeatherResponse, queue: SendQueue, exchange: Exchange): boolean {
    queue.enqueue(Buffer.from(this.headText(response, exchange, '', '\r\n'), 'latin1'));
    dropBody(response);
    return true;
  }

  /** Header lines of the user, without those that framing decides. */
  private headText(response: FeatherResponse | Response, exchange: Exchange, type: string, framing: string): string {
    let lines = '';
    let hasType = type === '';
    let hasDate = false;
    const visit = (name: string, value: string) => {
      const key = name.toLowerCase();
      if (key === 'content-length' || key === 'transfer-encoding') return;
      if (key === 'connection') {
        if (/\bclose\b/i.test(value)) exchange.connection = CLOSE;
        return;
      }
      if (key === 'content-type') hasType = true;
      if (key === 'date') hasDate = true;
      lines += `${name}: ${value}\r\n`;
    };
    if ('eachHeader' in response) response.eachHeader(visit);
    else {
      response.headers.forEach((value, name) => {
        visit(name, value);
      });
    }
    if (!hasType) lines = `Content-Type: ${type}\r\n${lines}`;
    return this.heads.text(response.status, response.statusText, lines, !hasDate, exchange.connection) + framing;
  }

  /** The slower road: a body that has to be read first. Rejects if reading fails or the client goes away. */
  async write(response: FeatherResponse | Response, queue: SendQueue, exchange: Exchange): Promise<void> {
    const stream = 'rawBody' in response ? (response.rawBody as ReadableStream<Uint8Array>) : response.body;
    if (stream === null || response.status === 204 || response.status === 304) {
      const framing = response.status === 204 || response.status === 304 ? '\r\n' : 'Content-Length: 0\r\n\r\n';
      queue.enqueue(Buffer.from(this.headText(response, exchange, '', framing), 'latin1'));
      dropBody(response);
      return;
    }
    const reader = stream.getReader();
    try {
      await this.pump(response, reader, queue, exchange);
    } catch (error) {
      await reader.cancel(error).catch(() => undefined); // the stream failed already, or does now: one error is enough
      throw error;
    }
  }

  private async pump(
    response: FeatherResponse | Response,
    reader: ReadableStreamDefaultReader<Uint8Array>,
    queue: SendQueue,
    exchange: Exchange,
  ): Promise<void> {
    const opening = readAhead(reader);
    const first = await soon(opening);
    let ahead: Promise<Read> | undefined;
    if (first !== undefined) {
      if (!first.done) {
        checkChunk(first.value);
        ahead = readAhead(reader);
      }
      if (ahead === undefined || (await soon(ahead))?.done) {
        this.writeWhole(response, first.value ?? EMPTY, queue, exchange);
        return;
      }
    }
    const chunked = !exchange.isHttp10;
    if (!chunked) exchange.connection = CLOSE; // HTTP/1.0 knows no chunks: the end of the connection ends the body
    const head = this.headText(response, exchange, '', chunked ? 'Transfer-Encoding: chunked\r\n\r\n' : '\r\n');
    const streamsEvents = response.headers.get('content-type')?.startsWith('text/event-stream') === true;
    exchange.beginStream(reader, streamsEvents);
    queue.enqueue(Buffer.from(head, 'latin1')); // now, though the first bytes may take their time
    if (exchange.isHead) {
      await reader.cancel();
      return;
    }
    for (let step = await opening; !step.done; ) {
      ahead ??= readAhead(reader);
      checkChunk(step.value);
      if (step.value.length !== 0) queue.enqueue(chunked ? frame(step.value) : step.value);
      await exchange.drained();
      step = await ahead;
      ahead = undefined;
    }
    if (chunked) queue.enqueue(END);
  }

  /** All of the body is here: says how long it is. */
  private writeWhole(
    response: FeatherResponse | Response,
    body: Uint8Array,
    queue: SendQueue,
    exchange: Exchange,
  ): void {
    const head = this.headText(response, exchange, '', `Content-Length: ${body.length}\r\n\r\n`);
    exchange.beginStream();
    queue.enqueue(Buffer.from(head, 'latin1'));
    if (!exchange.isHead) queue.enqueue(body);
  }
}

const EMPTY = new Uint8Array(0);

type Read = ReadableStreamReadResult<Uint8Array>;

function readAhead(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<Read> {
  const read = reader.read();
  read.catch(() => undefined); // it is awaited later, or never, when the client has gone: no unhandled rejection
  return read;
}

/** What was read, if it is there within a few microtasks: so short bodies can say how long they are. */
function soon(read: Promise<Read>): Promise<Read | undefined> {
  return Promise.race([read, nextTicks(8)]);
}

async function nextTicks(count: number): Promise<undefined> {
  for (let i = 0; i < count; i++) await undefined;
  return undefined;
}

function checkChunk(chunk: unknown): void {
  if (!(chunk instanceof Uint8Array)) {
    throw new FeatherstarError('FEATHERSTAR_OPTION', `a body stream must yield Uint8Arrays, not ${typeof chunk}`);
  }
}

/** The answer is not sent, or not its body: a stream is told, so that what feeds it can stop. */
export function dropBody(response: unknown): void {
  const body = response instanceof FeatherResponse ? response.rawBody : response instanceof Response && response.body;
  if (body instanceof ReadableStream && !body.locked) body.cancel().catch(() => undefined); // nobody waits for it
}

function frame(bytes: Uint8Array): Uint8Array {
  const size = `${bytes.length.toString(16)}\r\n`;
  const out = Buffer.allocUnsafe(size.length + bytes.length + 2);
  out.latin1Write(size, 0, size.length);
  out.set(bytes, size.length);
  out.latin1Write('\r\n', out.length - 2, 2);
  return out;
}

/** The content type, if it is the only header that the answer has of its own; undefined if there are others. */
function plainType(response: FeatherResponse, type: string): string | undefined {
  if (response.statusText !== '') return undefined;
  if (!response.hasHeaders) return type;
  let plain: string | undefined = type;
  response.eachHeader((name, value) => {
    plain = name.toLowerCase() === 'content-type' && plain !== undefined ? value : undefined;
  });
  return plain;
}

function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 127) return false;
  return true;
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

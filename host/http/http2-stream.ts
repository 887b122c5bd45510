// One stream of an HTTP/2 connection as a transport of HTTP/1.1: a message each way, and then its end. So requests over
// HTTP/2 have the parser, the limits, the timeouts and the log that others have, in an HttpConnection of their own.
//
//   HEADERS, DATA --> text of HTTP/1.1 --> HttpConnection --> text of HTTP/1.1 --> response-frames.ts --> HEADERS, DATA
//
// The client's fields cannot break the text: nghttp2 refuses characters that no field may have, and the parser would.
//
// Next: http2-connection.ts.

import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type { NetAddress } from '../hosts/host.js';
import type { Transport, TransportUser } from '../shard/transport.js';
import type { TlsInfo } from '../tls/info.js';
import { ResponseFrames } from './response-frames.js';

const CRLF = Buffer.from('\r\n', 'latin1');
const HTTP_NO_ERROR = 0;
const HTTP_CANCEL = 8;

/** The connection that has the stream. */
export interface StreamConnection {
  readonly remote: NetAddress | undefined;
  readonly tls: TlsInfo | undefined;
  /** The stream is over. */
  streamClosed(): void;
}

export class Http2StreamTransport implements Transport {
  readonly out: ResponseFrames;
  user: TransportUser;
  readonly remote: NetAddress | undefined;
  readonly tls: TlsInfo | undefined;
  peerLeft = false;
  peerEnded = false;
  isClosed = false;
  readonly #stream: ServerHttp2Stream;
  readonly #connection: StreamConnection;
  #isChunked = false;
  #isFinishing = false;
  #wasBehind = false; // at the last checkPace()
  #pacedBytes = 0; // were sent then
  #trailers = '';
  #timer: NodeJS.Timeout | undefined;

  constructor(stream: ServerHttp2Stream, connection: StreamConnection, isHead: boolean, user: TransportUser) {
    this.#stream = stream;
    this.user = user;
    this.#connection = connection;
    this.remote = connection.remote;
    this.tls = connection.tls;
    this.out = new ResponseFrames(stream, isHead, () => this.#onSent());
    stream.on('error', () => {}); // 'close' follows
    stream.on('aborted', () => this.destroy());
    stream.on('close', () => {
      if (stream.rstCode === HTTP_NO_ERROR) this.out.streamEnded();
      this.destroy();
    });
  }

  /** Gives the request to the user. */
  begin(headers: IncomingHttpHeaders, hasBody: boolean): void {
    this.#isChunked = hasBody && headers['content-length'] === undefined;
    this.user.onBytes(Buffer.from(headText(headers, this.#isChunked), 'latin1'));
    if (this.isClosed || !hasBody) return;
    const stream = this.#stream;
    stream.on('data', (bytes: Buffer) => this.#onData(bytes));
    stream.on('trailers', (trailers: IncomingHttpHeaders) => {
      this.#trailers = linesOf(trailers);
    });
    stream.on('end', () => this.#onEnd());
    if (!this.user.mayReceive) stream.pause();
  }

  #onData(bytes: Buffer): void {
    if (this.isClosed) return;
    if (this.#isChunked) this.user.onBytes(Buffer.from(`${bytes.length.toString(16)}\r\n`, 'latin1'));
    if (!this.isClosed) this.user.onBytes(bytes);
    if (this.#isChunked && !this.isClosed) this.user.onBytes(CRLF);
    if (!this.isClosed && !this.user.mayReceive) this.#stream.pause();
  }

  #onEnd(): void {
    if (this.#isChunked && !this.isClosed) this.user.onBytes(Buffer.from(`0\r\n${this.#trailers}\r\n`, 'latin1'));
  }

  receive(): void {
    if (!this.isClosed && this.user.mayReceive && this.#stream.isPaused()) this.#stream.resume();
  }

  pause(): void {
    this.#stream.pause();
  }

  /** It has no buffers of linear memory to be given back. */
  release(): void {}

  // --- the end -------------------------------------------------------------------------------------------------------

  /** The response is queued, and the stream ends with it. A client that still sends is told to stop. */
  finish(): void {
    if (this.isClosed) return;
    this.clearDeadline();
    if (!this.out.isComplete) this.destroy();
    else this.#closeWhenSent();
  }

  #onSent(): void {
    this.user.onSent();
    if (this.#isFinishing && !this.isClosed) this.#closeWhenSent();
  }

  #closeWhenSent(): void {
    this.#isFinishing = true;
    if (this.out.isIdle) this.#stream.close(HTTP_NO_ERROR);
  }

  /** Called from time to time: a client that has bytes to take has to take so many of them in between. */
  checkPace(bytes: number): void {
    const { isIdle, sentBytes } = this.out;
    const isSlow = !isIdle && this.#wasBehind && sentBytes - this.#pacedBytes < bytes;
    this.#wasBehind = !isIdle;
    this.#pacedBytes = sentBytes;
    if (isSlow) this.destroy();
  }

  destroy(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.peerLeft = true;
    this.clearDeadline();
    if (!this.#stream.destroyed) this.#stream.close(this.out.isComplete ? HTTP_NO_ERROR : HTTP_CANCEL);
    this.out.break();
    this.user.onClosed();
    this.#connection.streamClosed();
  }

  setDeadline(ns: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.user.onDeadline(), Math.ceil(ns / 1e6));
  }

  clearDeadline(): void {
    clearTimeout(this.#timer);
  }
}

/** Field lines. Pseudo-fields are no part of them, and neither is a Host beside `:authority`. */
function linesOf(headers: IncomingHttpHeaders): string {
  let lines = '';
  const hasAuthority = headers[':authority'] !== undefined;
  for (const [name, value] of Object.entries(headers)) {
    if (name.startsWith(':') || value === undefined || (name === 'host' && hasAuthority)) continue;
    for (const one of Array.isArray(value) ? value : [value]) lines += `${name}: ${one}\r\n`;
  }
  return lines;
}

function headText(headers: IncomingHttpHeaders, isChunked: boolean): string {
  const { ':method': method, ':path': path, ':authority': authority } = headers as Record<string, string | undefined>;
  const host = authority === undefined ? '' : `host: ${authority}\r\n`;
  const framing = isChunked ? 'transfer-encoding: chunked\r\n' : '';
  return `${method} ${path} HTTP/1.1\r\n${host}${linesOf(headers)}${framing}\r\n`;
}

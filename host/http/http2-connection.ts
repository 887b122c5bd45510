// One HTTP/2 connection: node:http2 does its frames, and each stream is an HttpConnection (http2-stream.ts).
//
//   TLSSocket, or TransportStream (h2c) --> ServerHttp2Session --stream--> Http2StreamTransport --> HttpConnection
//
// While it has no stream, it is idle and has a deadline. When the server drains, it sends GOAWAY: streams that run are
// answered, and the client sends other requests elsewhere.
//
// Next: parser-slots.ts.

import {
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { Duplex } from 'node:stream';
import { internalError } from '../base/errors.js';
import type { NetAddress } from '../hosts/host.js';
import type { TlsInfo } from '../tls/info.js';
import type { RawStreamUser, TransportStream } from '../tls/transport-stream.js';
import { HttpConnection } from './connection.js';
import type { ConnectionServer, ServedConnection } from './connection-server.js';
import { Http2StreamTransport, type StreamConnection } from './http2-stream.js';
import { Http2StreamServer } from './http2-stream-server.js';
import { ParserSlots } from './parser-slots.js';

const FIELDS_OF_HTTP2 = 4; // :method and its like count as fields there
const GOODBYE_NS = 1e9; // for GOAWAY to go out, when a connection was idle for too long
const NO_FLAGS = 0;
const END_STREAM = 1;
const HTTP_REFUSED_STREAM = 7;
const NOT_IMPLEMENTED = 501;

/** The limits that node:http2 enforces. */
export interface Http2Limits {
  /** Requests of one connection at the same time. */
  streams: number;
  headerBytes: number;
  headerCount: number;
}

/** Makes sessions over streams. One for each server. */
export class Http2Sessions {
  readonly #server: Http2Server;

  constructor({ streams, headerBytes, headerCount }: Http2Limits) {
    this.#server = createServer({
      maxHeaderListPairs: headerCount + FIELDS_OF_HTTP2,
      settings: { maxConcurrentStreams: streams, maxHeaderListSize: headerBytes, enablePush: false },
    });
    this.#server.on('sessionError', () => {}); // each connection hears of its own
    this.#server.on('stream', () => {}); // likewise; without a listener streams are refused
  }

  open(socket: Duplex): ServerHttp2Session {
    let session: ServerHttp2Session | undefined;
    this.#server.once('session', (opened) => {
      session = opened;
    });
    this.#server.emit('connection', socket);
    if (session === undefined) throw internalError('node:http2 has made no session');
    return session;
  }
}

export class Http2Connection implements ServedConnection, StreamConnection, RawStreamUser {
  readonly tls: TlsInfo | undefined;
  readonly #server: ConnectionServer;
  readonly #streams: Http2StreamServer;
  readonly #slots: ParserSlots;
  readonly #raw: TransportStream;
  readonly #socket: Duplex;
  readonly #session: ServerHttp2Session;
  readonly #transports = new Set<Http2StreamTransport>();
  #pacing: NodeJS.Timeout | undefined;
  #openStreams = 0;
  #isOver = false;
  #hasLeft = false; // the client

  /** `socket`: over `raw`, or `raw` itself. */
  constructor(server: ConnectionServer, sessions: Http2Sessions, socket: Duplex, raw: TransportStream, tls?: TlsInfo) {
    this.#server = server;
    this.#streams = new Http2StreamServer(server);
    this.#slots = ParserSlots.of(server.shard);
    this.#raw = raw;
    this.tls = tls;
    this.#socket = socket;
    raw.owner = this;
    raw.hidesEnd = socket === raw; // else Node's socket over it ends its own side, and fails when a stream then writes
    const session = sessions.open(socket);
    this.#session = session;
    session.on('stream', (stream, headers, flags) => this.#onStream(stream, headers, flags));
    session.on('error', () => this.destroy());
    session.on('close', () => this.destroy());
    socket.on('error', () => this.destroy());
    raw.setDeadline(server.limits.headerTimeoutNs);
  }

  /** For reports of what a shard has open. */
  toString(): string {
    return `HTTP/2 connection of ${this.#openStreams} streams`;
  }

  get remote(): NetAddress | undefined {
    return this.#raw.transport.remote;
  }

  #onStream(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, flags: number): void {
    const parser = this.#isOver ? 0 : this.#slots.take();
    if (parser === 0) {
      this.#server.refused++;
      stream.on('error', () => {}); // Node reports the refusal as an error of the stream
      stream.close(HTTP_REFUSED_STREAM);
      return;
    }
    this.#openStreams++;
    if (!this.#hasLeft) this.#raw.clearDeadline();
    const method = headers[':method'] as unknown;
    let transport: Http2StreamTransport | undefined;
    this.#watchPace();
    const own: StreamConnection = {
      remote: this.remote,
      tls: this.tls,
      streamClosed: () => {
        if (transport !== undefined) this.#transports.delete(transport);
        this.#slots.give(parser);
        this.streamClosed();
      },
    };
    const connection = new HttpConnection(this.#streams, parser, (user) => {
      transport = new Http2StreamTransport(stream, own, method === 'HEAD', user);
      return transport;
    });
    this.#streams.add(connection);
    if (transport !== undefined && !transport.isClosed) this.#transports.add(transport);
    if (method === 'CONNECT') stream.respond({ ':status': NOT_IMPLEMENTED }, { endStream: true });
    else transport?.begin(headers, (flags & END_STREAM) === NO_FLAGS);
  }

  /** The pace of the connection does not see clients that give a stream no window. */
  #watchPace(): void {
    if (this.#pacing !== undefined) return;
    const { pace } = this.#server.limits;
    this.#pacing = setTimeout(() => {
      this.#pacing = undefined;
      for (const transport of [...this.#transports]) transport.checkPace(pace.bytes);
      if (this.#openStreams !== 0) this.#watchPace();
    }, pace.ns / 1e6);
  }

  streamClosed(): void {
    this.#openStreams--;
    if (this.#openStreams === 0 && !this.#isOver && !this.#hasLeft)
      this.#raw.setDeadline(this.#server.limits.idleTimeoutNs);
  }

  // --- for the server ------------------------------------------------------------------------------------------------

  drain(): void {
    this.#streams.drain();
    this.#session.close(); // GOAWAY, and the end behind the last stream
  }

  closeIdle(): void {
    this.drain();
  }

  unhold(): void {}

  /** The session ends behind its socket: ending it first fails in node:http2 while a write is under way. */
  destroy(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#pacing);
    this.#streams.destroy();
    this.#socket.destroy();
    this.#raw.destroy();
    this.#server.forget(this);
  }

  // --- of the connection below ---------------------------------------------------------------------------------------

  onDeadline(): void {
    if (this.#session.closed) this.destroy();
    else {
      this.#session.close();
      this.#raw.setDeadline(GOODBYE_NS);
    }
  }

  onClosed(): void {
    this.destroy();
  }

  /** Responses that come soon are still sent, as over HTTP/1.1. */
  onPeerLeft(): void {
    if (this.#isOver || this.#hasLeft) return;
    this.#hasLeft = true;
    this.#streams.peerLeft();
    this.#session.close();
    this.#raw.setDeadline(this.#server.limits.halfCloseTimeoutNs);
  }

  /** Requests may have come right before it. */
  onRawEnd(): void {
    setImmediate(() => this.onPeerLeft());
  }
}

// The messages of one HTTP connection: which request is being answered, and what happens when things go wrong. Bytes
// come from inbox.ts. A transport (shard/transport.ts) sends and receives, and knows how a connection ends. Requests
// are answered one at a time, in order; what a client sends ahead waits.
//
//   HEAD --head complete--> HANDLING --answered, and the body is in--> HEAD ...            keep-alive
//   HANDLING --a handshake is accepted--> UPGRADED: a WebSocket goes on with the transport and the rest of the bytes
//   any --last answer is queued--> OVER: the transport finishes, no message comes or goes any more
//
// A client that ends its side (FIN) while its request is handled has left, in all likelihood. So request.signal aborts,
// and a stream that is sent is cancelled. It may only have half-closed, as `nc -N` does. So a response that the handler
// returns within halfCloseNs is still sent, unless it is a slow stream or a handshake.

import { FeatherstarError } from '../base/errors.js';
import { settledOnce } from '../base/promises.js';
import { HttpFlag, HttpMethod, ParserState } from '../core/offsets.js';
import type { NetAddress } from '../hosts/host.js';
import type { Transport, TransportUser } from '../shard/transport.js';
import type { WebSocketConnection } from '../websocket/connection.js';
import { HIGH_WATER_BYTES, RequestBody } from './body.js';
import { goneError, isGoneError } from './closed-errors.js';
import type { ConnectionRoles } from './connection-roles.js';
import { type ConnectionServer, FIRST_REQUEST_NS } from './connection-server.js';
import { HandlerInfo } from './handler-info.js';
import { type ForwardedOrigin, type Head, hasUrl, ODD_HOST, readHead } from './head.js';
import { CLOSE } from './heads.js';
import { Inbox } from './inbox.js';
import { FeatherRequest } from './request.js';
import { RequestControl } from './request-control.js';
import { asResponse, isFeatherResponse, sendable } from './response.js';
import { ResponseLog } from './response-log.js';
import { QUIET_NS, ResponseStream } from './response-stream.js';
import { type MakeTrailers, takenTrailers } from './trailers.js';
import { connectionFor, dropBody, STREAM_AHEAD_BYTES } from './writer.js';

// words of the parser's state (assembly/http/connection.ts); head.ts has those of a head
const FLAGS = ParserState.flags >> 2;
const METHOD_ID = ParserState.methodId >> 2;
const PROGRESS = ParserState.progress >> 2;
const CONTENT_LENGTH = ParserState.contentLength; // f64, in bytes
const DATA_START = ParserState.dataStart >> 2;
const DATA_BYTES = ParserState.dataBytes >> 2;

const UNREAD = 4096; // an address: of a body of known length the parser counts the bytes and reads none

const { KEEP_ALIVE, EXPECT_CONTINUE, HTTP_1_0, DONE } = HttpFlag;
const { HEAD: METHOD_HEAD, CONNECT: METHOD_CONNECT } = HttpMethod;

const HEAD = 0; // phases
const HANDLING = 1;
const OVER = 2;
const UPGRADED = 3;
const PHASES = ['before or in a head', 'handling a request', 'over', 'upgraded'];

const CONTINUE = Buffer.from('HTTP/1.1 100 Continue\r\n\r\n', 'latin1');
const UNANSWERED = -1; // in the place of CLOSE and the like: no response was sent yet

export class HttpConnection implements ConnectionRoles {
  isHead = false;
  isHttp10 = false;
  connection = UNANSWERED;

  readonly server: ConnectionServer;
  readonly transport: Transport;
  private readonly parser: number;
  private readonly inbox: Inbox;
  private phase = HEAD;
  private keepAlive = true;
  private clientCloses = false; // it sends no request behind this one
  private answered = false; // the answer is queued, but the request's body is not in
  private begun = false; // an answer is being streamed, its head is queued
  private readonly stream: ResponseStream; // what it is made of
  private gone: FeatherstarError | undefined; // the client has left
  private wantsContinue = false;
  private body: RequestBody | undefined;
  bodyDone = true;
  bodyBeganNs = 0;
  private bodyBytes = 0;
  private count = 0; // of requests; the last one is handled, or was
  private control: RequestControl | undefined;
  private readonly log: ResponseLog | undefined;
  private aborter: AbortController | undefined;
  private websocket: WebSocketConnection | undefined;

  /** `parser`: the address of CONNECTION_BYTES of linear memory for the parser's state. `open` makes the transport. */
  constructor(server: ConnectionServer, parser: number, open: (user: TransportUser) => Transport) {
    const { shard, limits } = server;
    this.server = server;
    this.parser = parser;
    shard.core.http_reset(parser);
    this.transport = open(this);
    this.stream = new ResponseStream(this);
    this.inbox = new Inbox(shard, server, this, this.transport);
    this.log = server.onResponse && new ResponseLog(this.transport, server, server.onResponse);
    this.transport.receive();
    this.transport.setDeadline(limits.headerTimeoutNs);
  }

  /** For reports of what a shard has open. */
  toString(): string {
    return `HTTP connection, ${PHASES[this.phase]}`;
  }

  get mayReceive(): boolean {
    return this.inbox.mayReceive;
  }

  onBuffer(at: number, end: number, buffer: number): void {
    this.inbox.onBuffer(at, end, buffer);
  }

  onBytes(bytes: Uint8Array): void {
    this.inbox.onBytes(bytes);
  }

  get expectsHead(): boolean {
    return this.phase === HEAD || (this.phase === HANDLING && this.bodyDone);
  }

  /** Bytes of a body whose length is known that are still to come, if they can go to where they are wanted. */
  get targetBytes(): number {
    const isWanted = this.phase === HANDLING && !this.bodyDone && !this.answered && !this.inbox.waits;
    return isWanted && this.lengthBytes !== 0 ? this.lengthBytes - this.bodyBytes : 0;
  }

  takeTarget(): Uint8Array | null | undefined {
    return this.targetBytes === 0 ? undefined : this.body?.takeTarget(this.targetBytes);
  }

  onTarget(target: Uint8Array, bytes: number, isOwn: boolean): boolean {
    const isKept = this.body?.keepsRuns === true;
    this.feedBody(UNREAD, UNREAD + bytes, target, 0, isOwn);
    return isKept;
  }

  onHold(): void {
    this.server.holding(this);
  }

  onPeerLeft(): void {
    if (this.phase === HANDLING && this.bodyDone) this.depart();
  }

  /** A request is in, and its client has left. */
  private depart(): void {
    if (this.stream.isOpen) {
      this.destroy();
      return;
    }
    this.transport.setDeadline(this.server.limits.halfCloseTimeoutNs);
    if (this.gone !== undefined) return;
    this.gone = goneError();
    this.aborter?.abort();
    this.server.departed(this);
  }

  onPeerEnd(): void {
    this.onPeerLeft();
    if (!this.inbox.waits && this.phase !== OVER) this.onInputEnd();
  }

  get isOver(): boolean {
    return this.phase === OVER;
  }

  /** False while a request is handled whose body is in, or while the client does not take its responses. */
  get mayFeed(): boolean {
    if (this.phase !== HEAD) return this.phase === UPGRADED || (this.phase === HANDLING && !this.bodyDone);
    const { out } = this.transport;
    if (out.backlogBytes <= HIGH_WATER_BYTES) return true;
    out.hurry(); // the next request waits for it
    return false;
  }

  get bodyIsFull(): boolean {
    return this.body?.isFull === true;
  }

  get parsedBytes(): number {
    return this.server.shard.words[(this.parser >>> 2) + PROGRESS] as number;
  }

  feed(at: number, end: number): number {
    if (this.websocket !== undefined) return this.websocket.takeOver(at, end);
    return this.phase === HEAD ? this.feedHead(at, end) : this.feedBody(at, end, this.server.shard.bytes, at, false);
  }

  /** Looks at bytes that are not in linear memory: at those of a body whose length is known, the parser need not. */
  feedBytes(bytes: Uint8Array): number {
    if (this.phase === HEAD || this.phase === UPGRADED || this.lengthBytes === 0) return 0;
    return this.feedBody(UNREAD, UNREAD + bytes.length, bytes, 0, true);
  }

  private feedHead(at: number, end: number): number {
    const bytes = this.server.shard.core.http_parse(this.parser, at, end - at);
    if (bytes > 0) {
      const head = this.begin(at, bytes, end);
      if (head !== undefined) this.handle(head);
    } else if (bytes < 0) this.refuse(-bytes);
    return bytes < 0 ? end - at : bytes;
  }

  onPartialHead(): void {
    this.transport.setDeadline(this.server.limits.headerTimeoutNs);
  }

  /** [at, end) is `source` from `from` on. */
  private feedBody(at: number, end: number, source: Uint8Array, from: number, isOwn: boolean): number {
    const { shard } = this.server;
    const { core, words } = shard;
    const stateBefore = words[this.parser >>> 2] as number;
    const taken = core.http_body(this.parser, at, end - at);
    if (taken < 0) {
      this.breakBody(-taken, 'the body is malformed');
      return end - at;
    }
    const word = this.parser >>> 2;
    const count = words[word + DATA_BYTES] as number;
    this.bodyBytes += count;
    if (this.bodyBytes > this.bodyLimit) {
      this.breakBody(413, `the body exceeds ${this.bodyLimit} bytes`);
      return end - at;
    }
    if (count !== 0 && !this.answered) {
      const start = from + (words[word + DATA_START] as number);
      this.body?.push(source, start, start + count, isOwn);
    }
    if (this.lengthBytes === 0 && !this.answered) {
      const text = takenTrailers(shard, stateBefore, words[word] as number, at + taken);
      if (text !== '') this.body?.addTrailers(text);
    }
    if (((words[word + FLAGS] as number) & DONE) !== 0) {
      this.bodyDone = true;
      this.body?.end();
      if (this.answered) this.nextRequest();
      else this.awaitHandler();
    }
    return taken;
  }

  private breakBody(status: number, text: string): void {
    this.body?.fail(new FeatherstarError('FEATHERSTAR_BODY', text));
    if (this.answered || this.begun) this.destroy();
    else this.refuse(status);
  }

  onInputEnd(): void {
    if (this.phase === HEAD) this.startClosing();
    else if (this.phase === HANDLING) {
      this.keepAlive = false; // half-closed: it may still want its answer
      if (this.answered) this.startClosing();
      else if (!this.bodyDone) this.destroy();
    }
  }

  // --- one request ---------------------------------------------------------------------------------------------------

  /** The head of the next request; undefined: it was refused. */
  private begin(at: number, headBytes: number, end: number): Head | undefined {
    const { server } = this;
    const { words } = server.shard;
    const word = this.parser >>> 2;
    const flags = words[word + FLAGS] as number;
    const methodId = words[word + METHOD_ID] as number;
    this.phase = HANDLING;
    this.isHttp10 = (flags & HTTP_1_0) !== 0;
    this.isHead = methodId === METHOD_HEAD;
    this.clientCloses = (flags & KEEP_ALIVE) === 0;
    this.keepAlive = !this.clientCloses && !server.draining;
    this.bodyDone = (flags & DONE) !== 0;
    const { text, start } = this.inbox.text(at, this.bodyDone ? end : at + headBytes, headBytes);
    const head = readHead(words, word, text, start, headBytes, this.count + 1);
    this.count = head.count;
    this.control = server.limits.handlerTimeoutNs === 0 ? undefined : new RequestControl(this);
    if (methodId === METHOD_CONNECT) {
      this.refuse(501, head);
      return undefined;
    }
    if ((flags & ODD_HOST) !== 0 && !hasUrl(head, this)) {
      this.refuse(400, head);
      return undefined;
    }
    if (this.bodyDone) this.awaitHandler();
    else if (!this.expectBody(flags, head)) return undefined;
    server.shard.stepMark.markRequest(at);
    return head;
  }

  /** Of the request's body; 0: it has none, or one in chunks. */
  private get lengthBytes(): number {
    return this.server.shard.doubles[(this.parser + CONTENT_LENGTH) / 8] as number;
  }

  /** False: the body is too large, and was refused. */
  private expectBody(flags: number, head: Head): boolean {
    this.bodyBytes = 0;
    this.bodyBeganNs = this.server.shard.nowNs;
    this.begun = false;
    this.wantsContinue = (flags & EXPECT_CONTINUE) !== 0;
    if (this.lengthBytes > this.server.limits.maxBodyBytes) {
      this.refuse(413, head);
      return false;
    }
    this.body = new RequestBody(this, this.lengthBytes);
    if (this.control === undefined) this.transport.setDeadline(this.server.limits.requestTimeoutNs);
    else this.control.expectBody();
    return true;
  }

  /** The request is in. Its handler may take its time, but not for a client that has left. */
  private awaitHandler(): void {
    if (this.transport.peerLeft) this.depart();
    else if (this.stream.isOpen && this.server.draining) this.transport.setDeadline(QUIET_NS);
    else if (this.control !== undefined) this.control.setDeadline();
    else this.transport.clearDeadline();
  }

  /** For the handler of the request with this head; undefined: the request is over. */
  controlOf(head: Head): RequestControl | undefined {
    if (this.phase !== HANDLING || this.count !== head.count || this.gone !== undefined) return undefined;
    this.control ??= new RequestControl(this);
    return this.control;
  }

  /** None are made for a client that has left. */
  get trailers(): MakeTrailers | undefined {
    return this.phase === HANDLING ? this.control?.trailers : undefined;
  }

  get hasResponse(): boolean {
    return this.begun || this.answered;
  }

  /** Bytes that the body may have. Until it is read, its handler may still raise the limit. */
  private get bodyLimit(): number {
    const { bodyBytes, maxBodyBytes } = this.server.limits;
    return this.body?.used === true ? (this.control?.bodyBytes ?? bodyBytes) : maxBodyBytes;
  }

  timeOut(error: FeatherstarError): void {
    this.gone = error;
    this.server.report(error);
    this.aborter?.abort(error);
    this.refuse(503);
  }

  /** Short enough for V8 to inline it and small handlers, which do not all use what is made for them here. */
  private handle(head: Head): void {
    const request = new FeatherRequest(head, this.body, this);
    if (this.log !== undefined) this.log.begin(request, () => this.clientOf(head));
    this.server.requests++;
    let result: unknown;
    try {
      const info = new HandlerInfo(this, head);
      result = this.server.fetch(request, info, info);
      if (result instanceof Promise) return void settledOnce(result).then(this.onAnswer, this.onFailure);
    } catch (error) {
      this.onFailure(error); // a revoked Proxy throws at `instanceof`
      return;
    }
    this.onAnswer(result);
  }

  private readonly onAnswer = (value: unknown): void => {
    if (this.phase !== HANDLING) return void dropBody(value); // the client is gone, or was refused
    const upgrade = this.control?.upgrade;
    if (upgrade !== undefined && upgrade.response === value) {
      if (this.gone !== undefined) this.destroy();
      else if (this.server.draining) this.answerStatus(503);
      else {
        this.phase = UPGRADED;
        this.websocket = upgrade.open(this, this.parser, this.log);
        this.inbox.resume();
      }
      return;
    }
    try {
      const isOurs = isFeatherResponse(value);
      const response = isOurs ? sendable(value) : asResponse(value);
      if (this.log !== undefined) this.log.answer(response.status);
      this.connection = connectionFor(this.keepAlive && this.mayKeepBody(), this.isHttp10);
      if (isOurs && this.server.writer.writeNow(value, this.transport.out, this)) this.finish();
      else {
        this.begun = false;
        this.server.writer.write(response, this.transport.out, this).then(this.finish, this.onStreamFailure);
      }
    } catch (error) {
      this.onFailure(error);
    }
  };

  /** The handler failed: 500, and a report, unless it only passes on what it was told of its client. */
  private readonly onFailure = (error: unknown): void => {
    const isClients = this.isClients(error);
    if (!isClients) this.server.report(error);
    if (this.phase !== HANDLING) return;
    if (isClients && this.gone !== undefined) this.destroy();
    else this.answerStatus(500);
  };

  /** Whether the error says only that the client has left, or has sent a broken body. */
  isClients(error: unknown): boolean {
    if (error === undefined) return false;
    if (isGoneError(error) && (this.gone !== undefined || this.phase !== HANDLING)) return true;
    return error === this.body?.error || error === this.aborter?.signal.reason || error === this.gone;
  }

  /** The answer's body failed. In the middle of it, only breaking off tells the client. */
  private readonly onStreamFailure = (error: unknown): void => {
    this.stream.end(); // its writer has cancelled it
    if (this.phase !== HANDLING) return; // the client is gone, or was refused
    if (this.begun) {
      this.server.report(error);
      this.destroy();
    } else this.onFailure(error);
  };

  beginStream(reader?: ReadableStreamDefaultReader<Uint8Array>, hasEvents = false): void {
    if (this.phase !== HANDLING) throw goneError();
    if (reader !== undefined && this.gone !== undefined) throw this.gone;
    this.begun = true;
    this.stream.begin(reader, hasEvents);
    if (this.server.draining) this.stream.endSoon();
  }

  /** Whether the rest of a body that was not read is worth receiving. */
  private mayKeepBody(): boolean {
    if (this.bodyDone) return true;
    return !this.wantsContinue && this.lengthBytes !== 0 && this.lengthBytes - this.bodyBytes <= HIGH_WATER_BYTES;
  }

  private answerStatus(status: number): void {
    this.log?.answer(status);
    this.connection = connectionFor(this.keepAlive && this.mayKeepBody(), this.isHttp10);
    this.server.writer.writeStatus(status, this.transport.out, this);
    this.finish();
  }

  private readonly finish = (): void => {
    if (this.phase !== HANDLING) return;
    this.stream.end();
    if (this.log !== undefined) this.log.queued();
    if (this.connection === CLOSE) {
      this.aborter = undefined; // it has its answer
      if (!this.bodyDone) this.body?.discard();
      this.startClosing(this.clientCloses && this.bodyDone && !this.inbox.waits);
    } else if (this.bodyDone) this.nextRequest();
    else {
      this.answered = true;
      this.body?.discard();
      this.inbox.resume();
    }
  };

  private nextRequest(): void {
    this.phase = HEAD;
    this.answered = false;
    this.begun = false;
    this.body = undefined;
    this.aborter = undefined;
    this.wantsContinue = false;
    this.server.shard.core.http_reset(this.parser);
    this.transport.setDeadline(this.server.limits.idleTimeoutNs);
    if (!this.keepAlive) this.startClosing();
    else this.inbox.resume();
  }

  /** The request cannot be understood or is too much: say so and close. */
  private refuse(status: number, head?: Head): void {
    this.connection = CLOSE;
    if (this.phase === HEAD) this.isHead = false; // that was the request before
    this.server.refused++;
    if (this.log?.isOpen === false) {
      this.log.begin(head && new FeatherRequest(head, undefined, this), () => this.clientOf(head));
    }
    this.log?.answer(status);
    this.server.writer.writeStatus(status, this.transport.out, this);
    this.log?.queued();
    this.body?.fail(new FeatherstarError('FEATHERSTAR_BODY', `the request was refused with ${status}`));
    this.startClosing();
  }

  // --- for the body and the request ----------------------------------------------------------------------------------

  onFirstRead(): void {
    if (this.phase === HANDLING && Math.max(this.lengthBytes, this.bodyBytes) > this.bodyLimit)
      this.breakBody(413, `the body exceeds ${this.bodyLimit} bytes`);
    if (!this.wantsContinue || this.phase !== HANDLING) return;
    this.wantsContinue = false;
    this.transport.out.enqueue(CONTINUE);
  }

  onDrain(): void {
    this.inbox.resume();
  }

  clientOf(head: Head | undefined): NetAddress | undefined {
    const { remote } = this.transport;
    return head === undefined ? remote : (this.server.proxies?.clientOf(head, remote) ?? remote);
  }

  forwardedOrigin(head: Head): ForwardedOrigin | undefined {
    return this.server.proxies?.originOf(head, this.transport.remote);
  }

  get serverScheme(): string {
    return this.transport.tls === undefined ? 'http' : 'https';
  }

  get serverAuthority(): string {
    return this.server.authority;
  }

  abortSignal(): AbortSignal {
    this.aborter ??= new AbortController();
    if (this.gone?.code === 'FEATHERSTAR_TIMEOUT') this.aborter.abort(this.gone);
    if (this.gone !== undefined || this.transport.isClosed) this.aborter.abort();
    return this.aborter.signal;
  }

  onSent(): void {
    this.log?.sent();
    if (this.transport.isClosed) return;
    if (this.stream.isWaiting) this.stream.onSent();
    else if (this.inbox.waits) this.inbox.resume();
  }

  drained(bytes = STREAM_AHEAD_BYTES): Promise<void> | undefined {
    if (this.transport.isClosed) throw this.whyGone();
    return this.stream.drained(bytes);
  }

  /** The server drains: the next response says so, or the one that is on its way, if its head is not out yet. */
  drain(): void {
    if (this.phase === HANDLING && this.gone !== undefined) this.destroy();
    else if (this.stream.isOpen) this.stream.endSoon();
    if (!this.begun && !this.answered) this.keepAlive = false;
  }

  /** The server takes no more requests but those that have begun to come, and the first one of each client. */
  closeIdle(): void {
    this.keepAlive = false;
    if (this.phase !== HEAD || this.inbox.waits || this.inbox.hasPartialHead) return;
    if (this.connection === UNANSWERED) this.transport.setDeadline(FIRST_REQUEST_NS);
    else this.startClosing();
  }

  unhold(): void {
    this.inbox.unhold();
  }

  /** One connection too many. */
  turnAway(): void {
    this.refuse(503);
  }

  private startClosing(peerIsDone = false): void {
    this.phase = OVER;
    this.inbox.discard();
    this.transport.finish(peerIsDone);
  }

  destroy(): void {
    this.transport.destroy();
  }

  onClosed(): void {
    this.phase = OVER;
    this.inbox.discard();
    if (!this.bodyDone || this.aborter !== undefined || this.stream.isOpen || this.stream.isWaiting) this.breakOff();
    this.log?.closed();
    this.server.forget(this);
  }

  /** The connection is over, and a request is not. */
  private breakOff(): void {
    const gone = this.whyGone();
    this.stream.cancel(gone); // before its source can fail of the signal
    this.body?.fail(gone);
    this.aborter?.abort();
    this.stream.breakOff(gone);
  }

  /** Made when it is wanted: an error costs more than all else of a short connection. */
  private whyGone(): FeatherstarError {
    this.gone ??= goneError();
    return this.gone;
  }

  onDeadline(): void {
    const isTaking = this.phase === HEAD && !this.transport.out.isIdle;
    if (this.gone !== undefined) this.destroy();
    else if (this.stream.isOpen && this.server.draining) this.stream.endSoon();
    else if (isTaking)
      this.transport.setDeadline(this.server.limits.idleTimeoutNs); // responses: the pace limits them
    else if (this.phase === HANDLING && this.control?.onDeadline()) return;
    else if (this.phase === HANDLING && (this.answered || this.begun)) this.destroy();
    else if (this.phase === HANDLING || this.inbox.hasPartialHead) this.refuse(408);
    else this.startClosing();
  }
}

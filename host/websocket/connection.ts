// One WebSocket connection: frames in, messages out, and how it ends. It takes the place of an HTTP connection as the
// user of a transport, and that of its parser's state in linear memory.
//
//   OPEN --close()--> CLOSING --the peer's close frame, or time--> CLOSED
//   OPEN --the peer's close frame, a broken rule--> CLOSED        the transport finishes: what is queued goes out
//   any  --the transport is closed--> CLOSED                      1006, if no close frame has come or gone
//
// All bytes that have come are parsed at once (assembly/websocket/frames.ts), so no receive buffer is held. A
// connection is blocked if its peer does not take what it is sent, or if PENDING_MAX promises of the handler are
// pending. Then messages wait in `messages`, and nothing more is received, so TCP slows the peer down.
//
// Next: websockets.ts.

import { ByteQueue } from '../base/byte-queue.js';
import { optionError } from '../base/errors.js';
import { checkInteger } from '../base/options.js';
import { Queue } from '../base/queue.js';
import { FrameEvent, FrameFlag, WebSocketFrames } from '../core/offsets.js';
import type { NetAddress } from '../hosts/host.js';
import type { Shard } from '../shard/shard.js';
import type { Transport, TransportUser } from '../shard/transport.js';
import { type Deflate, deflateMessage, inflatedText, inflateMessage, WINDOW_BITS } from './deflate.js';
import {
  COMPRESSED_BIT,
  OPCODE_BINARY,
  OPCODE_CLOSE,
  OPCODE_PING,
  OPCODE_PONG,
  OPCODE_TEXT,
  sendBytesFrame,
  sendFrame,
  sendTextFrame,
} from './frame-writer.js';
import type { WebSocketSettings } from './options.js';
import { ServerWebSocket, type SocketBackend } from './server-socket.js';
import type { SharedMessage, Subscriber, Topics } from './topics.js';

const EVENT = WebSocketFrames.event >> 2;
const DATA_START = WebSocketFrames.dataStart >> 2;
const DATA_BYTES = WebSocketFrames.dataBytes >> 2;
const { OPCODE, COMPRESSED, WIDE, FIN, END } = FrameEvent;
const WHOLE = FIN | END;

const OPEN = 1; // readyState
const CLOSING = 2;
const CLOSED = 3;
const STATES = ['', 'open', 'closing', 'closed'];

/** While more bytes wait to be sent, nothing is received, and send() returns -1. */
const HIGH_WATER_BYTES = 65_536;
const PENDING_MAX = 16;
const PIECE_BYTES = 65_536; // of pieceScratch
const REASON_BYTES_MAX = 123;

const NO_CODE = 1005;
const NO_CLOSE_FRAME = 1006;
const GOING_AWAY = 1001;
const TOO_LARGE = 1009;

const FAILURES: Record<number, string> = {
  1002: 'a frame broke the protocol',
  1007: 'the text is not UTF-8',
  1009: 'the message is too large',
};

/** The part of its server that a connection uses. */
export interface WebSocketHome {
  readonly shard: Shard;
  readonly settings: WebSocketSettings;
  /** 64 KiB of linear memory for bytes that are not there. */
  readonly pieceScratch: number;
  readonly topics: Topics;
  report(error: unknown): void;
  /** The connection is over. */
  forget(connection: WebSocketConnection): void;
}

/** The outcome of the handshake. */
export interface Agreement {
  readonly data: unknown;
  readonly protocol: string;
  /** The client's address, if a proxy has told it. */
  readonly remote: NetAddress | undefined;
  /** For the access log, which waits until the response is out. */
  readonly log: { sent(): void; closed(): void } | undefined;
  /** Undefined: no message is compressed. */
  readonly deflate: Deflate | undefined;
}

type HandlerName = 'open' | 'message' | 'drain' | 'close' | 'ping' | 'pong';

interface Incoming {
  readonly opcode: number;
  readonly payload: string | Uint8Array;
  readonly code: number; // of a close frame
  readonly isCompressed?: boolean;
}

export class WebSocketConnection implements TransportUser, SocketBackend, Subscriber {
  readonly socket: ServerWebSocket;
  readonly protocol: string;
  readyState: 1 | 2 | 3 = OPEN;

  private readonly home: WebSocketHome;
  private readonly shard: Shard;
  private readonly transport: Transport;
  private readonly frames: number;
  private readonly log: Agreement['log'];
  private readonly deflate: Deflate | undefined;
  private peer: NetAddress | undefined;
  private readonly pieces = new ByteQueue(); // of a message that is not complete
  private readonly controlPieces = new ByteQueue(); // and of a control frame
  private readonly messages = new Queue<Incoming>();
  private readonly topics = new Set<string>(); // that it has subscribed to
  private isDeaf = false; // no frame counts any more
  private isTold = false; // the handler `close` was called
  private wantsDrain = false;
  private owedPong: Uint8Array | undefined;
  private isPinged = false; // the peer was silent, and was asked
  private heardNs: number;
  private pending = 0; // promises of the handler `message`
  private isDelivering = false;
  private closeCode = NO_CLOSE_FRAME;
  private closeReason = '';

  /** `frames`: the address of CONNECTION_BYTES of linear memory. */
  constructor(home: WebSocketHome, transport: Transport, frames: number, agreement: Agreement) {
    const { shard, settings } = home;
    this.home = home;
    this.shard = shard;
    this.transport = transport;
    this.frames = frames;
    this.protocol = agreement.protocol;
    this.peer = agreement.remote;
    this.log = agreement.log;
    this.deflate = agreement.deflate;
    const flags = FrameFlag.MASKED | (this.deflate === undefined ? 0 : FrameFlag.DEFLATE);
    this.heardNs = shard.nowNs;
    this.socket = new ServerWebSocket(this, agreement.data);
    shard.core.ws_reset(frames, flags, settings.maxPayloadBytes);
    this.watchIdle();
  }

  /** The head of the response is queued: from now on the transport's events come here. */
  begin(): void {
    this.transport.user = this;
    this.call('open');
  }

  /** For reports of what a shard has open. */
  toString(): string {
    return `WebSocket, ${STATES[this.readyState]}`;
  }

  get backlogBytes(): number {
    return this.transport.out.backlogBytes;
  }

  get remote(): NetAddress | undefined {
    this.peer ??= this.transport.remote;
    return this.peer;
  }

  // --- receiving -----------------------------------------------------------------------------------------------------

  get mayReceive(): boolean {
    return !this.isBlocked || this.readyState !== OPEN;
  }

  private get isBlocked(): boolean {
    return this.pending >= PENDING_MAX || this.isBehind;
  }

  private get isBehind(): boolean {
    return this.transport.out.backlogBytes > HIGH_WATER_BYTES;
  }

  onBuffer(at: number, end: number, buffer: number): void {
    this.feed(at, end, false);
    this.transport.release(buffer);
    this.pauseIfBlocked();
  }

  onBytes(bytes: Uint8Array): void {
    const scratch = this.home.pieceScratch;
    for (let from = 0; from < bytes.length; from += PIECE_BYTES) {
      const piece = bytes.subarray(from, from + PIECE_BYTES);
      this.shard.bytes.set(piece, scratch);
      this.feed(scratch, scratch + piece.length, true);
    }
    this.pauseIfBlocked();
  }

  private pauseIfBlocked(): void {
    if (this.mayReceive) return;
    this.transport.pause();
    this.transport.out.hurry();
  }

  /** Bytes that came behind the handshake, in memory that other connections use, too. Returns how many. */
  takeOver(at: number, end: number): number {
    this.feed(at, end, true);
    return end - at;
  }

  /** Takes all bytes in [at, end). `isShared`: while a handler runs, other connections may write there. */
  feed(at: number, end: number, isShared: boolean): void {
    const { core, words } = this.shard;
    const word = this.frames >>> 2;
    this.hear();
    for (let from = at; from < end && !this.isDeaf; ) {
      const taken = core.ws_parse(this.frames, from, end - from);
      if (taken < 0) {
        this.fail(-taken);
        return;
      }
      const event = words[word + EVENT] as number;
      const start = from + (words[word + DATA_START] as number);
      from += taken;
      const incoming = event === 0 ? undefined : this.take(event, start, start + (words[word + DATA_BYTES] as number));
      if (incoming !== undefined) this.arrived(incoming, isShared && from < end);
    }
    this.deliver();
  }

  /** Takes data of a frame. Returns the message, or the control frame, that is complete with it. */
  private take(event: number, start: number, end: number): Incoming | undefined {
    const opcode = event & OPCODE;
    const isControl = opcode >= OPCODE_CLOSE;
    const pieces = isControl ? this.controlPieces : this.pieces;
    const isWhole = (event & WHOLE) === WHOLE;
    if (!isWhole || pieces.bytes !== 0) {
      if (this.readyState === OPEN || isControl) pieces.push(this.shard.copyOut(start, end));
      if (!isWhole) return undefined;
      const payload = pieces.takeAll();
      return (event & COMPRESSED) !== 0 ? compressed(opcode, payload) : this.complete(opcode, payload);
    }
    if ((event & COMPRESSED) !== 0) return compressed(opcode, this.shard.copyOut(start, end));
    if (isControl) return this.complete(opcode, this.shard.copyOut(start, end));
    if (opcode === OPCODE_BINARY) return { opcode, payload: this.shard.copyOut(start, end), code: 0 };
    const isWide = (event & WIDE) !== 0;
    const payload = isWide ? this.shard.bytes.toString('utf8', start, end) : this.shard.latin1(start, end);
    return { opcode, payload, code: 0 };
  }

  private complete(opcode: number, payload: Uint8Array): Incoming | undefined {
    if (opcode === OPCODE_CLOSE) return this.takeClose(payload);
    if (opcode === OPCODE_PING) this.reply(payload);
    if (opcode >= OPCODE_BINARY) return { opcode, payload, code: 0 };
    try {
      return { opcode, payload: utf8Of(payload), code: 0 };
    } catch {
      this.fail(TOO_LARGE); // longer than a string can be
      return undefined;
    }
  }

  /** Replies to a ping. Of those that come while much waits to be sent, the last one will do (RFC 6455 5.5.3). */
  private reply(payload: Uint8Array): void {
    if (this.readyState !== OPEN) return;
    if (this.isBehind) this.owedPong = payload;
    else sendBytesFrame(this.shard, this.transport.out, OPCODE_PONG, payload);
  }

  private takeClose(payload: Uint8Array): Incoming | undefined {
    const scratch = this.home.pieceScratch;
    this.shard.bytes.set(payload, scratch); // what follows a close frame there is not looked at
    const code = this.shard.core.ws_close_code(scratch, payload.length);
    if (code < 0) {
      this.fail(-code);
      return undefined;
    }
    this.isDeaf = true;
    return { opcode: OPCODE_CLOSE, payload: utf8Of(payload.subarray(2)), code };
  }

  /** `mustWait`: bytes behind it are still in memory that others may write to. */
  private arrived(incoming: Incoming, mustWait: boolean): void {
    if (mustWait || this.messages.length !== 0 || this.isBlocked) this.messages.push(incoming);
    else this.dispatch(incoming);
  }

  private deliver(): void {
    if (this.isDelivering) return;
    this.isDelivering = true;
    while (this.messages.length !== 0 && (!this.isBlocked || this.readyState !== OPEN)) {
      this.dispatch(this.messages.shift() as Incoming);
    }
    this.isDelivering = false;
  }

  private dispatch({ opcode, payload, code, isCompressed }: Incoming): void {
    if (isCompressed) this.dispatchCompressed(opcode, payload as Uint8Array);
    else if (opcode === OPCODE_CLOSE) this.closedByPeer(code, payload as string);
    else if (this.readyState !== OPEN) return;
    else if (opcode === OPCODE_PING) this.call('ping', payload);
    else if (opcode === OPCODE_PONG) this.call('pong', payload);
    else this.dispatchMessage(payload);
  }

  private dispatchMessage(payload: string | Uint8Array): void {
    const result = this.run('message', payload);
    if (!(result instanceof Promise)) return;
    this.pending++;
    this.report(result).then(this.onSettled, this.onSettled);
  }

  private dispatchCompressed(opcode: number, payload: Uint8Array): void {
    if (this.readyState !== OPEN) return;
    const bytes = inflateMessage(payload, this.home.settings.maxPayloadBytes);
    const message = opcode === OPCODE_TEXT && typeof bytes !== 'number' ? inflatedText(bytes) : bytes;
    if (typeof message === 'number') this.fail(message);
    else this.dispatchMessage(message);
  }

  private readonly onSettled = (): void => {
    this.pending--;
    this.resume();
  };

  /** Calls a handler, whose errors are reported. */
  private call(name: HandlerName, ...args: unknown[]): void {
    const result = this.run(name, ...args);
    if (result instanceof Promise) void this.report(result);
  }

  /** Calls a handler, and returns what it returns. */
  private run(name: HandlerName, ...args: unknown[]): unknown {
    const { settings } = this.home;
    const handler = settings[name] as ((ws: ServerWebSocket, ...args: unknown[]) => unknown) | undefined;
    try {
      return handler?.call(settings, this.socket, ...args);
    } catch (error) {
      this.home.report(error);
      return undefined;
    }
  }

  private report(promise: Promise<unknown>): Promise<unknown> {
    return promise.catch((error) => this.home.report(error));
  }

  /** Delivers what has waited, and receives again. */
  private resume(): void {
    this.deliver();
    if (this.mayReceive && !this.isDeaf) this.transport.receive();
  }

  onPeerLeft(): void {} // bytes from before may be still to come; the end follows

  onPeerEnd(): void {
    if (this.messages.length !== 0 && this.readyState === OPEN) this.messages.push(ENDED);
    else this.closedByPeer(NO_CLOSE_FRAME, '');
  }

  // --- sending -------------------------------------------------------------------------------------------------------

  send(data: string | Uint8Array, compress: boolean): number {
    if (!this.hasRoom()) return 0;
    const { out } = this.transport;
    if (compress && this.compresses(data)) {
      const { level } = this.home.settings.deflate as { level: number };
      const opcode = typeof data === 'string' ? OPCODE_TEXT : OPCODE_BINARY;
      const bytes = deflateMessage(data, level, (this.deflate as Deflate).windowBits);
      return this.sent(sendBytesFrame(this.shard, out, opcode | COMPRESSED_BIT, bytes));
    }
    return this.sent(
      typeof data === 'string'
        ? sendTextFrame(this.shard, out, data)
        : sendBytesFrame(this.shard, out, OPCODE_BINARY, data),
    );
  }

  sendControl(isPing: boolean, data: Uint8Array): number {
    if (!this.hasRoom()) return 0;
    return this.sent(sendBytesFrame(this.shard, this.transport.out, isPing ? OPCODE_PING : OPCODE_PONG, data));
  }

  private compresses(message: string | Uint8Array): boolean {
    const { deflate } = this.home.settings;
    if (this.deflate === undefined || deflate === undefined) return false;
    const bytes = typeof message === 'string' ? Buffer.byteLength(message) : message.length;
    return bytes >= deflate.thresholdBytes;
  }

  /** Sends a message that many get. */
  sendShared(shared: SharedMessage): number {
    if (!this.hasRoom()) return 0;
    const mayCompress = this.deflate?.windowBits === WINDOW_BITS && this.compresses(shared.message);
    const frame = mayCompress ? shared.compressed : shared.plain;
    sendFrame(this.shard, this.transport.out, frame);
    return this.sent(frame.length);
  }

  private hasRoom(): boolean {
    const { maxBacklogBytes, closeOnBacklog } = this.home.settings;
    if (this.readyState !== OPEN) return false;
    if (this.transport.out.backlogBytes <= maxBacklogBytes) return true;
    this.wantsDrain = true;
    if (closeOnBacklog) this.destroy();
    return false;
  }

  private sent(bytes: number): number {
    if (!this.isBehind) return bytes;
    this.wantsDrain = true;
    this.transport.out.hurry();
    return -1;
  }

  onSent(): void {
    this.log?.sent();
    if (this.isBehind || this.readyState === CLOSED) return;
    if (this.owedPong !== undefined) {
      const payload = this.owedPong;
      this.owedPong = undefined;
      this.reply(payload);
    }
    if (this.wantsDrain && this.readyState === OPEN) {
      this.wantsDrain = false;
      this.call('drain');
    }
    this.resume();
  }

  // --- topics --------------------------------------------------------------------------------------------------------

  subscribe(topic: string): void {
    if (this.readyState !== OPEN) return;
    this.topics.add(topic);
    this.home.topics.subscribe(topic, this);
  }

  unsubscribe(topic: string): void {
    this.topics.delete(topic);
    this.home.topics.unsubscribe(topic, this);
  }

  isSubscribed(topic: string): boolean {
    return this.topics.has(topic);
  }

  publish(topic: string, message: string | Uint8Array): number {
    return this.home.topics.publish(topic, message, this);
  }

  private leaveTopics(): void {
    for (const topic of this.topics) this.home.topics.unsubscribe(topic, this);
    this.topics.clear();
  }

  // --- the end -------------------------------------------------------------------------------------------------------

  close(code: number, reason: string): void {
    checkCloseCode(code);
    const text = Buffer.from(reason);
    if (text.length > REASON_BYTES_MAX) throw optionError('reason', reason, `at most ${REASON_BYTES_MAX} bytes`);
    if (this.readyState !== OPEN) return;
    this.readyState = CLOSING;
    this.leaveTopics();
    this.closeCode = code;
    this.closeReason = reason;
    this.sendClose(code, text);
    this.pieces.clear();
    this.transport.setDeadline(this.home.settings.closeTimeoutMs * 1e6);
    this.transport.receive();
    this.deliver(); // the peer's close frame may be among what has waited
  }

  /** The server closes. */
  closeIdle(): void {
    this.close(GOING_AWAY, '');
  }

  drain(): void {} // the server takes requests a while longer

  unhold(): void {} // it holds nothing

  destroy(): void {
    this.transport.destroy();
  }

  private sendClose(code: number, reason: Uint8Array): void {
    const payload = Buffer.allocUnsafe(code === NO_CODE ? 0 : 2 + reason.length);
    if (code !== NO_CODE) {
      payload.writeUInt16BE(code, 0);
      payload.set(reason, 2);
    }
    sendBytesFrame(this.shard, this.transport.out, OPCODE_CLOSE, payload);
  }

  /** A frame broke a rule: says which, and closes. */
  private fail(code: number): void {
    const reason = FAILURES[code] as string;
    this.isDeaf = true;
    this.deliver(); // messages that came before it
    if (this.readyState === OPEN) this.sendClose(code, Buffer.from(reason));
    this.end(code, reason);
  }

  private closedByPeer(code: number, reason: string): void {
    if (this.readyState === OPEN && code !== NO_CLOSE_FRAME) this.sendClose(code, NOTHING);
    if (this.readyState === CLOSING && code !== NO_CLOSE_FRAME) this.end(this.closeCode, this.closeReason);
    else this.end(code, reason);
  }

  /** The closing handshake is over, or will not be. */
  private end(code: number, reason: string): void {
    this.stop();
    this.tell(code, reason);
    this.transport.finish(); // which may close it at once
  }

  /** Nothing that comes or has come counts any more. */
  private stop(): void {
    this.isDeaf = true;
    this.readyState = CLOSED;
    this.messages.clear();
    this.pieces.clear();
    this.leaveTopics();
  }

  private tell(code: number, reason: string): void {
    if (this.isTold) return;
    this.isTold = true;
    this.call('close', code, reason);
  }

  onClosed(): void {
    this.stop();
    this.log?.closed();
    this.home.forget(this);
    this.tell(NO_CLOSE_FRAME, '');
  }

  // --- time ----------------------------------------------------------------------------------------------------------

  private get idleNs(): number {
    return this.home.settings.idleTimeoutMs * 1e6;
  }

  /** How long the peer may be silent until it is sent a ping, or closed if there are none. */
  private get quietNs(): number {
    return this.home.settings.sendPings ? this.idleNs / 2 : this.idleNs;
  }

  private hear(): void {
    this.heardNs = this.shard.nowNs;
    this.isPinged = false;
  }

  private watchIdle(): void {
    if (this.idleNs === 0) this.transport.clearDeadline();
    else this.transport.setDeadline(this.quietNs);
  }

  onDeadline(): void {
    if (this.readyState !== OPEN) {
      this.destroy(); // the peer has not replied to the close frame
      return;
    }
    if (this.isBlocked) this.hear(); // it is not listened to, so its silence begins when that ends
    const silentNs = this.shard.nowNs - this.heardNs;
    if (silentNs >= this.idleNs) this.destroy();
    else if (silentNs >= this.quietNs) {
      if (!this.isPinged) this.sendControl(true, NOTHING);
      this.isPinged = true;
      this.transport.setDeadline(this.idleNs - silentNs);
    } else this.transport.setDeadline(this.quietNs - silentNs);
  }
}

const NOTHING = new Uint8Array(0);
const ENDED: Incoming = { opcode: OPCODE_CLOSE, payload: '', code: NO_CLOSE_FRAME };

function compressed(opcode: number, payload: Uint8Array): Incoming {
  return { opcode, payload, code: 0, isCompressed: true };
}

/** Bytes that the core has found to be UTF-8. */
function utf8Of(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8');
}

const WHY_CODE = '1000 to 1003, 1007 to 1014, or 3000 to 4999';

function checkCloseCode(code: number): void {
  checkInteger('code', code, 1000, 4999);
  const isReserved = (code > 1003 && code < 1007) || (code > 1014 && code < 3000);
  if (isReserved) throw optionError('code', code, WHY_CODE);
}

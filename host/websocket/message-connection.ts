// One connection that speaks WebSocket, of either side: frames in, messages out, and how it ends. A class extends it
// for each side: connection.ts for a server's, client-connection.ts for a client's. They decide what a message, a ping
// and the end mean to a program, and write the frames.
//
//   OPEN --close()--> CLOSING --the peer's close frame, or time--> CLOSED
//   OPEN --the peer's close frame, a broken rule--> CLOSED        the transport finishes: what is queued goes out
//   any  --the transport is closed--> CLOSED                      1006, if no close frame has come or gone
//
// All bytes that have come are parsed at once (assembly/websocket/frames.ts), so no receive buffer is held. A
// connection is blocked if its peer does not take what it is sent, or if PENDING_MAX promises of the program are
// pending. Then messages wait in `messages`, and nothing more is received, so TCP slows the peer down.
//
// Next: close-frame.ts.

import { ByteQueue } from '../base/byte-queue.js';
import { ownCopy } from '../base/own-bytes.js';
import { settledOnce } from '../base/promises.js';
import { Queue } from '../base/queue.js';
import { FrameEvent, FrameFlag, WebSocketFrames } from '../core/offsets.js';
import type { Shard } from '../shard/shard.js';
import type { Transport, TransportUser } from '../shard/transport.js';
import { readClose, writeClose } from './close-frame.js';
import { type Deflate, deflateMessage, inflateMessage } from './deflate.js';
import { COMPRESSED_BIT, OPCODE_BINARY, OPCODE_CLOSE, OPCODE_PING, OPCODE_PONG, OPCODE_TEXT } from './frame-writer.js';
import { messageText } from './text.js';

const EVENT = WebSocketFrames.event >> 2;
const DATA_START = WebSocketFrames.dataStart >> 2;
const DATA_BYTES = WebSocketFrames.dataBytes >> 2;
const { OPCODE, COMPRESSED, WIDE, FIN, END } = FrameEvent;
const WHOLE = FIN | END;

export const OPEN = 1; // readyState
export const CLOSING = 2;
export const CLOSED = 3;
const STATES = ['', 'open', 'closing', 'closed'];

/** While more bytes wait to be sent, nothing is received, and a server's send() returns -1. */
const HIGH_WATER_BYTES = 65_536;
const PENDING_MAX = 16;
const PIECE_BYTES = 65_536; // of pieceScratch
export const REASON_BYTES_MAX = 123;

/** Stands for an end without a close frame. */
export const NO_CLOSE_FRAME = 1006;

const FAILURES: Record<number, string> = {
  1002: 'a frame broke the protocol',
  1007: 'the text is not UTF-8',
  1009: 'the message is too large',
};

/** How messages are compressed. */
export interface DeflateSettings {
  readonly thresholdBytes: number;
  readonly level: number;
  readonly contextWindowBits: number;
}

/** The limits of a connection. */
export interface MessageSettings {
  readonly maxPayloadBytes: number;
  readonly maxBacklogBytes: number;
  readonly idleTimeoutMs: number;
  readonly closeTimeoutMs: number;
  readonly sendPings: boolean;
  /** Undefined: no message is compressed. */
  readonly deflate: DeflateSettings | undefined;
}

/** Where a connection lies, and what it may use. */
export interface MessagePlace {
  readonly shard: Shard;
  readonly transport: Transport;
  /** The address of CONNECTION_BYTES of linear memory. */
  readonly frames: number;
  /** 64 KiB of linear memory for bytes that are not there. */
  readonly pieceScratch: number;
}

interface Incoming {
  readonly opcode: number;
  readonly payload: string | Uint8Array;
  readonly code: number; // of a close frame
  readonly isCompressed?: boolean;
}

export abstract class MessageConnection implements TransportUser {
  readonly protocol: string;
  readyState: 1 | 2 | 3 = OPEN;

  protected readonly shard: Shard;
  protected readonly transport: Transport;
  protected readonly limits: MessageSettings;
  protected readonly deflate: Deflate | undefined;
  protected wantsDrain = false;
  private readonly frames: number;
  private readonly pieceScratch: number;
  private readonly pieces = new ByteQueue(); // of a message that is not complete
  private readonly controlPieces = new ByteQueue(); // and of a control frame
  private readonly messages = new Queue<Incoming>();
  private isDeaf = false; // no frame counts any more
  private owedPong: Uint8Array | undefined;
  private isPinged = false; // the peer was silent, and was asked
  private heardNs: number;
  private pending = 0; // promises of the program for messages
  private isDelivering = false;

  /** `isMasked`: the peer masks its frames. `deflate` undefined: no message is compressed. */
  constructor(
    { shard, transport, frames, pieceScratch }: MessagePlace,
    limits: MessageSettings,
    protocol: string,
    deflate: Deflate | undefined,
    isMasked: boolean,
  ) {
    this.shard = shard;
    this.transport = transport;
    this.frames = frames;
    this.pieceScratch = pieceScratch;
    this.limits = limits;
    this.protocol = protocol;
    this.deflate = deflate;
    this.heardNs = shard.nowNs;
    const flags = (isMasked ? FrameFlag.MASKED : 0) | (deflate === undefined ? 0 : FrameFlag.DEFLATE);
    shard.core.ws_reset(frames, flags, limits.maxPayloadBytes);
    this.watchIdle();
  }

  /** Queues a frame. `first`: the opcode, with bits of extensions. Returns its bytes. */
  protected abstract writeFrame(first: number, payload: string | Uint8Array): number;
  /** A message has come. While a promise that it returns is pending, the peer may have to wait. */
  protected abstract onMessage(payload: string | Uint8Array): unknown;
  protected abstract onPing(payload: Uint8Array): void;
  protected abstract onPong(payload: Uint8Array): void;
  /** Few bytes wait again, after a message found many waiting. */
  protected abstract onDrain(): void;
  /** The closing handshake is over, or will not be. `code` is the peer's, or 1006. */
  protected abstract onEnd(code: number, reason: string): void;
  /** The peer has broken a rule. A close frame that says so is queued, if the connection was open. */
  protected abstract onFailure(code: number, reason: string): void;
  abstract onClosed(): void;

  /** For reports of what a shard has open. */
  toString(): string {
    return `WebSocket, ${STATES[this.readyState]}`;
  }

  get backlogBytes(): number {
    return this.transport.out.backlogBytes;
  }

  // --- receiving -----------------------------------------------------------------------------------------------------

  get mayReceive(): boolean {
    return !this.isBlocked || this.readyState !== OPEN;
  }

  /** Whether the peer has to wait. */
  protected get isBlocked(): boolean {
    return this.pending >= PENDING_MAX || this.isBehind;
  }

  protected get isBehind(): boolean {
    return this.transport.out.backlogBytes > HIGH_WATER_BYTES;
  }

  onBuffer(at: number, end: number, buffer: number): void {
    this.feed(at, end, false);
    this.transport.release(buffer);
    this.pauseIfBlocked();
  }

  onBytes(bytes: Uint8Array): void {
    const scratch = this.pieceScratch;
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
    if (!isControl && this.readyState !== OPEN) return undefined;
    const pieces = isControl ? this.controlPieces : this.pieces;
    const isWhole = (event & WHOLE) === WHOLE;
    if (!isWhole || pieces.bytes !== 0) {
      pieces.push(this.shard.copyOut(start, end));
      if (!isWhole) return undefined;
      return this.complete(event, pieces.takeAll());
    }
    if (opcode !== OPCODE_TEXT || (event & COMPRESSED) !== 0)
      return this.complete(event, this.shard.copyOut(start, end));
    if ((event & WIDE) !== 0) return this.completeText(this.shard.bytes.subarray(start, end));
    return { opcode, payload: this.shard.latin1(start, end), code: 0 };
  }

  private complete(event: number, payload: Uint8Array): Incoming | undefined {
    const opcode = event & OPCODE;
    if ((event & COMPRESSED) !== 0) return { opcode, payload, code: 0, isCompressed: true };
    if (opcode === OPCODE_TEXT) return this.completeText(payload);
    if (opcode === OPCODE_CLOSE) return this.takeClose(payload);
    if (opcode === OPCODE_PING) this.reply(payload);
    return { opcode, payload, code: 0 };
  }

  private completeText(bytes: Uint8Array): Incoming | undefined {
    const payload = messageText(bytes);
    if (typeof payload === 'string') return { opcode: OPCODE_TEXT, payload, code: 0 };
    this.fail(payload);
    return undefined;
  }

  /** Replies to a ping. Of those that come while much waits to be sent, the last one will do (RFC 6455 5.5.3). */
  private reply(payload: Uint8Array): void {
    if (this.readyState !== OPEN) return;
    if (this.isBehind) this.owedPong = payload;
    else this.writeFrame(OPCODE_PONG, payload);
  }

  private takeClose(payload: Uint8Array): Incoming | undefined {
    const read = readClose(payload);
    if (typeof read === 'number') {
      this.fail(read);
      return undefined;
    }
    this.isDeaf = true;
    return { opcode: OPCODE_CLOSE, payload: read.reason, code: read.code };
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
    else if (opcode === OPCODE_PING) this.onPing(payload as Uint8Array);
    else if (opcode === OPCODE_PONG) this.onPong(payload as Uint8Array);
    else this.dispatchMessage(payload);
  }

  private dispatchMessage(payload: string | Uint8Array): void {
    const result = this.onMessage(payload);
    if (!(result instanceof Promise)) return;
    this.pending++;
    settledOnce(result).then(this.onSettled, this.onSettled);
  }

  private dispatchCompressed(opcode: number, payload: Uint8Array): void {
    if (this.readyState !== OPEN) return;
    const bytes = inflateMessage(payload, this.limits.maxPayloadBytes, this.deflate?.received);
    const message = typeof bytes === 'number' || opcode !== OPCODE_TEXT ? bytes : messageText(bytes);
    if (typeof message === 'number') this.fail(message);
    else if (typeof message === 'string') this.dispatchMessage(message);
    else this.dispatchMessage(ownCopy(message, 0, message.length)); // zlib's bytes are a part of a larger buffer
  }

  private readonly onSettled = (): void => {
    this.pending--;
    this.resume();
  };

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

  /** Queues a message. Returns the bytes of its frame. */
  protected writeMessage(data: string | Uint8Array, compress: boolean): number {
    const opcode = typeof data === 'string' ? OPCODE_TEXT : OPCODE_BINARY;
    if (!compress || !this.compresses(data)) return this.writeFrame(opcode, data);
    const { level } = this.limits.deflate as DeflateSettings;
    const { windowBits, sent } = this.deflate as Deflate;
    return this.writeFrame(opcode | COMPRESSED_BIT, deflateMessage(data, level, windowBits, sent));
  }

  protected compresses(message: string | Uint8Array): boolean {
    const { deflate } = this.limits;
    if (this.deflate === undefined || deflate === undefined) return false;
    const bytes = typeof message === 'string' ? Buffer.byteLength(message) : message.length;
    return bytes >= deflate.thresholdBytes;
  }

  onSent(): void {
    if (this.isBehind || this.readyState === CLOSED) return;
    if (this.owedPong !== undefined) {
      const payload = this.owedPong;
      this.owedPong = undefined;
      this.reply(payload);
    }
    if (this.wantsDrain && this.readyState === OPEN) {
      this.wantsDrain = false;
      this.onDrain();
    }
    this.resume();
  }

  // --- the end -------------------------------------------------------------------------------------------------------

  /** Sends a close frame, and waits for that of the peer. Only while it is open. `reason`: of REASON_BYTES_MAX. */
  protected beginClose(code: number, reason: Uint8Array): void {
    this.readyState = CLOSING;
    this.sendClose(code, reason);
    this.pieces.clear();
    this.transport.setDeadline(this.limits.closeTimeoutMs * 1e6);
    this.transport.receive();
    this.deliver(); // the peer's close frame may be among what has waited
  }

  destroy(): void {
    this.transport.destroy();
  }

  private sendClose(code: number, reason: Uint8Array): void {
    this.writeFrame(OPCODE_CLOSE, writeClose(code, reason));
  }

  /** A frame broke a rule: says which, and closes. */
  private fail(code: number): void {
    const reason = FAILURES[code] as string;
    this.isDeaf = true;
    this.deliver(); // messages that came before it
    if (this.readyState === OPEN) this.sendClose(code, Buffer.from(reason));
    this.onFailure(code, reason);
  }

  private closedByPeer(code: number, reason: string): void {
    if (this.readyState === OPEN && code !== NO_CLOSE_FRAME) this.sendClose(code, Buffer.from(reason));
    this.onEnd(code, reason);
  }

  /** Nothing that comes or has come counts any more. */
  protected stop(): void {
    this.isDeaf = true;
    this.readyState = CLOSED;
    this.messages.clear();
    this.pieces.clear();
  }

  // --- time ----------------------------------------------------------------------------------------------------------

  private get idleNs(): number {
    return this.limits.idleTimeoutMs * 1e6;
  }

  /** How long the peer may be silent until it is sent a ping, or closed if there are none. */
  private get quietNs(): number {
    return this.limits.sendPings ? this.idleNs / 2 : this.idleNs;
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
      if (!this.isPinged) this.writeFrame(OPCODE_PING, NOTHING);
      this.isPinged = true;
      this.transport.setDeadline(this.idleNs - silentNs);
    } else this.transport.setDeadline(this.quietNs - silentNs);
  }
}

const NOTHING = new Uint8Array(0);
const ENDED: Incoming = { opcode: OPCODE_CLOSE, payload: '', code: NO_CLOSE_FRAME };

// A WebSocket of a server. It takes the place of an HTTP connection as the user of a transport, and that of its
// parser's state in linear memory. It calls the handlers of the program, and subscribes to topics.
//
// Next: message-connection.ts, which does what both sides have in common.

import { optionError } from '../base/errors.js';
import { checkInteger } from '../base/options.js';
import type { NetAddress } from '../hosts/host.js';
import type { Shard } from '../shard/shard.js';
import type { Transport } from '../shard/transport.js';
import { mayBeSent } from './close-frame.js';
import type { Deflate } from './deflate.js';
import { OPCODE_PING, OPCODE_PONG, sendBytesFrame, sendFrame, sendTextFrame } from './frame-writer.js';
import { CLOSING, MessageConnection, NO_CLOSE_FRAME, OPEN, REASON_BYTES_MAX } from './message-connection.js';
import type { WebSocketSettings } from './options.js';
import { ServerWebSocket, type SocketBackend } from './server-socket.js';
import type { SharedMessage, Subscriber, Topics } from './topics.js';

const GOING_AWAY = 1001;

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

export class WebSocketConnection extends MessageConnection implements SocketBackend, Subscriber {
  readonly socket: ServerWebSocket;

  private readonly home: WebSocketHome;
  private readonly log: Agreement['log'];
  private peer: NetAddress | undefined;
  private readonly topics = new Set<string>(); // that it has subscribed to
  private isTold = false; // the handler `close` was called
  private closeCode = NO_CLOSE_FRAME;
  private closeReason = '';

  /** `frames`: the address of CONNECTION_BYTES of linear memory. */
  constructor(home: WebSocketHome, transport: Transport, frames: number, agreement: Agreement) {
    const { shard, settings, pieceScratch } = home;
    super({ shard, transport, frames, pieceScratch }, settings, agreement.protocol, agreement.deflate, true);
    this.home = home;
    this.peer = agreement.remote;
    this.log = agreement.log;
    this.socket = new ServerWebSocket(this, agreement.data);
  }

  /** The head of the response is queued: from now on the transport's events come here. */
  begin(): void {
    this.transport.user = this;
    this.call('open');
  }

  get remote(): NetAddress | undefined {
    this.peer ??= this.transport.remote;
    return this.peer;
  }

  // --- handlers ------------------------------------------------------------------------------------------------------

  protected onMessage(payload: string | Uint8Array): unknown {
    const result = this.run('message', payload);
    return result instanceof Promise ? this.report(result) : undefined;
  }

  protected onPing(payload: Uint8Array): void {
    this.call('ping', payload);
  }

  protected onPong(payload: Uint8Array): void {
    this.call('pong', payload);
  }

  protected onDrain(): void {
    this.call('drain');
  }

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

  // --- sending -------------------------------------------------------------------------------------------------------

  protected writeFrame(first: number, payload: string | Uint8Array): number {
    const { out } = this.transport;
    return typeof payload === 'string'
      ? sendTextFrame(this.shard, out, payload)
      : sendBytesFrame(this.shard, out, first, payload);
  }

  send(data: string | Uint8Array, compress: boolean): number {
    return this.hasRoom() ? this.sent(this.writeMessage(data, compress)) : 0;
  }

  sendControl(isPing: boolean, data: Uint8Array): number {
    return this.hasRoom() ? this.sent(this.writeFrame(isPing ? OPCODE_PING : OPCODE_PONG, data)) : 0;
  }

  /** Sends a message that many get. */
  sendShared(shared: SharedMessage): number {
    if (!this.hasRoom()) return 0;
    const isCompressed = this.deflate?.windowBits === shared.windowBits && this.compresses(shared.bytes);
    const frame = isCompressed ? shared.compressed : shared.plain;
    if (isCompressed) this.deflate?.sent?.add(shared.bytes);
    sendFrame(this.shard, this.transport.out, frame);
    return this.sent(frame.length);
  }

  private hasRoom(): boolean {
    const { maxBacklogBytes, closeOnBacklog } = this.home.settings;
    if (this.readyState !== OPEN) return false;
    if (this.transport.out.backlogBytes <= maxBacklogBytes) return true;
    this.wantsDrain = true;
    if (closeOnBacklog) this.destroy();
    else this.transport.out.hurry(); // so that drain is called as soon as bytes are out
    return false;
  }

  private sent(bytes: number): number {
    if (!this.isBehind) return bytes;
    this.wantsDrain = true;
    this.transport.out.hurry();
    return -1;
  }

  override onSent(): void {
    this.log?.sent();
    super.onSent();
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
    this.leaveTopics();
    this.closeCode = code;
    this.closeReason = reason;
    this.beginClose(code, text);
  }

  /** The server closes. */
  closeIdle(): void {
    this.close(GOING_AWAY, '');
  }

  drain(): void {} // the server takes requests a while longer

  unhold(): void {} // it holds nothing

  protected onEnd(code: number, reason: string): void {
    const isReply = this.readyState === CLOSING && code !== NO_CLOSE_FRAME;
    if (isReply) this.end(this.closeCode, this.closeReason);
    else this.end(code, reason);
  }

  protected onFailure(code: number, reason: string): void {
    this.end(code, reason);
  }

  private end(code: number, reason: string): void {
    this.stop();
    this.tell(code, reason);
    this.transport.finish(); // which may close it at once
  }

  protected override stop(): void {
    super.stop();
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
}

const WHY_CODE = '1000 to 1003, 1007 to 1014, or 3000 to 4999';

function checkCloseCode(code: number): void {
  checkInteger('code', code, 1000, 4999);
  if (!mayBeSent(code)) throw optionError('code', code, WHY_CODE);
}

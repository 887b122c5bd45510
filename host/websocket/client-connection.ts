// A WebSocket of a client, behind the object that programs get. Its frames are masked, and those of the server are not.
//
// Its end is known in two steps: onEnd() or onFailure() when the handshake of closing is over, then onClosed() when the
// connection is. Only the second one is the end for a program, as the standard has it.
//
// Next: message-connection.ts, which does what both sides have in common.

import { ByteQueue } from '../base/byte-queue.js';
import { FeatherstarError } from '../base/errors.js';
import { Queue } from '../base/queue.js';
import type { ClientAgreement } from './client-handshake.js';
import { sendMaskedFrame } from './frame-writer.js';
import {
  CLOSED,
  MessageConnection,
  type MessagePlace,
  type MessageSettings,
  NO_CLOSE_FRAME,
  OPEN,
} from './message-connection.js';

/** The receiver of what happens. */
export interface ClientEvents {
  onMessage(payload: string | Uint8Array): void;
  /** The connection has failed. onClosed() follows. */
  onFailure(error: FeatherstarError): void;
  /** The connection is over. `code` is that of the server's close frame, or 1006. */
  onClosed(code: number, reason: string): void;
}

export class ClientConnection extends MessageConnection {
  readonly #events: ClientEvents;
  readonly #waiting = new Queue<{ readonly sentBytes: number; readonly bytes: number }>();
  #waitingBytes = 0;
  #queuedBytes: number; // of all that was ever sent
  #early: ByteQueue | undefined = new ByteQueue(); // that have come before the next turn
  #hasEarlyEnd = false; // and the end of the server
  #code = NO_CLOSE_FRAME;
  #reason = '';

  /** `queuedBytes`: what the transport was given before. */
  constructor(
    place: MessagePlace,
    settings: MessageSettings,
    agreement: ClientAgreement,
    queuedBytes: number,
    events: ClientEvents,
  ) {
    super(place, settings, agreement.protocol, agreement.deflate, false);
    this.#queuedBytes = queuedBytes;
    this.#events = events;
  }

  /**
   * From now on the transport's events come here. `rest`: bytes that have come already. Bytes wait for the next turn,
   * behind microtasks: a program that awaits the event 'open' has listeners for messages then.
   */
  begin(rest: Uint8Array): void {
    this.transport.user = this;
    this.onBytes(rest);
    this.shard.beforeNextTurn(() => {
      const early = this.#early?.takeAll() as Uint8Array;
      this.#early = undefined;
      if (this.isOver) return;
      if (early.length !== 0) this.onBytes(early);
      if (this.#hasEarlyEnd && !this.isOver) this.onPeerEnd(); // a close frame in front has said how it ends
    }, true);
  }

  private get isOver(): boolean {
    return this.readyState === CLOSED;
  }

  override onBuffer(at: number, end: number, buffer: number): void {
    if (this.#early === undefined) super.onBuffer(at, end, buffer);
    else {
      this.#early.push(this.shard.copyOut(at, end));
      this.transport.release(buffer);
    }
  }

  override onBytes(bytes: Uint8Array): void {
    if (this.#early === undefined) super.onBytes(bytes);
    else this.#early.push(bytes);
  }

  override onPeerEnd(): void {
    if (this.#early === undefined) super.onPeerEnd();
    else this.#hasEarlyEnd = true;
  }

  protected writeFrame(first: number, payload: string | Uint8Array): number {
    const bytes = sendMaskedFrame(this.shard, this.transport.out, first, payload);
    this.#queuedBytes += bytes;
    return bytes;
  }

  /** Sends a message of so many bytes, which are copied. */
  send(data: string | Uint8Array, bytes: number): void {
    if (this.readyState !== OPEN) return;
    const { out } = this.transport;
    const { maxBacklogBytes } = this.limits;
    if (out.backlogBytes > maxBacklogBytes) {
      const text = `more than maxBacklogBytes (${maxBacklogBytes}) wait to be sent: look at bufferedAmount first`;
      this.#events.onFailure(new FeatherstarError('FEATHERSTAR_FULL', text));
      this.destroy();
      return;
    }
    this.writeMessage(data, true);
    this.#waiting.push({ sentBytes: this.#queuedBytes, bytes });
    this.#waitingBytes += bytes;
    if (this.isBehind) out.hurry();
  }

  /** Bytes of messages that wait to be sent, without their frames. */
  get bufferedBytes(): number {
    const { sentBytes } = this.transport.out;
    for (let first = this.#waiting.first; first !== undefined && first.sentBytes <= sentBytes; ) {
      this.#waitingBytes -= first.bytes;
      this.#waiting.shift();
      first = this.#waiting.first;
    }
    return this.#waitingBytes;
  }

  /** `code` NO_CODE: the close frame has none. */
  close(code: number, reason: Uint8Array): void {
    if (this.readyState === OPEN) this.beginClose(code, reason);
  }

  /** Not while much waits to be sent: with a server that does not read then either, both would wait for ever. */
  protected override get isBlocked(): boolean {
    return false;
  }

  protected onMessage(payload: string | Uint8Array): void {
    this.#events.onMessage(payload);
  }

  protected onPing(): void {}

  protected onPong(): void {}

  protected onDrain(): void {}

  protected onEnd(code: number, reason: string): void {
    this.#code = code;
    this.#reason = reason;
    this.stop();
    this.transport.finish();
  }

  protected onFailure(_code: number, reason: string): void {
    this.#code = NO_CLOSE_FRAME;
    this.stop();
    this.#events.onFailure(new FeatherstarError('FEATHERSTAR_WEBSOCKET', `the connection failed: ${reason}`));
    this.transport.finish(true); // a server that breaks rules is not waited for
  }

  override onSent(): void {
    void this.bufferedBytes; // forgets what is out
    super.onSent();
  }

  onClosed(): void {
    this.stop();
    this.#events.onClosed(this.#code, this.#reason);
  }
}

// A response that is streamed: its head is queued, and its body is still being made. Each connection has one of these,
// which is open while such a response is on its way.
//
//   begin() --chunks: the writer waits in drained() while many bytes are not sent--> end()
//      the server drains       endSoon(): events end at once; another stream is broken off when it has been quiet
//      the connection is over  cancel() tells the source of the body, breakOff() the writer
//
// Next: writer.ts, which reads the stream and queues its chunks.

import type { FeatherstarError } from '../base/errors.js';
import type { Transport } from '../shard/transport.js';
import { closingError } from './closed-errors.js';
import type { ConnectionServer } from './connection-server.js';

/** A stream without a chunk for so long does not hold up the end of a server. */
export const QUIET_NS = 5e8;

/** The part of a connection that this uses. */
export interface StreamingConnection {
  readonly server: ConnectionServer;
  readonly transport: Transport;
  /** Whether the error says only that the client has left, or has sent a broken body. */
  isClients(error: unknown): boolean;
  destroy(): void;
}

export class ResponseStream {
  private readonly connection: StreamingConnection;
  private reader: ReadableStreamDefaultReader<Uint8Array> | undefined; // of the body
  private hasEvents = false;
  private chunkNs = 0; // when the last chunk came
  private drainedBytes = 0; // when no more than these wait:
  private onDrained: { resolve: () => void; reject: (reason: unknown) => void } | undefined;

  constructor(connection: StreamingConnection) {
    this.connection = connection;
  }

  /** Whether the source of a body has not said its last word. */
  get isOpen(): boolean {
    return this.reader !== undefined;
  }

  /** Whether the writer waits until bytes are sent. */
  get isWaiting(): boolean {
    return this.onDrained !== undefined;
  }

  /** `reader` undefined: the body is here already. `hasEvents`: a text/event-stream, which has no end of its own. */
  begin(reader: ReadableStreamDefaultReader<Uint8Array> | undefined, hasEvents: boolean): void {
    this.reader = reader;
    this.hasEvents = hasEvents;
    this.chunkNs = this.connection.server.shard.nowNs;
  }

  /** The body has ended, or has failed. */
  end(): void {
    this.reader = undefined;
  }

  /** A chunk has come. Resolves when no more than `bytes` wait to be sent; undefined: no more do. */
  drained(bytes: number): Promise<void> | undefined {
    const { out } = this.connection.transport;
    this.chunkNs = this.connection.server.shard.nowNs;
    if (out.backlogBytes <= bytes) return undefined;
    out.hurry();
    this.drainedBytes = bytes;
    return new Promise((resolve, reject) => {
      this.onDrained = { resolve, reject };
    });
  }

  /** Bytes have gone out, and the writer waits for that. */
  onSent(): void {
    if (this.connection.transport.out.backlogBytes > this.drainedBytes) return;
    this.chunkNs = this.connection.server.shard.nowNs;
    this.onDrained?.resolve();
    this.onDrained = undefined;
  }

  /**
   * The server drains, and does not wait for streams that would never end. A stream of events ends here, between two
   * events. Others are broken off if they are quiet for QUIET_NS.
   */
  endSoon(): void {
    const { server, transport } = this.connection;
    if (this.hasEvents) {
      this.cancel(closingError());
      return;
    }
    const leftNs = this.chunkNs + QUIET_NS - server.shard.nowNs;
    if (!transport.out.isIdle) transport.setDeadline(QUIET_NS);
    else if (leftNs > 0) transport.setDeadline(leftNs);
    else this.connection.destroy();
  }

  /** Tells the source of the body. It reads as ended then, for the writer. */
  cancel(reason: FeatherstarError): void {
    const { reader } = this;
    this.reader = undefined;
    reader?.cancel(reason).catch((error) => {
      if (!this.connection.isClients(error)) this.connection.server.report(error);
    });
  }

  /** The connection is over, and the writer waits no longer. */
  breakOff(reason: FeatherstarError): void {
    this.onDrained?.reject(reason);
    this.onDrained = undefined;
  }
}

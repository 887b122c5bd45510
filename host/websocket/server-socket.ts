// The WebSocket that handlers get: a face for programs over a connection.
//
// Next: connection.ts.

import { optionError } from '../base/errors.js';
import { checkString } from '../base/options.js';
import type { NetAddress } from '../hosts/host.js';

/** Bytes that `send()` takes. */
export type WebSocketBytes = Uint8Array | ArrayBuffer | SharedArrayBuffer | ArrayBufferView;

/** The connection behind a socket. */
export interface SocketBackend {
  readonly readyState: 1 | 2 | 3;
  readonly backlogBytes: number;
  readonly remote: NetAddress | undefined;
  readonly protocol: string;
  send(data: string | Uint8Array, compress: boolean): number;
  sendControl(isPing: boolean, data: Uint8Array): number;
  subscribe(topic: string): void;
  unsubscribe(topic: string): void;
  isSubscribed(topic: string): boolean;
  publish(topic: string, message: string | Uint8Array): number;
  close(code: number, reason: string): void;
  destroy(): void;
}

function viewOf(data: WebSocketBytes): Uint8Array {
  if (data instanceof Uint8Array) return data;
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  if (data instanceof ArrayBuffer || data instanceof SharedArrayBuffer) return new Uint8Array(data);
  throw optionError('data', data, 'a string or bytes');
}

/** A message as the connection sends it. Throws OPTION. */
export function messageOf(data: string | WebSocketBytes): string | Uint8Array {
  return typeof data === 'string' ? data : viewOf(data);
}

const NOTHING = new Uint8Array(0);
const CONTROL_BYTES_MAX = 125;

function controlData(data: string | WebSocketBytes): Uint8Array {
  const bytes = typeof data === 'string' ? Buffer.from(data) : viewOf(data);
  if (bytes.length <= CONTROL_BYTES_MAX) return bytes;
  throw optionError('data', `${bytes.length} bytes`, `at most ${CONTROL_BYTES_MAX} bytes`);
}

/**
 * A WebSocket of a client, at the server. `data` is what the handler gave to `info.upgrade({ data })`.
 *
 * @example
 * message(ws, data) {
 *   ws.send(data);
 * }
 */
export class ServerWebSocket<Data = unknown> {
  /** The program's own. */
  data: Data;
  readonly #backend: SocketBackend;

  /** @internal */
  constructor(backend: SocketBackend, data: Data) {
    this.#backend = backend;
    this.data = data;
  }

  /** 1 open, 2 closing, 3 closed, with the numbers of the web's WebSocket. */
  get readyState(): 1 | 2 | 3 {
    return this.#backend.readyState;
  }

  /** Bytes that wait to be sent. */
  get bufferedAmount(): number {
    return this.#backend.backlogBytes;
  }

  /** The client's address, as `info.remote` of its request; '' for a Unix socket, or if it was not asked in time. */
  get remoteAddress(): string {
    return this.#backend.remote?.hostname ?? '';
  }

  /** The subprotocol that was agreed on, or ''. */
  get protocol(): string {
    return this.#backend.protocol;
  }

  /**
   * Sends a message: text for a string, else binary. Returns the bytes of its frame. Returns -1 if more than 64 KiB
   * wait now: the program should wait for `drain`. Returns 0 if the message was dropped: the connection is not open, or
   * more than `maxBacklogBytes` wait. Bytes are not copied: they must not change until they are sent. Throws
   * FEATHERSTAR_OPTION for other data. `compress` false: the message is not compressed, whatever was agreed on.
   */
  send(data: string | WebSocketBytes, compress = true): number {
    return this.#backend.send(messageOf(data), compress);
  }

  /** Sends a ping with at most 125 bytes. Returns what `send()` does. */
  ping(data: string | WebSocketBytes = NOTHING): number {
    return this.#backend.sendControl(true, controlData(data));
  }

  /** Sends a pong that no ping has asked for, with at most 125 bytes. Returns what `send()` does. */
  pong(data: string | WebSocketBytes = NOTHING): number {
    return this.#backend.sendControl(false, controlData(data));
  }

  /** From now on it gets what is published to `topic`. It leaves all topics when it closes. */
  subscribe(topic: string): void {
    this.#backend.subscribe(checkString('topic', topic));
  }

  /** Ends a subscription, if there is one. */
  unsubscribe(topic: string): void {
    this.#backend.unsubscribe(checkString('topic', topic));
  }

  /** Whether it has subscribed to `topic`. */
  isSubscribed(topic: string): boolean {
    return this.#backend.isSubscribed(checkString('topic', topic));
  }

  /**
   * Sends a message to all subscribers of `topic`, on every shard, but for this one. Returns how many of this shard it
   * is queued for. Throws FEATHERSTAR_OPTION. `server.publish()` is the same for all subscribers.
   */
  publish(topic: string, data: string | WebSocketBytes): number {
    return this.#backend.publish(checkString('topic', topic), messageOf(data));
  }

  /**
   * Begins to close: sends a close frame, and waits `closeTimeoutMs` for that of the peer. Messages that come meanwhile
   * are dropped. `code`: 1000 to 1003, 1007 to 1014, 3000 to 4999. `reason`: at most 123 bytes. Without effect when it
   * is closing. Throws FEATHERSTAR_OPTION.
   */
  close(code = 1000, reason = ''): void {
    this.#backend.close(code, reason);
  }

  /** Closes at once, without a close frame. Queued messages are lost. */
  terminate(): void {
    this.#backend.destroy();
  }
}

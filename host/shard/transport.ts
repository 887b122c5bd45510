// A connection as a stream of bytes in both directions, with backpressure, a half-close and a deadline. HTTP
// (http/connection.ts) knows no more of its connections than this, so it runs over whatever offers it.
//
//   bytes in    onBuffer(), onBytes()     as long as mayReceive; then pause() and receive()
//   bytes out   out.reserve(), enqueue()  onSent() tells that some are out; out.backlogBytes is what waits
//   the end     finish(): all that is queued, then the end; destroy(): at once
//   time        setDeadline() --> onDeadline()
//
// Two files do it for sockets. In stream-transport.ts is this interface over a file slot. Its base class in
// stream-socket.ts has the common part of all stream sockets; net/connection.ts extends it, too.

import type { LongText } from '../base/long-text.js';
import type { NetAddress } from '../hosts/host.js';
import type { TlsInfo } from '../tls/info.js';

/** The outgoing bytes, in order. */
export interface ByteSink {
  /** Whether all is out. */
  readonly isIdle: boolean;
  /** Bytes that are out, of all that were ever queued. */
  readonly sentBytes: number;
  /** Bytes that are not out yet. */
  readonly backlogBytes: number;
  /**
   * An address in linear memory where exactly `bytes` must be written at once, or 0: then enqueue() them. `body`: more
   * than COPIED_BYTES (send-queue.ts), which go out behind them as by enqueue(); with 0, enqueue() these, too.
   */
  reserve(bytes: number, body?: Uint8Array): number;
  /**
   * Sends bytes of any length, behind everything else. They must not change any more. `moreFollows`: the caller
   * enqueues others at once, which may go out with these.
   */
  enqueue(bytes: Uint8Array, moreFollows?: boolean): void;
  /** Sends a text behind everything else. It is encoded as far as the peer takes it. */
  enqueueText(text: LongText): void;
  /** The user waits until all is out. */
  hurry(): void;
}

export interface Transport {
  /** Gets the events. A connection that is upgraded to another protocol puts another user here. */
  user: TransportUser;
  readonly out: ByteSink;
  /** The peer has ended its side. Bytes from before may be still to come. */
  readonly peerLeft: boolean;
  /** The peer has sent its last byte, and it has come. */
  readonly peerEnded: boolean;
  readonly isClosed: boolean;
  /** The peer's address. Undefined: it has none of the Internet, or the transport was closed before it was asked. */
  readonly remote: NetAddress | undefined;
  /** Undefined: the bytes go over the network as they are. */
  readonly tls?: TlsInfo | undefined;
  /** Receives from now on, if more bytes are welcome. */
  receive(): void;
  /** Stops receiving: the peer has to wait. Events that have come already are still reported. */
  pause(): void;
  /** Gives back a buffer of onBuffer(). */
  release(buffer: number): void;
  /** `ns` from now on; it takes the place of the last deadline. */
  setDeadline(ns: number): void;
  clearDeadline(): void;
  /**
   * Sends what is queued, then the end, and closes when the peer has ended too. The user has nothing more to say.
   * `peerIsDone`: neither has the peer, so there is no need to wait for its end.
   */
  finish(peerIsDone?: boolean): void;
  /** Closes at once; what is queued is lost. */
  destroy(): void;
}

/** The user of a transport: it is told what happens while the transport is open. */
export interface TransportUser {
  /** Whether more bytes are welcome. If not, receiving pauses until the user calls receive(). */
  readonly mayReceive: boolean;
  /** Bytes have come. They lie in linear memory at [at, end) until the user gives `buffer` back by release(). */
  onBuffer(at: number, end: number, buffer: number): void;
  /** Bytes have come. They are the user's own. */
  onBytes(bytes: Uint8Array): void;
  /** How many bytes could go straight into an array of the user's now. Without it: none. */
  readonly targetBytes?: number;
  /** Whether the bytes that come next say how much follows. */
  readonly expectsHead?: boolean;
  /**
   * The array for them, or for the first of them. Undefined: it has none any more. Null: it will have one, and calls
   * receive() then.
   */
  takeTarget?(): Uint8Array | null | undefined;
  /**
   * The first `bytes` of takeTarget()'s array have come, or of another one. Not `isOwn`: only until it returns. Returns
   * whether the user has kept the array, or a copy of it if it was not its own.
   */
  onTarget?(target: Uint8Array, bytes: number, isOwn: boolean): boolean;
  /** The peer has ended its side, though bytes from before may be still to come. May be told more than once. */
  onPeerLeft(): void;
  /** The peer has sent its last byte. All bytes came before. */
  onPeerEnd(): void;
  /** Bytes have gone out. Also told behind onClosed(), when the kernel has ended a send. */
  onSent(): void;
  /** The deadline is over. */
  onDeadline(): void;
  /** The connection is over, for whatever reason. Comes once, in every state. */
  onClosed(): void;
}

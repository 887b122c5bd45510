// The streams under the portable host's sockets: what node:net (node-streams.ts) and Bun (bun-streams.ts) have in
// common once their names and habits are taken off. Bun has node:net too, but over its own sockets: a layer that costs
// a quarter of a request there (RATIONALE.md).
//
// A stream is born paused and keeps no thread alive. It copies nothing: what write() could not hand to the kernel stays
// where it is, and belongs to the stream, until onWritten().
//
// Next: portable-sockets.ts.

import type { NetAddress } from './host.js';

/** How many bytes a stream keeps on its own side before it stops reading. */
export const READ_AHEAD_BYTES = 65_536;

/** Where a stream goes: a numeric address and a port, or a path. */
export type ConnectTarget = { host: string; port: number } | { path: string };

/** The receiver of a stream's events. Nothing is told from inside a call to the stream. */
export interface StreamOwner {
  onConnect(): void;
  /**
   * `isOwn`: the bytes are the owner's; else only until it returns. A chunk may still come after pause(). Returns
   * whether the owner has kept the array, or a copy of it if it was not its own.
   */
  onData(chunk: Buffer, isOwn: boolean): boolean;
  /** The peer sends no more. */
  onEnd(): void;
  /** The kernel has the bytes that write() kept. */
  onWritten(): void;
  /** An error (-errno), or closed: -ECONNRESET if nothing else is known. May come again, and after onEnd(). */
  onBroken(errno: number): void;
}

export interface Stream {
  /** The address of the peer, if it is one of the Internet and known (node:net forgets it when it closes). */
  readonly remote: NetAddress | undefined;
  /** The own address, likewise. */
  readonly local: NetAddress | undefined;
  /** Nothing can come of it any more. */
  readonly isDestroyed: boolean;
  /** Whether a chunk of READ_AHEAD_BYTES is followed by the next one at once. */
  readonly readsInRow: boolean;
  /** Sets the receiver of events from now on. Earlier events are not repeated. */
  attach(owner: StreamOwner): void;
  connect(target: ConnectTarget): void;
  pause(): void;
  resume(): void;
  /** True: the kernel has all of it. Else the rest is kept, and no other write() may come until onWritten(). */
  write(bytes: Buffer): boolean;
  /** Writes several pieces like one. */
  writeAll(pieces: readonly Uint8Array[]): boolean;
  /**
   * Finds out whether the connection is reset, and has onBroken() say so, though nothing is read or written. A stream
   * without it notices by itself.
   */
  probe?(): void;
  /** An idle peer that does not reply to probes is given up after about `ms`. */
  keepAlive(ms: number): void;
  /** Whether a peer is probed that was idle for `idleMs`; 0: the system's time. */
  setKeepAlive(isOn: boolean, idleMs: number): void;
  /** Sends FIN, behind what is kept. */
  end(): void;
  /** Closes at once; what is kept is lost. */
  destroy(): void;
  /** Closes when what is kept has been sent, or when nothing of it was for `timeoutMs`. Then, or before, `onClosed`. */
  linger(timeoutMs: number, onClosed: () => void): void;
}

/**
 * Where a server listens. `fd`: a descriptor that listens already, and belongs to the server from then on. `backlog`:
 * connections that the kernel keeps, where that can be said.
 */
export type ListenPlace = ({ host: string; port: number; reusePort: boolean } | { path: string } | { fd: number }) & {
  backlog: number;
};

export interface StreamServer {
  /** Of a server that listens on a port. */
  readonly port: number;
  /**
   * Undefined: it listens already. Rejects with an error that has Node's `code`, or with listenClosedError() if close()
   * comes first.
   */
  listen(place: ListenPlace): Promise<void> | undefined;
  close(): void;
}

export interface Streams {
  /** A stream that is not connected yet. */
  create(): Stream;
  /** `onError`: an error of accepting, as -errno. */
  serve(onStream: (stream: Stream) => void, onError: (errno: number) => void): StreamServer;
}

export function toAddress(hostname: string | undefined, port: number | undefined): NetAddress | undefined {
  return hostname === undefined || port === undefined ? undefined : { hostname, port };
}

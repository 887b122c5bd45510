// Streams over Bun's own sockets. Their write() returns how many bytes the kernel took. The rest is kept here and goes
// out as the socket drains.
//
// Bun calls 'close' from inside the call that closed, so what comes during a call is told in a microtask.

import { Errno } from '../core/kernel.js';
import { listenClosedError, type NetAddress } from './host.js';
import { errnoOf } from './portable-window.js';
import {
  type ConnectTarget,
  type ListenPlace,
  type Stream,
  type StreamOwner,
  type StreamServer,
  type Streams,
  toAddress,
} from './streams.js';

// The used part of Bun.listen and Bun.connect (bun.com/docs/api/tcp).

interface BunSocket {
  data: BunStream | undefined;
  readonly remoteAddress: string | undefined;
  readonly remotePort: number | undefined;
  readonly localAddress: string | undefined;
  readonly localPort: number | undefined;
  write(bytes: Uint8Array): number;
  shutdown(): void;
  end(): void;
  pause(): void;
  resume(): void;
  ref(): void;
  unref(): void;
  setNoDelay(on: boolean): void;
  setKeepAlive(on: boolean, initialDelayMs: number): void;
}

interface BunHandlers {
  open(socket: BunSocket): void;
  data(socket: BunSocket, chunk: Buffer): void;
  drain(socket: BunSocket): void;
  end(socket: BunSocket): void;
  close(socket: BunSocket, error?: Error): void;
  error(socket: BunSocket, error: Error): void;
  connectError(socket: BunSocket, error: Error): void;
}

interface BunListener {
  readonly port: number;
  stop(closesAll: boolean): void;
  unref(): void;
}

type BunPlace =
  | { hostname: string; port: number; reusePort?: boolean; exclusive?: boolean }
  | { unix: string }
  | { fd: number };

interface BunSockets {
  listen(options: BunPlace & { allowHalfOpen: true; socket: BunHandlers }): BunListener;
  connect(options: BunPlace & { allowHalfOpen: true; socket: BunHandlers; data: BunStream }): Promise<BunSocket>;
}

const bun = (): BunSockets => (globalThis as unknown as { Bun: BunSockets }).Bun;

class BunStream implements Stream {
  #socket: BunSocket | undefined;
  #owner: StreamOwner | undefined;
  #kept: Uint8Array[] = [];
  #flows = false;
  #endsAfter = false; // FIN goes out behind what is kept
  #isCalling = false;
  #lingerMs = 0;
  #lingerTimer: NodeJS.Timeout | undefined;
  #onClosed: (() => void) | undefined;
  isDestroyed = false;
  readonly readsInRow = false;

  // --- what Bun tells ------------------------------------------------------------------------------------------------

  onOpen(socket: BunSocket): void {
    this.#socket = socket;
    socket.data = this;
    if (this.isDestroyed) {
      socket.end();
      return;
    }
    if (!this.#flows) socket.pause();
    socket.unref();
    socket.setNoDelay(true);
    this.#owner?.onConnect();
  }

  onData(chunk: Buffer): void {
    this.#owner?.onData(chunk, true);
  }

  onEnd(): void {
    this.#owner?.onEnd();
  }

  onDrain(): void {
    if (this.#kept.length === 0 || this.isDestroyed) return; // Bun drains sockets that were never written to
    if (!this.#push(this.#kept)) {
      this.#lingerTimer?.refresh();
      return;
    }
    if (this.#onClosed !== undefined) this.destroy();
    else {
      if (this.#endsAfter) this.#socket?.shutdown();
      this.#owner?.onWritten();
    }
  }

  /** Without an error: both sides have ended, and of the second one Bun says only this. */
  onClose(error: Error | undefined): void {
    if (this.#isCalling) {
      queueMicrotask(() => this.onClose(error));
      return;
    }
    if (error === undefined && !this.isDestroyed) this.#owner?.onEnd();
    this.isDestroyed = true;
    this.#settle();
    this.#owner?.onBroken(error === undefined ? Errno.ECONNRESET : errnoOf(error));
  }

  // --- what its owner asks for ---------------------------------------------------------------------------------------

  get remote(): NetAddress | undefined {
    return toAddress(this.#socket?.remoteAddress, this.#socket?.remotePort);
  }

  get local(): NetAddress | undefined {
    return toAddress(this.#socket?.localAddress, this.#socket?.localPort);
  }

  attach(owner: StreamOwner): void {
    this.#owner = owner;
  }

  connect(target: ConnectTarget): void {
    const where = 'path' in target ? { unix: target.path } : { hostname: target.host, port: target.port };
    const whole = { ...where, allowHalfOpen: true as const, socket: handlers, data: this };
    bun()
      .connect(whole)
      .catch((error) => this.onClose(error));
  }

  pause(): void {
    this.#flows = false;
    this.#socket?.pause();
  }

  resume(): void {
    this.#flows = true;
    this.#socket?.resume();
  }

  write(bytes: Buffer): boolean {
    return this.writeAll([bytes]);
  }

  writeAll(pieces: readonly Uint8Array[]): boolean {
    this.#isCalling = true;
    const isOut = this.#push(pieces);
    this.#isCalling = false;
    return isOut;
  }

  /** Hands bytes to the kernel and keeps the rest. A socket that is closed takes nothing: 'close' tells of it. */
  #push(pieces: readonly Uint8Array[]): boolean {
    for (const [i, piece] of pieces.entries()) {
      const count = this.#socket?.write(piece) ?? 0;
      if (count === piece.length) continue;
      this.#kept = [piece.subarray(Math.max(0, count)), ...pieces.slice(i + 1)];
      return false;
    }
    this.#kept = [];
    return true;
  }

  keepAlive(ms: number): void {
    this.#socket?.setKeepAlive(true, ms);
  }

  setKeepAlive(isOn: boolean, idleMs: number): void {
    this.#socket?.setKeepAlive(isOn, idleMs);
  }

  end(): void {
    if (this.#kept.length !== 0) {
      this.#endsAfter = true;
      return;
    }
    this.#isCalling = true;
    this.#socket?.shutdown();
    this.#isCalling = false;
  }

  destroy(): void {
    if (this.isDestroyed) return;
    this.isDestroyed = true;
    this.#isCalling = true;
    this.#socket?.end();
    this.#isCalling = false;
    this.#settle();
    queueMicrotask(() => this.#owner?.onBroken(Errno.ECONNRESET)); // Bun says nothing of one that was still connecting
  }

  linger(timeoutMs: number, onClosed: () => void): void {
    this.#onClosed = onClosed;
    this.#lingerMs = timeoutMs;
    this.#socket?.ref(); // bytes that were taken are sent, even if the thread has nothing else to do
    this.#lingerTimer = setTimeout(() => this.destroy(), this.#lingerMs);
  }

  #settle(): void {
    this.#kept = [];
    clearTimeout(this.#lingerTimer);
    this.#onClosed?.();
    this.#onClosed = undefined;
  }
}

const handlers: BunHandlers = {
  open: (socket) => socket.data?.onOpen(socket),
  data: (socket, chunk) => socket.data?.onData(chunk),
  drain: (socket) => socket.data?.onDrain(),
  end: (socket) => socket.data?.onEnd(),
  close: (socket, error) => socket.data?.onClose(error),
  error: (socket, error) => socket.data?.onClose(error),
  connectError: () => {}, // connect() rejects as well
};

/** Without a backlog: Bun has one of its own, 512. */
function placeOfBun(place: ListenPlace): BunPlace {
  if ('fd' in place) return { fd: place.fd };
  if ('path' in place) return { unix: place.path };
  return { hostname: place.host, port: place.port, reusePort: place.reusePort, exclusive: !place.reusePort };
}

class BunServer implements StreamServer {
  readonly #handlers: BunHandlers;
  #listener: BunListener | undefined;
  #isClosed = false;

  constructor(onStream: (stream: Stream) => void) {
    const open = (socket: BunSocket) => {
      const stream = new BunStream();
      stream.onOpen(socket);
      onStream(stream);
    };
    this.#handlers = { ...handlers, open };
  }

  get port(): number {
    return this.#listener?.port ?? 0;
  }

  async listen(place: ListenPlace): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve)); // as Node's, which binds a tick later
    if (this.#isClosed) throw listenClosedError();
    const where = placeOfBun(place);
    this.#listener = bun().listen({ ...where, allowHalfOpen: true, socket: this.#handlers });
    this.#listener.unref();
  }

  close(): void {
    this.#isClosed = true;
    this.#listener?.stop(false);
  }
}

export const bunStreams: Streams = {
  create: () => new BunStream(),
  serve: (onStream) => new BunServer(onStream), // Bun tells of no errors of accepting
};

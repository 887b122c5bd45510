// Streams over node:net.
//
// node:net makes an array for each chunk, unless a socket is made with `onread`: then it reads into the memory that is
// given. All sockets of a thread share one such array, because each chunk is handed on before the next one is read. A
// server makes its sockets without `onread`. So what it has accepted gets a socket of ours, over the same handle.
//
// A program that keeps what it reads would need a copy of each chunk. So a socket whose last full chunk was kept reads
// the next one into an array of its own, and gives that away. A chunk that does not fill the array is copied, and the
// socket reads into the common array again. Node asks for the next array right behind a chunk. So a socket whose last
// chunk was full, and was kept, holds 64 KiB until the next chunk comes. Others hold none.
//
// Next: bun-streams.ts.

import { type AddressInfo, Server, Socket } from 'node:net';
import { uninitialized } from '../base/own-bytes.js';
import { Errno } from '../core/kernel.js';
import { listenClosedError, type NetAddress } from './host.js';
import { errnoOf } from './portable-window.js';
import {
  type ConnectTarget,
  type ListenPlace,
  READ_AHEAD_BYTES,
  type Stream,
  type StreamOwner,
  type StreamServer,
  type Streams,
  toAddress,
} from './streams.js';

const ANY_ADDRESS = '::';
const PROBES_MS = 10_000; // libuv sends ten, one a second
const NOTHING = new Uint8Array(0);
const CHUNK = Buffer.allocUnsafeSlow(READ_AHEAD_BYTES); // what was read last

/** The connection below a socket. Node's types leave it out. */
interface WithHandle {
  _handle: object | null;
}

class NodeStream implements Stream {
  readonly #socket: Socket;
  #owner: StreamOwner | undefined;
  #array = CHUNK; // what it reads into
  #isSame = false; // Node has #array already
  readonly readsInRow = true;

  /** A stream that is not connected yet, or over a socket that has been accepted. */
  constructor(accepted?: Socket) {
    const onread = { buffer: this.#nextArray, callback: this.#onRead };
    const own = { allowHalfOpen: true, highWaterMark: READ_AHEAD_BYTES, onread };
    const socket = new Socket({ ...own, ...takeHandle(accepted) });
    this.#socket = socket;
    socket.pause();
    socket.unref();
    if (accepted === undefined) socket.setNoDelay();
    socket.on('end', () => this.#owner?.onEnd());
    socket.on('error', (error) => this.#owner?.onBroken(errnoOf(error)));
    socket.on('close', () => this.#owner?.onBroken(Errno.ECONNRESET));
  }

  // Node asks for the array when it makes the socket's handle, and after each chunk. Undefined: the array stays.
  readonly #nextArray = (): Buffer | undefined => (this.#isSame ? undefined : this.#array);

  readonly #onRead = (bytes: number): boolean => {
    const array = this.#array;
    const isFull = bytes === READ_AHEAD_BYTES;
    const chunk = isFull ? array : array.subarray(0, bytes);
    const isKept = this.#owner?.onData(chunk, isFull && array !== CHUNK) === true && isFull;
    if (isKept) this.#array = Buffer.from(uninitialized(READ_AHEAD_BYTES).buffer as ArrayBuffer);
    else this.#array = CHUNK;
    this.#isSame = this.#array === array;
    return true;
  };

  get isDestroyed(): boolean {
    return this.#socket.destroyed;
  }

  get remote(): NetAddress | undefined {
    return toAddress(this.#socket.remoteAddress, this.#socket.remotePort);
  }

  get local(): NetAddress | undefined {
    return toAddress(this.#socket.localAddress, this.#socket.localPort);
  }

  attach(owner: StreamOwner): void {
    this.#owner = owner;
  }

  connect(target: ConnectTarget): void {
    this.#socket.once('connect', () => this.#owner?.onConnect());
    this.#socket.connect(target);
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  write(bytes: Buffer): boolean {
    this.#socket.write(bytes);
    return this.#isWritten();
  }

  writeAll(pieces: readonly Uint8Array[]): boolean {
    const socket = this.#socket;
    socket.cork(); // until all are there: they go out by one system call
    for (const piece of pieces) socket.write(piece);
    socket.uncork();
    return this.#isWritten();
  }

  #isWritten(): boolean {
    const socket = this.#socket;
    if (socket.writableLength === 0 && socket.errored === null) return true;
    socket.write(NOTHING, this.#onWritten); // writes keep their order, so this one says when all is out
    return false;
  }

  readonly #onWritten = (error?: Error | null): void => {
    if (!error) this.#owner?.onWritten(); // 'error' tells of errors
  };

  /** The kernel refuses a write to a connection that is reset, also one of nothing. */
  probe(): void {
    if (this.#socket.writableLength === 0 && this.#socket.writable) this.#socket.write(NOTHING);
  }

  keepAlive(ms: number): void {
    this.#socket.setKeepAlive(true, Math.max(1000, ms - PROBES_MS));
  }

  setKeepAlive(isOn: boolean, idleMs: number): void {
    this.#socket.setKeepAlive(isOn, idleMs);
  }

  end(): void {
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  linger(timeoutMs: number, onClosed: () => void): void {
    const socket = this.#socket;
    socket.on('close', onClosed);
    socket.setTimeout(timeoutMs, () => socket.destroy());
    socket.ref(); // bytes that were taken are sent, even if the thread has nothing else to do
    socket.end(() => socket.destroy());
  }
}

function takeHandle(accepted: Socket | undefined): object {
  if (accepted === undefined) return {};
  const owner = accepted as unknown as WithHandle;
  const handle = owner._handle;
  owner._handle = null;
  return { handle, pauseOnCreate: true };
}

class NodeServer implements StreamServer {
  readonly #server: Server;
  readonly #onError: (errno: number) => void;

  constructor(onStream: (stream: Stream) => void, onError: (errno: number) => void) {
    this.#onError = onError;
    const options = { allowHalfOpen: true, noDelay: true, pauseOnConnect: true, highWaterMark: READ_AHEAD_BYTES };
    this.#server = new Server(options, (socket) => onStream(new NodeStream(socket)));
    this.#server.unref();
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Node looks a host up before it binds, also an address. Without a host, it binds to `::` at once. */
  listen(place: ListenPlace): Promise<void> | undefined {
    if (!('host' in place) || place.host !== ANY_ADDRESS) return this.#listen(place);
    const { host, ...withoutHost } = place;
    const bound = this.#listen(withoutHost);
    const address = this.#server.address() as AddressInfo | null;
    if (address === null) return bound;
    bound.catch(() => {}); // it listens: only close() can come before the event, and its caller knows
    if (address.family === 'IPv6') return undefined;
    this.#server.close(); // a machine without IPv6: Node listens on 0.0.0.0 instead
    return Promise.reject(Object.assign(new Error('no IPv6'), { code: 'EAFNOSUPPORT' }));
  }

  #listen(place: object): Promise<void> {
    const server = this.#server;
    return new Promise((resolve, reject) => {
      const onClose = () => reject(listenClosedError()); // no other event follows
      const onError = (error: unknown) => {
        server.off('close', onClose);
        reject(error);
      };
      server.once('error', onError);
      server.once('close', onClose);
      server.listen({ ...place, exclusive: true }, () => {
        server.off('error', onError);
        server.off('close', onClose);
        server.on('error', (error) => this.#onError(errnoOf(error)));
        resolve();
      });
    });
  }

  close(): void {
    this.#server.close();
  }
}

export const nodeStreams: Streams = {
  create: () => new NodeStream(),
  serve: (onStream, onError) => new NodeServer(onStream, onError),
};

// featherstar/net: TCP on this shard. A socket is read one buffer at a time, so a reader that is slow is a full TCP
// window for its peer; a write resolves when little enough waits to be sent.

import { checkAddress, resolveAddress } from '../address.js';
import { errnoName, FeatherstarError, optionError, systemError } from '../errors.js';
import { accept, BUFFER_SHIFT, MORE, receive, shutdownWrites } from '../ops.js';
import { runtime } from '../runtime.js';
import { SendQueue } from '../send-queue.js';
import { currentShard, type Owner, type Shard } from '../shard.js';
import type { AbortOptions } from '../timer.js';

const RECEIVED = 1; // tags
const SENT = 2;
const SHUT = 3;
const HIGH_WATER_BYTES = 65_536;
const ECANCELED = -125;

interface Waiter<T> {
  resolve: (value: T) => void;
  reject: (reason: unknown) => void;
}

function closedError(): FeatherstarError {
  return new FeatherstarError('FEATHERSTAR_CLOSED', 'the socket is closed');
}

/** One connection. */
export class Socket implements Owner {
  readonly #shard: Shard;
  readonly #file: number;
  readonly #id: number;
  readonly #out: SendQueue;
  #receiveOp = 0;
  #receiveGeneration = 0;
  #reader: Waiter<Uint8Array | null> | undefined;
  #writers: Waiter<void>[] = [];
  #arrived: Uint8Array | null | undefined; // came for a reader that had gone
  #ended = false;
  #finishing = false;
  #shutting = false; // SHUTDOWN is open: the file must not be closed
  #closed = false;
  #left = false;
  #error: unknown;

  constructor(shard: Shard, file: number) {
    this.#shard = shard;
    this.#file = file;
    this.#id = shard.register(this);
    this.#out = new SendQueue(shard, file, this.#id, SENT);
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** The next bytes, as many as have come (up to one receive buffer); null at the peer's end. One read at a time. */
  async read(options: AbortOptions = {}): Promise<Uint8Array | null> {
    const { signal } = options;
    signal?.throwIfAborted();
    if (this.#arrived !== undefined) {
      const bytes = this.#arrived;
      this.#arrived = undefined;
      return bytes;
    }
    if (this.#error !== undefined) throw this.#error;
    if (this.#closed) throw closedError();
    if (this.#ended) return null;
    if (this.#reader !== undefined) throw new FeatherstarError('FEATHERSTAR_OPTION', 'a read is open already');
    if (this.#receiveOp === 0) this.#arm();
    let onAbort: (() => void) | undefined;
    try {
      return await new Promise<Uint8Array | null>((resolve, reject) => {
        this.#reader = { resolve, reject };
        onAbort = () => {
          this.#reader = undefined; // what the receive brings late waits for the next read
          reject(signal?.reason);
        };
        signal?.addEventListener('abort', onAbort, { once: true });
      });
    } finally {
      if (onAbort !== undefined) signal?.removeEventListener('abort', onAbort);
    }
  }

  #arm(): void {
    this.#receiveOp = receive(this.#shard, this.#file, false, this.#id, RECEIVED);
    this.#receiveGeneration = this.#shard.opGeneration(this.#receiveOp);
  }

  /** Sends bytes, which are copied. Resolves when little enough waits to be sent. */
  async write(bytes: Uint8Array | string, options: AbortOptions = {}): Promise<void> {
    options.signal?.throwIfAborted();
    if (this.#error !== undefined) throw this.#error;
    if (this.#closed || this.#finishing) throw closedError();
    const data = typeof bytes === 'string' ? Buffer.from(bytes, 'utf8') : bytes;
    if (!(data instanceof Uint8Array)) throw optionError('bytes', bytes, 'a string or a Uint8Array');
    if (data.length === 0) return;
    const at = this.#out.reserve(data.length);
    if (at !== 0) this.#shard.bytes.set(data, at);
    else this.#out.enqueue(typeof bytes === 'string' ? data : new Uint8Array(data)); // callers may use theirs again
    if (this.#out.backlogBytes <= HIGH_WATER_BYTES && at !== 0) return;
    await this.#sent();
  }

  #sent(): Promise<void> {
    this.#out.hurry();
    return new Promise<void>((resolve, reject) => {
      this.#writers.push({ resolve, reject });
    });
  }

  /** Tells the peer that no more will come, once everything is out. Reading goes on. */
  async end(): Promise<void> {
    if (this.#closed || this.#finishing) return;
    this.#finishing = true;
    if (!this.#out.isIdle) await this.#sent();
    if (this.#closed) return;
    shutdownWrites(this.#shard, this.#file, this.#id, SHUT);
    this.#shutting = true;
  }

  onEvent(tag: number, result: number, extra: number): void {
    if (tag === RECEIVED) this.#onReceived(result, extra);
    else if (tag === SENT) this.#onSent(result);
    else {
      this.#shutting = false;
      if (this.#closed) this.#shard.closeFile(this.#file);
      this.#leaveIfDone();
    }
  }

  #onReceived(result: number, flags: number): void {
    this.#receiveOp = 0;
    const reader = this.#reader;
    this.#reader = undefined;
    if (result > 0) {
      const { shard, bytes } = { shard: this.#shard, bytes: new Uint8Array(result) };
      const buffer = flags >>> BUFFER_SHIFT;
      const at = shard.base + shard.header.recvOffset + buffer * shard.header.recvBufferBytes;
      bytes.set(shard.bytes.subarray(at, at + result)); // of its own: the kernel gets the buffer back
      shard.core.recycle(buffer);
      if (reader !== undefined) reader.resolve(bytes);
      else if (!this.#closed) this.#arrived = bytes;
    } else if (this.#closed) reader?.reject(closedError());
    else if (result === 0) {
      this.#ended = true;
      reader?.resolve(null);
    } else if (errnoName(result) === 'ENOBUFS') {
      this.#reader = reader; // buffers go back with the same enter that takes the new receive, so this does not spin
      if (reader !== undefined) this.#arm();
    } else {
      this.#error = systemError('recv', result);
      reader?.reject(this.#error);
    }
    this.#leaveIfDone();
  }

  #onSent(result: number): void {
    const isWhole = this.#out.onSent(result);
    if (!isWhole && !this.#closed) {
      this.#error = systemError('send', result === 0 ? -32 : result);
      this.#out.break();
    }
    const failure = this.#error ?? (this.#closed ? closedError() : undefined);
    if (failure !== undefined) for (const writer of this.#writers.splice(0)) writer.reject(failure);
    else if (this.#out.isIdle || (!this.#finishing && this.#out.backlogBytes <= HIGH_WATER_BYTES)) {
      for (const writer of this.#writers.splice(0)) writer.resolve();
    }
    this.#leaveIfDone();
  }

  /** Closes at once; what is not out yet is lost (end() first). Open reads and writes reject. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#receiveOp !== 0) this.#shard.cancelOp(this.#receiveOp, this.#receiveGeneration);
    this.#out.break();
    if (!this.#shutting && !this.#shard.closed) this.#shard.closeFile(this.#file);
    this.#reader?.reject(closedError());
    this.#reader = undefined;
    for (const writer of this.#writers.splice(0)) writer.reject(closedError());
    this.#leaveIfDone();
  }

  onShutdown(): void {
    this.close();
  }

  #leaveIfDone(): void {
    if (this.#left || !this.#closed || this.#shutting || this.#receiveOp !== 0 || !this.#out.isIdle) return;
    this.#left = true;
    this.#shard.unregister(this.#id);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void> {
    for (let bytes = await this.read(); bytes !== null; bytes = await this.read()) yield bytes;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}

export interface ListenOptions {
  /** 0: any free one. */
  port?: number | undefined;
  hostname?: string | undefined;
  backlog?: number | undefined;
  /** Default: if the runtime has more than one shard. */
  reusePort?: boolean | undefined;
}

/** A listening socket: iterate over it for its connections. */
export class Listener implements Owner {
  readonly port: number;
  readonly #shard: Shard;
  readonly #file: number;
  readonly #id: number;
  #op = 0;
  #generation = 0;
  #arrived: Socket[] = [];
  #waiting: Waiter<Socket | null>[] = [];
  #closed = false;

  constructor(shard: Shard, file: number, port: number) {
    this.#shard = shard;
    this.#file = file;
    this.port = port;
    this.#id = shard.register(this);
    this.#arm();
  }

  #arm(): void {
    this.#op = accept(this.#shard, this.#file, this.#id, 0);
    this.#generation = this.#shard.opGeneration(this.#op);
  }

  onEvent(_tag: number, result: number, flags: number): void {
    if ((flags & MORE) === 0) this.#op = 0;
    if (result >= 0) {
      if (this.#closed) this.#shard.closeFile(result);
      else {
        const socket = new Socket(this.#shard, result);
        const waiter = this.#waiting.shift();
        if (waiter !== undefined) waiter.resolve(socket);
        else this.#arrived.push(socket);
      }
    } else if (result !== ECANCELED) this.#waiting.shift()?.reject(systemError('accept', result));
    if (this.#op !== 0) return;
    if (this.#closed) this.#shard.unregister(this.#id);
    else if (result >= 0 || this.#waiting.length !== 0) this.#arm();
  }

  /** The next connection; null when the listener is closed. */
  accept(): Promise<Socket | null> {
    const socket = this.#arrived.shift();
    if (socket !== undefined) return Promise.resolve(socket);
    if (this.#closed) return Promise.resolve(null);
    if (this.#op === 0) this.#arm(); // accepting had failed: file slots may be free again
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
    });
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Socket, void> {
    for (let socket = await this.accept(); socket !== null; socket = await this.accept()) yield socket;
  }

  /** Stops listening. Connections that nobody took are closed. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#op !== 0 && !this.#shard.closed) this.#shard.cancelOp(this.#op, this.#generation);
    if (!this.#shard.closed) this.#shard.closeFile(this.#file);
    if (this.#op === 0) this.#shard.unregister(this.#id);
    for (const socket of this.#arrived.splice(0)) socket.close();
    for (const waiter of this.#waiting.splice(0)) waiter.resolve(null);
  }

  onShutdown(): void {
    this.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}

/** Listens on this shard. */
export async function listen(options: ListenOptions = {}): Promise<Listener> {
  if (typeof options !== 'object' || options === null) throw optionError('options', options, 'an object');
  const { port, hostname, backlog } = checkAddress(options);
  const shard = currentShard();
  const reusePort = options.reusePort ?? runtime().shardCount > 1;
  const address = await resolveAddress(hostname);
  const bound = await shard.host.listen({ address, port, backlog, reusePort, isFirst: shard.index === 0 });
  const listener = new Listener(shard, bound.slot, bound.port);
  runtime().onClose(() => listener.close());
  return listener;
}

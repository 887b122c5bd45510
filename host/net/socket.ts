// A socket as users have it. It works through a Transport: a connection of this shard (connection.ts), or a proxy of a
// connection that another shard keeps (remote.ts). After handOver() it has none, and says so.

import type { WaitOptions } from '../base/abortable.js';
import { FeatherstarError, optionError } from '../base/errors.js';
import { checkShard } from '../base/options.js';
import { type Calls, downError } from '../calls/call.js';
import type { NetAddress } from '../hosts/host.js';
import { runtime } from '../runtime/runtime.js';
import { currentShard } from '../shard/shard.js';
import { spawn } from '../tasks/task.js';
import type { TlsInfo } from '../tls/info.js';
import { pipeBetween } from './socket-pipe.js';

/** The addresses of both ends of a connection. Undefined: it is a Unix socket, or the host does not know them. */
export interface ConnectionAddresses {
  readonly remote: NetAddress | undefined;
  readonly local: NetAddress | undefined;
}

export interface SocketTransport extends ConnectionAddresses {
  /** Undefined: it has no TLS, or another shard keeps it. */
  readonly tls?: TlsInfo | undefined;
  readonly isClosed: boolean;
  readonly isReading: boolean;
  readonly isProxy: boolean;
  /** Aborts when it is closed or has failed; the reason is what writes reject with. Made when it is asked for. */
  readonly closing: AbortSignal;
  read(options?: WaitOptions): Promise<Uint8Array | null>;
  readInto(into: Uint8Array, options?: WaitOptions): Promise<number | null>;
  /** The next read gets these bytes first. No read is open. */
  unread(bytes: Uint8Array): void;
  write(bytes: Uint8Array | string, options?: WaitOptions): Promise<void>;
  end(): Promise<void>;
  close(): void;
  /** Moves what is received to `target`, if it can do that without read() and write(). */
  pipeInto?(target: SocketTransport, options: WaitOptions): Promise<number> | undefined;
  /** Gives the connection to a function of another shard. If that fails, the connection is closed. */
  handOver(peer: number, name: string, args: unknown[]): Promise<void>;
}

export function socketClosed(text = 'the socket is closed'): FeatherstarError {
  return new FeatherstarError('FEATHERSTAR_CLOSED', text);
}

/** They can be sent to another shard. */
export function addressesOf({ remote, local }: ConnectionAddresses): ConnectionAddresses {
  return { remote, local };
}

export function readIsOpen(): FeatherstarError {
  return new FeatherstarError('FEATHERSTAR_STATE', 'a read or a pipe is open already');
}

/**
 * One connection, made by `connect()`, or by a listener. A loop over it gets the bytes that arrive.
 *
 * @example
 * await using socket = await connect({ hostname: 'example.org', port: 7000 });
 * await socket.write('ping');
 * const reply = await socket.read({ timeoutMs: 1000 });
 */
export class Socket {
  #via: SocketTransport | undefined;
  #isLeaving = false; // handOver() has begun: from now on only close() can reach the connection
  #isPiping = false; // pipeTo() reads

  /** @internal */
  constructor(via: SocketTransport) {
    this.#via = via;
  }

  #transport(): SocketTransport {
    if (this.#via === undefined || this.#isLeaving) throw socketClosed('the socket was handed to another shard');
    return this.#via;
  }

  /** Whether `close()` or `handOver()` was called. */
  get isClosed(): boolean {
    return this.#isLeaving || (this.#via?.isClosed ?? true);
  }

  /** Whether another shard keeps the connection, so that each read and write is a call to it (portable host only). */
  get isProxy(): boolean {
    return this.#via?.isProxy ?? false;
  }

  /**
   * The address of the peer. The kernel is asked the first time, so a program that does not ask pays nothing. Undefined
   * for a Unix socket, after `handOver()`, and if the socket was closed before the first time. Throws
   * FEATHERSTAR_SYSTEM (EOPNOTSUPP) on the uring host before Linux 6.7.
   */
  get remote(): NetAddress | undefined {
    return this.#via?.remote;
  }

  /**
   * The socket's own address: the one that the peer has connected to, or the one that the kernel has chosen for
   * `connect()`. Undefined in the cases in which `remote` is. Throws FEATHERSTAR_SYSTEM on the uring host: EOPNOTSUPP
   * before Linux 6.8, EMFILE if the process has no descriptor left.
   */
  get local(): NetAddress | undefined {
    return this.#via?.local;
  }

  /**
   * The facts about a connection over TLS: its version, the peer's certificate, the session. Undefined without TLS, on
   * another shard than the one that has made the connection, and after `handOver()`.
   */
  get tls(): TlsInfo | undefined {
    return this.#via?.tls;
  }

  /**
   * Resolves to the next bytes, at most one receive buffer of them, or to null when the peer has ended. One read may be
   * open at a time. Rejects with FEATHERSTAR_SYSTEM, FEATHERSTAR_CLOSED, FEATHERSTAR_TIMEOUT, or the signal's reason.
   * Bytes that arrive after an abort wait for the next read.
   */
  async read(options: WaitOptions = {}): Promise<Uint8Array | null> {
    if (this.#isPiping) throw readIsOpen();
    return this.#transport().read(options);
  }

  /**
   * Reads the next bytes into an array, and resolves to their count: 1 to its length. Resolves to null when the peer
   * has ended. Leave the array alone until the promise has settled, or the socket is closed. Nothing is written to it
   * from then on. Bytes that have no room in it wait for the next read.
   *
   * Rejects with FEATHERSTAR_OPTION if the array is empty. Rejects with FEATHERSTAR_SYSTEM (EFAULT) if its buffer was
   * transferred or shrunk to nothing meanwhile; then the bytes wait for the next read. It also rejects with
   * FEATHERSTAR_SYSTEM, FEATHERSTAR_CLOSED, FEATHERSTAR_TIMEOUT, or the signal's reason.
   *
   * @example
   * const bytes = new Uint8Array(65_536);
   * for (let count = await socket.readInto(bytes); count !== null; count = await socket.readInto(bytes)) {
   *   hash.update(bytes.subarray(0, count));
   * }
   */
  async readInto(into: Uint8Array, options: WaitOptions = {}): Promise<number | null> {
    if (this.#isPiping) throw readIsOpen();
    return this.#transport().readInto(into, options);
  }

  /**
   * Sends bytes; a string is sent as UTF-8. The bytes must not change until the promise has settled. Resolves when they
   * may change, and at most 64 KiB wait to be sent. Rejects with FEATHERSTAR_SYSTEM (EFAULT: their buffer was
   * transferred), FEATHERSTAR_CLOSED, FEATHERSTAR_TIMEOUT, or the signal's reason. An abort ends only the wait: the
   * bytes are sent, from a copy.
   */
  async write(bytes: Uint8Array | string, options: WaitOptions = {}): Promise<void> {
    return this.#transport().write(bytes, options);
  }

  /**
   * Sends all bytes that arrive to another socket, and then the end (FIN). Resolves to their count when they are sent.
   * Both sockets stay open, and can go on in the other direction: `target` may be this one, and is an echo then. A slow
   * target slows the peer of this one down; at most two receive buffers of bytes wait meanwhile.
   *
   * Rejects with FEATHERSTAR_SYSTEM if an end fails, and with FEATHERSTAR_CLOSED if one is closed or `target` has
   * ended. A target whose peer has gone fails when bytes are sent to it. It also rejects with FEATHERSTAR_TIMEOUT or
   * the signal's reason. Bytes that were received by then are still sent, if `target` can send them. Bytes that arrive
   * later wait for the next read. No read may be open meanwhile.
   *
   * @example
   * const upstream = await connect({ hostname: 'example.org', port: 7000 });
   * await Promise.all([client.pipeTo(upstream), upstream.pipeTo(client)]);
   */
  async pipeTo(target: Socket, options: WaitOptions = {}): Promise<number> {
    const source = this.#transport();
    if (!(target instanceof Socket)) throw optionError('target', target, 'a Socket');
    if (this.#isPiping || source.isReading) throw readIsOpen();
    this.#isPiping = true;
    try {
      return await pipeBetween(source, target.#transport(), options);
    } finally {
      this.#isPiping = false;
    }
  }

  /** Sends what was written, and then the end (FIN). The socket can still be read. */
  async end(): Promise<void> {
    if (!this.#isLeaving) await this.#via?.end();
  }

  /**
   * Closes the connection at once. Bytes that are not sent yet are lost: call `end()` first. Open reads and writes
   * reject with FEATHERSTAR_CLOSED.
   */
  close(): void {
    this.#via?.close();
  }

  /**
   * Gives the connection to another shard, where the shard module's function `name` runs as a task, with a Socket and
   * then `args` as its arguments. Bytes that were received but not read go along. No read may be open. If it rejects
   * (FEATHERSTAR_PEER_DOWN, FEATHERSTAR_MODULE, ...), the connection is closed.
   */
  async handOver(shard: number, name: string, ...args: unknown[]): Promise<void> {
    const via = this.#transport();
    const { shardCount } = runtime();
    const calls = currentShard().calls as Calls;
    checkShard(shard, shardCount);
    if (typeof name !== 'string' || calls.exported(name) === undefined) {
      throw new FeatherstarError('FEATHERSTAR_MODULE', `the shard module exports no function ${JSON.stringify(name)}`);
    }
    if (this.#isPiping || via.isReading) throw readIsOpen();
    if (via.isClosed) throw socketClosed();
    this.#isLeaving = true;
    try {
      if (calls.peers.isDown(shard)) throw downError(shard);
      if (shard === runtime().self) serveSocket(via, name, args);
      else await via.handOver(shard, name, args);
    } catch (error) {
      via.close();
      throw error;
    } finally {
      this.#via = undefined;
    }
  }

  /** The bytes that arrive, until the peer has ended. Leaving the loop leaves the socket open. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void> {
    for (let bytes = await this.read(); bytes !== null; bytes = await this.read()) yield bytes;
  }

  /** Calls `close()`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}

/** Runs the function that a connection was handed to, as a task. One that fails leaves no connection open. */
export function serveSocket(via: SocketTransport, name: string, args: unknown[]): void {
  const run = (currentShard().calls as Calls).exported(name) as ((...args: unknown[]) => unknown) | undefined;
  if (run === undefined) throw new FeatherstarError('FEATHERSTAR_MODULE', `no function ${JSON.stringify(name)}`);
  const socket = new Socket(via);
  spawn(
    async () => {
      try {
        await run(socket, ...args);
      } catch (error) {
        via.close();
        const isEnd = FeatherstarError.is(error) && error.code === 'FEATHERSTAR_CLOSED' && runtime().signal.aborted;
        if (!isEnd) throw error; // else: all connections are closed now
      }
    },
    { name },
  );
}

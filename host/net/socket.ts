// A socket as users have it. What it does it does through a Transport: a connection of this shard (connection.ts), or a
// proxy of one that another shard keeps (remote.ts). After handOver() it has none, and says so.

import { FeatherstarError } from '../base/errors.js';
import { checkShard } from '../base/options.js';
import { type Calls, downError } from '../calls/call.js';
import { runtime } from '../runtime/runtime.js';
import { currentShard } from '../shard/shard.js';
import { spawn } from '../tasks/task.js';
import type { AbortOptions } from '../tasks/timer.js';

export interface Transport {
  readonly closed: boolean;
  readonly isReading: boolean;
  readonly isProxy: boolean;
  read(options?: AbortOptions): Promise<Uint8Array | null>;
  write(bytes: Uint8Array | string, options?: AbortOptions): Promise<void>;
  end(): Promise<void>;
  close(): void;
  /** Gives the connection to a function of another shard. If that fails, the connection is closed. */
  handOver(peer: number, name: string, args: unknown[]): Promise<void>;
}

export function closedError(text = 'the socket is closed'): FeatherstarError {
  return new FeatherstarError('FEATHERSTAR_CLOSED', text);
}

export function readIsOpen(): FeatherstarError {
  return new FeatherstarError('FEATHERSTAR_STATE', 'a read is open already');
}

/** One connection. */
export class Socket {
  #via: Transport | undefined;
  #isLeaving = false; // handOver() has begun: from now on only close() can reach the connection

  /** @internal */
  constructor(via: Transport) {
    this.#via = via;
  }

  #transport(): Transport {
    if (this.#via === undefined || this.#isLeaving) throw closedError('the socket was handed to another shard');
    return this.#via;
  }

  /** Whether close() was called, or handOver(). */
  get closed(): boolean {
    return this.#isLeaving || (this.#via?.closed ?? true);
  }

  /** Whether the connection stayed on the shard that accepted it, and each read and write is a call (portable host). */
  get isProxy(): boolean {
    return this.#via?.isProxy ?? false;
  }

  /**
   * The next bytes, as many as have come (up to one receive buffer); null at the peer's end. One read at a time. After
   * an abort, what comes late waits for the next read.
   */
  async read(options: AbortOptions = {}): Promise<Uint8Array | null> {
    return this.#transport().read(options);
  }

  /** Sends bytes, which are copied. Resolves when little enough waits to be sent; an abort only ends this wait. */
  async write(bytes: Uint8Array | string, options: AbortOptions = {}): Promise<void> {
    return this.#transport().write(bytes, options);
  }

  /** Tells the peer that no more will come, once everything is out. Reading goes on. */
  async end(): Promise<void> {
    if (!this.#isLeaving) await this.#via?.end();
  }

  /** Closes at once; what is not out yet is lost (end() first). Open reads and writes reject, and handOver(). */
  close(): void {
    this.#via?.close();
  }

  /**
   * Gives the connection to another shard: there the shard module's function `name` runs as a task, with a Socket as
   * its first argument and `args` behind. Resolves when it has been given, and rejects if that cannot be; then the
   * connection is closed. Nothing may be reading. What was read by nobody goes along.
   */
  async handOver(shard: number, name: string, ...args: unknown[]): Promise<void> {
    const via = this.#transport();
    const { shardCount } = runtime();
    const calls = currentShard().calls as Calls;
    checkShard(shard, shardCount);
    if (typeof name !== 'string' || calls.exported(name) === undefined) {
      throw new FeatherstarError('FEATHERSTAR_MODULE', `the shard module exports no function ${JSON.stringify(name)}`);
    }
    if (via.isReading) throw readIsOpen();
    if (via.closed) throw closedError();
    this.#isLeaving = true;
    try {
      if (calls.peers.isDown(shard)) throw downError(shard);
      if (shard === runtime().self) serve(via, name, args);
      else await via.handOver(shard, name, args);
    } catch (error) {
      via.close();
      throw error;
    } finally {
      this.#via = undefined;
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void> {
    for (let bytes = await this.read(); bytes !== null; bytes = await this.read()) yield bytes;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}

/** Runs the function that a connection was handed to, as a task. One that fails leaves no connection open. */
export function serve(via: Transport, name: string, args: unknown[]): void {
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
        if (!isEnd) throw error; // else: everybody's connections are closed now
      }
    },
    { name },
  );
}

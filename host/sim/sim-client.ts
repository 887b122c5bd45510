// A client of the simulated network that is no shard. It takes none of a shard's buffers, slots or operations. It can
// do things that a well-behaved program cannot, such as to reset a connection at any moment.
//
//   world.connect() --> SYN ... --> SimClient: write(), read(), end() (FIN), reset() (RST), close()
//
// Its promises settle in turns of the shard that made it.
//
// Next: sim-socket.ts.

import { systemError } from '../base/errors.js';
import { Errno, SHUT_WR } from '../core/kernel.js';
import { NO_GROUP, Op, type OpOwner } from '../hosts/portable-window.js';
import { SimSocket, type SimTarget, type SocketHost } from './sim-socket.js';
import type { Place, World } from './world.js';

const READ_BYTES = 16_384;

/** One operation, which brings its own memory. */
class ClientOperation implements SocketHost {
  readonly shard = -1;
  readonly op: Op;
  readonly gate: SocketHost['gate'];
  readonly window: SocketHost['window'];
  owner: OpOwner | undefined;

  constructor(bytes: Buffer, onDone: (result: number) => void) {
    this.op = new Op(0, 0, false, false, NO_GROUP, bytes, 0, bytes.length);
    this.gate = { finish: (_op, result) => onDone(result) };
    this.window = {
      bytes,
      bufferBytes: [0, 0], // none of these is asked for: it picks no buffer, and does not go on
      takeBuffer: () => Errno.ENOBUFS,
      bufferAt: () => 0,
      more: () => {},
      post: () => {},
      open: (_op, owner) => {
        this.owner = owner;
      },
    };
  }
}

/** A connection of a client that is no shard. `world.connect()` makes it. */
export class SimClient {
  readonly #world: World;
  readonly #home: Place;
  readonly #socket: SimSocket;
  #isClosed = false;

  private constructor(world: World, home: Place, machine: number) {
    this.#world = world;
    this.#home = home;
    this.#socket = new SimSocket(world, machine, false);
  }

  /** @internal world.connect() */
  static async connect(world: World, machine: number, target: SimTarget, timeoutMs: number): Promise<SimClient> {
    const client = new SimClient(world, world.current as Place, machine);
    const result = await client.#perform(Buffer.alloc(0), (operation) => {
      const late = world.calendar.add(world.nowNs + timeoutMs * 1e6, () => operation.owner?.cancel(operation.op));
      client.#socket.connect(operation.op, operation, target);
      return () => world.calendar.cancel(late);
    });
    if (result === 0) return client;
    throw systemError('connect', result === Errno.ECANCELED ? Errno.ETIMEDOUT : result);
  }

  /** Whether the connection is closed. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** The next bytes that have come, at most 16 KiB; null at the end. */
  async read(): Promise<Uint8Array | null> {
    const bytes = Buffer.alloc(READ_BYTES);
    const count = await this.#perform(bytes, ({ op }, host) => this.#socket.receive(op, host));
    if (count < 0) throw systemError('recv', count);
    return count === 0 ? null : new Uint8Array(bytes.subarray(0, count));
  }

  /** Resolves when the network has taken all. */
  async write(bytes: Uint8Array | string): Promise<void> {
    const copy = Buffer.from(bytes as Uint8Array);
    const count = await this.#perform(copy, ({ op }, host) => this.#socket.send(op, host, false));
    if (count < 0) throw systemError('send', count);
    if (count < copy.length) throw systemError('send', Errno.EPIPE);
  }

  /** Sends the end (FIN) behind what was written; reading goes on. */
  end(): void {
    this.#socket.shutdown(SHUT_WR);
  }

  /** Ends as a process does that leaves: with a FIN, or with a reset if something has come that was not read. */
  close(): void {
    this.#isClosed = true;
    this.#socket.close();
  }

  /** Ends with a reset. */
  reset(): void {
    this.#isClosed = true;
    this.#socket.close(true);
  }

  #perform(bytes: Buffer, start: (operation: ClientOperation, host: SocketHost) => unknown): Promise<number> {
    return new Promise((resolve) => {
      let end: unknown;
      const operation: ClientOperation = new ClientOperation(bytes, (result) => {
        if (typeof end === 'function') end();
        this.#world.post(this.#home, () => resolve(result));
      });
      end = start(operation, operation);
    });
  }
}

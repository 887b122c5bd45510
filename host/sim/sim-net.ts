// The streams of a simulated world: who listens where, and who waits there to be taken.
//
//   connect --> is there a listener with room? --> its answer: connected --> ours: it waits there --> accept
//
// A descriptor that two shards hold is closed by the last.
//
// Next: sim-socket.ts.

import { Errno, OP_ACCEPT } from '../core/kernel.js';
import type { DatagramOptions, HostListenOptions } from '../hosts/host.js';
import type { Op, OpOwner } from '../hosts/portable-window.js';
import { type NetworkPlace, Ports } from './sim-addresses.js';
import type { SimHost } from './sim-host.js';
import type { SimSocket } from './sim-socket.js';
import type { World } from './world.js';

const FIRST_FREE_PORT = 32_768;

/** The content of a slot. */
export interface SimFile {
  refs: number;
  /** Its name in the trace. */
  readonly label?: string;
  /** The last shard that had it has closed it. */
  close(): void;
}

export class SimNet {
  readonly #world: World;
  readonly #listeners: Ports<SimListener>;
  readonly #paths = new Map<string, SimListener>(); // files, by machine and path: who made them may be dead
  #sockets = 0;

  constructor(world: World) {
    this.#world = world;
    this.#listeners = new Ports(world.machines, FIRST_FREE_PORT);
  }

  nextNumber(): number {
    return ++this.#sockets;
  }

  place(machine: number, options: DatagramOptions): NetworkPlace | number {
    return this.#listeners.place(machine, options);
  }

  add(listener: SimListener): void {
    const { machine, address } = listener.place;
    this.#listeners.add(listener);
    if (address.startsWith('unix:')) this.#paths.set(`${machine}:${address}`, listener);
  }

  remove(listener: SimListener): void {
    this.#listeners.remove(listener);
  }

  /** Removes the file that a listener has made, unless another has made it anew. */
  unlink(listener: SimListener): void {
    const key = `${listener.place.machine}:${listener.place.address}`;
    if (this.#paths.get(key) === listener) this.#paths.delete(key);
  }

  /** One of those that listen there, as a kernel picks by the hash of the addresses; or -errno. */
  find(machine: number, address: string, port: number): SimListener | number {
    const there = this.#listeners.find(machine, address, port);
    if (there.length !== 0)
      return there[this.#world.random.below(there.length, 'the listener that is reached')] as SimListener;
    return address.startsWith('unix:') && !this.#paths.has(`${machine}:${address}`) ? Errno.ENOENT : Errno.ECONNREFUSED;
  }
}

export class SimListener implements OpOwner {
  refs = 0;
  readonly place: NetworkPlace;
  /** Of the connections that it accepts. */
  readonly unreachableMs: number | undefined;
  readonly #host: SimHost;
  readonly #backlog: number;
  #accepts: Op[] = [];
  #waiting: SimSocket[] = [];
  #blocked: (() => void)[] = [];
  #isClosed = false;

  constructor(host: SimHost, place: NetworkPlace, { backlog, unreachableMs }: HostListenOptions) {
    this.#host = host;
    this.place = place;
    this.unreachableMs = unreachableMs;
    this.#backlog = backlog;
  }

  /** One more than the backlog may wait, as on Linux. */
  get isFull(): boolean {
    return this.#accepts.length === 0 && this.#waiting.length > this.#backlog;
  }

  whenRoom(then: () => void): void {
    this.#blocked.push(then);
  }

  arrive(socket: SimSocket): void {
    if (this.#isClosed) {
      socket.refuse();
      return;
    }
    this.#waiting.push(socket);
    this.#give();
  }

  accept(op: Op): void {
    this.#host.window.open(op, this);
    this.#accepts.push(op);
    this.#give();
  }

  #give(): void {
    const { gate, window, world, shard } = this.#host;
    while (this.#waiting.length !== 0 && this.#accepts.length !== 0) {
      const op = this.#accepts[0] as Op;
      const isFault = world.fault('noFiles', shard, OP_ACCEPT, Errno.ENFILE);
      const slot = isFault ? -1 : gate.install(this.#waiting[0] as SimSocket);
      if (slot >= 0) this.#waiting.shift();
      if (slot >= 0 && op.isMultishot) {
        world.note('complete', shard, op.low, slot);
        window.more(op, slot, 0);
        continue;
      }
      this.#accepts.shift();
      gate.finish(op, slot >= 0 ? slot : Errno.ENFILE);
      // A system without files leaves it to the next accept; a ring without slots has taken it, and drops it.
      if (slot < 0 && !(isFault && world.random.chance(0.5, 'the connection is dropped')))
        this.#waiting.shift()?.close();
    }
    for (const then of this.#blocked.splice(0)) then();
  }

  cancel(op: Op): void {
    this.#accepts = this.#accepts.filter((other) => other !== op);
    this.#host.gate.finish(op, Errno.ECANCELED);
  }

  close(): void {
    this.#isClosed = true;
    this.#host.world.net.remove(this);
    for (const socket of this.#waiting.splice(0)) socket.refuse();
    for (const then of this.#blocked.splice(0)) then();
    for (const op of this.#accepts.splice(0)) this.#host.gate.finish(op, Errno.ECANCELED);
  }
}

// The streams of a simulated world: who listens where, and who waits there to be taken.
//
//   connect --> is there a listener with room? --> its answer: connected --> ours: it waits there --> accept
//
// A descriptor that two shards hold is closed by the last.
//
// Next: sim-socket.ts.

import type { ListenOptions } from '../hosts/host.js';
import { Errno, type Op, type OpOwner } from '../hosts/portable-window.js';
import type { SimHost } from './sim-host.js';
import type { SimSocket } from './sim-socket.js';
import type { World } from './world.js';

const FIRST_FREE_PORT = 32_768;
const EADDRINUSE = -98;
const OP_ACCEPT = 13;

export interface Place {
  /** Machine and port, or machine and path. */
  readonly key: string;
  readonly machine: number;
  readonly port: number;
  readonly isShared: boolean;
}

/** What lies in a slot. */
export interface SimFile {
  refs: number;
  /** The last shard that had it has closed it. */
  close(): void;
}

export class SimNet {
  readonly #world: World;
  readonly #listeners = new Map<string, SimListener[]>();
  #nextPort = FIRST_FREE_PORT;
  #sockets = 0;

  constructor(world: World) {
    this.#world = world;
  }

  nextNumber(): number {
    return ++this.#sockets;
  }

  bind({ address, port, reusePort, isFirst }: ListenOptions, machine: number): Place | number {
    const place = (name: string, isShared: boolean) => ({ key: `${machine}:${name}`, machine, port: 0, isShared });
    if (address.startsWith('unix:')) {
      const path = place(address, false);
      return this.#listeners.has(path.key) ? EADDRINUSE : path;
    }
    if (port === 0) {
      while (this.#listeners.has(`${machine}:${this.#nextPort}`)) this.#nextPort++;
      return { ...place(String(this.#nextPort), reusePort), port: this.#nextPort++ };
    }
    const there = this.#listeners.get(`${machine}:${port}`) ?? [];
    const isFree = there.length === 0 || (reusePort && !isFirst && there.every((other) => other.place.isShared));
    return isFree ? { ...place(String(port), reusePort), port } : EADDRINUSE;
  }

  add(listener: SimListener): void {
    const there = this.#listeners.get(listener.place.key) ?? [];
    there.push(listener);
    this.#listeners.set(listener.place.key, there);
  }

  remove(listener: SimListener): void {
    const { key } = listener.place;
    const left = (this.#listeners.get(key) ?? []).filter((other) => other !== listener);
    if (left.length === 0) this.#listeners.delete(key);
    else this.#listeners.set(key, left);
  }

  /** One of those that listen there, as a kernel picks by the hash of the addresses. */
  find(key: string): SimListener | undefined {
    const there = this.#listeners.get(key) ?? [];
    return there[this.#world.random.below(there.length)];
  }
}

export class SimListener implements OpOwner {
  refs = 0;
  readonly place: Place;
  readonly #host: SimHost;
  readonly #backlog: number;
  #accepts: Op[] = [];
  #waiting: SimSocket[] = [];
  #blocked: (() => void)[] = [];
  #isClosed = false;

  constructor(host: SimHost, place: Place, backlog: number) {
    this.#host = host;
    this.place = place;
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
      const op = this.#accepts[0];
      const isFault = world.fault('noFiles', shard, OP_ACCEPT, Errno.ENFILE);
      const slot = isFault ? -1 : gate.install(this.#waiting[0]);
      if (slot >= 0) this.#waiting.shift();
      if (slot >= 0 && op.isMultishot) {
        world.note('complete', shard, op.low, slot);
        window.more(op, slot, 0);
        continue;
      }
      this.#accepts.shift();
      gate.finish(op, slot >= 0 ? slot : Errno.ENFILE);
      // A system without files leaves it to the next accept; a ring without slots has taken it, and drops it.
      if (slot < 0 && !(isFault && world.random.chance(0.5))) this.#waiting.shift()?.close();
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

// The network of a simulated world: streams between sockets of its shards, with latency, limited buffers and faults.
//
//   send --> [ wire: WINDOW_BYTES less what the other end has not read ] --> arrives, in order --> inbox --> receive
//
// A direction keeps its order, its end (FIN) comes behind its bytes; a reset overtakes both. Closing a socket whose
// inbox is not empty resets the connection, as Linux does. A descriptor that two shards hold is closed by the last.
//
// Next: world.ts.

import type { ListenOptions } from '../hosts/host.js';
import { CQE_BUFFER, CQE_BUFFER_SHIFT, Errno, type Op, type OpOwner } from '../hosts/portable-window.js';
import type { SimHost } from './sim-host.js';
import { NOWHERE } from './sim-machines.js';
import type { World } from './world.js';

const WINDOW_BYTES = 65_536;
const FIRST_FREE_PORT = 32_768;
const RETRY_US = 1_000_000; // a full backlog drops the SYN, and the peer asks again
const RETRIES = 5;
const EADDRINUSE = -98;
const ETIMEDOUT = -110;
const ECONNREFUSED = -111;
const EHOSTUNREACH = -113;
const SHUT_RD = 0;
const SHUT_WR = 1;
const OP_ACCEPT = 13;
const OP_CONNECT = 16;
const OP_SEND = 26;
const OP_RECV = 27;

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

  constructor(host: SimHost, place: Place, backlog: number) {
    this.#host = host;
    this.place = place;
    this.#backlog = backlog;
  }

  get isFull(): boolean {
    return this.#accepts.length === 0 && this.#waiting.length >= this.#backlog;
  }

  arrive(socket: SimSocket): void {
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
      } else {
        this.#accepts.shift();
        gate.finish(op, slot >= 0 ? slot : Errno.ENFILE); // the connection waits for the next accept
      }
    }
  }

  cancel(op: Op): void {
    this.#accepts = this.#accepts.filter((other) => other !== op);
    this.#host.gate.finish(op, Errno.ECANCELED);
  }

  close(): void {
    this.#host.world.net.remove(this);
    for (const socket of this.#waiting.splice(0)) socket.refuse();
    for (const op of this.#accepts.splice(0)) this.#host.gate.finish(op, Errno.ECANCELED);
  }
}

/** An operation that is open on a socket, and whose it is: two shards may hold one socket. */
interface Open {
  readonly op: Op;
  readonly host: SimHost;
  sent: number;
}

export class SimSocket implements OpOwner {
  refs = 0;
  readonly number: number;
  readonly #world: World;
  readonly #machine: number;
  #state: 'idle' | 'connecting' | 'open' | 'closed' = 'idle';
  #peer: SimSocket | undefined;
  #inbox: Buffer[] = [];
  #inboxBytes = 0;
  #onWire = 0;
  #lastArrivalNs = 0;
  #receives: Open[] = [];
  #sends: Open[] = [];
  #connect: Open | undefined;
  #hasPeerEnded = false;
  #hasEnded = false;
  #isFinSent = false;
  #isBroken = false;
  #error = 0; // happened, and no operation has been told

  constructor(world: World, machine: number) {
    this.#world = world;
    this.#machine = machine;
    this.number = world.net.nextNumber();
  }

  get #farMachine(): number {
    return this.#peer === undefined ? this.#machine : this.#peer.#machine;
  }

  // --- connecting ----------------------------------------------------------------------------------------------------

  /** `machine`: where `name`, a port or a path, is looked for. */
  connect(op: Op, host: SimHost, machine: number, name: string): void {
    if (this.#state !== 'idle') {
      host.gate.finish(op, Errno.EISCONN);
      return;
    }
    this.#state = 'connecting';
    this.#connect = { op, host, sent: 0 };
    host.window.open(op, this);
    const isRefused = this.#world.fault('refuse', host.shard, OP_CONNECT, ECONNREFUSED);
    if (isRefused && this.#world.random.chance(0.25)) this.#knock(() => this.#refuse(ETIMEDOUT), RETRY_US * RETRIES);
    else if (isRefused) this.#knock(() => this.#refuse(ECONNREFUSED));
    else if (machine === NOWHERE) this.#knock(() => this.#refuse(EHOSTUNREACH));
    else this.#knock(() => this.#reach(machine, name, 0));
  }

  #knock(then: () => void, waitUs = 0): void {
    this.#world.after(this.#world.faults.latencyUs, then, waitUs);
  }

  #refuse(errno: number): void {
    const open = this.#connect;
    if (open === undefined) return;
    this.#connect = undefined;
    this.#state = 'idle';
    open.host.gate.finish(open.op, errno);
  }

  #reach(machine: number, name: string, tries: number): void {
    if (this.#connect === undefined) return;
    const isCut = this.#world.machines.isCut(this.#machine, machine);
    const listener = this.#world.net.find(`${machine}:${name}`);
    const isLost = isCut || listener?.isFull;
    if (isLost && tries === RETRIES) this.#refuse(ETIMEDOUT);
    else if (isLost) this.#knock(() => this.#reach(machine, name, tries + 1), RETRY_US);
    else if (listener === undefined) this.#refuse(ECONNREFUSED);
    else {
      const other = new SimSocket(this.#world, machine);
      other.#state = 'open';
      other.#peer = this;
      this.#peer = other;
      listener.arrive(other);
      this.#knock(() => this.#connected());
    }
  }

  #connected(): void {
    const open = this.#connect;
    if (open === undefined) return;
    this.#connect = undefined;
    this.#state = 'open';
    open.host.gate.finish(open.op, 0);
    this.#giveReceived();
  }

  // --- writing -------------------------------------------------------------------------------------------------------

  send(op: Op, host: SimHost, isNow: boolean): void {
    const open: Open = { op, host, sent: 0 };
    if (this.#state === 'idle' || this.#state === 'connecting') host.gate.finish(op, Errno.ENOTCONN);
    else if (this.#error !== 0) host.gate.finish(op, this.#takeError());
    else if (this.#hasEnded) host.gate.finish(op, Errno.EPIPE);
    else if (this.#world.fault('reset', host.shard, OP_SEND, Errno.ECONNRESET)) {
      this.#peer?.abort();
      this.#broken(Errno.ECONNRESET);
      host.gate.finish(op, this.#takeError() || Errno.EPIPE);
    } else if (isNow) this.#sendNow(open);
    else {
      host.window.open(op, this);
      this.#sends.push(open);
      this.#pushSends();
    }
  }

  #sendNow(open: Open): void {
    const { op, host } = open;
    const isFirst = this.#sends.length === 0;
    if (isFirst) this.#transmit(open);
    if (open.sent === op.len) host.gate.finish(op, op.len);
    else if (open.sent === 0) host.gate.finish(op, Errno.EAGAIN);
    else {
      this.#world.note('complete', host.shard, op.low, open.sent);
      host.window.post(op.low, op.high, open.sent, 0); // also of a quiet one: it fell short
    }
  }

  /** Puts on the wire what fits. */
  #transmit(open: Open): void {
    const peer = this.#peer as SimSocket;
    const room = WINDOW_BYTES - this.#onWire - peer.#inboxBytes;
    let count = Math.min(open.op.len - open.sent, room);
    if (count <= 0) return;
    if (count > 1 && this.#world.fault('partial', open.host.shard, OP_SEND, 0)) {
      count = this.#world.random.between(1, count - 1);
    }
    const at = open.op.ptr + open.sent;
    const bytes = Buffer.from(open.host.window.bytes.subarray(at, at + count));
    open.sent += count;
    this.#onWire += count;
    this.#travel(() => {
      this.#onWire -= count;
      peer.#arrive(bytes);
    });
  }

  /** What a direction carries arrives in order. */
  #travel(arrive: () => void): void {
    const world = this.#world;
    const atNs = world.nowNs + world.random.below(world.faults.latencyUs * 1000 + 1);
    this.#lastArrivalNs = Math.max(this.#lastArrivalNs + 1, atNs);
    world.calendar.add(this.#lastArrivalNs, () => {
      const there = this.#farMachine;
      if (!world.machines.isCut(this.#machine, there)) arrive();
      else world.machines.hold(this.#machine, there, () => this.#travel(arrive)); // TCP sends it again
    });
  }

  #pushSends(): void {
    while (this.#sends.length !== 0) {
      const open = this.#sends[0];
      const before = open.sent;
      this.#transmit(open);
      if (open.sent < open.op.len) {
        if (open.sent === before) return; // there is no room: reading makes some
        this.#world.after(this.#world.faults.latencyUs, () => this.#pushSends());
        return;
      }
      this.#sends.shift();
      open.host.gate.finish(open.op, open.sent);
    }
    this.#sendFin();
  }

  shutdown(how: number): number {
    if (this.#state !== 'open') return Errno.ENOTCONN;
    if (how !== SHUT_WR) {
      this.#hasPeerEnded = true;
      this.#giveReceived();
    }
    if (how !== SHUT_RD) {
      this.#hasEnded = true;
      this.#pushSends();
    }
    return 0;
  }

  #sendFin(): void {
    if (!this.#hasEnded || this.#isFinSent || this.#sends.length !== 0) return;
    this.#isFinSent = true;
    const peer = this.#peer;
    if (peer !== undefined) this.#travel(() => peer.#onFin());
  }

  // --- reading -------------------------------------------------------------------------------------------------------

  receive(op: Op, host: SimHost): void {
    if (this.#state === 'idle' || this.#state === 'connecting') {
      host.gate.finish(op, Errno.ENOTCONN);
      return;
    }
    host.window.open(op, this);
    this.#receives.push({ op, host, sent: 0 });
    this.#giveReceived();
  }

  #arrive(bytes: Buffer): void {
    if (this.#state === 'closed') {
      this.#peer?.abort(); // nobody is there any more
      return;
    }
    if (this.#error !== 0 || this.#state === 'idle') return;
    this.#world.note('arrive', -1, this.number, bytes.length);
    this.#inbox.push(bytes);
    this.#inboxBytes += bytes.length;
    this.#giveReceived();
  }

  #onFin(): void {
    if (this.#state === 'closed') return;
    this.#world.note('fin', -1, this.number);
    this.#hasPeerEnded = true;
    this.#giveReceived();
  }

  #takeError(): number {
    const error = this.#error;
    this.#error = 0;
    return error;
  }

  #giveReceived(): void {
    if (this.#state !== 'open') return;
    let hasRead = false;
    while (this.#receives.length !== 0) {
      const open = this.#receives[0];
      if (this.#inboxBytes !== 0) {
        hasRead = true;
        if (this.#fill(open)) this.#receives.shift();
      } else if (this.#error !== 0 || this.#hasPeerEnded) {
        this.#receives.shift();
        open.host.gate.finish(open.op, this.#takeError());
      } else break;
    }
    const peer = this.#peer;
    if (hasRead && peer !== undefined) this.#world.after(this.#world.faults.latencyUs, () => peer.#pushSends());
  }

  /** One completion of a receive. True: its last. */
  #fill({ op, host }: Open): boolean {
    const { window, gate } = host;
    const isFault = op.picksBuffer && this.#world.fault('noBuffers', host.shard, OP_RECV, Errno.ENOBUFS);
    const buffer = op.picksBuffer && !isFault ? window.takeBuffer() : 0;
    if (buffer < 0 || isFault) {
      gate.finish(op, Errno.ENOBUFS);
      return true;
    }
    const first = this.#inbox[0];
    let count = Math.min(first.length, op.picksBuffer ? window.bufferBytes : op.len);
    if (count > 1 && this.#world.fault('partial', host.shard, OP_RECV, 0)) {
      count = this.#world.random.between(1, count - 1);
    }
    first.copy(window.bytes, op.picksBuffer ? window.bufferAt(buffer) : op.ptr, 0, count);
    this.#inboxBytes -= count;
    if (count === first.length) this.#inbox.shift();
    else this.#inbox[0] = first.subarray(count);
    const flags = op.picksBuffer ? CQE_BUFFER | (buffer << CQE_BUFFER_SHIFT) : 0;
    if (!op.isMultishot) gate.finish(op, count, flags);
    else {
      this.#world.note('complete', host.shard, op.low, count);
      window.more(op, count, flags);
    }
    return !op.isMultishot;
  }

  // --- the end -------------------------------------------------------------------------------------------------------

  /** The other end has reset the connection: this one learns so after a while. */
  abort(): void {
    const { machines, faults } = this.#world;
    this.#world.after(faults.latencyUs, () => {
      const there = this.#farMachine;
      if (!machines.isCut(this.#machine, there)) this.#broken(Errno.ECONNRESET);
      else machines.hold(this.#machine, there, () => this.abort());
    });
  }

  /** Nobody took this connection: its client is reset. */
  refuse(): void {
    this.#state = 'closed';
    this.#peer?.abort();
  }

  #broken(errno: number): void {
    if (this.#state === 'closed' || this.#isBroken) return;
    this.#isBroken = true;
    this.#world.note('reset', -1, this.number);
    this.#refuse(errno);
    this.#state = 'open';
    this.#hasEnded = true;
    this.#isFinSent = true;
    this.#hasPeerEnded = true;
    this.#error = errno;
    const sends = this.#sends.splice(0);
    for (const { op, host } of sends) host.gate.finish(op, errno);
    this.#giveReceived();
    if (sends.length !== 0) this.#error = 0; // an error is told once
  }

  cancel(op: Op): void {
    const open = [...this.#receives, ...this.#sends, this.#connect].find((each) => each?.op === op) as Open;
    this.#receives = this.#receives.filter((each) => each.op !== op);
    this.#sends = this.#sends.filter((each) => each.op !== op);
    if (open === this.#connect) {
      this.#connect = undefined;
      this.#state = 'idle';
    }
    open.host.gate.finish(op, Errno.ECANCELED);
    this.#pushSends();
  }

  close(): void {
    if (this.#state === 'closed') return;
    const open = [...this.#receives.splice(0), ...this.#sends.splice(0)];
    if (this.#connect !== undefined) open.push(this.#connect);
    this.#connect = undefined;
    this.#state = 'closed';
    for (const { op, host } of open) host.gate.finish(op, Errno.ECANCELED);
    if (this.#isBroken) return;
    if (this.#inboxBytes !== 0) this.#peer?.abort();
    this.#hasEnded = true;
    this.#sendFin();
  }
}

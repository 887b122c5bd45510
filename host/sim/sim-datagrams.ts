// Datagrams of a simulated world: each goes its own way, so they overtake each other, and a cut cable, or `lose`, or a
// full queue takes them without a word. `duplicate`: one comes twice.
//
//   send --> the kernel has it --> latency --> its socket --> queue --> receive buffer: header, sender, data
//
// Who is not there is told to a connected socket alone, as ICMP does it: ECONNREFUSED, once.
//
// Next: sim-net.ts.

import { encodeAddress } from '../address.js';
import type { DatagramOptions } from '../hosts/host.js';
import { CQE_BUFFER, CQE_BUFFER_SHIFT, Errno, type Op, type OpOwner } from '../hosts/portable-window.js';
import type { SimHost } from './sim-host.js';
import { NOWHERE } from './sim-machines.js';
import type { SimFile } from './sim-net.js';
import type { World } from './world.js';

const WAITING_MAX = 64; // datagrams; small, so that it is reached
const HEADER_BYTES = 16; // struct io_uring_recvmsg_out
const NAME_BYTES = 28; // sockaddr_in6, the longest one
const MSG_TRUNC = 0x20;
const FIRST_FREE_PORT = 40_000;
const BYTES_MAX = 65_507;
const EMSGSIZE = -90;
const EADDRINUSE = -98;
const EADDRNOTAVAIL = -99;
const ECONNREFUSED = -111;
const OP_RECVMSG = 10;

export interface DatagramPlace {
  readonly address: string;
  readonly port: number;
}

interface Datagram {
  readonly from: DatagramPlace;
  readonly bytes: Uint8Array;
}

/** Who is bound where, on which machine. */
export class DatagramNet {
  readonly #world: World;
  readonly #bound = new Map<string, SimDatagrams[]>();
  #nextPort = FIRST_FREE_PORT;

  constructor(world: World) {
    this.#world = world;
  }

  /** A socket, or -errno. */
  bind({ address, port, reusePort, isFirst }: DatagramOptions, host: SimHost): SimDatagrams | number {
    const { machines } = this.#world;
    const machine = machines.of(host.shard);
    const isOwn = address === '0.0.0.0' || address === '::' || machines.at(address, host.shard) === machine;
    if (!isOwn) return EADDRNOTAVAIL;
    let at = port;
    if (at === 0) {
      while (this.#bound.has(`${machine}:${this.#nextPort}`)) this.#nextPort++;
      at = this.#nextPort++;
    }
    const there = this.#bound.get(`${machine}:${at}`) ?? [];
    const isFree = there.length === 0 || (reusePort && !isFirst && there.every((other) => other.isShared));
    if (!isFree) return EADDRINUSE;
    const socket = new SimDatagrams(host, { address, port: at }, reusePort);
    this.#bound.set(`${machine}:${at}`, [...there, socket]);
    return socket;
  }

  remove(socket: SimDatagrams): void {
    const key = `${socket.machine}:${socket.place.port}`;
    const left = (this.#bound.get(key) ?? []).filter((other) => other !== socket);
    if (left.length === 0) this.#bound.delete(key);
    else this.#bound.set(key, left);
  }

  /** The socket that gets what comes from there: of several always the same one, as a kernel picks by addresses. */
  find(machine: number, to: DatagramPlace, from: DatagramPlace, isLocal: boolean): SimDatagrams | undefined {
    const there = (this.#bound.get(`${machine}:${to.port}`) ?? []).filter((each) => each.hears(from, isLocal));
    return there[from.port % there.length];
  }
}

export class SimDatagrams implements SimFile, OpOwner {
  refs = 0;
  readonly place: DatagramPlace;
  readonly machine: number;
  readonly isShared: boolean;
  readonly #host: SimHost;
  readonly #world: World;
  #receives: Op[] = [];
  #waiting: Datagram[] = [];
  #peer: DatagramPlace | undefined;
  #error = 0;

  constructor(host: SimHost, place: DatagramPlace, isShared: boolean) {
    this.#host = host;
    this.#world = host.world;
    this.machine = host.world.machines.of(host.shard);
    this.place = place;
    this.isShared = isShared;
  }

  /** Whether what comes from there is for it. */
  hears(from: DatagramPlace, isLocal: boolean): boolean {
    if (this.place.address.startsWith('127.') && !isLocal) return false;
    return this.#peer === undefined || (this.#peer.port === from.port && this.#peer.address === from.address);
  }

  connect(op: Op, to: DatagramPlace): void {
    this.#peer = to;
    this.#host.gate.finish(op, 0);
  }

  // --- sending -------------------------------------------------------------------------------------------------------

  send(op: Op, given: DatagramPlace | undefined): void {
    const { gate, window, shard } = this.#host;
    const to = given ?? this.#peer;
    if (to === undefined)
      gate.finish(op, -89); // EDESTADDRREQ
    else if (op.len > BYTES_MAX) gate.finish(op, EMSGSIZE);
    else if (this.#error !== 0) gate.finish(op, this.#takeError());
    else {
      const { machines, faults, random } = this.#world;
      const machine = machines.at(to.address, shard);
      const isLocal = machine === this.machine;
      const address = to.address.startsWith('127.') ? '127.0.0.1' : machines.addressOf(this.machine);
      const datagram = {
        from: { address, port: this.place.port },
        bytes: new Uint8Array(window.bytes.subarray(op.ptr, op.ptr + op.len)),
      };
      const isLost = machine === NOWHERE || machines.isCut(this.machine, machine) || random.chance(faults.lose);
      const copies = isLost ? 0 : random.chance(faults.duplicate) ? 2 : 1;
      for (let i = 0; i < copies; i++)
        this.#world.after(faults.latencyUs, () => this.#arrive(machine, to, datagram, isLocal));
      gate.finish(op, op.len);
    }
  }

  #arrive(machine: number, to: DatagramPlace, datagram: Datagram, isLocal: boolean): void {
    const socket = this.#world.datagrams.find(machine, to, datagram.from, isLocal);
    if (socket !== undefined) socket.#take(datagram);
    else if (this.#peer !== undefined) {
      this.#error = ECONNREFUSED;
      this.#giveReceived();
    }
  }

  #takeError(): number {
    const error = this.#error;
    this.#error = 0;
    return error;
  }

  // --- receiving -----------------------------------------------------------------------------------------------------

  #take(datagram: Datagram): void {
    if (this.#waiting.length >= WAITING_MAX) return;
    this.#waiting.push(datagram);
    this.#world.note('arrive', this.#host.shard, this.place.port, datagram.bytes.length);
    this.#giveReceived();
  }

  receive(op: Op): void {
    this.#host.window.open(op, this);
    this.#receives.push(op);
    this.#giveReceived();
  }

  #giveReceived(): void {
    const { window, gate, shard } = this.#host;
    while (this.#receives.length !== 0 && (this.#waiting.length !== 0 || this.#error !== 0)) {
      const op = this.#receives[0];
      const isFault = this.#world.fault('noBuffers', shard, OP_RECVMSG, Errno.ENOBUFS);
      const buffer = this.#waiting.length === 0 || isFault ? -1 : window.takeBuffer();
      if (buffer >= 0) {
        const count = this.#fill(buffer, this.#waiting.shift() as Datagram);
        window.more(op, count, CQE_BUFFER | (buffer << CQE_BUFFER_SHIFT));
        continue;
      }
      this.#receives.shift();
      gate.finish(op, this.#waiting.length === 0 ? this.#takeError() : Errno.ENOBUFS);
    }
  }

  #fill(buffer: number, { from, bytes }: Datagram): number {
    const { window } = this.#host;
    const at = window.bufferAt(buffer);
    const count = Math.min(bytes.length, window.bufferBytes - HEADER_BYTES - NAME_BYTES);
    const name = encodeAddress(from.address, from.port);
    window.bytes.writeUInt32LE(name.length, at);
    window.bytes.writeUInt32LE(0, at + 4);
    window.bytes.writeUInt32LE(count, at + 8);
    window.bytes.writeUInt32LE(count < bytes.length ? MSG_TRUNC : 0, at + 12);
    window.bytes.set(name, at + HEADER_BYTES);
    window.bytes.set(bytes.subarray(0, count), at + HEADER_BYTES + NAME_BYTES);
    return HEADER_BYTES + NAME_BYTES + count;
  }

  cancel(op: Op): void {
    this.#receives = this.#receives.filter((other) => other !== op);
    this.#host.gate.finish(op, Errno.ECANCELED);
  }

  close(): void {
    this.#world.datagrams.remove(this);
    this.#waiting = [];
    for (const op of this.#receives.splice(0)) this.#host.gate.finish(op, Errno.ECANCELED);
  }
}

// Datagrams of a simulated world. Each goes its own way, so they overtake each other. A cut cable, or `lose`, or a full
// queue drops them silently. `duplicate`: one comes twice.
//
//   send --> the kernel has it --> latency --> its socket --> queue --> receive buffer: header, sender, data
//
// Only a connected socket is told that its peer is not there, as by ICMP: ECONNREFUSED, once.
//
// Next: sim-net.ts.

import {
  CQE_BUFFER,
  CQE_BUFFER_SHIFT,
  Errno,
  MSG_TRUNC,
  OP_RECVMSG,
  OP_SEND,
  POLLOUT,
  SMALL_BUFFERS,
} from '../core/kernel.js';
import type { DatagramOptions } from '../hosts/host.js';
import type { Op, OpOwner } from '../hosts/portable-window.js';
import { encodeAddress } from '../net/address.js';
import { asSeenFrom, isAny, isLoopback, loopbackOf, type NetworkPlace, Ports } from './sim-addresses.js';
import type { SimHost } from './sim-host.js';
import { NOWHERE } from './sim-machines.js';
import type { SimFile } from './sim-net.js';
import type { Delivery } from './trace.js';
import type { World } from './world.js';

const WAITING_MAX = 64; // datagrams; small, so that it is reached
const HEADER_BYTES = 16; // struct io_uring_recvmsg_out
const NAME_BYTES = 28; // sockaddr_in6, the longest one
const FIRST_FREE_PORT = 40_000;
const BYTES_MAX = 65_507;

export interface DatagramPlace {
  readonly address: string;
  readonly port: number;
}

interface SimDatagram {
  readonly from: DatagramPlace;
  readonly bytes: Uint8Array;
}

/** The sockets of all machines. */
export class DatagramNet {
  readonly #world: World;
  readonly #bound: Ports<SimDatagrams>;

  constructor(world: World) {
    this.#world = world;
    this.#bound = new Ports(world.machines, FIRST_FREE_PORT);
  }

  /** A socket, or -errno. */
  bind(options: DatagramOptions, host: SimHost): SimDatagrams | number {
    const place = this.#bound.place(this.#world.machines.of(host.shard), options);
    if (typeof place === 'number') return place;
    const socket = new SimDatagrams(host, place);
    this.#bound.add(socket);
    return socket;
  }

  remove(socket: SimDatagrams): void {
    this.#bound.remove(socket);
  }

  /** The socket that gets what comes from there: of several always the same one, as a kernel picks by addresses. */
  find(machine: number, to: DatagramPlace, from: DatagramPlace): SimDatagrams | undefined {
    const there = this.#bound.find(machine, to.address, to.port, (each) => each.hears(from));
    return there[from.port % there.length];
  }
}

export class SimDatagrams implements SimFile, OpOwner {
  refs = 0;
  readonly place: NetworkPlace;
  readonly #host: SimHost;
  readonly #world: World;
  #receives: Op[] = [];
  #polls: Op[] = [];
  #hasRoom = false; // a poll has said so, and nothing was sent since
  #waiting: SimDatagram[] = [];
  #peer: DatagramPlace | undefined;
  #error = 0;

  constructor(host: SimHost, place: NetworkPlace) {
    this.#host = host;
    this.#world = host.world;
    this.place = place;
  }

  /** Whether it takes what comes from there. */
  hears(from: DatagramPlace): boolean {
    return this.#peer === undefined || (this.#peer.port === from.port && this.#peer.address === from.address);
  }

  connect(op: Op, to: DatagramPlace): void {
    this.#peer = to;
    this.#host.gate.finish(op, 0);
  }

  // --- sending -------------------------------------------------------------------------------------------------------

  /** `isNow`: the fault `partial` is a socket that has no room. */
  send(op: Op, given: DatagramPlace | undefined, isNow: boolean): void {
    const { gate, shard } = this.#host;
    const to = given ?? this.#peer;
    const hadRoom = this.#hasRoom;
    this.#hasRoom = false;
    if (isNow && !hadRoom && this.#world.fault('partial', shard, OP_SEND, Errno.EAGAIN)) {
      gate.finish(op, Errno.EAGAIN);
      return;
    }
    if (to === undefined) gate.finish(op, Errno.EDESTADDRREQ);
    else if (op.len > BYTES_MAX) gate.finish(op, Errno.EMSGSIZE);
    else if (this.#error !== 0) gate.finish(op, this.#takeError());
    else {
      const { machines, links, random, calendar } = this.#world;
      const machine = machines.at(to.address, machines.of(shard));
      if (machine !== this.place.machine && isLoopback(this.place.address)) {
        gate.finish(op, Errno.EINVAL); // nothing leaves the machine from there
        return;
      }
      const datagram = {
        from: { address: this.#sourceOf(to.address), port: this.place.port },
        bytes: new Uint8Array(op.memory.subarray(op.ptr, op.ptr + op.len)),
      };
      const here = `${machines.nameOf(this.place.machine, datagram.from.address)}:${datagram.from.port}`;
      const ends = `${here} > ${machines.nameOf(machine, to.address)}:${to.port}`;
      const delivery = { ends, bytes: datagram.bytes, from: shard, sentNs: this.#world.nowNs };
      const faults = links.faults(this.place.machine, machine);
      const isLost =
        machine === NOWHERE ||
        machines.isCut(this.place.machine, machine) ||
        random.chance(faults.lose, 'a datagram is lost');
      const copies = isLost ? 0 : random.chance(faults.duplicate, 'a datagram arrives twice') ? 2 : 1;
      if (copies === 0) this.#world.note('drop', shard, this.place.port, op.len, delivery);
      const what = `time of a datagram to port ${to.port}, ns`;
      for (let i = 0; i < copies; i++) {
        const trip = { from: this.place.machine, to: machine, bytes: op.len, shard, ends, what, resendUs: 0 };
        const arrive = () => this.#arrive(machine, to, datagram, delivery);
        calendar.add(links.arrivalNs(trip), () => links.pass(trip, arrive));
      }
      gate.finish(op, op.len);
    }
  }

  whenRoom(op: Op): void {
    const { gate, window } = this.#host;
    window.open(op, this);
    this.#polls.push(op);
    this.#world.after(this.#world.faults.latencyUs, () => {
      if (!this.#polls.includes(op)) return;
      this.#polls = this.#polls.filter((other) => other !== op);
      this.#hasRoom = true;
      gate.finish(op, POLLOUT);
    });
  }

  /** The sender's address, where the socket is bound to any. */
  #sourceOf(to: string): string {
    const { address, machine } = this.place;
    if (!isAny(address)) return address;
    return isLoopback(to) || to.includes(':') ? loopbackOf(to) : this.#world.machines.addressOf(machine);
  }

  #arrive(machine: number, to: DatagramPlace, datagram: SimDatagram, delivery: Delivery): void {
    const socket = this.#world.datagrams.find(machine, to, datagram.from);
    if (socket !== undefined) socket.#take(datagram, delivery);
    else if (this.#peer !== undefined) {
      this.#error = Errno.ECONNREFUSED;
      this.#giveReceived();
    }
  }

  #takeError(): number {
    const error = this.#error;
    this.#error = 0;
    return error;
  }

  // --- receiving -----------------------------------------------------------------------------------------------------

  #take(datagram: SimDatagram, delivery: Delivery): void {
    if (this.#waiting.length >= WAITING_MAX) return;
    this.#waiting.push(datagram);
    this.#world.note('arrive', this.#host.shard, this.place.port, datagram.bytes.length, delivery);
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
      const op = this.#receives[0] as Op;
      const isFault = this.#world.fault('noBuffers', shard, OP_RECVMSG, Errno.ENOBUFS);
      const buffer = this.#waiting.length === 0 || isFault ? -1 : window.takeBuffer(SMALL_BUFFERS);
      if (buffer >= 0) {
        const count = this.#fill(buffer, this.#waiting.shift() as SimDatagram);
        window.more(op, count, CQE_BUFFER | (buffer << CQE_BUFFER_SHIFT));
        continue;
      }
      this.#receives.shift();
      gate.finish(op, this.#waiting.length === 0 ? this.#takeError() : Errno.ENOBUFS);
    }
  }

  #fill(buffer: number, { from, bytes }: SimDatagram): number {
    const { window } = this.#host;
    const at = window.bufferAt(buffer);
    const count = Math.min(bytes.length, window.bufferBytes[SMALL_BUFFERS] - HEADER_BYTES - NAME_BYTES);
    const name = encodeAddress(asSeenFrom(this.place, from.address), from.port);
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
    this.#polls = this.#polls.filter((other) => other !== op);
    this.#host.gate.finish(op, Errno.ECANCELED);
  }

  close(): void {
    this.#world.datagrams.remove(this);
    this.#waiting = [];
    for (const op of [...this.#receives.splice(0), ...this.#polls.splice(0)])
      this.#host.gate.finish(op, Errno.ECANCELED);
  }
}

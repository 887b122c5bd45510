// One end of a stream of the simulated network.
//
//   send --> [ wire: WINDOW_BYTES less what the other end has not read ] --> arrives, in order --> inbox --> receive
//
// A direction keeps its order, its end (FIN) comes behind its bytes. A reset overtakes both, and is sent once. At a cut
// it is lost, and the peer learns of it when it sends or ends later. A path has no wire that could do such things.
//
// An end learns the same as on Linux. Bytes that have come are read first. A connection that was ended before it was
// reset reads as ended, and writes as EPIPE. A reset is reported once, to a send or to a receive, and is the end for
// the other.
//
// Next: sim-net.ts.

import { Queue } from '../base/queue.js';
import {
  CQE_BUFFER,
  CQE_BUFFER_SHIFT,
  END_EVENTS,
  Errno,
  LARGE_BUFFERS,
  OP_CONNECT,
  OP_RECV,
  OP_SEND,
  POLLOUT,
  POLLRDHUP,
  SHUT_RD,
  SHUT_WR,
} from '../core/kernel.js';
import type { NetAddress } from '../hosts/host.js';
import type { Op, OpOwner, PortableWindow } from '../hosts/portable-window.js';
import type { Trip } from './links.js';
import { asSeenFrom, isLoopback, loopbackOf } from './sim-addresses.js';
import { NOWHERE } from './sim-machines.js';
import type { SimListener } from './sim-net.js';
import type { Delivery } from './trace.js';
import type { World } from './world.js';

const FIRST_PORT = 49_152; // of those that a connecting end gets
const PORTS = 16_384;
const WINDOW_BYTES = 65_536;
const TOLD_ROOM_BYTES = WINDOW_BYTES / 3; // less room is there for a send, but no poll tells of it
const RETRY_US = 1_000_000; // a SYN that is lost is sent again, each time after twice as long
const RETRIES = 6;
const CANCEL_US = 30; // longest time until a poll that is cancelled has ended
const CONNECT_US = 127_000_000; // all of them
const RESEND_US = 200_000; // a packet that is lost is sent again
const GIVE_UP_US = 924_600_000; // unconfirmed bytes are sent again for this long: tcp_retries2
const GIVE_UP_MORE_US = 75_400_000;

/** Whose operations they are: a shard's host, or a client that is none (sim-client.ts). */
export interface SocketHost {
  readonly shard: number;
  readonly gate: { finish(op: Op, result: number, flags?: number): void };
  readonly window: Pick<PortableWindow, 'bytes' | 'bufferBytes' | 'bufferAt' | 'takeBuffer' | 'open' | 'more' | 'post'>;
}

/** An operation that is open on a socket, and whose it is: two shards may hold one socket. */
interface OpenStream {
  readonly op: Op;
  readonly host: SocketHost;
  sent: number;
  /** The events that a poll asks for. */
  readonly events?: number;
}

/** Where a connect goes. */
export interface SimTarget {
  readonly machine: number;
  /** Undefined: a path. */
  readonly address: NetAddress | undefined;
  /** The listener there at the moment; or -errno. */
  find(): SimListener | number;
}

export class SimSocket implements OpOwner {
  refs = 0;
  /** The address of the other end; undefined: it is a path, or there is none yet. */
  remote: NetAddress | undefined;
  /** Its own address, likewise. */
  local: NetAddress | undefined;
  readonly number: number;
  readonly #world: World;
  readonly #machine: number;
  readonly #isPath: boolean;
  #there: number; // the machine of the other end
  #state: 'idle' | 'connecting' | 'open' | 'closed' = 'idle';
  #peer: SimSocket | undefined;
  readonly #inbox = new Queue<Buffer>();
  #inboxBytes = 0;
  readonly #wire = new Queue<() => void>();
  #onWire = 0;
  #lastArrivalNs = 0;
  #isHeld = false; // at a cut, or by hold()
  #unwatch: (() => void) | undefined; // of cuts
  #receives: OpenStream[] = [];
  #sends: OpenStream[] = [];
  #watches: OpenStream[] = []; // multishot polls: they are told of every end, or of room, until they are cancelled
  #connect: OpenStream | undefined;
  #hasPeerEnded = false;
  #hasEnded = false;
  #isFinSent = false;
  #wantsRoom = false; // a send found none, or a poll
  #shard = -1; // whose operations were the last
  #ends = 'a path'; // this end and the other, for the trace
  #what = 'time on the wire, ns';
  #isBroken = false; // reset by either end, or given up
  #error = 0; // happened, and no operation has been told

  constructor(world: World, machine: number, isPath: boolean, there = NOWHERE) {
    this.#world = world;
    this.#machine = machine;
    this.#there = there;
    this.#isPath = isPath;
    this.number = world.net.nextNumber();
  }

  get #isCut(): boolean {
    return this.#peer !== undefined && this.#world.machines.isCut(this.#machine, this.#there);
  }

  /** For the trace. */
  get label(): string {
    return this.#ends;
  }

  get isClosed(): boolean {
    return this.#state === 'closed';
  }

  /** Bytes that have not arrived. */
  get hasSent(): boolean {
    return this.#onWire !== 0;
  }

  // --- connecting ----------------------------------------------------------------------------------------------------

  connect(op: Op, host: SocketHost, target: SimTarget): void {
    if (this.#state !== 'idle') {
      host.gate.finish(op, Errno.EISCONN);
      return;
    }
    this.#state = 'connecting';
    this.#there = target.machine;
    this.#shard = host.shard;
    const open = { op, host, sent: 0 };
    this.#connect = open;
    host.window.open(op, this);
    const isRefused = this.#world.fault('refuse', host.shard, OP_CONNECT, Errno.ECONNREFUSED);
    if (isRefused && this.#world.random.chance(0.25, 'it times out'))
      this.#knock(() => this.#refuse(open, Errno.ETIMEDOUT), CONNECT_US);
    else if (isRefused) this.#knock(() => this.#refuse(open, Errno.ECONNREFUSED));
    else if (target.machine === NOWHERE) this.#knock(() => this.#refuse(open, Errno.EHOSTUNREACH));
    else this.#knock(() => this.#reach(open, target, 0));
  }

  #knock(then: () => void, waitUs = 0, resendUs = RETRY_US): void {
    const { links, calendar } = this.#world;
    const trip = this.#trip(0, resendUs, `time of the handshake of connection ${this.number}, ns`);
    calendar.add(links.arrivalNs(trip) + waitUs * 1000, then);
  }

  /** Something that goes to the other end. A path has no link. */
  #trip(bytes: number, resendUs: number, what = this.#what): Trip {
    const [from, to] = this.#isPath ? [NOWHERE, NOWHERE] : [this.#machine, this.#there];
    return { from, to, bytes, shard: this.#shard, ends: this.#ends, what, resendUs };
  }

  /** After the last time there is only the end to wait for. */
  #again(open: OpenStream, tries: number, then: () => void): void {
    if (tries < RETRIES) this.#knock(then, RETRY_US * 2 ** tries);
    else this.#knock(() => this.#refuse(open, Errno.ETIMEDOUT), RETRY_US * 2 ** tries);
  }

  #refuse(open: OpenStream, errno: number): void {
    if (this.#connect !== open) return;
    this.#connect = undefined;
    this.#state = 'idle';
    open.host.gate.finish(open.op, errno);
  }

  #reach(open: OpenStream, target: SimTarget, tries: number): void {
    if (this.#connect !== open) return;
    if (this.#isKept(open, this.#machine, this.#there, () => this.#reach(open, target, tries))) return;
    const again = () => this.#reach(open, target, tries + 1);
    const listener = this.#world.machines.isCut(this.#machine, target.machine) ? undefined : target.find();
    if (typeof listener === 'number') this.#refuse(open, listener);
    else if (listener?.isFull && this.#isPath) listener.whenRoom(() => this.#reach(open, target, 0));
    else if (listener === undefined || listener.isFull) this.#again(open, tries, again);
    else this.#knock(() => this.#connected(open, target, listener, 0));
  }

  /** Whether the link is held. Then the connect goes on when it is released, or gives up in the end. */
  #isKept(open: OpenStream, from: number, to: number, goOn: () => void): boolean {
    const { machines, links } = this.#world;
    if (!machines.isHeld(from, to)) return false;
    links.pass({ ...this.#trip(0, 0), from, to }, goOn);
    this.#world.after(0, () => this.#refuse(open, Errno.ETIMEDOUT), CONNECT_US);
    return true;
  }

  /** The listener's answer; ours is what makes it a connection there. */
  #connected(open: OpenStream, target: SimTarget, listener: SimListener, tries: number): void {
    if (this.#connect !== open) return;
    if (this.#world.machines.isCut(target.machine, this.#machine)) {
      this.#again(open, tries, () => this.#connected(open, target, listener, tries + 1));
      return;
    }
    if (this.#isKept(open, this.#there, this.#machine, () => this.#connected(open, target, listener, tries))) return;
    const other = new SimSocket(this.#world, target.machine, this.#isPath, this.#machine);
    other.#state = 'open';
    other.#peer = this;
    if (listener.unreachableMs !== undefined) other.#keepAlive(listener.unreachableMs);
    this.#peer = other;
    if (target.address !== undefined) this.#name(other, listener, target.address);
    this.#connect = undefined;
    this.#state = 'open';
    open.host.gate.finish(open.op, 0);
    this.#travel(() => listener.arrive(other));
  }

  /** Each end gets its addresses. `listener` was reached at `address`. */
  #name(other: SimSocket, listener: SimListener, address: NetAddress): void {
    const { hostname, port } = address;
    const own = isLoopback(hostname) ? loopbackOf(hostname) : this.#world.machines.addressOf(this.#machine);
    const ownPort = FIRST_PORT + (this.number % PORTS);
    this.remote = address;
    this.local = { hostname: own, port: ownPort };
    other.remote = { hostname: asSeenFrom(listener.place, own), port: ownPort };
    other.local = { hostname: asSeenFrom(listener.place, hostname), port };
    const { machines } = this.#world;
    const here = `${machines.nameOf(this.#machine, own)}:${ownPort}`;
    const there = `${machines.nameOf(other.#machine, hostname)}:${port}`;
    this.#ends = `${here} > ${there}`;
    other.#ends = `${there} > ${here}`;
    this.#what = `time of ${this.#ends}, ns`;
    other.#what = `time of ${other.#ends}, ns`;
  }

  // --- writing -------------------------------------------------------------------------------------------------------

  send(op: Op, host: SocketHost, isNow: boolean): void {
    const open: OpenStream = { op, host, sent: 0 };
    this.#shard = host.shard;
    if (this.#state === 'idle' || this.#state === 'connecting') host.gate.finish(op, Errno.ENOTCONN);
    else if (this.#isPath && this.#peer?.isClosed) host.gate.finish(op, Errno.EPIPE);
    else if (this.#error !== 0) host.gate.finish(op, this.#takeError());
    else if (this.#hasEnded || this.#isBroken) host.gate.finish(op, Errno.EPIPE);
    else if (this.#world.fault('reset', host.shard, OP_SEND, Errno.ECONNRESET)) {
      this.#reset();
      this.#broken(Errno.ECONNRESET);
      host.gate.finish(op, this.#takeError() || Errno.EPIPE);
    } else if (isNow) this.#sendNow(open);
    else {
      host.window.open(op, this);
      this.#sends.push(open);
      this.#pushSends();
    }
  }

  #sendNow(open: OpenStream): void {
    const { op, host } = open;
    const isFirst = this.#sends.length === 0;
    if (isFirst) this.#transmit(open);
    if (open.sent < op.len) {
      this.#wantsRoom = true;
      // A fault has left room.
      if (this.#room > 0) this.#world.after(this.#world.faults.latencyUs, () => this.#pushSends(), 0, this.#what);
    }
    if (open.sent === op.len) host.gate.finish(op, op.len);
    else if (open.sent === 0) host.gate.finish(op, Errno.EAGAIN);
    else {
      this.#world.note('complete', host.shard, op.low, open.sent);
      host.window.post(op.low, op.high, open.sent, 0); // also of a quiet one: it fell short
    }
  }

  /** Bytes that a send would put on the wire. */
  get #room(): number {
    return WINDOW_BYTES - this.#onWire - (this.#peer as SimSocket).#inboxBytes;
  }

  get #isWritable(): boolean {
    return this.#hasEnded || (this.#sends.length === 0 && this.#room >= TOLD_ROOM_BYTES);
  }

  /** Puts on the wire what fits. */
  #transmit(open: OpenStream): void {
    const peer = this.#peer as SimSocket;
    let count = Math.min(open.op.len - open.sent, this.#room);
    if (count <= 0) return;
    if (count > 1 && this.#world.fault('partial', open.host.shard, OP_SEND, 0)) {
      count = this.#world.random.between(1, count - 1, 'bytes of a part');
    }
    const at = open.op.ptr + open.sent;
    const bytes = Buffer.from(open.op.memory.subarray(at, at + count));
    open.sent += count;
    this.#onWire += count;
    const delivery = { ends: this.#ends, bytes, from: open.host.shard, sentNs: this.#world.nowNs };
    this.#travel(() => {
      this.#onWire -= count;
      peer.#arrive(bytes, delivery);
    }, count);
  }

  /** The bytes of a direction arrive in order. */
  #travel(arrive: () => void, bytes = 0): void {
    this.#wire.push(arrive);
    this.#carry(bytes);
  }

  /** One thing will arrive: whatever is first then, as one that is late is not overtaken by what was sent behind it. */
  #carry(bytes = 0): void {
    const { links, calendar, machines } = this.#world;
    const trip = this.#trip(bytes, this.#isPath ? 0 : RESEND_US);
    this.#lastArrivalNs = Math.max(this.#lastArrivalNs + 1, links.arrivalNs(trip));
    calendar.add(this.#lastArrivalNs, () => {
      const isHeld = machines.isHeld(trip.from, trip.to);
      if (isHeld) this.#world.note('held', this.#shard, bytes, 0, this.#ends);
      if (!isHeld && !this.#isCut) this.#wire.shift()?.();
      else if (this.#isBroken)
        this.#wire.shift(); // no sender is left to send it again
      else this.#hold();
    });
  }

  /** A peer that does not reply to probes is given up. Probes that are answered change nothing, so only cuts count. */
  #keepAlive(ms: number): void {
    const { machines, calendar } = this.#world;
    this.#unwatch = machines.watch(this.#machine, this.#there, () => {
      const end = this.#world.after(0, () => this.#broken(Errno.ETIMEDOUT), ms * 1000);
      machines.hold(this.#machine, this.#there, () => calendar.cancel(end));
    });
  }

  /** Bytes that did not get through are sent again, until the cut or the hold ends, or the kernel gives up. */
  #hold(): void {
    const { machines, calendar } = this.#world;
    if (!this.#isHeld) {
      this.#isHeld = true;
      const end = this.#world.after(GIVE_UP_MORE_US, () => this.#broken(Errno.ETIMEDOUT), GIVE_UP_US);
      machines.hold(this.#machine, this.#there, () => {
        this.#isHeld = false;
        calendar.cancel(end);
      });
    }
    machines.hold(this.#machine, this.#there, () => {
      if (this.#isBroken) this.#wire.shift();
      else this.#carry();
    });
  }

  #pushSends(): void {
    while (this.#sends.length !== 0) {
      const open = this.#sends[0] as OpenStream;
      const before = open.sent;
      this.#transmit(open);
      if (open.sent < open.op.len) {
        if (open.sent === before) return; // there is no room: reading makes some
        this.#world.after(this.#world.faults.latencyUs, () => this.#pushSends(), 0, this.#what);
        return;
      }
      this.#sends.shift();
      open.host.gate.finish(open.op, open.sent);
    }
    if (this.#wantsRoom && this.#isWritable) {
      this.#wantsRoom = false;
      this.#tellRoom();
    }
    this.#sendFin();
  }

  shutdown(how: number): number {
    if (this.#state !== 'open' || (this.#isBroken && !this.#isPath)) return Errno.ENOTCONN;
    if (how !== SHUT_WR) {
      this.#hasPeerEnded = true;
      this.#giveReceived();
    }
    if (how !== SHUT_RD) {
      this.#hasEnded = true;
      this.#wantsRoom = true;
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

  receive(op: Op, host: SocketHost): void {
    if (this.#state === 'idle' || this.#state === 'connecting') {
      host.gate.finish(op, Errno.ENOTCONN);
      return;
    }
    host.window.open(op, this);
    this.#shard = host.shard;
    this.#receives.push({ op, host, sent: 0 });
    this.#giveReceived();
  }

  #arrive(bytes: Buffer, delivery: Delivery): void {
    if (this.#state === 'closed' || this.#isBroken) {
      this.#isBroken = true;
      if (!this.#isPath) this.#reset(); // its process is gone
      return;
    }
    this.#world.note('arrive', this.#shard, this.number, bytes.length, delivery);
    this.#inbox.push(bytes);
    this.#inboxBytes += bytes.length;
    this.#giveReceived();
  }

  #onFin(): void {
    if (this.#isBroken) this.#reset();
    if (this.#state === 'closed' || this.#isBroken) return;
    this.#world.note('fin', this.#shard, this.number, 0, this.#ends);
    this.#hasPeerEnded = true;
    this.#giveReceived();
    for (const open of this.#watches) this.#tellWatch(open);
  }

  /** Tells of the peer's end and of a reset, and of room if that is asked for (ops.ts, watchEnds and watchRoom). */
  watch(op: Op, host: SocketHost, events: number): void {
    const open = { op, host, sent: 0, events };
    host.window.open(op, this);
    this.#watches.push(open);
    if (events === POLLOUT && !this.#isWritable) this.#wantsRoom = true;
    this.#tellWatch(open);
  }

  #tellRoom(): void {
    for (const open of this.#watches) if (open.events === POLLOUT) this.#tellWatch(open);
  }

  /** The requested events that are true now. A kernel tells of ends whatever that was. */
  #tellWatch({ op, host, events }: OpenStream): void {
    let now = this.#hasPeerEnded ? POLLRDHUP : 0;
    if (this.#isBroken || this.#state !== 'open') now = POLLOUT | END_EVENTS;
    else if (this.#isWritable) now |= POLLOUT;
    const told = now & (END_EVENTS | (events as number));
    if (told === 0) return;
    this.#world.note('complete', host.shard, op.low, told);
    host.window.more(op, told, 0);
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
      const open = this.#receives[0] as OpenStream;
      if (this.#inboxBytes !== 0) {
        hasRead = true;
        if (this.#fill(open)) this.#receives.shift();
      } else if (this.#hasPeerEnded || this.#isBroken) {
        this.#receives.shift();
        const isEnd = this.#hasPeerEnded && !this.#isPath; // whatever happened since
        open.host.gate.finish(open.op, isEnd ? 0 : this.#takeError());
      } else break;
    }
    const peer = this.#peer;
    if (hasRead && peer !== undefined)
      this.#world.after(this.#world.faults.latencyUs, () => peer.#pushSends(), 0, peer.#what);
  }

  /** One completion of a receive. True: its last. */
  #fill({ op, host }: OpenStream): boolean {
    const { window, gate } = host;
    const isFault = op.picksBuffer && this.#world.fault('noBuffers', host.shard, OP_RECV, Errno.ENOBUFS);
    const buffer = op.picksBuffer && !isFault ? window.takeBuffer(op.bufGroup) : 0;
    const limit = op.bufGroup === LARGE_BUFFERS ? 'largeRecvBufferCount' : 'recvBufferCount';
    if (buffer < 0) this.#world.reached.add(limit);
    if (buffer < 0 || isFault) {
      gate.finish(op, Errno.ENOBUFS);
      return true;
    }
    const first = this.#inbox.shift() as Buffer;
    let count = Math.min(first.length, op.picksBuffer ? (window.bufferBytes[op.bufGroup] as number) : op.len);
    if (count > 1 && this.#world.fault('partial', host.shard, OP_RECV, 0)) {
      count = this.#world.random.between(1, count - 1, 'bytes of a part');
    }
    if (op.picksBuffer) first.copy(window.bytes, window.bufferAt(buffer), 0, count);
    else first.copy(op.memory, op.ptr, 0, count);
    this.#inboxBytes -= count;
    if (count < first.length) this.#inbox.unshift(first.subarray(count));
    const flags = op.picksBuffer ? CQE_BUFFER | (buffer << CQE_BUFFER_SHIFT) : 0;
    if (!op.isMultishot) gate.finish(op, count, flags);
    else {
      this.#world.note('complete', host.shard, op.low, count);
      window.more(op, count, flags);
    }
    return !op.isMultishot;
  }

  // --- the end -------------------------------------------------------------------------------------------------------

  /** The other end learns after a while that nothing goes this way any more. */
  #reset(): void {
    const peer = this.#peer;
    if (peer === undefined) return;
    this.#isFinSent = true; // and no end comes behind
    const arrive = () => peer.#broken(Errno.ECONNRESET);
    const pass = () => {
      if (!this.#isCut) this.#world.links.pass(this.#trip(0, 0), arrive);
    };
    if (this.#isPath) this.#travel(arrive);
    else this.#knock(pass, 0, 0);
  }

  /** This connection was not accepted: its client is reset. */
  refuse(): void {
    this.#state = 'closed';
    this.#isBroken = true;
    this.#reset();
  }

  /** The connection is over. One operation is told why, whichever is woken first. */
  #broken(errno: number): void {
    if (this.#isBroken) return;
    this.#isBroken = true;
    this.#isFinSent = true;
    this.#unwatch?.();
    if (this.#state === 'closed') return;
    this.#world.note('reset', this.#shard, this.number, 0, this.#ends);
    const isLate = this.#hasPeerEnded && !this.#isPath && errno === Errno.ECONNRESET;
    this.#error = isLate ? Errno.EPIPE : errno;
    const isRoomFirst =
      this.#watches.some(({ events }) => events === POLLOUT) && this.#world.random.chance(0.5, 'room is told first');
    if (isRoomFirst) this.#tellRoom();
    const isShared = this.#sends.length !== 0 && this.#receives.length !== 0;
    if (isShared && this.#world.random.chance(0.5, 'reads are told first')) this.#giveReceived();
    for (const { op, host, sent } of this.#sends.splice(0)) {
      const error = (!this.#isPath && this.#takeError()) || Errno.EPIPE;
      host.gate.finish(op, sent || error);
    }
    // Behind the send that the room has let go.
    const isLateRead = isRoomFirst && this.#world.random.chance(0.5, 'reads are told late');
    if (isLateRead) this.#world.after(this.#world.faults.latencyUs, () => this.#giveReceived());
    else this.#giveReceived();
    for (const open of this.#watches) if (!isRoomFirst || open.events !== POLLOUT) this.#tellWatch(open);
  }

  cancel(op: Op): void {
    const all = [...this.#receives, ...this.#sends, ...this.#watches, this.#connect];
    const open = all.find((each) => each?.op === op);
    if (open === undefined) return; // a watch that was cancelled before, and has not ended yet
    if (this.#watches.includes(open)) {
      this.#watches = this.#watches.filter((each) => each !== open);
      this.#world.after(CANCEL_US, () => open.host.gate.finish(op, Errno.ECANCELED)); // by the kernel's task work
      return;
    }
    this.#receives = this.#receives.filter((each) => each.op !== op);
    this.#sends = this.#sends.filter((each) => each.op !== op);
    if (open === this.#connect) {
      this.#connect = undefined;
      this.#state = 'idle';
    }
    open.host.gate.finish(op, open.sent || Errno.ECANCELED);
    this.#pushSends();
  }

  /** The power of its machine fails: its bytes on the wire are lost, and the other end hears nothing. */
  vanish(): void {
    this.#state = 'closed';
    this.#isBroken = true;
    this.#isFinSent = true;
    this.#connect = undefined;
    this.#unwatch?.();
  }

  /** `isReset`: nothing more is delivered, and the other end is reset (SO_LINGER of 0). */
  close(isReset = false): void {
    if (this.#state === 'closed') return;
    const open = [...this.#receives.splice(0), ...this.#sends.splice(0), ...this.#watches.splice(0)];
    if (this.#connect !== undefined) open.push(this.#connect);
    this.#connect = undefined;
    this.#state = 'closed';
    this.#unwatch?.();
    for (const { op, host, sent } of open) host.gate.finish(op, sent || Errno.ECANCELED);
    if (this.#isBroken) return;
    const isUnread = this.#inboxBytes !== 0 || (this.#isPath && this.#peer?.hasSent);
    if (isUnread || isReset) {
      this.#isBroken = true;
      this.#reset();
    }
    this.#hasEnded = true;
    this.#sendFin();
  }
}

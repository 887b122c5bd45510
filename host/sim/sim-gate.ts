// Performs the submissions of a simulated shard. The checks of host/native/gate.c are not repeated here: what the core
// and host/shard/ops.ts submit has passed them elsewhere. An operation that this world does not have is -EOPNOTSUPP.
//
// A completion that needs no network comes after a time that the seed picks. So completions of different operations
// overtake each other, as a kernel's do. The result of a quiet send is known at once, as in the kernel.
//
// Next: sim-net.ts.

import {
  ACCEPT_MULTISHOT,
  AF_INET,
  AF_INET6,
  AF_UNIX,
  END_EVENTS,
  Errno,
  MSG_DONTWAIT,
  MSG_SEND_FD,
  OP_ACCEPT,
  OP_ASYNC_CANCEL,
  OP_CLOSE,
  OP_CONNECT,
  OP_MSG_RING,
  OP_NOP,
  OP_POLL_ADD,
  OP_RECV,
  OP_RECVMSG,
  OP_SEND,
  OP_SENDMSG,
  OP_SHUTDOWN,
  OP_SOCKET,
  OP_URING_CMD,
  POLL_MULTISHOT,
  POLLOUT,
  RECV_MULTISHOT,
  SOCK_STREAM,
  SQE_BUFFER_SELECT,
  SQE_CQE_SKIP_SUCCESS,
  SQE_FIXED_FILE,
  SQE_WORDS,
} from '../core/kernel.js';
import { Control } from '../core/layout.js';
import {
  type Bound,
  type DatagramOptions,
  GRANT_SLOTS,
  type HostListenOptions,
  type LentBytes,
  type NetAddress,
  type Windows,
} from '../hosts/host.js';
import { findLent } from '../hosts/lent.js';
import { NO_GROUP, Op } from '../hosts/portable-window.js';
import { allowsAddress, type Rule } from '../net/network-rules.js';
import { SimOpenFile } from './disk-calls.js';
import { addressOf, isAny, loopbackOf } from './sim-addresses.js';
import { type DatagramPlace, SimDatagrams } from './sim-datagrams.js';
import { FILE_ERRNOS, isFileOp } from './sim-files.js';
import type { SimHost } from './sim-host.js';
import { type SimFile, SimListener } from './sim-net.js';
import { SimSocket } from './sim-socket.js';

const MULTISHOT: Record<number, number> = {
  [OP_ACCEPT]: ACCEPT_MULTISHOT,
  [OP_RECV]: RECV_MULTISHOT,
  [OP_RECVMSG]: RECV_MULTISHOT,
};
/** The errors that these may fail with without a fault of the network: those of a Linux that is short of something. */
const ERRNOS: Record<number, readonly number[]> = {
  ...FILE_ERRNOS,
  [OP_ACCEPT]: [Errno.ENOMEM, Errno.ENFILE, Errno.EMFILE, Errno.ECONNABORTED, Errno.ENOBUFS],
  [OP_CONNECT]: [Errno.ENOMEM, Errno.EADDRNOTAVAIL, Errno.ETIMEDOUT, Errno.ECONNREFUSED, Errno.EHOSTUNREACH],
  [OP_POLL_ADD]: [Errno.ENOMEM],
  [OP_RECV]: [Errno.ENOMEM],
  [OP_RECVMSG]: [Errno.ENOMEM],
  [OP_SEND]: [Errno.ENOMEM, Errno.ENOBUFS],
  [OP_SENDMSG]: [Errno.ENOMEM, Errno.ENOBUFS],
  [OP_SOCKET]: [Errno.ENOMEM, Errno.ENFILE, Errno.EMFILE, Errno.ENOBUFS],
};
const ANSWER_US = 30; // longest time until an operation without a network is answered

export class SimGate {
  readonly fileSlots: number;
  readonly #host: SimHost;
  readonly #words: Int32Array;
  readonly #control: Uint32Array;
  readonly #at: number;
  readonly #files: (SimFile | undefined)[];
  readonly #rules: readonly Rule[] | undefined;
  readonly #lent: LentBytes;
  readonly #answerText: string;
  /** Where a CONNECT that names an index goes. */
  readonly socketPaths: (string | undefined)[] = [];

  constructor(host: SimHost, { memory, header, base, lent, network }: Windows) {
    this.#lent = lent;
    this.#rules = network?.connect;
    this.#host = host;
    this.#answerText = `time of an answer of shard ${host.shard}'s kernel, ns`;
    this.fileSlots = header.connectionSlots;
    this.#words = new Int32Array(memory.buffer);
    this.#control = new Uint32Array(memory.buffer, base, 128);
    this.#at = (base + header.sqeOffset) >>> 2;
    this.#files = new Array(this.fileSlots).fill(undefined);
  }

  take(count: number): void {
    for (let i = 0; i < count; i++) this.#take(this.#at + i * SQE_WORDS);
  }

  #take(at: number): void {
    const words = this.#words;
    const first = words[at] as number;
    const opcode = first & 0xff;
    const flags = (first >>> 8) & 0xff;
    const ioprio = first >>> 16;
    const fd = words[at + 1] as number;
    const isMultishot = (ioprio & (MULTISHOT[opcode] ?? 0)) !== 0;
    const op = new Op(
      words[at + 8] as number,
      words[at + 9] as number,
      (flags & SQE_CQE_SKIP_SUCCESS) !== 0,
      isMultishot,
      (flags & SQE_BUFFER_SELECT) === 0 ? NO_GROUP : (words[at + 10] as number) & 0xffff,
      this.#host.window.region(words[at + 5] as number),
      (words[at + 4] as number) >>> 0,
      (words[at + 6] as number) >>> 0,
    );
    this.#host.world.note('submit', this.#host.shard, opcode, fd, this.#files[fd]?.label);
    if (!this.#fails(op, opcode)) this.#dispatch(op, opcode, fd, at);
  }

  /** Whether the kernel has no memory, or no descriptor, or whatever it may have none of, just now. */
  #fails(op: Op, opcode: number): boolean {
    const errno = this.#host.world.drawErrno(this.#host.shard, opcode, ERRNOS[opcode]);
    if (errno === 0) return false;
    if (opcode === OP_SEND || opcode === OP_SENDMSG) this.finish(op, errno);
    else this.#later(op, errno);
    return true;
  }

  #dispatch(op: Op, opcode: number, fd: number, at: number): void {
    const words = this.#words;
    switch (opcode) {
      case OP_NOP:
        this.#later(op, 0);
        break;
      case OP_RECV:
        this.#socket(op, fd)?.receive(op, this.#host);
        break;
      case OP_RECVMSG:
        this.#receiveDatagrams(op, fd);
        break;
      case OP_SEND:
        this.#send(op, fd, at);
        break;
      case OP_SENDMSG:
        this.#sendLent(op, fd, words[at + 2] as number, words[at + 11] as number);
        break;
      case OP_POLL_ADD:
        this.#poll(op, fd, words[at + 7] as number);
        break;
      case OP_ACCEPT:
        this.#accept(op, fd);
        break;
      case OP_CLOSE:
        this.#close(op, (words[at + 11] as number) - 1);
        break;
      case OP_SHUTDOWN:
        this.#shutdown(op, fd);
        break;
      case OP_ASYNC_CANCEL:
        this.#cancel(op, words[at + 4] as number, words[at + 5] as number);
        break;
      case OP_MSG_RING:
        if (op.ptr === MSG_SEND_FD) this.#handOver(op, fd, (words[at + 11] as number) - 1);
        else this.finish(op, this.#host.ring(fd));
        break;
      case OP_URING_CMD: // TCP_NODELAY
        if (this.#socket(op, fd) !== undefined) this.#later(op, 0);
        break;
      case OP_SOCKET:
        this.#open(op, fd, words[at + 2] as number);
        break;
      case OP_CONNECT:
        this.#connect(op, fd, words[at + 2] as number);
        break;
      default:
        if (isFileOp(opcode)) {
          this.#onDisk(op, opcode, fd, at);
          break;
        }
        this.#refuse(op, Errno.EOPNOTSUPP);
    }
  }

  #poll(op: Op, fd: number, events: number): void {
    const file = this.#files[fd];
    const canWatch = events === POLLOUT || (events & ~END_EVENTS) === 0;
    if (op.len === POLL_MULTISHOT && canWatch) this.#socket(op, fd)?.watch(op, this.#host, events);
    else if (file instanceof SimDatagrams && op.len === 0 && events === POLLOUT) file.whenRoom(op);
    else this.finish(op, Errno.EOPNOTSUPP);
  }

  #receiveDatagrams(op: Op, fd: number): void {
    const file = this.#file(op, fd);
    if (file instanceof SimDatagrams) file.receive(op);
    else if (file !== undefined) this.finish(op, Errno.EOPNOTSUPP);
  }

  #send(op: Op, fd: number, at: number): void {
    const words = this.#words;
    const file = this.#files[fd];
    const isNow = ((words[at + 7] as number) & MSG_DONTWAIT) !== 0;
    if (!(file instanceof SimDatagrams)) {
      this.#socket(op, fd)?.send(op, this.#host, isNow);
      return;
    }
    const memory = this.#host.window.region(words[at + 3] as number);
    const address = (words[at + 2] as number) >>> 0;
    const bytes = words[at + 11] as number; // of 0 bytes: where the socket is connected
    const errno = bytes === 0 ? 0 : this.#refusal(memory, address, bytes);
    if (errno !== 0) this.#refuse(op, errno);
    else file.send(op, bytes === 0 ? undefined : destinationOf(memory, address, bytes), isNow);
  }

  /** The kernel copies the bytes while it takes the submission, and so does this. */
  #sendLent(op: Op, fd: number, skip: number, headBytes: number): void {
    const socket = this.#socket(op, fd);
    if (socket === undefined) return;
    const lent = findLent(this.#lent, fd, skip, op.len - headBytes);
    if (lent === undefined) this.#refuse(op, Errno.EFAULT);
    else {
      const head = op.memory.subarray(op.ptr, op.ptr + headBytes);
      const copy = new Op(op.low, op.high, op.isQuiet, false, NO_GROUP, Buffer.concat([head, ...lent]), 0, op.len);
      socket.send(copy, this.#host, true);
    }
  }

  #refuse(op: Op, errno: number): void {
    (this.#control[Control.refusedCount >> 2] as number)++;
    this.finish(op, errno);
  }

  #onDisk(op: Op, opcode: number, fd: number, at: number): void {
    const words = this.#words.slice(at, at + SQE_WORDS);
    const { directories } = this.#host;
    if ((((words[0] as number) >>> 8) & SQE_FIXED_FILE) === 0) directories.take(op, opcode, words, undefined);
    else {
      const file = this.#file(op, fd);
      if (file instanceof SimOpenFile) directories.take(op, opcode, words, file);
      else if (file !== undefined) this.finish(op, Errno.EOPNOTSUPP);
    }
  }

  /** An operation's last answer. */
  finish(op: Op, result: number, flags = 0): void {
    if (this.#host.isClosed) return;
    this.#host.world.note('complete', this.#host.shard, op.low, result);
    this.#host.window.finish(op, result, flags);
  }

  #later(op: Op, result: number): void {
    this.#host.world.after(ANSWER_US, () => this.finish(op, result), 0, this.#answerText);
  }

  // --- file slots ----------------------------------------------------------------------------------------------------

  /** A slot for a file, or -1. `from`, `to`: where to look. */
  install(file: SimFile, from = GRANT_SLOTS, to = this.fileSlots): number {
    for (let slot = from; slot < to; slot++) {
      if (this.#files[slot] !== undefined) continue;
      this.#files[slot] = file;
      file.refs++;
      return slot;
    }
    this.#host.world.reached.add('connectionSlots');
    return -1;
  }

  /** The content of the file slots, by its class. */
  *filesInUse(): Generator<string> {
    for (const file of this.#files) if (file !== undefined) yield file.constructor.name;
  }

  listen(options: HostListenOptions): Bound | number {
    const { net, machines } = this.#host.world;
    const place = net.place(machines.of(this.#host.shard), options);
    if (typeof place === 'number') return place;
    const listener = new SimListener(this.#host, place, options);
    const slot = this.install(listener, 0, GRANT_SLOTS);
    if (slot < 0) return Errno.ENFILE;
    net.add(listener);
    return { slot, port: place.port, unlink: () => net.unlink(listener) };
  }

  bindDatagrams(options: DatagramOptions): Bound | number {
    const socket = this.#host.world.datagrams.bind(options, this.#host);
    if (typeof socket === 'number') return socket;
    const slot = this.install(socket, 0, GRANT_SLOTS);
    if (slot >= 0) return { slot, port: socket.place.port };
    socket.close();
    return Errno.ENFILE;
  }

  remoteOf(slot: number): NetAddress | undefined {
    const file = this.#files[slot];
    return file instanceof SimSocket ? file.remote : undefined;
  }

  localOf(slot: number): NetAddress | undefined {
    const file = this.#files[slot];
    return file instanceof SimSocket ? file.local : undefined;
  }

  #file(op: Op, slot: number): SimFile | undefined {
    const file = this.#files[slot];
    if (file === undefined) this.finish(op, Errno.EBADF);
    return file;
  }

  #socket(op: Op, slot: number): SimSocket | undefined {
    const file = this.#file(op, slot);
    if (file === undefined || file instanceof SimSocket) return file;
    this.finish(op, Errno.ENOTCONN);
    return undefined;
  }

  #accept(op: Op, slot: number): void {
    const file = this.#file(op, slot);
    if (file instanceof SimListener) file.accept(op);
    else if (file !== undefined) this.finish(op, Errno.EINVAL);
  }

  #close(op: Op, slot: number): void {
    const file = this.#file(op, slot);
    if (file === undefined) return;
    this.#files[slot] = undefined;
    if (--file.refs === 0) file.close();
    this.#later(op, 0);
  }

  #shutdown(op: Op, slot: number): void {
    const how = op.len;
    const socket = this.#socket(op, slot);
    if (socket === undefined) return;
    // The kernel does it in a thread of its own, which looks the file up only then (ops.ts).
    this.#host.world.after(ANSWER_US, () => {
      const file = this.#files[slot];
      this.finish(op, file instanceof SimSocket ? file.shutdown(how) : Errno.EBADF);
    });
  }

  #cancel(op: Op, low: number, high: number): void {
    const target = this.#host.window.find(low, high);
    target?.owner?.cancel(target);
    this.finish(op, target === undefined ? Errno.ENOENT : 0);
  }

  #handOver(op: Op, peer: number, slotHere: number): void {
    const file = this.#files[slotHere];
    const target = this.#host.peer(peer);
    if (file === undefined || target === undefined) this.finish(op, Errno.EBADF);
    else {
      const slot = target.gate.install(file);
      this.#later(op, slot < 0 ? Errno.ENFILE : slot);
    }
  }

  #open(op: Op, family: number, type: number): void {
    const { world } = this.#host;
    if (type !== SOCK_STREAM) this.finish(op, Errno.EOPNOTSUPP);
    else if (world.fault('noFiles', this.#host.shard, OP_SOCKET, Errno.ENFILE)) this.#later(op, Errno.ENFILE);
    else {
      const slot = this.install(new SimSocket(world, world.machines.of(this.#host.shard), family === AF_UNIX));
      this.#later(op, slot < 0 ? Errno.ENFILE : slot);
    }
  }

  #connect(op: Op, slot: number, bytes: number): void {
    const path = bytes === 0 ? this.socketPaths[op.ptr] : undefined;
    const errno = bytes === 0 ? (path === undefined ? Errno.EBADF : 0) : this.#refusal(op.memory, op.ptr, bytes);
    if (errno !== 0) {
      this.#refuse(op, errno);
      return;
    }
    const file = this.#files[slot];
    if (file instanceof SimDatagrams) {
      if (path === undefined) file.connect(op, destinationOf(op.memory, op.ptr, bytes));
      else this.finish(op, Errno.EINVAL);
      return;
    }
    const socket = this.#socket(op, slot);
    if (socket === undefined) return;
    const { world, shard } = this.#host;
    const place = path !== undefined ? { address: `unix:${path}`, port: 0 } : destinationOf(op.memory, op.ptr, bytes);
    const { address, port } = place;
    const machine = world.machines.at(address, world.machines.of(shard));
    const find = () => world.net.find(machine, address, port);
    socket.connect(op, this.#host, {
      machine,
      address: path === undefined ? { hostname: address, port } : undefined,
      find,
    });
  }

  /** Why a sockaddr in memory is refused, or 0 (host/native/address.c). */
  #refusal(memory: Buffer, at: number, length: number): number {
    const sockaddr = memory.subarray(at, at + length);
    const family = sockaddr.readUInt16LE(0);
    const isInternet = (family === AF_INET && length === 16) || (family === AF_INET6 && length === 28);
    if (!isInternet) return Errno.EPERM;
    return allowsAddress(this.#rules, sockaddr) ? 0 : Errno.EACCES;
  }

  /** The kernel closes what a ring had open. */
  close(): void {
    const { machines } = this.#host.world;
    const isOff = machines.isOff(machines.of(this.#host.shard));
    for (const file of this.#files) {
      if (file === undefined || --file.refs !== 0) continue;
      if (isOff && file instanceof SimSocket) file.vanish();
      else file.close();
    }
    this.#files.fill(undefined);
  }
}

/** The destination of a sockaddr. Any address means the loopback one. */
function destinationOf(memory: Buffer, at: number, length: number): DatagramPlace {
  const bytes = Buffer.from(memory.subarray(at, at + length));
  const address = addressOf(bytes);
  return { address: isAny(address) ? loopbackOf(address) : address, port: bytes.readUInt16BE(2) };
}

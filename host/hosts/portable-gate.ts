// The portable host's gate: it reads submissions as the kernel would and checks them as host/native/gate.c does. Then
// it hands them to the sockets of the file slots that they name. A refused submission completes with an error and is
// counted. Operations that the gate admits but nothing here can do (most polls, datagrams before they are bound,
// peeking, cancelling by slot) get -EOPNOTSUPP.
//
//   submission window --> take() --> check --> slot's socket, listener or file --> portable-window.ts
//
// Invariants: a submission names files by slot only, and memory only within linear memory or that of blocks. Each word
// of a submission is read once: the memory is shared.
//
// Next: portable.ts.

import type { Socket as DatagramSocket } from 'node:dgram';
import {
  ACCEPT_MULTISHOT,
  AF_INET,
  AF_INET6,
  AF_UNIX,
  END_EVENTS,
  Errno,
  FSYNC_DATASYNC,
  LARGE_BUFFERS,
  MSG_DONTWAIT,
  MSG_MORE,
  MSG_PEEK,
  MSG_SEND_FD,
  MSG_WAITALL,
  OP_ACCEPT,
  OP_ASYNC_CANCEL,
  OP_CLOSE,
  OP_CONNECT,
  OP_FSYNC,
  OP_FTRUNCATE,
  OP_MSG_RING,
  OP_NOP,
  OP_POLL_ADD,
  OP_READ,
  OP_RECV,
  OP_RECVMSG,
  OP_SEND,
  OP_SENDMSG,
  OP_SHUTDOWN,
  OP_SOCKET,
  OP_URING_CMD,
  OP_WRITE,
  POLL_MULTISHOT,
  POLLOUT,
  RECV_MULTISHOT,
  RECV_POLL_FIRST,
  SHUT_RDWR,
  SMALL_BUFFERS,
  SOCK_DGRAM,
  SOCK_STREAM,
  SQE_BUFFER_SELECT,
  SQE_CQE_SKIP_SUCCESS,
  SQE_FIXED_FILE,
  SQE_WORDS,
} from '../core/kernel.js';
import { Control } from '../core/layout.js';
import { allowsAddress, type Rule } from '../net/network-rules.js';
import { GRANT_SLOTS, type LentBytes, type MessagePortLike, type NetAddress, type Windows } from './host.js';
import { findLent } from './lent.js';
import { type DatagramAddress, PortableDatagrams } from './portable-datagrams.js';
import { isPathOp, PortableFiles, PortableOpenFile } from './portable-files.js';
import { PortableListener, PortableSocket } from './portable-sockets.js';
import { NO_GROUP, Op, type PortableWindow } from './portable-window.js';
import type { ConnectTarget, Stream, Streams } from './streams.js';

const SQE_FLAGS = SQE_FIXED_FILE | SQE_BUFFER_SELECT | SQE_CQE_SKIP_SUCCESS; // no links, no drain
const POLL_EVENTS = 0xffff;
const CANCEL_ALL_OR_FD = 3;

const SEND_FLAGS = MSG_DONTWAIT | MSG_WAITALL | MSG_MORE;
const RECV_FLAGS = MSG_PEEK | MSG_WAITALL | MSG_DONTWAIT;
const IN_BYTES = 16; // sockaddr_in, sockaddr_in6
const IN6_BYTES = 28;

type PortableFile = PortableSocket | PortableListener | PortableDatagrams | PortableOpenFile;

export class PortableGate {
  readonly fileSlots: number;
  readonly #window: PortableWindow;
  readonly #words: Int32Array;
  readonly #control: Uint32Array;
  readonly #at: number;
  readonly #files: (PortableFile | undefined)[];
  readonly #lingering = new Set<Stream>();
  readonly #peers: (MessagePortLike | undefined)[];
  readonly #streams: Streams;
  readonly #rules: readonly Rule[] | undefined;
  readonly #lent: LentBytes;
  readonly #sinks: Windows['sinks'];
  /** Where a CONNECT that names an index goes. */
  readonly socketPaths: (string | undefined)[] = [];
  /** Directories, and what is asked of them. */
  readonly files: PortableFiles;
  #lowest = GRANT_SLOTS; // no slot from GRANT_SLOTS up to here is free

  /** `peers`: their doorbells. */
  constructor(windows: Windows, window: PortableWindow, streams: Streams, peers: (MessagePortLike | undefined)[]) {
    const { memory, header, base } = windows;
    this.fileSlots = header.connectionSlots;
    this.#window = window;
    this.#streams = streams;
    this.#rules = windows.network?.connect;
    this.#lent = windows.lent;
    this.#sinks = windows.sinks;
    this.#words = new Int32Array(memory.buffer);
    this.#control = new Uint32Array(memory.buffer, base, 128);
    this.#at = (base + header.sqeOffset) >>> 2;
    this.#files = new Array(this.fileSlots).fill(undefined);
    this.#peers = peers;
    this.files = new PortableFiles(window, (file) => (this.#lowest >= this.fileSlots ? -1 : this.#install(file)));
  }

  // --- file slots ----------------------------------------------------------------------------------------------------

  /** A free slot for a socket that was bound, or -1. */
  grant(listener: PortableListener | PortableDatagrams): number {
    const slot = this.#files.indexOf(undefined);
    if (slot < 0 || slot >= GRANT_SLOTS) return -1;
    this.#files[slot] = listener;
    return slot;
  }

  /** Takes a slot back whose socket could not be bound. */
  withdraw(slot: number): void {
    this.#files[slot]?.close();
    this.#files[slot] = undefined;
  }

  #install(file: PortableSocket | PortableOpenFile): number {
    const slot = this.#lowest;
    this.#files[slot] = file;
    this.#lowest++;
    while (this.#lowest < this.fileSlots && this.#files[this.#lowest] !== undefined) this.#lowest++;
    return slot;
  }

  readonly #adopt = (stream: Stream): number => {
    if (this.#lowest >= this.fileSlots) return -1;
    return this.#install(new PortableSocket(this.#window, this.#lingering, stream, 'open'));
  };

  listener(backlog: number, unreachableMs: number | undefined): PortableListener {
    const adopt = (stream: Stream) => {
      if (unreachableMs !== undefined) stream.keepAlive(unreachableMs);
      return this.#adopt(stream);
    };
    return new PortableListener(this.#window, this.#streams, backlog, adopt);
  }

  datagrams(socket: DatagramSocket): PortableDatagrams {
    return new PortableDatagrams(this.#window, socket);
  }

  remoteOf(slot: number): NetAddress | undefined {
    const file = this.#files[slot];
    return file instanceof PortableSocket ? file.remote : undefined;
  }

  localOf(slot: number): NetAddress | undefined {
    const file = this.#files[slot];
    return file instanceof PortableSocket ? file.local : undefined;
  }

  sendAtOnce(slot: number, bytes: Uint8Array): number {
    const file = this.#files[slot];
    return file instanceof PortableSocket ? file.sendAtOnce(bytes) : 0;
  }

  keepAlive(slot: number, isOn: boolean, idleMs: number): void {
    const file = this.#files[slot];
    if (file instanceof PortableSocket) file.keepAlive(isOn, idleMs);
  }

  /** Closes every file, and what is still being written. */
  close(): void {
    this.files.shutDown();
    for (const file of this.#files) file?.close();
    this.#files.fill(undefined);
    for (const stream of this.#lingering) stream.destroy();
  }

  // --- submissions ---------------------------------------------------------------------------------------------------

  /** Takes `count` submissions out of the window. */
  take(count: number): void {
    for (let i = 0; i < count; i++) this.#take(this.#at + i * SQE_WORDS);
  }

  #refuse(op: Op, errno: number): void {
    (this.#control[Control.refusedCount >> 2] as number)++;
    this.#window.finish(op, errno);
  }

  #take(at: number): void {
    const words = this.#words;
    const first = words[at] as number;
    const opcode = first & 0xff;
    const flags = (first >>> 8) & 0xff;
    const ioprio = first >>> 16;
    const high = words[at + 9] as number;
    const len = (words[at + 6] as number) >>> 0;
    const isMultishot =
      ((opcode === OP_RECV || opcode === OP_RECVMSG) && (ioprio & RECV_MULTISHOT) !== 0) ||
      (opcode === OP_ACCEPT && (ioprio & ACCEPT_MULTISHOT) !== 0) ||
      (opcode === OP_POLL_ADD && (len & POLL_MULTISHOT) !== 0);
    const isQuiet = (flags & SQE_CQE_SKIP_SUCCESS) !== 0;
    const bufGroup = (flags & SQE_BUFFER_SELECT) === 0 ? NO_GROUP : (words[at + 10] as number) & 0xffff;
    const memory = this.#window.region(words[at + 5] as number);
    const ptr = (words[at + 4] as number) >>> 0;
    const op = new Op(words[at + 8] as number, high, isQuiet, isMultishot, bufGroup, memory, ptr, len);
    if (high < 0 || (flags & ~SQE_FLAGS) !== 0) this.#refuse(op, Errno.EINVAL);
    else if ((words[at + 10] as number) >>> 16 !== 0)
      this.#refuse(op, Errno.EPERM); // personality
    else this.#dispatch(op, opcode, ioprio, words[at + 1] as number, at);
  }

  #dispatch(op: Op, opcode: number, ioprio: number, fd: number, at: number): void {
    switch (opcode) {
      case OP_NOP:
        this.#window.finish(op, 0);
        break;
      case OP_RECV:
        this.#receive(op, ioprio, fd, at);
        break;
      case OP_RECVMSG:
        this.#receiveDatagrams(op, ioprio, fd, at);
        break;
      case OP_SEND:
        this.#send(op, ioprio, fd, at);
        break;
      case OP_SENDMSG:
        this.#sendLent(op, ioprio, fd, at);
        break;
      case OP_ACCEPT:
        this.#accept(op, ioprio, fd, at);
        break;
      case OP_CLOSE:
        this.#close(op, fd, this.#words[at + 11] as number);
        break;
      case OP_SHUTDOWN:
        if (op.len > SHUT_RDWR) this.#refuse(op, Errno.EINVAL);
        else this.#socket(op, fd)?.shutdown(op);
        break;
      case OP_ASYNC_CANCEL:
        this.#cancel(op, at);
        break;
      case OP_MSG_RING:
        this.#doorbell(op, fd, at);
        break;
      case OP_URING_CMD:
        this.#command(op, ioprio, fd, at);
        break;
      case OP_SOCKET:
        this.#open(op, fd, at);
        break;
      case OP_CONNECT:
        this.#connect(op, fd, at);
        break;
      case OP_FSYNC:
      case OP_READ:
      case OP_WRITE:
      case OP_FTRUNCATE:
        this.#onOpenFile(op, opcode, ioprio, fd, at);
        break;
      case OP_POLL_ADD:
        this.#poll(op, fd, at);
        break;
      default:
        if (!isPathOp(opcode)) this.#refuse(op, Errno.EPERM);
        else {
          const errno = this.files.take(op, opcode, ioprio, this.#words.slice(at, at + SQE_WORDS));
          if (errno !== 0) this.#refuse(op, errno);
        }
    }
  }

  /** Reads, writes, syncs and cuts; sockets have SEND and RECV for that. */
  #onOpenFile(op: Op, opcode: number, ioprio: number, fd: number, at: number): void {
    const file = this.#file(op, fd);
    if (file === undefined) return;
    const words = this.#words;
    const position = ((words[at + 2] as number) >>> 0) + (words[at + 3] as number) * 2 ** 32;
    const touchesMemory = opcode === OP_READ || opcode === OP_WRITE;
    const flags = words[at + 7];
    if (ioprio !== 0 || (flags !== 0 && (opcode !== OP_FSYNC || flags !== FSYNC_DATASYNC)))
      this.#refuse(op, Errno.EINVAL);
    else if (touchesMemory && !op.picksBuffer && !this.#isInside(op, op.len)) this.#refuse(op, Errno.EFAULT);
    else if (!touchesMemory && (op.ptr !== 0 || words[at + 5] !== 0 || op.len !== 0)) this.#refuse(op, Errno.EINVAL);
    else if (!(file instanceof PortableOpenFile) || op.picksBuffer) this.#refuse(op, Errno.EOPNOTSUPP);
    else if (!Number.isSafeInteger(position) || position < 0) this.#refuse(op, Errno.EINVAL);
    else if (opcode === OP_READ) file.read(op, position);
    else if (opcode === OP_WRITE) file.write(op, position);
    else if (opcode === OP_FSYNC) file.sync(op, flags === FSYNC_DATASYNC);
    else file.truncate(op, position);
  }

  /** The content of a slot; if there is none, the operation has been completed. */
  #file(op: Op, slot: number): PortableFile | undefined {
    const file = this.#files[slot];
    if (file !== undefined) return file;
    if (slot >= 0 && slot < this.fileSlots)
      this.#window.finish(op, Errno.EBADF); // nothing wrong with the submission
    else this.#refuse(op, Errno.EBADF);
    return undefined;
  }

  #socket(op: Op, slot: number): PortableSocket | undefined {
    const file = this.#file(op, slot);
    if (file instanceof PortableSocket) return file;
    if (file !== undefined) this.#window.finish(op, Errno.ENOTCONN); // a listener, or datagrams
    return undefined;
  }

  /** Whether [ptr, ptr + len) lies in its region. */
  #isInside(op: Op, len: number): boolean {
    return this.#window.has(op.memory, op.ptr, len);
  }

  /** See host/native/gate.c, admit_datagrams. */
  #receiveDatagrams(op: Op, ioprio: number, fd: number, at: number): void {
    const file = this.#file(op, fd);
    if (file === undefined) return;
    const words = this.#words;
    const asksMore =
      (op.ptr | op.len) !== 0 ||
      words[at + 2] !== 0 ||
      words[at + 3] !== 0 ||
      words[at + 5] !== 0 ||
      words[at + 7] !== 0 ||
      words[at + 11] !== 0;
    if (ioprio !== RECV_MULTISHOT || !op.picksBuffer || op.isQuiet) this.#refuse(op, Errno.EINVAL);
    else if (asksMore || op.bufGroup !== SMALL_BUFFERS) this.#refuse(op, Errno.EINVAL);
    else if (file instanceof PortableDatagrams) file.receive(op);
    else this.#window.finish(op, Errno.EOPNOTSUPP); // streams have no datagrams
  }

  /** Where a datagram goes, from a copy: `off` and `addr_len` carry it. A number: why it is refused. */
  #destination(at: number): DatagramAddress | undefined | number {
    const words = this.#words;
    const low = (words[at + 2] as number) >>> 0;
    const high = words[at + 3] as number;
    const addressBytes = (words[at + 11] as number) >>> 0;
    if (addressBytes === 0) return low === 0 && high === 0 ? undefined : Errno.EINVAL;
    return this.#place(low, high, addressBytes);
  }

  #receive(op: Op, ioprio: number, fd: number, at: number): void {
    const socket = this.#socket(op, fd);
    if (socket === undefined) return;
    const words = this.#words;
    const flags = words[at + 7] as number;
    const knows = (ioprio & ~(RECV_POLL_FIRST | RECV_MULTISHOT)) === 0 && (flags & ~RECV_FLAGS) === 0;
    const fits = op.picksBuffer ? op.bufGroup <= LARGE_BUFFERS && op.ptr === 0 && words[at + 5] === 0 : !op.isMultishot;
    if (!knows || !fits || (op.isMultishot && op.len !== 0)) this.#refuse(op, Errno.EINVAL);
    else if (!op.picksBuffer && !this.#isInside(op, op.len)) this.#refuse(op, Errno.EFAULT);
    else if (flags !== 0) this.#refuse(op, Errno.EOPNOTSUPP);
    else if (!op.picksBuffer && op.len === 0) this.#window.finish(op, 0);
    else socket.receive(op, this.#sinks[fd]);
  }

  /** Of a connection's ends or of its room, until it is cancelled; of room for datagrams, once (ops.ts). */
  #poll(op: Op, fd: number, at: number): void {
    const file = this.#file(op, fd);
    if (file === undefined) return;
    const events = this.#words[at + 7] as number;
    if ((op.len & ~POLL_MULTISHOT) !== 0 || (events & ~POLL_EVENTS) !== 0) this.#refuse(op, Errno.EINVAL);
    else if (file instanceof PortableDatagrams && !op.isMultishot && events === POLLOUT) file.whenRoom(op);
    else if (!(file instanceof PortableSocket) || !op.isMultishot) this.#refuse(op, Errno.EOPNOTSUPP);
    else if (events === POLLOUT) file.watchRoom(op);
    else if ((events & ~END_EVENTS) === 0) file.watch(op);
    else this.#refuse(op, Errno.EOPNOTSUPP);
  }

  #send(op: Op, ioprio: number, fd: number, at: number): void {
    const file = this.#file(op, fd);
    if (file === undefined) return;
    const flags = this.#words[at + 7] as number;
    const knows = (ioprio & ~RECV_POLL_FIRST) === 0 && (flags & ~SEND_FLAGS) === 0;
    const to = this.#destination(at);
    if (typeof to === 'number') this.#refuse(op, to);
    else if (!knows || op.picksBuffer) this.#refuse(op, Errno.EINVAL);
    else if (!this.#isInside(op, op.len)) this.#refuse(op, Errno.EFAULT);
    else if (file instanceof PortableDatagrams) file.send(op, to, (flags & MSG_DONTWAIT) !== 0);
    else this.#socket(op, fd)?.send(op, (flags & MSG_DONTWAIT) !== 0);
  }

  /** Bytes of JavaScript's own: see host/native/gate.c, admit_lent. */
  #sendLent(op: Op, ioprio: number, fd: number, at: number): void {
    const file = this.#file(op, fd);
    if (file === undefined) return;
    const words = this.#words;
    const headBytes = (words[at + 11] as number) >>> 0;
    const isNow = words[at + 7] === (MSG_DONTWAIT | MSG_WAITALL);
    const asksMore = ioprio !== 0 || (headBytes === 0 && (op.ptr !== 0 || words[at + 5] !== 0));
    if (asksMore || !isNow || op.picksBuffer || op.len <= headBytes) this.#refuse(op, Errno.EINVAL);
    else {
      const skip = ((words[at + 2] as number) >>> 0) + (words[at + 3] as number) * 2 ** 32;
      const lent = findLent(this.#lent, fd, skip, op.len - headBytes);
      if (lent === undefined || !this.#isInside(op, headBytes)) this.#refuse(op, Errno.EFAULT);
      else this.#socket(op, fd)?.sendLent(op, headBytes, lent);
    }
  }

  #accept(op: Op, ioprio: number, fd: number, at: number): void {
    const file = this.#file(op, fd);
    if (file === undefined) return;
    const words = this.#words;
    const asksMore =
      ((ioprio & ~ACCEPT_MULTISHOT) | op.ptr) !== 0 ||
      words[at + 2] !== 0 ||
      words[at + 3] !== 0 ||
      words[at + 5] !== 0 ||
      words[at + 7] !== 0;
    if (asksMore) this.#refuse(op, Errno.EINVAL);
    else if (file instanceof PortableListener) file.accept(op);
    else this.#window.finish(op, Errno.EINVAL);
  }

  #close(op: Op, fd: number, fileIndex: number): void {
    const slot = fileIndex - 1;
    if (fd !== 0 || fileIndex === 0) {
      this.#refuse(op, Errno.EBADF);
      return;
    }
    const file = this.#file(op, slot);
    if (file === undefined) return;
    this.#files[slot] = undefined;
    if (slot >= GRANT_SLOTS && slot < this.#lowest) this.#lowest = slot;
    file.close();
    this.#window.finish(op, 0);
  }

  #cancel(op: Op, at: number): void {
    const words = this.#words;
    const flags = words[at + 7] as number;
    if ((flags & ~CANCEL_ALL_OR_FD) !== 0 || (words[at + 5] as number) < 0) this.#refuse(op, Errno.EINVAL);
    else if (flags !== 0) this.#refuse(op, Errno.EOPNOTSUPP);
    else {
      const target = this.#window.find(words[at + 4] as number, words[at + 5] as number);
      target?.owner?.cancel(target);
      this.#window.finish(op, target === undefined ? Errno.ENOENT : 0);
    }
  }

  #doorbell(op: Op, peer: number, at: number): void {
    const words = this.#words;
    const asksMore =
      (op.ptr | op.len) !== 0 ||
      words[at + 2] !== 0 ||
      words[at + 3] !== 0 ||
      words[at + 5] !== 0 ||
      words[at + 7] !== 0;
    const port = this.#peers[peer];
    if (port === undefined) this.#refuse(op, Errno.EBADF);
    else if (op.ptr === MSG_SEND_FD) this.#refuse(op, Errno.EOPNOTSUPP);
    else if (asksMore) this.#refuse(op, Errno.EINVAL);
    else {
      port.postMessage(0);
      this.#window.finish(op, 0);
    }
  }

  /** TCP_NODELAY, which every socket here has. */
  #command(op: Op, ioprio: number, fd: number, at: number): void {
    const words = this.#words;
    const asksMore =
      (ioprio | op.ptr | op.len) !== 0 ||
      words[at + 2] !== 0 ||
      words[at + 3] !== 0 ||
      words[at + 5] !== 0 ||
      words[at + 7] !== 0;
    const socket = this.#socket(op, fd);
    if (socket === undefined) return;
    if (asksMore || words[at + 11] !== 0) this.#refuse(op, Errno.EINVAL);
    else this.#window.finish(op, 0);
  }

  // --- connecting ----------------------------------------------------------------------------------------------------

  #open(op: Op, family: number, at: number): void {
    const words = this.#words;
    const type = words[at + 3] === 0 ? words[at + 2] : -1; // `off` carries it
    const isFamily = family === AF_INET || family === AF_INET6 || family === AF_UNIX;
    if (!isFamily || (type !== SOCK_STREAM && type !== SOCK_DGRAM)) this.#refuse(op, Errno.EPERM);
    else if (op.len !== 0 || words[at + 7] !== 0) this.#refuse(op, Errno.EINVAL);
    else if (type === SOCK_DGRAM) this.#refuse(op, Errno.EOPNOTSUPP);
    else if (this.#lowest >= this.fileSlots) this.#window.finish(op, Errno.ENFILE);
    else {
      const socket = new PortableSocket(this.#window, this.#lingering, this.#streams.create(), 'idle');
      this.#window.finish(op, this.#install(socket));
    }
  }

  #connect(op: Op, fd: number, at: number): void {
    const file = this.#file(op, fd);
    if (file === undefined) return;
    const target = this.#peer(op, at);
    if (typeof target === 'number') this.#refuse(op, target);
    else if (!(file instanceof PortableDatagrams)) this.#socket(op, fd)?.connect(op, target);
    else if ('path' in target) this.#window.finish(op, Errno.EINVAL);
    else file.connect(op, target);
  }

  /** The destination of a CONNECT: an address, whose length is in `off`, or the index of a path. */
  #peer(op: Op, at: number): ConnectTarget | number {
    const words = this.#words;
    const addressBytes = ((words[at + 2] as number) >>> 0) + (words[at + 3] as number) * 2 ** 32;
    if (addressBytes !== 0) return this.#place(op.ptr, words[at + 5] as number, addressBytes);
    const path = words[at + 5] === 0 ? this.socketPaths[op.ptr] : undefined;
    return path === undefined ? Errno.EBADF : { path };
  }

  /** The address of the Internet's in `bytes` bytes of memory, or why it is refused. See host/native/address.c. */
  #place(at: number, high: number, bytes: number): DatagramAddress | number {
    if (bytes !== IN_BYTES && bytes !== IN6_BYTES) return Errno.EINVAL;
    const memory = this.#window.region(high);
    if (!this.#window.has(memory, at, bytes)) return Errno.EFAULT;
    const copy = Buffer.from(memory.subarray(at, at + bytes)); // the memory is shared
    const family = copy.readUInt16LE(0);
    if (family !== (bytes === IN_BYTES ? AF_INET : AF_INET6)) return Errno.EPERM;
    if (!allowsAddress(this.#rules, copy)) return Errno.EACCES;
    const port = copy.readUInt16BE(2);
    if (family === AF_INET) return { host: copy.subarray(4, 8).join('.'), port };
    const groups = Array.from({ length: 8 }, (_, i) => copy.readUInt16BE(8 + 2 * i).toString(16));
    return { host: groups.join(':'), port };
  }
}

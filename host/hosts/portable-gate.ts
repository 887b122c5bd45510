// The portable host's gate: reads submissions as the kernel would, checks them as host/native/gate.c does, and hands
// them to the sockets of the file slots that they name. What it refuses is answered with an error and counted.
//
//   submission window --> take() --> check --> slot's socket or listener --> portable-window.ts
//
// Invariants: a submission names files by slot only, and memory only within linear memory. Each word of a submission
// is read once: the memory is shared.
//
// Next: portable.ts.

import { Socket } from 'node:net';
import { Control } from '../layout.js';
import type { Windows } from './host.js';
import { PortableListener, PortableSocket, READ_AHEAD_BYTES, type Target } from './portable-sockets.js';
import { Errno, Op, type PortableWindow } from './portable-window.js';

/** Slots below this are for listeners; accepted and connected sockets take the lowest free one behind them. */
export const GRANT_SLOTS = 16;

const SQE_WORDS = 16;
const USER_DATA_TOP = -0x80000000;

// include/uapi/linux/io_uring.h
const OP_NOP = 0;
const OP_POLL_ADD = 6;
const OP_ACCEPT = 13;
const OP_ASYNC_CANCEL = 14;
const OP_CONNECT = 16;
const OP_CLOSE = 19;
const OP_SEND = 26;
const OP_RECV = 27;
const OP_SHUTDOWN = 34;
const OP_MSG_RING = 40;
const OP_SOCKET = 45;

const SQE_FIXED_FILE = 1;
const SQE_ASYNC = 16;
const SQE_BUFFER_SELECT = 32;
const SQE_CQE_SKIP_SUCCESS = 64;
const SQE_FLAGS = SQE_FIXED_FILE | SQE_ASYNC | SQE_BUFFER_SELECT | SQE_CQE_SKIP_SUCCESS; // no links, no drain
const ACCEPT_MULTISHOT = 1;
const RECV_MULTISHOT = 2;
const FILE_INDEX_ALLOC = -1;

const MSG_DONTWAIT = 0x40;
const MSG_WAITALL = 0x100;
const MSG_NOSIGNAL = 0x4000;
const SEND_FLAGS = MSG_DONTWAIT | MSG_WAITALL | MSG_NOSIGNAL;
const AF_UNIX = 1;
const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const SOCK_TYPE_MASK = 0xf;

type PortableFile = PortableSocket | PortableListener;

export class PortableGate {
  readonly fileSlots: number;
  readonly #window: PortableWindow;
  readonly #words: Int32Array;
  readonly #control: Uint32Array;
  readonly #at: number;
  readonly #memoryBytes: number;
  readonly #files: (PortableFile | undefined)[];
  readonly #lingering = new Set<Socket>();
  readonly #ring: (peer: number) => boolean;
  #lowest = GRANT_SLOTS; // no slot from GRANT_SLOTS up to here is free

  /** `ring`: rings a peer's doorbell; false if there is none. */
  constructor(windows: Windows, window: PortableWindow, ring: (peer: number) => boolean) {
    const { memory, header, base } = windows;
    this.fileSlots = header.connectionSlots;
    this.#window = window;
    this.#words = new Int32Array(memory.buffer);
    this.#control = new Uint32Array(memory.buffer, base, 128);
    this.#at = (base + header.sqeOffset) >>> 2;
    this.#memoryBytes = memory.buffer.byteLength;
    this.#files = new Array(this.fileSlots).fill(undefined);
    this.#ring = ring;
  }

  // --- file slots -----------------------------------------------------------------------------------------------------

  /** A free slot for a listener, or -1. */
  grant(listener: PortableListener): number {
    const slot = this.#files.indexOf(undefined);
    if (slot < 0 || slot >= GRANT_SLOTS) return -1;
    this.#files[slot] = listener;
    return slot;
  }

  /** Takes a listener's slot back that could not listen. */
  withdraw(slot: number): void {
    this.#files[slot]?.close();
    this.#files[slot] = undefined;
  }

  #install(file: PortableSocket): number {
    const slot = this.#lowest;
    this.#files[slot] = file;
    this.#lowest++;
    while (this.#lowest < this.fileSlots && this.#files[this.#lowest] !== undefined) this.#lowest++;
    return slot;
  }

  readonly #adopt = (socket: Socket): number => {
    if (this.#lowest >= this.fileSlots) return -1;
    return this.#install(new PortableSocket(this.#window, this.#lingering, socket, 'open'));
  };

  listener(backlog: number): PortableListener {
    return new PortableListener(this.#window, backlog, this.#adopt);
  }

  /** Closes every file, and what is still being written. */
  close(): void {
    for (const file of this.#files) file?.close();
    this.#files.fill(undefined);
    for (const socket of this.#lingering) socket.destroy();
  }

  // --- submissions ----------------------------------------------------------------------------------------------------

  /** Takes `count` submissions out of the window. */
  take(count: number): void {
    for (let i = 0; i < count; i++) this.#take(this.#at + i * SQE_WORDS);
  }

  #refuse(op: Op, errno: number): void {
    this.#control[Control.refusedCount >> 2]++;
    this.#window.finish(op, errno);
  }

  #take(at: number): void {
    const words = this.#words;
    const first = words[at];
    const opcode = first & 0xff;
    const flags = (first >>> 8) & 0xff;
    const ioprio = first >>> 16;
    const high = words[at + 9];
    const ptr = words[at + 4] >>> 0;
    const len = words[at + 6] >>> 0;
    const isMultishot =
      (opcode === OP_RECV && (ioprio & RECV_MULTISHOT) !== 0) ||
      (opcode === OP_ACCEPT && (ioprio & ACCEPT_MULTISHOT) !== 0);
    const isQuiet = (flags & SQE_CQE_SKIP_SUCCESS) !== 0;
    const picksBuffer = (flags & SQE_BUFFER_SELECT) !== 0;
    const op = new Op(words[at + 8], high, isQuiet, isMultishot, picksBuffer, ptr, len);
    if ((high & USER_DATA_TOP) !== 0 || (flags & ~SQE_FLAGS) !== 0) this.#refuse(op, Errno.EINVAL);
    else this.#dispatch(op, opcode, words[at + 1], at);
  }

  #dispatch(op: Op, opcode: number, fd: number, at: number): void {
    switch (opcode) {
      case OP_NOP:
        this.#window.finish(op, 0);
        break;
      case OP_RECV:
        this.#receive(op, fd, at);
        break;
      case OP_SEND:
        this.#send(op, fd, at);
        break;
      case OP_ACCEPT:
        this.#accept(op, fd, at);
        break;
      case OP_CLOSE:
        this.#close(op, this.#words[at + 11]);
        break;
      case OP_SHUTDOWN:
        this.#socket(op, fd)?.shutdown(op);
        break;
      case OP_ASYNC_CANCEL:
        this.#cancel(op, at);
        break;
      case OP_MSG_RING:
        this.#window.finish(op, this.#ring(fd) ? 0 : Errno.EBADF);
        break;
      case OP_SOCKET:
        this.#open(op, fd, at);
        break;
      case OP_CONNECT:
        this.#connect(op, fd, at);
        break;
      case OP_POLL_ADD:
        this.#refuse(op, Errno.EOPNOTSUPP);
        break;
      default:
        this.#refuse(op, Errno.EPERM);
    }
  }

  /** The socket of a slot; if there is none, the operation has been answered. */
  #socket(op: Op, slot: number): PortableSocket | undefined {
    const file = this.#files[slot];
    if (file instanceof PortableSocket) return file;
    if (file === undefined) this.#refuse(op, Errno.EBADF);
    else this.#window.finish(op, Errno.ENOTCONN); // a listener
    return undefined;
  }

  /** Whether [ptr, ptr + len) lies in linear memory. */
  #isInside(at: number, len: number): boolean {
    return this.#words[at + 5] === 0 && (this.#words[at + 4] >>> 0) + len <= this.#memoryBytes;
  }

  #receive(op: Op, fd: number, at: number): void {
    const socket = this.#socket(op, fd);
    if (socket === undefined) return;
    const isOdd = op.isMultishot && (!op.picksBuffer || op.isQuiet);
    if (isOdd || (this.#words[at + 7] & ~MSG_NOSIGNAL) !== 0) this.#refuse(op, Errno.EINVAL);
    else if (!op.picksBuffer && !this.#isInside(at, op.len)) this.#refuse(op, Errno.EFAULT);
    else if (!op.picksBuffer && op.len === 0) this.#window.finish(op, 0);
    else socket.receive(op);
  }

  #send(op: Op, fd: number, at: number): void {
    const socket = this.#socket(op, fd);
    if (socket === undefined) return;
    const flags = this.#words[at + 7];
    if (op.picksBuffer || (flags & ~SEND_FLAGS) !== 0) this.#refuse(op, Errno.EINVAL);
    else if (!this.#isInside(at, op.len)) this.#refuse(op, Errno.EFAULT);
    else socket.send(op, (flags & MSG_DONTWAIT) !== 0);
  }

  #accept(op: Op, fd: number, at: number): void {
    const file = this.#files[fd];
    const words = this.#words;
    if (file === undefined) this.#refuse(op, Errno.EBADF);
    else if (file instanceof PortableSocket) this.#window.finish(op, Errno.EINVAL);
    else if (op.ptr !== 0 || words[at + 5] !== 0 || words[at + 11] !== FILE_INDEX_ALLOC) this.#refuse(op, Errno.EINVAL);
    else file.accept(op);
  }

  #close(op: Op, fileIndex: number): void {
    const slot = fileIndex - 1;
    const file = this.#files[slot];
    if (file === undefined) {
      this.#refuse(op, Errno.EBADF);
      return;
    }
    this.#files[slot] = undefined;
    if (slot >= GRANT_SLOTS && slot < this.#lowest) this.#lowest = slot;
    file.close();
    this.#window.finish(op, 0);
  }

  #cancel(op: Op, at: number): void {
    if (this.#words[at + 7] !== 0) {
      this.#refuse(op, Errno.EINVAL);
      return;
    }
    const target = this.#window.find(this.#words[at + 4], this.#words[at + 5]);
    target?.owner?.cancel(target);
    this.#window.finish(op, target === undefined ? Errno.ENOENT : 0);
  }

  // --- connecting -----------------------------------------------------------------------------------------------------

  #open(op: Op, family: number, at: number): void {
    const type = this.#words[at + 2] & SOCK_TYPE_MASK;
    const isKnown = family === AF_INET || family === AF_INET6 || family === AF_UNIX;
    if (!isKnown) this.#window.finish(op, Errno.EAFNOSUPPORT);
    else if (type !== SOCK_STREAM) this.#refuse(op, Errno.EOPNOTSUPP);
    else if (this.#words[at + 11] !== FILE_INDEX_ALLOC) this.#refuse(op, Errno.EINVAL);
    else if (this.#lowest >= this.fileSlots) this.#window.finish(op, Errno.ENFILE);
    else {
      const socket = new Socket({ allowHalfOpen: true, highWaterMark: READ_AHEAD_BYTES } as object);
      socket.setNoDelay();
      this.#window.finish(op, this.#install(new PortableSocket(this.#window, this.#lingering, socket, 'idle')));
    }
  }

  #connect(op: Op, fd: number, at: number): void {
    const socket = this.#socket(op, fd);
    if (socket === undefined) return;
    const addressBytes = this.#words[at + 2] >>> 0; // `off` carries it
    if (this.#words[at + 3] !== 0 || !this.#isInside(at, addressBytes)) this.#refuse(op, Errno.EFAULT);
    else {
      const target = targetOf(this.#window.bytes.subarray(op.ptr, op.ptr + addressBytes));
      if (target === undefined) this.#window.finish(op, Errno.EINVAL);
      else socket.connect(op, target);
    }
  }
}

/** Reads a sockaddr; undefined if it is none. The memory is shared, so it is copied first. */
function targetOf(shared: Uint8Array): Target | undefined {
  const bytes = Buffer.from(shared);
  const family = bytes.length >= 2 ? bytes.readUInt16LE(0) : 0;
  if (family === AF_INET && bytes.length >= 16) {
    return { host: bytes.subarray(4, 8).join('.'), port: bytes.readUInt16BE(2) };
  }
  if (family === AF_INET6 && bytes.length >= 28) {
    const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(8 + 2 * i).toString(16));
    return { host: groups.join(':'), port: bytes.readUInt16BE(2) };
  }
  const end = bytes.indexOf(0, 2);
  const path = bytes.toString('utf8', 2, end < 0 ? bytes.length : end);
  return family === AF_UNIX && path !== '' ? { path } : undefined;
}

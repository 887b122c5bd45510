// A ring of the gate, and this file in the place of the core: it writes control block and submission window itself, so
// that the tests can ask for what no core would.
//
// The flow: stage() -> SQE in linear memory -> enter() or wait() -> completions, as plain objects.
// Invariant: every completion that the addon shows is taken, once.
//
// FEATHERSTAR_TEST_VARIANT picks the build: nothing, `test`, or `asan` (which needs libasan preloaded).
// Next: gate.test.js.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import * as assert from 'uvu/assert';
import { Control } from '../../dist/host/core/layout.js';

const VARIANT = process.env.FEATHERSTAR_TEST_VARIANT ? `.${process.env.FEATHERSTAR_TEST_VARIANT}` : '';
export const ADDON_PATH = fileURLToPath(
  new URL(`../../dist/native/linux-${process.arch}${VARIANT}.node`, import.meta.url),
);

/** Why no ring can be had here, or undefined. */
export function obstacle() {
  if (!existsSync(ADDON_PATH)) return 'the addon is not built';
  const result = addon().probe();
  return result < 0 ? `io_uring_setup answers ${result}` : undefined;
}

export function addon() {
  return createRequire(import.meta.url)(ADDON_PATH);
}

export const OP = {
  NOP: 0,
  FSYNC: 3,
  POLL_ADD: 6,
  SENDMSG: 9,
  RECVMSG: 10,
  ACCEPT: 13,
  ASYNC_CANCEL: 14,
  CONNECT: 16,
  CLOSE: 19,
  STATX: 21,
  READ: 22,
  WRITE: 23,
  SEND: 26,
  RECV: 27,
  OPENAT2: 28,
  SHUTDOWN: 34,
  RENAMEAT: 35,
  UNLINKAT: 36,
  MKDIRAT: 37,
  MSG_RING: 40,
  SOCKET: 45,
  URING_CMD: 46,
  FTRUNCATE: 55,
};

export const ERRNO = {
  EPERM: -1,
  ENOENT: -2,
  EBADF: -9,
  EEXIST: -17,
  EXDEV: -18,
  ENODEV: -19,
  ENOTDIR: -20,
  EISDIR: -21,
  EFAULT: -14,
  EINVAL: -22,
  ENFILE: -23,
  EMFILE: -24,
  EOPNOTSUPP: -95,
  EADDRINUSE: -98,
  EPIPE: -32,
  ENAMETOOLONG: -36,
  ENOTEMPTY: -39,
  ELOOP: -40,
  EADDRNOTAVAIL: -99,
  ENOBUFS: -105,
  ENOTCONN: -107,
  EALREADY: -114,
  ECANCELED: -125,
};

/** sqe.flags */
export const FIXED_FILE = 1;
export const BUFFER_SELECT = 32;
export const CQE_SKIP_SUCCESS = 64;
/** cqe.flags */
export const F_BUFFER = 1;
export const F_MORE = 2;
/** ioprio of RECV and ACCEPT */
export const RECV_MULTISHOT = 2;
export const ACCEPT_MULTISHOT = 1;

export const BLOCK_SPACE = 2 ** 32;
const BASE = 65_536;
const DEFAULTS = {
  sqeSlots: 64,
  cqeSlots: 256,
  recvBufferCount: 8,
  recvBufferBytes: 1024,
  largeRecvBufferCount: 2,
  largeRecvBufferBytes: 4096,
  fileSlots: 32,
  grantSlots: 4,
};
const SQE_OFFSET = 512;
const WAIT_NS = 1e6;
const WAITS_MAX = 5000;

const rigs = new Set();

/** Closes what a test has left open, whether it passed or not. */
export function closeAll() {
  for (const rig of rigs) rig.ring.close();
  rigs.clear();
}

export class Rig {
  /** `blockPages`: of the second region, which a submission names by addresses from BLOCK_SPACE on. */
  constructor({ pages = 8, blockPages = 0, base = BASE, ...limits } = {}) {
    const options = { ...DEFAULTS, ...limits };
    const { sqeSlots, cqeSlots, recvBufferCount, largeRecvBufferCount } = options;
    const cqeOffset = SQE_OFFSET + sqeSlots * 64;
    const recycleOffset = cqeOffset + cqeSlots * 16;
    const recycleEnd = recycleOffset + (recvBufferCount + largeRecvBufferCount) * 4;
    const recvOffset = Math.ceil(recycleEnd / 4096) * 4096;
    this.memory = options.memory ?? new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    this.bytes = new Uint8Array(this.memory.buffer);
    this.options = { ...options, memory: undefined, shardBase: base, sqeOffset: SQE_OFFSET, cqeOffset };
    Object.assign(this.options, { recycleOffset, recvOffset });
    this.base = base;
    this.recvAt = base + recvOffset;
    this.largeAt = this.recvAt + recvBufferCount * options.recvBufferBytes;
    this.freeAt = this.largeAt + largeRecvBufferCount * options.largeRecvBufferBytes; // behind it: the test's own
    this.view = new DataView(this.memory.buffer);
    this.blocks = new Uint8Array(
      new WebAssembly.Memory({ initial: blockPages, maximum: blockPages, shared: true }).buffer,
    );
    this.lent = [];
    this.targets = [];
    const { open } = options.addon ?? addon();
    this.ring = open(this.bytes, this.blocks, this.options, undefined, this.lent, this.targets);
    this.next = 1n;
    this.cqes = [];
    this.setControl('nextDeadlineNs', Number.POSITIVE_INFINITY);
    rigs.add(this);
  }

  control(name) {
    const at = this.base + Control[name];
    return /Ns$|^(enter|sleep|poll)Count$/.test(name) ? this.view.getFloat64(at, true) : this.view.getInt32(at, true);
  }

  setControl(name, value) {
    const at = this.base + Control[name];
    if (name.endsWith('Ns')) this.view.setFloat64(at, value, true);
    else this.view.setInt32(at, value, true);
  }

  /** Writes one SQE behind those that are staged. Returns its user_data. */
  stage(opcode, fields = {}) {
    const { flags = 0, ioprio = 0, fd = 0, off = 0, addr = 0, len = 0, opFlags = 0, user = this.next++ } = fields;
    const { bufGroup = 0, personality = 0, fileIndex = 0 } = fields;
    const staged = this.control('submitCount');
    const at = this.base + SQE_OFFSET + staged * 64;
    this.bytes.fill(0, at, at + 64);
    this.view.setUint8(at, opcode);
    this.view.setUint8(at + 1, flags);
    this.view.setUint16(at + 2, ioprio, true);
    this.view.setInt32(at + 4, fd, true);
    this.view.setBigUint64(at + 8, BigInt.asUintN(64, BigInt(off)), true);
    this.view.setBigUint64(at + 16, BigInt.asUintN(64, BigInt(addr)), true);
    this.view.setUint32(at + 24, len, true);
    this.view.setUint32(at + 28, opFlags, true);
    this.view.setBigUint64(at + 32, user, true);
    this.view.setUint16(at + 40, bufGroup, true);
    this.view.setUint16(at + 42, personality, true);
    this.view.setUint32(at + 44, fileIndex, true);
    this.setControl('submitCount', staged + 1);
    return user;
  }

  /** What is in the completion window now, in order. */
  take() {
    const count = this.control('completionCount');
    const taken = [];
    for (let i = 0; i < count; i++) {
      const at = this.base + this.options.cqeOffset + i * 16;
      taken.push({
        user: this.view.getBigUint64(at, true),
        result: this.view.getInt32(at + 8, true),
        flags: this.view.getUint32(at + 12, true),
      });
    }
    this.setControl('completionCount', 0);
    return taken;
  }

  enter() {
    this.ring.enter();
    const taken = this.take();
    this.cqes.push(...taken);
    return taken;
  }

  /** The next completion of `user`. Blocks this thread, never for ever. */
  completion(user) {
    for (let i = 0; i < WAITS_MAX; i++) {
      const at = this.cqes.findIndex((cqe) => cqe.user === user);
      if (at >= 0) return this.cqes.splice(at, 1)[0];
      this.ring.wait(i === 0 ? 0 : WAIT_NS);
      this.cqes.push(...this.take());
    }
    throw new Error(`no completion of ${user}`);
  }

  run(opcode, fields) {
    return this.completion(this.stage(opcode, fields)).result;
  }

  listen(address = '127.0.0.1', port = 0, backlog = 16, flags = 0) {
    return this.ring.listen(address, port, backlog, flags);
  }

  /** Two connected sockets of this ring's table. */
  pair() {
    const { slot, port } = this.listen();
    const accept = this.stage(OP.ACCEPT, { fd: slot });
    const socket = this.run(OP.SOCKET, { fd: 2, off: 1 });
    const { addr, off } = this.address(port);
    const connected = this.run(OP.CONNECT, { fd: socket, addr, off });
    if (connected !== 0) throw new Error(`connect: ${connected}`);
    const accepted = this.completion(accept).result;
    this.run(OP.CLOSE, { fileIndex: slot + 1 });
    return [socket, accepted];
  }

  /** Writes a sockaddr_in of 127.0.0.1 to the last bytes of memory. */
  address(port) {
    const addr = this.bytes.length - 16;
    this.bytes.set([2, 0, port >> 8, port & 255, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0], addr);
    return { addr, off: 16 };
  }

  put(text, at = this.freeAt) {
    const bytes = Buffer.from(text);
    this.bytes.set(bytes, at);
    return { addr: at, len: bytes.length };
  }

  text(at, bytes) {
    return Buffer.from(this.bytes.slice(at, at + bytes)).toString();
  }

  /** The text in the buffer that a completion names. The buffer is not recycled. */
  received({ result, flags }) {
    const { recvBufferCount, recvBufferBytes, largeRecvBufferBytes } = this.options;
    const large = (flags >>> 16) - recvBufferCount;
    const at = large < 0 ? this.recvAt + (flags >>> 16) * recvBufferBytes : this.largeAt + large * largeRecvBufferBytes;
    return this.text(at, result);
  }

  recycle(...ids) {
    const words = new Uint32Array(this.memory.buffer, this.base + this.options.recycleOffset);
    let count = this.control('recycleCount');
    for (const id of ids) words[count++] = id;
    this.setControl('recycleCount', count);
  }
}

/** Stages one submission, asserts that the gate itself refused it, and with which code. */
export function refused(rig, opcode, fields, expected, what = '') {
  const before = rig.control('refusedCount');
  const result = rig.run(opcode, fields);
  assert.is(result, expected, `opcode ${opcode} ${what}: ${JSON.stringify(fields, (_, v) => String(v))}`);
  assert.is(rig.control('refusedCount'), before + 1, `opcode ${opcode} ${what}: not refused by the gate`);
}

/** The same for what the gate lets through. */
export function admitted(rig, opcode, fields, expected, what = '') {
  const before = rig.control('refusedCount');
  const result = rig.run(opcode, fields);
  assert.is(rig.control('refusedCount'), before, `opcode ${opcode} ${what} was refused: ${result}`);
  assert.is(result, expected, `opcode ${opcode} ${what}`);
}

export function openFiles() {
  return readdirSync('/proc/self/fd').length;
}

/** Mappings that rings make: of the ring descriptor itself. */
export function ringMappings() {
  return readFileSync('/proc/self/maps', 'utf8')
    .split('\n')
    .filter((line) => line.includes('io_uring')).length;
}

// Plays the core for a portable host: stages submissions, takes completions out of the window, puts buffers back. So
// the tests see what the host writes, with nothing between. Only whether the host may sleep is for a real core to say.
//
// Next: portable.test.js.

import { once } from 'node:events';
import net from 'node:net';
import { coreModule, DEFAULT_LIMITS, instantiateCore, makeMemory } from '../../dist/host/core/core.js';
import { Control, recvBufferAt } from '../../dist/host/core/layout.js';
import { monotonicNs } from '../../dist/host/hosts/host.js';
import { PortableHost } from '../../dist/host/hosts/portable.js';

export const LIMITS = {
  ...DEFAULT_LIMITS,
  ringSlots: 64,
  creditCount: 8,
  sqeSlots: 256,
  cqeSlots: 8, // few, so that every test of size runs through a full window
  readySlots: 64,
  opSlots: 256,
  timerSlots: 256,
  taskSlots: 256,
  connectionSlots: 24, // 16 for listeners, 8 for connections
  recvBufferCount: 8,
  recvBufferBytes: 1024,
  largeRecvBufferCount: 2,
  largeRecvBufferBytes: 4096,
  sendBufferCount: 64,
  sendBufferBytes: 65_536,
  arenaBytes: 65_536,
};

export const OP = { NOP: 0, POLL: 6, ACCEPT: 13, CANCEL: 14, CONNECT: 16, CLOSE: 19, SEND: 26, RECV: 27 };
export const OP_SHUTDOWN = 34;
export const OP_MSG_RING = 40;
export const OP_SOCKET = 45;
export const OP_URING_CMD = 46;
export const FIXED = 1;
export const SELECT = 32;
export const QUIET = 64;
export const MULTI_ACCEPT = 1;
export const MULTI_RECV = 2;
export const F_BUFFER = 1;
export const F_MORE = 2;
export const DONTWAIT = 0x40;

const rigs = new Set();

/** Closes what a test has left open, whether it passed or not. */
export function closeAll() {
  for (const rig of rigs) rig.close();
  rigs.clear();
}

export class Rig {
  constructor({ limits = LIMITS, shard = 0, shared = makeMemory(1, limits), start = true } = {}) {
    const { memory, header, blocks } = shared;
    this.blocks = Buffer.from(blocks);
    this.header = header;
    this.base = header.shardsOffset + shard * header.shardBytes;
    this.memoryBytes = memory.buffer.byteLength;
    this.bytes = Buffer.from(memory.buffer);
    this.u32 = new Uint32Array(memory.buffer, this.base, 128);
    this.i32 = new Int32Array(memory.buffer, this.base, 128);
    this.f64 = new Float64Array(memory.buffer, this.base, 64);
    this.sqes = new Uint32Array(memory.buffer, this.base + header.sqeOffset, header.sqeSlots * 16);
    this.cqes = new Int32Array(memory.buffer, this.base + header.cqeOffset, header.cqeSlots * 4);
    const bufferCount = header.recvBufferCount + header.largeRecvBufferCount;
    this.recycled = new Uint32Array(memory.buffer, this.base + header.recycleOffset, bufferCount);
    this.taken = []; // completions that nobody has asked for yet
    this.waiting = [];
    this.turns = 0;
    this.largest = 0; // window that was seen
    this.nextUser = 1;
    this.onTurn = () => {};
    this.clients = [];
    this.sinks = []; // by slots
    this.host = new PortableHost({ memory, blocks, header, base: this.base, shard, sinks: this.sinks });
    this.core = instantiateCore(coreModule(), memory, { enter: this.host.enter, threadSpawn: () => -1 });
    this.core.boot(shard, monotonicNs());
    if (start) this.host.start(() => this.turn(), this.core);
    rigs.add(this);
  }

  turn() {
    this.turns++;
    const count = this.u32[Control.completionCount >> 2];
    this.largest = Math.max(this.largest, count);
    for (let i = 0; i < count; i++) {
      const [user, high, result, flags] = this.cqes.subarray(i * 4, i * 4 + 4);
      this.taken.push({ user, high, result, flags });
    }
    this.u32[Control.completionCount >> 2] = 0;
    this.waiting = this.waiting.filter((look) => !look());
    this.onTurn();
  }

  /** Stages one submission and says so. Returns its user_data, low word. */
  stage(opcode, sqe = {}) {
    const { flags = FIXED, ioprio = 0, fd = 0, off = 0, offHigh = 0, addr = 0, addrHigh = 0, len = 0 } = sqe;
    const { opFlags = 0, user = this.nextUser++, userHigh = 0, group = 0, fileIndex = 0 } = sqe;
    const at = this.u32[Control.submitCount >> 2]++ * 16;
    this.sqes.fill(0, at, at + 16);
    this.sqes[at] = opcode | (flags << 8) | (ioprio << 16);
    this.sqes.set([fd, off, offHigh, addr, addrHigh, len, opFlags, user, userHigh, group, fileIndex], at + 1);
    this.host.poke();
    return user;
  }

  /** The next completion of an operation. */
  completion(user) {
    return new Promise((resolve) => {
      const look = () => {
        const at = this.taken.findIndex((cqe) => cqe.user === user);
        if (at < 0) return false;
        resolve(this.taken.splice(at, 1)[0]);
        return true;
      };
      if (!look()) this.waiting.push(look);
    });
  }

  async run(opcode, sqe) {
    return (await this.completion(this.stage(opcode, sqe))).result;
  }

  async listen(options = {}) {
    return this.host.listen({
      address: '127.0.0.1',
      port: 0,
      backlog: 16,
      reusePort: false,
      isFirst: false,
      ...options,
    });
  }

  async client(port) {
    const client = net.connect({ host: '127.0.0.1', port, allowHalfOpen: true });
    client.on('error', () => {}); // tests look at how it ends
    client.gone = new Promise((resolve) => client.on('end', resolve).on('close', resolve));
    this.clients.push(client);
    await once(client, 'connect');
    return client;
  }

  /** A connection: its slot, and the client's end. */
  async pair() {
    const { slot: listener, port } = await this.listen();
    const accept = this.stage(OP.ACCEPT, { fd: listener });
    const client = await this.client(port);
    const { result: slot } = await this.completion(accept);
    return { slot, client, listener, port };
  }

  /** Receives into a buffer of the pool, or on and on. */
  receive(slot, ioprio = 0, group = 0) {
    return this.stage(OP.RECV, { fd: slot, flags: FIXED | SELECT, ioprio, group });
  }

  /** What lies in the buffer that a completion names; the buffer goes back. */
  take({ result, flags }) {
    const buffer = flags >>> 16;
    const kept = this.host.receivedBytes(buffer);
    if (kept !== undefined) return kept.subarray(0, result);
    const at = recvBufferAt(this.base + this.header.recvOffset, this.header, buffer);
    const copy = Buffer.from(this.bytes.subarray(at, at + result));
    this.recycle(buffer);
    return copy;
  }

  recycle(buffer) {
    this.recycled[this.u32[Control.recycleCount >> 2]++] = buffer;
  }

  /** Where send buffer `i` lies. */
  sendAt(i) {
    return this.base + this.header.sendOffset + i * (this.header.sendBufferBytes + 192);
  }

  put(i, bytes) {
    this.bytes.set(Buffer.from(bytes), this.sendAt(i));
    return { addr: this.sendAt(i), len: bytes.length };
  }

  close() {
    this.host.close();
    for (const client of this.clients) client.destroy();
  }
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until `value` has stayed the same for a while: for what is expected to stop by itself. */
export async function stalled(value) {
  for (let last = value(), same = 0; same < 10; ) {
    await sleep(20);
    same = value() === last ? same + 1 : 0;
    last = value();
  }
}

// The portable host: no addon, only Node's public APIs, so it runs wherever Node, Bun or Deno runs. node:net, timers
// and MessagePorts answer the submissions that io_uring would.
//
//   socket, port or timer event --> schedule() --> step(), once for all events of one round of the loop:
//     enter   take submissions and recycled buffers, deliver completions      (portable-gate.ts, portable-window.ts)
//     turn    the core, then JavaScript                                        (shard.ts)
//     enter   what the turn has staged
//     settle  another step if there is more; else arm the deadline and sleep   (assembly/park.ts)
//
// Microtasks run after step(). What they stage is announced by poke() and taken when all of them have run. Nothing
// ticks: a shard that has nothing to do has no timer and no immediate.
//
// Invariants: turn() is called from step() only, so never inside another turn. enter() may be called at any time, also
// by the core in mid-turn (submitOnly). A deadline is never early: a timer that fires too soon is armed again.
//
// Next: portable-gate.ts.

import { createSocket, type Socket as DatagramSocket, type SocketOptions } from 'node:dgram';
import { isIP } from 'node:net';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { FeatherstarError, systemError } from '../errors.js';
import { Control } from '../layout.js';
import { bunStreams } from './bun-streams.js';
import type { Directories, ShardHost, Windows } from './host.js';
import {
  alignClock,
  type Bound,
  type DatagramOptions,
  type DoorbellToken,
  type ListenOptions,
  listenClosedError,
  type MessagePortLike,
  monotonicNs,
  placeOf,
} from './host.js';
import { nodeStreams } from './node-streams.js';
import { PortableGate } from './portable-gate.js';
import { Errno, errnoOf, PortableWindow } from './portable-window.js';
import type { Streams } from './streams.js';
import { bindPath } from './unix-path.js';

const TIMER_MAX_MS = 2 ** 31 - 1;

const SUBMIT_COUNT = Control.submitCount >> 2;
const RECYCLE_COUNT = Control.recycleCount >> 2;
const MORE_WORK = Control.moreWork >> 2;
const SUBMIT_ONLY = Control.submitOnly >> 2;
const COMPLETION_COUNT = Control.completionCount >> 2;
const ENTER_RESULT = Control.enterResult >> 2;
const SLEEPING = Control.sleeping >> 2;
const DIRTY = Control.dirty >> 2;
const READY_TAIL = Control.readyTail >> 2;
const READY_HEAD = Control.readyHead >> 2;
const NEXT_DEADLINE_NS = Control.nextDeadlineNs >> 3;
const NOW_NS = Control.nowNs >> 3;
const ENTER_COUNT = Control.enterCount >> 3;
const SLEEP_COUNT = Control.sleepCount >> 3;

const streams: Streams = process.versions.bun === undefined ? nodeStreams : bunStreams;

/** Whether several sockets can share a port here, and the kernel spreads connections over them. */
function canReusePort(): boolean {
  if (process.platform !== 'linux' && process.platform !== 'freebsd') return false;
  if (process.versions.bun !== undefined || 'Deno' in globalThis) return true;
  const [major, minor] = process.versions.node.split('.').map(Number);
  return major > 22 || (major === 22 && minor >= 12);
}

export class PortableHost implements ShardHost {
  readonly name = 'portable';
  readonly fileSlots: number;
  /** Node has reusePort since 22.12; without it the second shard that listens on a port gets EADDRINUSE. */
  readonly sharesPorts = canReusePort();
  readonly movesFiles = false;
  readonly directories: Directories;
  readonly #shard: number;
  readonly #i32: Int32Array;
  readonly #f64: Float64Array;
  readonly #window: PortableWindow;
  readonly #gate: PortableGate;
  readonly #doorbells: MessagePort[] = [];
  readonly #peers: (MessagePortLike | undefined)[] = [];
  #turn: (() => void) | undefined;
  #isScheduled = false;
  #isStepping = false;
  #isPoked = false;
  #isClosed = false;
  #timer: NodeJS.Timeout | undefined;
  #timerNs = Number.POSITIVE_INFINITY;
  #keepAlive: NodeJS.Timeout | undefined;

  constructor(windows: Windows) {
    const { memory, base } = windows;
    alignClock();
    this.#shard = windows.shard;
    this.#i32 = new Int32Array(memory.buffer, base, 128);
    this.#f64 = new Float64Array(memory.buffer, base, 64);
    this.#window = new PortableWindow(windows, this.#schedule);
    this.#gate = new PortableGate(windows, this.#window, streams, this.#peers);
    this.fileSlots = this.#gate.fileSlots;
    this.directories = this.#gate.files;
  }

  // --- the loop ------------------------------------------------------------------------------------------------------

  /** An arrow: the core imports it as it is. */
  readonly enter = (): void => {
    const i32 = this.#i32;
    this.#f64[ENTER_COUNT]++;
    if (i32[RECYCLE_COUNT] !== 0) this.#window.recycle();
    const count = i32[SUBMIT_COUNT];
    if (count !== 0) this.#gate.take(count);
    i32[SUBMIT_COUNT] = 0;
    i32[ENTER_RESULT] = count;
    if (i32[SUBMIT_ONLY] !== 0) return;
    this.#window.deliver();
    this.#f64[NOW_NS] = monotonicNs();
  };

  start(turn: () => void): void {
    this.#turn = turn;
    this.ref();
    this.#schedule();
  }

  /** Ticks run when all microtasks have, so everything that they stage goes out at once. */
  poke(): void {
    if (this.#isPoked) return;
    this.#isPoked = true;
    process.nextTick(this.#onPoked);
  }

  readonly #onPoked = (): void => {
    this.#isPoked = false;
    if (this.#isClosed || this.#turn === undefined) return;
    this.enter();
    if (this.#hasWork()) this.#schedule();
    else this.#armDeadline();
  };

  readonly #schedule = (): void => {
    if (this.#isScheduled || this.#isStepping || this.#isClosed || this.#turn === undefined) return;
    this.#isScheduled = true;
    setImmediate(this.#step);
  };

  readonly #step = (): void => {
    this.#isScheduled = false;
    if (this.#isClosed) return;
    this.#isStepping = true;
    Atomics.store(this.#i32, SLEEPING, 0);
    this.enter();
    try {
      if (this.#hasWork() || this.#f64[NOW_NS] >= this.#f64[NEXT_DEADLINE_NS]) this.#turn?.();
    } finally {
      this.#isStepping = false;
      if (!this.#isClosed) this.#settle();
    }
  };

  #hasWork(): boolean {
    const i32 = this.#i32;
    return (
      i32[COMPLETION_COUNT] !== 0 ||
      i32[MORE_WORK] !== 0 ||
      i32[READY_HEAD] !== i32[READY_TAIL] ||
      this.#window.pending !== 0 ||
      this.#isDirty()
    );
  }

  #isDirty(): boolean {
    return Atomics.load(this.#i32, DIRTY) !== 0 || Atomics.load(this.#i32, DIRTY + 1) !== 0;
  }

  /** After a turn: submits what it staged, then sees to it that the next step comes when it is needed. */
  #settle(): void {
    if (this.#i32[SUBMIT_COUNT] !== 0 || this.#i32[RECYCLE_COUNT] !== 0) this.enter();
    if (this.#hasWork()) {
      this.#schedule();
      return;
    }
    this.#armDeadline();
    Atomics.store(this.#i32, SLEEPING, 1); // R1 and R2 of park.ts
    this.#f64[SLEEP_COUNT]++;
    if (!this.#isDirty()) return;
    Atomics.store(this.#i32, SLEEPING, 0);
    this.#schedule();
  }

  /** A timer that fires before the deadline is left alone. So a deadline that moves on, as most do, costs one step. */
  #armDeadline(): void {
    const deadlineNs = this.#f64[NEXT_DEADLINE_NS];
    if (deadlineNs >= this.#timerNs) return;
    clearTimeout(this.#timer);
    const delayMs = Math.ceil((deadlineNs - monotonicNs()) / 1e6);
    this.#timerNs = deadlineNs;
    this.#timer = setTimeout(this.#onTimer, Math.max(1, Math.min(delayMs, TIMER_MAX_MS)));
    this.#timer.unref(); // what keeps the thread alive is #keepAlive
  }

  readonly #onTimer = (): void => {
    this.#timer = undefined;
    this.#timerNs = Number.POSITIVE_INFINITY;
    this.#schedule(); // too early, or the deadline has moved on: the step arms it again
  };

  ref(): void {
    if (this.#isClosed) return;
    this.#keepAlive ??= setInterval(() => {}, TIMER_MAX_MS); // a handle, not a tick: it fires every 24 days
  }

  unref(): void {
    clearInterval(this.#keepAlive);
    this.#keepAlive = undefined;
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.unref();
    clearTimeout(this.#timer);
    this.#gate.close();
    for (const port of this.#doorbells) port.close();
    this.#peers.length = 0;
  }

  // --- peers ---------------------------------------------------------------------------------------------------------

  doorbells(shardCount: number): DoorbellToken[] {
    return Array.from({ length: shardCount }, (_, peer) => {
      if (peer === this.#shard) return -1; // nobody rings at home
      const { port1, port2 } = new MessageChannel();
      port1.on('message', this.#schedule);
      port1.unref();
      this.#doorbells.push(port1);
      return port2;
    });
  }

  setPeer(peer: number, token: DoorbellToken | undefined): void {
    if (typeof token === 'number') throw new FeatherstarError('FEATHERSTAR_INTERNAL', 'a portable peer is a port');
    this.#peers[peer] = token;
  }

  // --- listening -----------------------------------------------------------------------------------------------------

  /** Node binds a socket one tick later, so this one answers later. */
  async listen(options: ListenOptions): Promise<Bound> {
    const { address, port, backlog } = options;
    const what = placeOf(options);
    const path = address.startsWith('unix:') ? address.slice('unix:'.length) : undefined;
    const isAddress = path === undefined ? isIP(address) !== 0 : path !== '';
    if (!isAddress) throw systemError('listen', Errno.EINVAL, what);
    const listener = this.#gate.listener(backlog);
    const slot = this.#gate.grant(listener);
    if (slot < 0) throw systemError('listen', Errno.ENFILE, what);
    const reusePort = path === undefined && options.reusePort && this.sharesPorts;
    try {
      if (reusePort && options.isFirst && port !== 0) await probe(address, port);
      if (this.#isClosed) throw listenClosedError();
      if (path === undefined) await listener.server.listen({ host: address, port, reusePort, backlog });
      else {
        const begin = async () => {
          if (this.#isClosed) throw listenClosedError();
          try {
            await listener.server.listen({ path, backlog });
          } catch (error) {
            throw FeatherstarError.is(error) ? error : systemError('listen', errnoOf(error), what);
          }
        };
        listener.unlink = (await bindPath(path, begin)).unlink;
      }
    } catch (error) {
      this.#gate.withdraw(slot);
      throw FeatherstarError.is(error) ? error : systemError('listen', errnoOf(error), what);
    }
    return { slot, port: path === undefined ? listener.server.port : 0 };
  }

  async bindDatagrams(options: DatagramOptions): Promise<Bound> {
    const reusePort = options.reusePort && this.sharesPorts;
    if (reusePort && options.isFirst && options.port !== 0) {
      const alone = openDatagrams(options, false);
      await bindDatagramSocket(alone, options); // rejects if anybody is there
      alone.close();
    }
    if (this.#isClosed) throw listenClosedError();
    const socket = openDatagrams(options, reusePort);
    const file = this.#gate.datagrams(socket);
    const slot = this.#gate.grant(file);
    if (slot < 0) {
      file.close();
      throw systemError('bind', Errno.ENFILE, placeOf(options));
    }
    try {
      await bindDatagramSocket(socket, options);
    } catch (error) {
      this.#gate.withdraw(slot);
      throw error;
    }
    file.watch();
    return { slot, port: socket.address().port };
  }
}

/** Node knows reusePort since 22.12, its types here not yet. An address is not looked up, so nothing waits for it. */
function openDatagrams({ address }: DatagramOptions, reusePort: boolean): DatagramSocket {
  const family = isIP(address);
  type Lookup = (error: null, address: string, family: number) => void;
  const lookup = (host: string, _options: unknown, callback: Lookup) => callback(null, host, isIP(host));
  const options = { type: family === 6 ? 'udp6' : 'udp4', lookup, ...(reusePort ? { reusePort } : {}) };
  return createSocket(options as SocketOptions);
}

function bindDatagramSocket(socket: DatagramSocket, options: DatagramOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const onClose = () => reject(listenClosedError());
    const onError = (error: unknown) => {
      socket.off('close', onClose);
      reject(systemError('bind', errnoOf(error), placeOf(options)));
    };
    socket.once('error', onError);
    socket.once('close', onClose);
    socket.bind({ address: options.address, port: options.port, exclusive: true }, () => {
      socket.off('error', onError);
      socket.off('close', onClose);
      resolve();
    });
  });
}

/** Rejects if anybody listens there: a socket that does not share its port cannot be bound beside one that does. */
async function probe(host: string, port: number): Promise<void> {
  const server = streams.serve(
    (stream) => stream.destroy(),
    () => {},
  );
  await server.listen({ host, port, reusePort: false, backlog: 1 });
  server.close();
}

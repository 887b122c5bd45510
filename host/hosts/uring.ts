// The uring host: host/native checks and submits what the core staged. On Node its loop is inverted: a libuv prepare
// handle blocks in io_uring_enter, which also watches libuv's own descriptor. So timers, fs and ports go on working
// (host/native/loop.c). On Bun and Deno, which have no libuv to offer, an adaptive pump does (pump.ts).

import { createRequire } from 'node:module';
import { FeatherstarError, systemError } from '../base/errors.js';
import { Errno } from '../core/kernel.js';
import { encodeRules } from '../net/network-rules.js';
import { SenderNames } from '../net/udp-address.js';
import type { NativeTls, OpenNativeTls } from '../tls/record-engine.js';
import {
  alignClock,
  type Bound,
  type DatagramOptions,
  type Directories,
  type DoorbellToken,
  descriptorName,
  type GivenListeners,
  GRANT_SLOTS,
  type HostListenOptions,
  type LentBytes,
  type ListeningAt,
  listenClosedError,
  type NetAddress,
  type Parking,
  placeOf,
  type ShardHost,
  type Windows,
} from './host.js';
import { Pump } from './pump.js';
import { readDirectory, readLinkIn } from './read-directory.js';
import { bindPath } from './unix-path.js';
import { countIdle, endIdle, isNode } from './utilization.js';

interface NativeRing {
  readonly fd: number;
  readonly flags: number;
  readonly features: number;
  readonly fileSlots: number;
  enter(): void;
  wait(timeoutNs: number): void;
  start(turn: () => void): number;
  stop(): void;
  ref(): void;
  unref(): void;
  close(): boolean;
  listen(
    address: string,
    port: number,
    backlog: number,
    flags: number,
    unreachableMs: number,
  ): { slot: number; port: number; address: string } | { errno: number; syscall: string };
  endHandshakes(slot: number): number;
  hearAll(slot: number): number;
  setPeer(shard: number, ringFd: number): number;
  setSocketPath(index: number, path: string | undefined): number;
  address(slot: number, which: number, sockaddr: Uint8Array): number;
  keepAlive(slot: number, idleSeconds: number): number;
  openDirectory(path: string, parent: number, crossMounts: 0 | 1): number;
  closeDirectory(index: number): number;
  directoryFd(index: number): number;
}

interface NativeAddon {
  probe(): number;
  open(
    memory: Uint8Array,
    blocks: Uint8Array,
    options: Record<string, number>,
    rules: Uint8Array | undefined,
    lent: LentBytes,
    targets: Windows['targets'],
  ): NativeRing;
  openTls: OpenNativeTls;
  monotonicNs(): number;
  pin(cpus: number | readonly number[]): number;
  affinity(): number[];
}

const LISTEN_REUSE_PORT = 1;
const LISTEN_FIRST = 4;
const LISTEN_DATAGRAMS = 8;
const LISTEN_GIVEN = 16;
const LISTEN_LOOK = 32;

const OWN_END = 0;
const PEER_END = 1;
const KEEP_ALIVE_MAX_S = 32_767; // the kernel's

const sockaddr = Buffer.alloc(128); // the addon writes addresses here
const names = new SenderNames(sockaddr);

// Two shards cannot sleep in one event loop: the doorbells of one do not wake the other. Copies of this package that
// are loaded in one thread know nothing of each other but this.
const IN_USE = Symbol.for('featherstar.uring');

/** Whether a shard of any copy of this package runs on io_uring in this thread. */
export function isThreadInUse(): boolean {
  return Reflect.get(globalThis, IN_USE) === true;
}

let loaded: NativeAddon | undefined;

/** Loads the addon that is in the package. Throws what `require` throws when it is absent or cannot be loaded. */
export function loadAddon(): NativeAddon {
  if (loaded === undefined) {
    const require = createRequire(import.meta.url);
    loaded = require(`../../native/linux-${process.arch}.node`) as NativeAddon;
  }
  return loaded;
}

export class UringHost implements ShardHost {
  readonly name = 'uring';
  readonly sharesPorts = true;
  readonly movesFiles = true;
  readonly keepsLentBytes = false;
  readonly receivesIntoLent = true;
  readonly fileSlots: number;
  readonly directories: Directories = {
    open: (path, parent = -1, crossMounts = false) => this.#ring.openDirectory(path, parent, crossMounts ? 1 : 0),
    close: (index) => {
      if (!this.#isClosed) this.#ring.closeDirectory(index);
    },
    list: (index) => readDirectory(`/proc/self/fd/${this.#ring.directoryFd(index)}`),
    readLink: (index, name) => readLinkIn(`/proc/self/fd/${this.#ring.directoryFd(index)}`, name),
  };
  readonly given: GivenListeners = {
    look: (fd) => this.#given(fd, LISTEN_LOOK, 0),
    take: (fd, unreachableMs = 0) => this.#given(fd, 0, unreachableMs),
  };
  /** An arrow around the native function: V8 of Node 20 calls it from Wasm in half the time. */
  readonly enter: () => void;
  readonly #ring: NativeRing;
  readonly #windows: Windows;
  #pump: Pump | undefined;
  #isClosed = false;

  constructor(windows: Windows) {
    const { memory, blocks, header, base } = windows;
    this.#windows = windows;
    try {
      const rules = windows.network?.connect && encodeRules(windows.network.connect);
      const limits = {
        shardBase: base,
        sqeOffset: header.sqeOffset,
        sqeSlots: header.sqeSlots,
        cqeOffset: header.cqeOffset,
        cqeSlots: header.cqeSlots,
        recycleOffset: header.recycleOffset,
        recvOffset: header.recvOffset,
        recvBufferCount: header.recvBufferCount,
        recvBufferBytes: header.recvBufferBytes,
        largeRecvBufferCount: header.largeRecvBufferCount,
        largeRecvBufferBytes: header.largeRecvBufferBytes,
        fileSlots: header.connectionSlots,
        grantSlots: GRANT_SLOTS,
      };
      const bytes = new Uint8Array(memory.buffer);
      const { lent, targets } = windows;
      this.#ring = loadAddon().open(bytes, new Uint8Array(blocks), limits, rules, lent, targets);
    } catch (cause) {
      const { errno, syscall } = cause as { errno?: number; syscall?: string };
      if (errno === undefined) throw cause;
      throw systemError(syscall ?? 'io_uring_setup', errno);
    }
    const ring = this.#ring;
    alignClock(() => loadAddon().monotonicNs());
    this.fileSlots = ring.fileSlots;
    this.enter = () => ring.enter();
  }

  start(turn: () => void, core: Parking): void {
    Reflect.set(globalThis, IN_USE, true);
    if (isNode) {
      const result = this.#ring.start(turn);
      if (result < 0) throw systemError('uv_prepare_start', result);
      countIdle(this.#windows.memory, this.#windows.base);
      return;
    }
    const ring = this.#ring;
    this.#pump = new Pump(this.#windows, turn, core, (ns) => ring.wait(ns));
    this.#pump.start();
  }

  /** Nothing to do: the loop looks at the window each time round. */
  poke(): void {}

  listen(options: HostListenOptions): Bound | Promise<Bound> {
    const { address } = options;
    return address.startsWith('unix:') ? this.#listenOnPath(options) : this.#listen(options);
  }

  async #listenOnPath(options: HostListenOptions): Promise<Bound> {
    const path = options.address.slice('unix:'.length);
    const { bound, unlink } = await bindPath(path, () => {
      if (this.#isClosed) throw listenClosedError();
      return this.#listen({ ...options, reusePort: false }); // with it the address is bound twice: see LISTEN_FIRST
    });
    return { ...bound, unlink };
  }

  bindDatagrams(options: DatagramOptions): Bound {
    return this.#listen({ ...options, backlog: 0 }, LISTEN_DATAGRAMS);
  }

  #listen(options: HostListenOptions, kind = 0): Bound {
    const flags = kind | (options.reusePort ? LISTEN_REUSE_PORT : 0) | (options.isFirst ? LISTEN_FIRST : 0);
    const { address, port, backlog, unreachableMs = 0 } = options;
    const answer = this.#ring.listen(address, port, backlog, flags, unreachableMs);
    if ('errno' in answer) throw systemError(answer.syscall, answer.errno, placeOf(options));
    return answer;
  }

  #given(fd: number, flags: number, unreachableMs: number): Bound & ListeningAt {
    const answer = this.#ring.listen('', fd, 0, flags | LISTEN_GIVEN, unreachableMs);
    if ('errno' in answer) throw systemError(answer.syscall, answer.errno, descriptorName(fd));
    return { ...answer, isShared: true };
  }

  openTls(output: Uint8Array, results: Uint32Array): NativeTls | undefined {
    return loadAddon().openTls(output, results);
  }

  endHandshakes(slot: number): boolean {
    const result = this.#ring.endHandshakes(slot);
    if (result < 0) warnOfLost(result);
    return result > 0;
  }

  hearAll(file: number): void {
    const result = this.#ring.hearAll(file);
    if (result < 0) warnOfLost(result);
  }

  setSocketPath(index: number, path: string | undefined): void {
    const result = this.#ring.setSocketPath(index, path);
    if (result < 0) throw systemError('connect', result, path);
  }

  remoteOf(file: number): NetAddress | undefined {
    return this.#addressOf(file, PEER_END, 'getpeername');
  }

  localOf(file: number): NetAddress | undefined {
    return this.#addressOf(file, OWN_END, 'getsockname');
  }

  keepAlive(file: number, isOn: boolean, idleMs: number): void {
    if (!this.#isClosed) this.#ring.keepAlive(file, isOn ? Math.min(Math.floor(idleMs / 1000), KEEP_ALIVE_MAX_S) : -1);
  }

  #addressOf(file: number, which: number, syscall: string): NetAddress | undefined {
    if (this.#isClosed) return undefined;
    const result = this.#ring.address(file, which, sockaddr);
    if (result < 0 && result !== Errno.ENOTCONN) throw systemError(syscall, result);
    return result > 0 ? { hostname: names.addressAt(0), port: names.portAt(0) } : undefined;
  }

  doorbell(): DoorbellToken {
    return this.#ring.fd;
  }

  setPeer(peer: number, token: DoorbellToken | undefined): void {
    if (typeof token === 'object') throw new FeatherstarError('FEATHERSTAR_INTERNAL', 'a uring peer is a descriptor');
    const result = this.#ring.setPeer(peer, token ?? -1);
    if (result < 0) throw systemError('dup', result);
  }

  ref(): void {
    if (this.#pump === undefined) this.#ring.ref();
  }

  unref(): void {
    if (this.#pump === undefined) this.#ring.unref();
  }

  close(): void {
    if (isNode && !this.#isClosed) endIdle();
    if (!this.#isClosed) Reflect.deleteProperty(globalThis, IN_USE);
    this.#isClosed = true;
    this.#pump?.stop();
    if (isNode) this.#ring.stop();
    this.#ring.close();
  }
}

function warnOfLost(errno: number): void {
  const { message } = systemError('setsockopt', errno);
  process.emitWarning(`connections may be lost while a listener closes: ${message}`, 'Featherstar');
}

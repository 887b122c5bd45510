// The options of Runtime.start(), checked once. From here on every value is there, of its type and within its limits.
//
//   options, environment --> checkOptions() --> Checked --> runtime.ts, worker.ts

import { optionError } from '../base/errors.js';
import {
  type Checks,
  checkedLater,
  checkNumber,
  checkOptions,
  checkUrl,
  number,
  oneOf,
  signal,
} from '../base/options.js';
import { planShardBytes, sharedBytesMost } from '../core/core.js';
import { type Limits, SEND_STAGGER, SHARDS_MAX } from '../core/layout.js';
import { checkLimits, HIGHEST_LIMITS, LIMIT_MAX } from '../core/limits.js';
import type { HostFactory, HostName } from '../hosts/host.js';
import { pick } from '../hosts/pick.js';
import { checkNetwork, type NetworkOptions, type NetworkRules } from '../net/network-rules.js';
import { parseCpuList, usableProcessors } from './cpus.js';
import { withEnvironment } from './flags.js';

/** Options of `Runtime.start()`. docs/runtime.md has a table of them. */
export interface RuntimeOptions {
  /** Number of shards, 1 to 64, or 'auto': one for each processor that this process may use and its quota pays for. */
  shards?: number | 'auto' | undefined;
  /**
   * The module whose exported functions shards call on each other; loaded in every shard. Not the module that awaits
   * start() at its top level: it would wait for itself.
   */
  module?: URL | string | undefined;
  /** 'auto' picks uring where it works. FEATHERSTAR_HOST outranks this. */
  host?: HostName | 'auto' | undefined;
  /**
   * Processors for the shards, in shard order: '0-3,5' or [0, 1, 2, 3, 5]; or 'none'. By 'auto' (the default) workers
   * are pinned if taskset or a cpuset has given the process a processor for each shard.
   */
  cpuset?: string | readonly number[] | undefined;
  /**
   * Memory of a shard in bytes, or as '64M', '1G'. The tables take their part. Arena and send buffers share the rest,
   * as far as `limits` does not say how large they are.
   */
  memoryPerShard?: number | string | undefined;
  /**
   * Memory of a shard for allocate() in bytes, or as '64M'; beside memoryPerShard, and touched only when it is used.
   * Default 64M, or its part of 4 GiB for each shard.
   */
  sharedBytes?: number | string | undefined;
  /** Longest poll of ring and mail before a sleep, µs; 0 = none. */
  idlePollUs?: number | undefined;
  /** Longest run of tasks in one turn, µs. */
  taskQuotaUs?: number | undefined;
  /** A step of a task that takes longer is reported, ms; 0 = none is. Default 25. */
  stallMs?: number | undefined;
  /** A failed task that no code awaits is a process warning, or an uncaught exception. */
  unhandled?: 'warn' | 'throw' | undefined;
  /** How long close() waits for what runs before it cancels that, ms. Default 4500. */
  shutdownTimeoutMs?: number | undefined;
  /** For debugging, and slower: late writes to blocks are found, and writes between shards' parts of memory. */
  checkMemory?: boolean | undefined;
  /** Sizes of the tables, and so what a shard can hold: docs/limits.md. */
  limits?: Partial<Limits> | undefined;
  /** Narrows what of the network shards can reach. Default: all of it. */
  network?: NetworkOptions | undefined;
  /** Gives up starting. Everything that has begun is stopped, and start() rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
}

export interface Checked {
  shards: number;
  module: string | undefined;
  factory: HostFactory;
  cpuset: 'auto' | 'none' | readonly number[];
  idlePollNs: number;
  quotaNs: number;
  stallMs: number;
  unhandled: 'warn' | 'throw';
  shutdownTimeoutMs: number;
  limits: Limits;
  sharedBytes: number;
  checkMemory: boolean;
  network: NetworkRules | undefined;
}

export const IDLE_POLL_US = 100;
const TASK_QUOTA_US = 500;
const STALL_MS = 25;
export const SHUTDOWN_TIMEOUT_MS = 4500;
export const SHARED_BYTES = 67_108_864;
const TIME_MAX_MS = 3_600_000;
const CPU_MAX = 1023; // of a cpu_set_t

export function checkCloseTimeout(ms: unknown): number {
  return checkNumber('timeoutMs', ms, 0, TIME_MAX_MS, 'milliseconds');
}

// --- memory ----------------------------------------------------------------------------------------------------------

const MEMORY_MAX_BYTES = 2 ** 32;
const LEAST_ARENA_BYTES = 65_536;
const LEAST_SEND_BUFFERS = 16;
const PAGE_BYTES = 65_536;
const PLACE_BYTES = 4096; // the arena grows by these: what lies behind it stays aligned as it is
const UNITS = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 };

function checkBytes(value: number | string, name = 'memoryPerShard'): number {
  const [, digits, unit = ''] = /^(\d+)([KMG]?)$/i.exec(String(value)) ?? [];
  const bytes = Number(digits) * UNITS[unit.toUpperCase() as keyof typeof UNITS];
  if ((typeof value !== 'number' && typeof value !== 'string') || !(bytes > 0 && bytes <= MEMORY_MAX_BYTES)) {
    throw optionError(name, value, "bytes, or as '64M' or '1G', up to 4G");
  }
  return bytes;
}

/** Shares what the tables leave of `bytes` between arena and send buffers. `partial`: what is not to be touched. */
function fitMemory(bytes: number, shards: number, limits: Limits, partial: Partial<Limits>): Limits {
  const fixed = { ...limits };
  if (partial.arenaBytes === undefined) fixed.arenaBytes = LEAST_ARENA_BYTES;
  if (partial.sendBufferCount === undefined) fixed.sendBufferCount = LEAST_SEND_BUFFERS;
  const least = planShardBytes(shards, fixed);
  if (bytes < least) {
    const wanted = `at least ${least} (${Math.ceil(least / UNITS.M)}M): the tables take that; limits make them smaller`;
    throw optionError('memoryPerShard', bytes, wanted);
  }
  const spare = bytes - (bytes % PAGE_BYTES) - least;
  const isShared = partial.arenaBytes === undefined && partial.sendBufferCount === undefined;
  const part = isShared ? spare / 2 : spare;
  if (partial.arenaBytes === undefined) {
    fixed.arenaBytes = Math.min(fixed.arenaBytes + part - (part % PLACE_BYTES), HIGHEST_LIMITS.arenaBytes as number);
  }
  if (partial.sendBufferCount === undefined) {
    const stride = limits.sendBufferBytes + SEND_STAGGER;
    fixed.sendBufferCount = Math.min(fixed.sendBufferCount + Math.floor(part / stride), LIMIT_MAX);
  }
  return fixed;
}

function checkSharedBytes(value: number | string | undefined, shards: number, limits: Limits): number {
  const most = sharedBytesMost(shards, limits);
  if (value === undefined) return Math.min(SHARED_BYTES, most);
  const bytes = checkBytes(value, 'sharedBytes');
  const wanted = `at most ${most}: the blocks of all shards fit into 4 GiB together`;
  if (bytes > most) throw optionError('sharedBytes', value, wanted);
  return Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES;
}

// --- processors ------------------------------------------------------------------------------------------------------

const CPUSET_WANTED = `'auto', 'none', or processors from 0 to ${CPU_MAX} as '0-3,5' or [0, 1, 2, 3, 5], each once`;

function checkCpuset(value: unknown): Checked['cpuset'] {
  if (value === 'auto' || value === 'none') return value;
  const cpus = typeof value === 'string' ? parseCpuList(value) : value;
  const isCpu = (cpu: unknown) => Number.isInteger(cpu) && (cpu as number) >= 0 && (cpu as number) <= CPU_MAX;
  if (!Array.isArray(cpus) || cpus.length === 0 || !cpus.every(isCpu) || new Set(cpus).size !== cpus.length) {
    throw optionError('cpuset', value, CPUSET_WANTED);
  }
  return cpus;
}

// --- all of them -----------------------------------------------------------------------------------------------------

function checkShards(shards: unknown, cpuset: Checked['cpuset']): number {
  const most = typeof cpuset === 'string' ? usableProcessors() : cpuset.length;
  if (shards === 'auto') return Math.min(most, SHARDS_MAX);
  if (!Number.isInteger(shards) || (shards as number) < 1 || (shards as number) > SHARDS_MAX) {
    throw optionError('shards', shards, `'auto' or an integer from 1 to ${SHARDS_MAX}`);
  }
  if (typeof cpuset !== 'string' && (shards as number) > most) {
    throw optionError('cpuset', cpuset.join(','), `one processor for each of ${shards} shards`);
  }
  return shards as number;
}

const CHECKS: Checks<RuntimeOptions> = {
  shards: checkedLater,
  module: checkUrl,
  host: checkedLater,
  cpuset: checkedLater,
  memoryPerShard: checkedLater,
  sharedBytes: checkedLater,
  idlePollUs: number(0, 1e6, 'microseconds'),
  taskQuotaUs: number(0, 1e6, 'microseconds'),
  stallMs: number(0, TIME_MAX_MS, 'milliseconds'),
  unhandled: oneOf('warn', 'throw'),
  shutdownTimeoutMs: number(0, TIME_MAX_MS, 'milliseconds'),
  checkMemory: checkSwitch,
  limits: checkedLater,
  network: checkedLater,
  signal,
};

/** Also 1 and 0, as the environment has them. */
function checkSwitch(name: string, value: unknown): boolean {
  if (value === true || value === 1) return true;
  if (value === undefined || value === false || value === 0) return false;
  throw optionError(name, value, 'true or false (1 or 0)');
}

export function checkRuntimeOptions(given: RuntimeOptions): Checked {
  checkOptions(given, CHECKS);
  const options = checkOptions(withEnvironment(given, process.env), CHECKS);
  const { host, memoryPerShard, module, unhandled = 'warn', limits: partial = {} } = options;
  const { idlePollUs = IDLE_POLL_US, taskQuotaUs = TASK_QUOTA_US, stallMs = STALL_MS } = options;
  const cpuset = checkCpuset(options.cpuset ?? 'auto');
  const shards = checkShards(options.shards === undefined ? 'auto' : options.shards, cpuset);
  const asked = checkLimits(partial);
  const limits = memoryPerShard === undefined ? asked : fitMemory(checkBytes(memoryPerShard), shards, asked, partial);
  return {
    shards,
    module: module === undefined ? undefined : String(module),
    factory: pick(host),
    cpuset,
    idlePollNs: idlePollUs * 1000,
    quotaNs: taskQuotaUs * 1000,
    stallMs,
    unhandled,
    shutdownTimeoutMs: options.shutdownTimeoutMs ?? SHUTDOWN_TIMEOUT_MS,
    limits,
    checkMemory: checkSwitch('checkMemory', options.checkMemory),
    network: checkNetwork(options.network),
    sharedBytes: checkSharedBytes(options.sharedBytes, shards, limits),
  };
}

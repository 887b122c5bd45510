// What Runtime.start() takes, checked once: from here on every value is there, of its type and within its limits.
//
//   options, environment --> checkOptions() --> Checked --> runtime.ts, worker.ts

import { checkNames, optionError } from '../base/errors.js';
import { planShardBytes, sharedBytesMost } from '../core/core.js';
import { type Limits, SEND_STAGGER, SHARDS_MAX } from '../core/layout.js';
import { checkLimits, HIGHEST_LIMITS, LIMIT_MAX } from '../core/limits.js';
import type { HostFactory, HostName } from '../hosts/host.js';
import { pick } from '../hosts/pick.js';
import { checkNetwork, type NetworkOptions, type NetworkRules } from '../net/network-rules.js';
import { parseCpuList, usableProcessors } from './cpus.js';
import { withEnvironment } from './flags.js';

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
   * Processors for the shards, in shard order: '0-3,5' or [0, 1, 2, 3, 5]; or 'none'. 'auto' (default) pins workers
   * where taskset or a cpuset has set as many processors aside as there are shards.
   */
  cpuset?: string | readonly number[] | undefined;
  /**
   * Memory of a shard in bytes, or as '64M', '1G'. What the tables leave of it is shared by arena and send buffers, as
   * far as `limits` does not say how large they are.
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
  /** What becomes of a failed task that nobody awaits: a process warning, or an exception nobody catches. */
  unhandled?: 'warn' | 'throw' | undefined;
  /** How long close() waits for what runs before it cancels that, ms. Default 4500. */
  shutdownTimeoutMs?: number | undefined;
  /** For debugging, and slower: late writes to blocks are found, and writes between shards' parts of memory. */
  checkMemory?: boolean | undefined;
  limits?: Partial<Limits> | undefined;
  /** Narrows what of the network shards can reach. Default: all of it. */
  network?: NetworkOptions | undefined;
  /** Gives up starting. What has begun is stopped, and start() rejects with the signal's reason. */
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
const SHUTDOWN_TIMEOUT_MS = 4500;
export const SHARED_BYTES = 67_108_864;
const TIME_MAX_MS = 3_600_000;
const CPU_MAX = 1023; // of a cpu_set_t

function inRange(name: string, value: unknown, max: number, unit: string): number {
  if (typeof value !== 'number' || !(value >= 0 && value <= max))
    throw optionError(name, value, `${unit}, 0 to ${max}`);
  return value;
}

export function checkTimeout(ms: unknown, name = 'timeoutMs'): number {
  return inRange(name, ms, TIME_MAX_MS, 'ms');
}

// --- memory ----------------------------------------------------------------------------------------------------------

const MEMORY_MAX_BYTES = 2 ** 32;
const LEAST_ARENA_BYTES = 65_536;
const LEAST_SEND_BUFFERS = 16;
const PAGE_BYTES = 65_536;
const PLACE_BYTES = 4096; // the arena grows by these: what lies behind it stays aligned as it is
const UNITS: Record<string, number> = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 };

function checkBytes(value: number | string, name = 'memoryPerShard'): number {
  const [, digits, unit = ''] = /^(\d+)([KMG]?)$/i.exec(String(value)) ?? [];
  const bytes = Number(digits) * UNITS[unit.toUpperCase()];
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

const NAMES = {
  shards: 1,
  module: 1,
  host: 1,
  cpuset: 1,
  memoryPerShard: 1,
  sharedBytes: 1,
  idlePollUs: 1,
  taskQuotaUs: 1,
  stallMs: 1,
  unhandled: 1,
  shutdownTimeoutMs: 1,
  checkMemory: 1,
  limits: 1,
  network: 1,
  signal: 1,
} satisfies Record<keyof RuntimeOptions, 1>;

/** Also 1 and 0, as the environment has them. */
function checkSwitch(name: string, value: unknown): boolean {
  if (value === true || value === 1) return true;
  if (value === undefined || value === false || value === 0) return false;
  throw optionError(name, value, 'true or false (1 or 0)');
}

/** The text of a module's URL. A path would be one beside this file, to `import()`. */
export function checkModule(module: unknown): string | undefined {
  if (module === undefined || module instanceof URL || (typeof module === 'string' && URL.canParse(module))) {
    return module === undefined ? undefined : String(module);
  }
  throw optionError('module', module, "a URL, as new URL('./shard.js', import.meta.url)");
}

export function checkOptions(given: RuntimeOptions): Checked {
  if (typeof given !== 'object' || given === null) throw optionError('options', given, 'an object');
  checkNames(given, NAMES);
  const options = withEnvironment(given, process.env);
  const { host, memoryPerShard, unhandled = 'warn', limits: partial = {} } = options;
  const cpuset = checkCpuset(options.cpuset ?? 'auto');
  const shards = checkShards(options.shards === undefined ? 'auto' : options.shards, cpuset);
  if (unhandled !== 'warn' && unhandled !== 'throw') throw optionError('unhandled', unhandled, "'warn' or 'throw'");
  const asked = checkLimits(partial);
  const limits = memoryPerShard === undefined ? asked : fitMemory(checkBytes(memoryPerShard), shards, asked, partial);
  return {
    shards,
    module: checkModule(options.module),
    factory: pick(host),
    cpuset,
    idlePollNs: inRange('idlePollUs', options.idlePollUs ?? IDLE_POLL_US, 1e6, 'µs') * 1000,
    quotaNs: inRange('taskQuotaUs', options.taskQuotaUs ?? TASK_QUOTA_US, 1e6, 'µs') * 1000,
    stallMs: inRange('stallMs', options.stallMs ?? STALL_MS, TIME_MAX_MS, 'ms'),
    unhandled,
    shutdownTimeoutMs: inRange(
      'shutdownTimeoutMs',
      options.shutdownTimeoutMs ?? SHUTDOWN_TIMEOUT_MS,
      TIME_MAX_MS,
      'ms',
    ),
    limits,
    checkMemory: checkSwitch('checkMemory', options.checkMemory),
    network: checkNetwork(options.network),
    sharedBytes: checkSharedBytes(options.sharedBytes, shards, limits),
  };
}

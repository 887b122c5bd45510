// Which processors shards run on: how many of them there are to use, and which shard is kept on which.
//
// A pinned thread cannot make way when another process takes its processor. So 'auto' pins only where the processors
// are this process's own: RATIONALE.md has the reasons. Shard 0 is the caller's thread, whose mask its children
// inherit: only an explicit cpuset touches it, and close() gives it its old mask back.

import { readFileSync } from 'node:fs';
import { access } from 'node:fs/promises';
import { availableParallelism, cpus as processorsOfMachine } from 'node:os';
import { optionError, systemError } from '../base/errors.js';
import { loadAddon } from '../hosts/uring.js';

/** The processor of each shard, undefined where it is not pinned; and a text about it. */
export interface Pinning {
  readonly cpus: readonly (number | undefined)[];
  readonly text: string;
}

/** '0-3,5' as a list, as the kernel writes it; undefined if it is none. */
export function parseCpuList(text: string): number[] | undefined {
  const cpus: number[] = [];
  for (const part of text.trim().split(',')) {
    const [, first, last = first] = /^(\d{1,4})(?:-(\d{1,4}))?$/.exec(part.trim()) ?? [];
    if (first === undefined || Number(last) < Number(first)) return undefined;
    for (let cpu = Number(first); cpu <= Number(last); cpu++) cpus.push(cpu);
  }
  return cpus;
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined; // no cgroups here, or none that this process may look at: then there is no quota to keep
  }
}

/** The CPU quota of the process's control group and of those above it, in processors (cpu.max; cgroup v2). */
export function quotaOfGroup(self = '/proc/self/cgroup', root = '/sys/fs/cgroup'): number {
  let group = /^0::(\/.*)$/m.exec(readIfThere(self) ?? '')?.[1] ?? '/';
  let least = Number.POSITIVE_INFINITY;
  for (;;) {
    const [, quota, period] = /^(\d+) (\d+)/.exec(readIfThere(`${root}${group}/cpu.max`) ?? '') ?? [];
    if (quota !== undefined) least = Math.min(least, Number(quota) / Number(period));
    if (group === '/' || group === '') return least;
    group = group.slice(0, group.lastIndexOf('/'));
  }
}

/** How many shards can run at the same time: the process's affinity mask, cut to what its group's quota pays for. */
export function usableProcessors(): number {
  return Math.max(1, Math.min(availableParallelism(), Math.floor(quotaOfGroup())));
}

function unpinned(shards: number, why: string): Pinning {
  return { cpus: new Array(shards).fill(undefined), text: `not pinned: ${why}` };
}

function addonObstacle(): string | undefined {
  if (process.platform !== 'linux') return `this is ${process.platform}, and only Linux can`;
  try {
    loadAddon();
    return undefined;
  } catch (error) {
    return `the addon cannot be loaded (${(error as { code?: string }).code ?? error})`;
  }
}

/** Decides who runs where. Throws FEATHERSTAR_OPTION for processors that this process may not use. */
export function planPinning(cpuset: 'auto' | 'none' | readonly number[], shards: number): Pinning {
  if (cpuset === 'none') return unpinned(shards, 'cpuset is none');
  const obstacle = addonObstacle();
  if (obstacle !== undefined) return unpinned(shards, obstacle);
  const allowed = loadAddon().affinity();
  if (cpuset !== 'auto') {
    if (!cpuset.every((cpu) => allowed.includes(cpu))) {
      throw optionError('cpuset', cpuset.join(','), `among the processors of this process, ${allowed.join(',')}`);
    }
    const cpus = cpuset.slice(0, shards);
    return { cpus, text: `pinned to ${cpus.join(',')}` };
  }
  return pinByItself(shards, allowed, processorsOfMachine().length);
}

/** 'auto': workers, where the processors are this process's own. Exported for tests: a machine has one answer. */
export function pinByItself(shards: number, allowed: readonly number[], ofMachine: number): Pinning {
  if (shards === 1) return unpinned(shards, 'one shard is the thread that started it');
  if (shards !== allowed.length) return unpinned(shards, `${shards} shards, ${allowed.length} processors`);
  if (allowed.length >= ofMachine) {
    return unpinned(shards, 'no processors were set aside for this process (cpuset, taskset)');
  }
  const workers = allowed.slice(1);
  return { cpus: [undefined, ...workers], text: `workers pinned to ${workers.join(',')}` };
}

/**
 * The first use of Node's pool makes all its threads, and they inherit the processors of the thread that uses it. So
 * the pool is used once before a thread is pinned.
 */
export async function startThreadPool(): Promise<void> {
  await access(new URL(import.meta.url)).catch(() => undefined); // only the thread counts, not the answer
}

/** Keeps this thread on one processor, or on several. Throws FEATHERSTAR_SYSTEM. */
export function pinThread(cpus: number | readonly number[]): void {
  const result = loadAddon().pin(cpus);
  if (result < 0) throw systemError('sched_setaffinity', result, String(cpus));
}

/** Pins the caller's thread; returns a function that undoes it. */
export function pinCaller(cpu: number): () => void {
  const before = loadAddon().affinity();
  pinThread(cpu);
  return () => pinThread(before);
}

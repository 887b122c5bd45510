// The `limits` that users give, checked once: sizes that the core's tables and rings can have. On every host.

import { optionError } from '../base/errors.js';
import { type Check, type Checks, checkInteger, checkOptions } from '../base/options.js';
import { DEFAULT_LIMITS } from './core-module.js';
import type { Limits } from './layout.js';

const POWERS_OF_TWO = ['ringSlots', 'sqeSlots', 'cqeSlots', 'readySlots', 'recvBufferCount', 'largeRecvBufferCount'];

// The highest values: the core cannot count further (assembly/layout.ts, LIMIT_MAX), or the gate accepts no more
// (host/native/addon.c, read_options).
export const LIMIT_MAX = 2 ** 25;
const LOWEST_LIMITS: Partial<Record<keyof Limits, number>> = { connectionSlots: 17 }; // 16 are the listeners'
export const HIGHEST_LIMITS: Partial<Record<keyof Limits, number>> = {
  sqeSlots: 32_768,
  cqeSlots: 65_536,
  recvBufferCount: 32_768,
  recvBufferBytes: 2 ** 24,
  largeRecvBufferCount: 16_384, // all of them have numbers of 16 bits
  largeRecvBufferBytes: 2 ** 24,
  connectionSlots: 2 ** 20,
  arenaBytes: 2 ** 31,
  scratchBytes: 2 ** 31,
};

const CHECKS = Object.fromEntries(
  Object.keys(DEFAULT_LIMITS).map((key) => {
    const least = LOWEST_LIMITS[key as keyof Limits] ?? 1;
    const most = HIGHEST_LIMITS[key as keyof Limits] ?? LIMIT_MAX;
    const check: Check = (name, value) => {
      checkInteger(name, value, least, most);
      if (POWERS_OF_TWO.includes(key) && !Number.isInteger(Math.log2(value as number))) {
        throw optionError(name, value, 'a power of two');
      }
    };
    return [key, check];
  }),
) as Checks<Partial<Limits>>;

/** The defaults with these in their place. Throws FEATHERSTAR_OPTION. */
export function checkLimits(partial: Partial<Limits>): Limits {
  checkOptions(partial, CHECKS, 'limits');
  const limits = { ...DEFAULT_LIMITS };
  for (const name of Object.keys(partial) as (keyof Limits)[]) limits[name] = partial[name] ?? DEFAULT_LIMITS[name];
  if (limits.readySlots < 2 * limits.cqeSlots) {
    throw optionError('limits.readySlots', limits.readySlots, 'at least 2 * cqeSlots');
  }
  if (limits.arenaBytes % 16 !== 0) throw optionError('limits.arenaBytes', limits.arenaBytes, 'a multiple of 16');
  return limits;
}

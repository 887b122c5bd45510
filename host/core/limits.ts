// The `limits` that users give, checked once: sizes that the core's tables and rings can have. On every host.

import { optionError } from '../base/errors.js';
import { DEFAULT_LIMITS } from './core-module.js';
import type { Limits } from './layout.js';

const POWERS_OF_TWO = ['ringSlots', 'sqeSlots', 'cqeSlots', 'readySlots', 'recvBufferCount'];

// What the core can count (assembly/layout.ts, LIMIT_MAX) and what the gate takes (host/native/addon.c, read_options).
export const LIMIT_MAX = 2 ** 25;
const LOWEST_LIMITS: Partial<Record<keyof Limits, number>> = { connectionSlots: 17 }; // 16 are the listeners'
export const HIGHEST_LIMITS: Partial<Record<keyof Limits, number>> = {
  sqeSlots: 32_768,
  cqeSlots: 65_536,
  recvBufferCount: 32_768,
  recvBufferBytes: 2 ** 24,
  connectionSlots: 2 ** 20,
  arenaBytes: 2 ** 31,
  scratchBytes: 2 ** 31,
};

/** The defaults with these in their place. Throws FEATHERSTAR_OPTION. */
export function checkLimits(partial: Partial<Limits>): Limits {
  if (typeof partial !== 'object' || partial === null) throw optionError('limits', partial, 'an object');
  const limits: Record<string, number> = { ...DEFAULT_LIMITS };
  for (const [name, value] of Object.entries(partial)) {
    if (!(name in DEFAULT_LIMITS))
      throw optionError('limits', name, `one of ${Object.keys(DEFAULT_LIMITS).join(', ')}`);
    const lowest = LOWEST_LIMITS[name as keyof Limits] ?? 1;
    const highest = HIGHEST_LIMITS[name as keyof Limits] ?? LIMIT_MAX;
    if (!Number.isInteger(value) || value < lowest || value > highest) {
      throw optionError(`limits.${name}`, value, `an integer, ${lowest} to ${highest}`);
    }
    if (POWERS_OF_TWO.includes(name) && !Number.isInteger(Math.log2(value))) {
      throw optionError(`limits.${name}`, value, 'a power of two');
    }
    limits[name] = value;
  }
  if (limits.readySlots < 2 * limits.cqeSlots)
    throw optionError('limits.readySlots', limits.readySlots, '>= 2 * cqeSlots');
  if (limits.arenaBytes % 16 !== 0) throw optionError('limits.arenaBytes', limits.arenaBytes, 'a multiple of 16');
  return limits as unknown as Limits;
}

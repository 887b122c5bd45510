// Chance of a simulated program: each random value comes from the seed.
//
// Next: globals.ts.

import crypto from 'node:crypto';
import { pooled } from './pool-work.js';
import { onStage, type Replacement, switched } from './replace.js';
import type { World } from './world.js';

const FILL_MAX_BYTES = 65_536; // of getRandomValues(), as everywhere
const INT_RANGE_MAX = 2 ** 48 - 1;

function fortune(): World['fortune'] {
  return onStage().world.fortune;
}

function fraction(): number {
  const { world, place } = onStage();
  return world.fortune.fraction(place.randomText, place.randomLowText);
}

function fillBytes<T extends ArrayBufferView>(array: T, offset = 0, size = array.byteLength - offset): T {
  const bytes = new Uint8Array(array.buffer, array.byteOffset + offset, size);
  for (let i = 0; i < bytes.length; i++) bytes[i] = fortune().below(256, 'a byte of crypto');
  return array;
}

function getRandomValues<T extends ArrayBufferView>(array: T): T {
  if (array.byteLength <= FILL_MAX_BYTES) return fillBytes(array);
  throw new DOMException(`at most ${FILL_MAX_BYTES} bytes, got ${array.byteLength}`, 'QuotaExceededError');
}

function randomUUID(): string {
  const bytes = fillBytes(new Uint8Array(16));
  bytes[6] = ((bytes[6] as number) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] as number) & 0x3f) | 0x80;
  const hex = Buffer.from(bytes).toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

const randomBytes = (size: number): Buffer => fillBytes(Buffer.alloc(size));

/** The sizes of typed arrays count their elements. */
function fillPart(target: ArrayBufferView | ArrayBuffer, offset = 0, size?: number): typeof target {
  const view = ArrayBuffer.isView(target) ? target : new Uint8Array(target);
  const unit = (view as Partial<Uint8Array>).BYTES_PER_ELEMENT ?? 1;
  fillBytes(view, offset * unit, size === undefined ? undefined : size * unit);
  return target;
}

function randomInt(low: number, high?: number): number {
  const [min, max] = high === undefined ? [0, low] : [low, high];
  const range = max - min;
  if (Number.isSafeInteger(min) && Number.isSafeInteger(max) && range > 0 && range <= INT_RANGE_MAX) {
    return min + Math.floor(fraction() * range);
  }
  throw Object.assign(new RangeError(`min and max must be integers with max > min, got ${min} and ${max}`), {
    code: 'ERR_OUT_OF_RANGE',
  });
}

export function chances(): Replacement[] {
  const targets = [...new Set([globalThis.crypto, crypto.webcrypto as unknown as Crypto])];
  return [
    ...switched(Math, 'random', fraction),
    ...targets.flatMap((target) => [
      ...switched(target, 'getRandomValues', getRandomValues as never),
      ...switched(target, 'randomUUID', randomUUID),
    ]),
    ...switched(crypto, 'getRandomValues', getRandomValues as never),
    ...switched(crypto, 'randomUUID', randomUUID),
    ...switched(crypto, 'randomBytes', pooled(randomBytes)),
    ...switched(crypto, 'pseudoRandomBytes', pooled(randomBytes)),
    ...switched(crypto, 'randomInt', pooled(randomInt)),
    ...switched(crypto, 'randomFillSync', fillPart as never),
    ...switched(crypto, 'randomFill', pooled(fillPart as never)),
  ];
}

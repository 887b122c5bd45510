// Arrays that are wholly overwritten as soon as they are made: zeros would be written for nothing. And copies, by
// Buffer's function: over shared memory, V8's set() takes half as long again.
//
// V8 frees the memory of short-lived arrays with a scavenge, which comes when its space for new objects is full. Arrays
// of bytes fill that slowly, because their bytes lie outside. So many of them wait that V8 begins a mark-compact of the
// whole heap, again and again. So scavenges are made to come in time (scavenges.ts).

import { isV8, paceScavenges } from './scavenges.js';

const ZEROED_MAX_BYTES = 4096; // up to here zeros cost less than a second object

/** An array that has its whole buffer to itself. Its content is undefined: overwrite all of it before you return it. */
export function uninitialized(bytes: number): Uint8Array {
  paceScavenges(bytes);
  if (bytes <= ZEROED_MAX_BYTES) return new Uint8Array(bytes);
  return new Uint8Array(Buffer.allocUnsafeSlow(bytes).buffer as ArrayBuffer);
}

const { copy, fill } = Buffer.prototype;

/** On Node 20, copy() goes word by word over shared memory, or byte by byte, and fill() is one memcpy. */
const COPIES_BY_FILL = isV8 && !('Deno' in globalThis) && Number.parseInt(process.versions.node, 10) < 22;
const FILL_BYTES = 4096; // from here on, what a copy costs is the copying

/** Copies `source[start, end)` into `target`, from `at` on. */
export function copyTo(target: Uint8Array, at: number, source: Uint8Array, start: number, end: number): void {
  const bytes = end - start;
  if (COPIES_BY_FILL && bytes >= FILL_BYTES) fill.call(target, source.subarray(start, end), at, at + bytes);
  else copy.call(source, target, at, start, end);
}

/** Of the targets of receives that are kept to be used again. */
export const TARGET_BYTES = 65_536;
const SPARES = 4;
const spares: Uint8Array[] = []; // targets of receives that brought less: they are warm in the cache

/** An array of `bytes` to receive into. Its content is undefined. Give it to received(). */
export function receiveTarget(bytes: number): Uint8Array {
  return (bytes === TARGET_BYTES ? spares.pop() : undefined) ?? uninitialized(bytes);
}

/** The first `bytes` of a target, as an array that has its whole buffer to itself. */
export function received(target: Uint8Array, bytes: number): Uint8Array {
  if (bytes === target.length) return target;
  spare(target);
  return ownCopy(target, 0, bytes);
}

/** Gives a target back that nothing refers to any more. */
export function spare(target: Uint8Array): void {
  if (target.length === TARGET_BYTES && spares.length < SPARES) spares.push(target);
}

/** A copy of `source[start, end)` that has its whole buffer to itself. */
export function ownCopy(source: Uint8Array, start: number, end: number): Uint8Array {
  const target = uninitialized(end - start);
  copyTo(target, 0, source, start, end);
  return target;
}

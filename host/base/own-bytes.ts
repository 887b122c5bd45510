// Arrays that are wholly overwritten as soon as they are made: zeros would be written for nothing. And copies, by
// Buffer's function: over shared memory, V8's set() takes half as long again.
//
// V8 frees the memory of short-lived arrays with a scavenge, which comes when its space for new objects is full. Arrays
// of bytes fill that slowly, because their bytes lie outside. So many of them wait that V8 begins a mark-compact of the
// whole heap, again and again. Garbage among the new objects makes scavenges come in time (RATIONALE.md, "The cost of
// received bytes").

const ZEROED_MAX_BYTES = 4096; // up to here zeros cost less than a second object
const PACED_BYTES = 65_536; // for each of these ...
const GARBAGE_SLOTS = 3072; // ... so many elements of 8 bytes: the smallest number that is enough
const PACED_MAX_BYTES = 16_777_216; // of one array: garbage for more than one scavenge is of no use

const isV8 = process.versions.bun === undefined;
const pace = { bytes: 0, garbage: [] as unknown[] };

/** An array of `bytes` was made: makes as much garbage as V8 needs to collect it in time. */
export function paceScavenges(bytes: number): void {
  if (isV8) pace.bytes = Math.min(pace.bytes + bytes, PACED_MAX_BYTES);
  while (pace.bytes >= PACED_BYTES) {
    pace.bytes -= PACED_BYTES;
    pace.garbage = new Array(GARBAGE_SLOTS);
  }
}

/** An array that has its whole buffer to itself. Its content is undefined: overwrite all of it before you return it. */
export function uninitialized(bytes: number): Uint8Array {
  paceScavenges(bytes);
  if (bytes <= ZEROED_MAX_BYTES) return new Uint8Array(bytes);
  return new Uint8Array(Buffer.allocUnsafeSlow(bytes).buffer as ArrayBuffer);
}

const { copy } = Buffer.prototype;

/** Copies `source[start, end)` into `target`, from `at` on. */
export function copyTo(target: Uint8Array, at: number, source: Uint8Array, start: number, end: number): void {
  copy.call(source, target, at, start, end);
}

/** A copy of `source[start, end)` that has its whole buffer to itself. */
export function ownCopy(source: Uint8Array, start: number, end: number): Uint8Array {
  const target = uninitialized(end - start);
  copyTo(target, 0, source, start, end);
  return target;
}

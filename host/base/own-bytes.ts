// Arrays that are wholly overwritten as soon as they are made: zeros would be written for nothing. And copies, by
// Buffer's function: over shared memory, V8's set() takes half as long again.

const ZEROED_MAX_BYTES = 4096; // up to here zeros cost less than a second object

/** An array that has its whole buffer to itself. Its content is undefined: overwrite all of it before you return it. */
export function uninitialized(bytes: number): Uint8Array {
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

// Arrays that are wholly overwritten as soon as they are made: zeros would be written for nothing. And copies, by
// Buffer's function: over shared memory, V8's set() takes half as long again.
//
// V8 frees the memory of short-lived arrays with a scavenge, which comes when its space for new objects is full. Arrays
// of bytes fill that slowly, because their bytes lie outside. So many of them wait that V8 begins a mark-compact of the
// whole heap, again and again. Garbage among the new objects makes scavenges come in time (RATIONALE.md, "The cost of
// received bytes").

const ZEROED_MAX_BYTES = 4096; // up to here zeros cost less than a second object
const PACED_BYTES = 16_384; // garbage is made for so many bytes of arrays at a time
const SCAVENGE_BYTES = 25_165_824; // after so many bytes of arrays the garbage has filled the space for new objects
const SLOT_BYTES = 8;
const SPACE_BYTES = 8_388_608; // of that space, if V8 does not tell

const isV8 = process.versions.bun === undefined;
const v8 = process.getBuiltinModule?.('node:v8') as typeof import('node:v8') | undefined; // none in a page
const pace = { bytes: 0, madeBytes: 0, slots: slotsFor(SPACE_BYTES), garbage: [] as unknown[] };

function slotsFor(spaceBytes: number): number {
  return Math.ceil((spaceBytes / SLOT_BYTES) * (PACED_BYTES / SCAVENGE_BYTES));
}

/** V8 makes the space larger and smaller, so it is asked once for each scavenge: that takes 12 µs. */
function review(): void {
  const space = v8?.getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space');
  if (space !== undefined) pace.slots = slotsFor(space.space_used_size + space.space_available_size);
}

/** An array of `bytes` was made: makes as much garbage as V8 needs to collect it in time. */
export function paceScavenges(bytes: number): void {
  if (!isV8) return;
  pace.bytes = Math.min(pace.bytes + bytes, SCAVENGE_BYTES); // one array wants one scavenge at most
  while (pace.bytes >= PACED_BYTES) {
    if (pace.madeBytes >= SCAVENGE_BYTES) {
      pace.madeBytes = 0;
      review();
    }
    pace.bytes -= PACED_BYTES;
    pace.madeBytes += PACED_BYTES;
    pace.garbage = new Array(pace.slots);
  }
}

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

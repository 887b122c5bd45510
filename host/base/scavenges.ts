// Makes V8 scavenge in time when a program gets many new arrays. V8 counts the bytes of an array as memory outside its
// heap, and waits for too many of them (RATIONALE.md, "The cost of received bytes"). There are two ways:
//
//   garbage     among the new objects, as much as fills their space. It works everywhere, and V8 enlarges the space
//   gc()        V8's own function for a scavenge. It costs a tenth of a millisecond with a space of any size
//
// V8 makes its space for new objects larger while a program runs, and garbage costs as much as the space is large. With
// a small space, gc() would bring mark-compacts. So there is garbage until the space has LARGE_SPACE_BYTES, and gc()
// from then on. Bun has another collector, and gets neither.
//
// Next: own-bytes.ts, which makes the arrays.

const PACED_BYTES = 16_384; // garbage is made for so many bytes of arrays at a time
const SCAVENGE_BYTES = 25_165_824; // after so many bytes of arrays it has filled the space for new objects
const ASKED_BYTES = 6_291_456; // after so many V8 is asked for a scavenge
const SLOT_BYTES = 8;
const SPACE_BYTES = 8_388_608; // of the space for new objects, if V8 does not tell
const LARGE_SPACE_BYTES = 16_000_000;
const ATTEMPTS = 3; // at finding gc()

type Scavenge = (options: { type: 'minor' }) => void;
type V8Modules = typeof import('node:v8') & typeof import('node:vm');

const isV8 = process.versions.bun === undefined;
const builtin = (name: string): Partial<V8Modules> | undefined => process.getBuiltinModule?.(name); // none in a page
const pace = {
  bytes: 0,
  madeBytes: 0,
  slots: slotsFor(SPACE_BYTES),
  garbage: [] as unknown[],
  isLarge: false, // the space
  scavenge: undefined as Scavenge | undefined,
  attempts: ATTEMPTS,
};

function slotsFor(spaceBytes: number): number {
  return Math.ceil((spaceBytes / SLOT_BYTES) * (PACED_BYTES / SCAVENGE_BYTES));
}

const gcOfNewContext = (): Scavenge | undefined => builtin('node:vm')?.runInNewContext?.('globalThis.gc');

/**
 * A context that is made while `--expose-gc` is on has the function. Another thread that does the same may turn the
 * flag off in between. Then there is none, and it is tried again later.
 */
function findScavenge(): Scavenge | undefined {
  const setFlags = builtin('node:v8')?.setFlagsFromString;
  if (setFlags === undefined || 'Deno' in globalThis) return undefined;
  const given = gcOfNewContext(); // the program has turned the flag on
  if (given !== undefined) return given;
  setFlags('--expose-gc');
  try {
    return gcOfNewContext();
  } finally {
    setFlags('--no-expose-gc');
  }
}

/** V8 makes the space larger and smaller, so it is asked again and again: that takes 12 µs. */
function reviewInTime(): void {
  if (pace.madeBytes < SCAVENGE_BYTES) return;
  pace.madeBytes = 0;
  review();
}

function review(): void {
  const spaces = builtin('node:v8')?.getHeapSpaceStatistics?.();
  const space = spaces?.find(({ space_name }) => space_name === 'new_space');
  if (space === undefined) return;
  const bytes = space.space_used_size + space.space_available_size;
  pace.slots = slotsFor(bytes);
  pace.isLarge = bytes >= LARGE_SPACE_BYTES;
  if (pace.isLarge && pace.scavenge === undefined && pace.attempts > 0) {
    pace.attempts--;
    pace.scavenge = findScavenge();
  }
}

/** An array of `bytes` was made. */
export function paceScavenges(bytes: number): void {
  if (!isV8) return;
  pace.bytes = Math.min(pace.bytes + bytes, SCAVENGE_BYTES); // one array wants one scavenge at most
  if (pace.isLarge && pace.scavenge !== undefined) {
    if (pace.bytes < ASKED_BYTES) return;
    pace.madeBytes += pace.bytes;
    pace.bytes = 0;
    pace.scavenge({ type: 'minor' });
    reviewInTime();
  } else makeGarbage();
}

function makeGarbage(): void {
  while (pace.bytes >= PACED_BYTES) {
    reviewInTime();
    pace.bytes -= PACED_BYTES;
    pace.madeBytes += PACED_BYTES;
    pace.garbage = new Array(pace.slots);
  }
}

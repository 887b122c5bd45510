// Makes V8 free short-lived arrays of bytes in time. A scavenge, a collection of new objects only, is enough for that.
// V8 scavenges when its space for new objects is full. But the bytes of an array lie outside its heap. So arrays fill
// that space slowly, and too many bytes wait for each scavenge (RATIONALE.md, "The cost of received bytes"). There are
// two ways to bring one:
//
//   garbage     objects that fill V8's space for new objects. It works everywhere, but filling the space costs time.
//               When the space is often full, V8 makes it larger, and then filling it costs more
//   gc()        V8's own function for a scavenge. It costs a tenth of a millisecond, however large the space is
//
// gc() does not pay from the beginning. The limit at which V8 collects its whole heap (a mark-compact) grows with the
// space for new objects, and without garbage that space stays small. So there is garbage until the space has
// LARGE_SPACE_BYTES, and gc() from then on. Bun has another collector, and gets neither.
//
// A program has gc() if it runs with `--expose-gc`. Else a new context gets the function while that flag is on. The
// context is kept for it: 150 to 200 KB for each thread. The flag is one for the whole process. So a Worker that starts
// in the same milliseconds may see `globalThis.gc`.
//
// Next: own-bytes.ts, which makes the arrays.

const PACED_BYTES = 16_384; // for each so many bytes of arrays, a piece of garbage is made
const SCAVENGE_BYTES = 25_165_824; // after so many bytes of arrays the garbage has filled the space for new objects
const ASKED_BYTES = 6_291_456; // after so many bytes of arrays gc() is called
const SLOT_BYTES = 8;
const SPACE_BYTES = 8_388_608; // size of the space for new objects, until V8 tells it
const LARGE_SPACE_BYTES = 16_000_000; // from this size of that space on, gc() is called
const ATTEMPTS = 3; // at finding gc()

type Scavenge = (options: { type: 'minor' }) => void;
type V8Modules = typeof import('node:v8') & typeof import('node:vm');

export const isV8 = process.versions.bun === undefined;
const builtin = (name: string): Partial<V8Modules> | undefined => process.getBuiltinModule?.(name); // none in a page
const pace = {
  bytes: 0,
  madeBytes: 0,
  slots: slotsFor(SPACE_BYTES),
  garbage: [] as unknown[],
  isLarge: false, // whether the space for new objects has LARGE_SPACE_BYTES
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

/** V8 makes its space for new objects larger and smaller, so it is asked for the size again and again, in 12 µs. */
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
    try {
      pace.scavenge = findScavenge();
    } catch {
      pace.attempts = 0; // no contexts or flags here: garbage works without
    }
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

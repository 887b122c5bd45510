// A time limit for something that has no way back: a thread that ends, an answer of another thread. A wait that can be
// taken back is in abortable.ts.
//
// It uses the platform's timer, not the shard's wheel. It has to fire also in a thread that is no shard, on a shard
// that closes, and when all timers are in use.

/** The value of `promise`, or undefined if it takes longer than `ms`. Rejects if `promise` does so in time. */
export async function inTime<T>(promise: Promise<T>, ms: number): Promise<T | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, ms, undefined);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

// Where a call that failed was made. The error was made on another shard, so its stack is of that shard. To keep a
// stack for each call, in case that it fails, would cost more than the call. So the line is found when the call fails:
//
//   the reply comes --> resolve(failCall(error)) --> two ticks: V8 has linked this promise to the call's
//                       new Error().stack, made here: its `at async` lines are those who await the call
//
// V8 walks from an async function that runs to the functions that await it, through resolve() and Promise.all. The
// caller has to await the call, in an async function. Other engines (Bun's) have no such lines.

const ASYNC_FRAME = '\n    at async ';

/** Rejects with an error of another shard, whose stack then also says where the call was made. */
export async function failCall(error: unknown): Promise<never> {
  await undefined;
  await undefined;
  const here = new Error().stack ?? '';
  const caller = here.indexOf(ASYNC_FRAME);
  if (caller >= 0 && error instanceof Error && typeof error.stack === 'string') {
    const value = `${error.stack}\n    --- on another shard; called from:${here.slice(caller)}`;
    Object.defineProperty(error, 'stack', { value, writable: true, configurable: true });
  }
  throw error;
}

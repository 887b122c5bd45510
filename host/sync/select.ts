// The first of several waits. The others are aborted, and select() waits until they have really ended. Afterwards
// nothing runs in the background. If a loser has a result nevertheless, it is in `others`, not lost.

import type { AbortOptions } from '../base/abort.js';
import { addAbortListener, removeAbortListener } from '../base/abort-listeners.js';
import { FeatherstarError, optionError } from '../base/errors.js';
import { checkFunction, checkSignal } from '../base/options.js';

/** Functions by name. `select()` calls each of them with a signal. */
export type SelectBranches = Record<string, (signal: AbortSignal) => unknown>;

/** The branch that ended first. Testing `key` tells TypeScript the type of `value`. */
export type Selected<B extends SelectBranches> = {
  [K in keyof B]: {
    /** The name of the branch. */
    key: K;
    /** The value that the branch resolved with. */
    value: Awaited<ReturnType<B[K]>>;
    /** How the other branches ended. Most were aborted, but one may have had its result at the same moment. */
    others: { [L in Exclude<keyof B, K>]: PromiseSettledResult<Awaited<ReturnType<B[L]>>> };
  };
}[keyof B];

/**
 * Runs several functions and takes the first that ends: resolves to its name and value, or rejects with its error. Then
 * the signal of the others aborts (FEATHERSTAR_ABORTED), and `select()` waits until they have ended. If
 * `options.signal` aborts, all branches are aborted, and `select()` rejects with the reason when they have ended.
 *
 * @example
 * const { key, value } = await select({
 *   reply: (signal) => socket.read({ signal }),
 *   late: (signal) => sleep(1000, { signal }),
 * });
 */
export async function select<B extends SelectBranches>(branches: B, options: AbortOptions = {}): Promise<Selected<B>> {
  const { signal } = options;
  checkSignal(signal);
  const keys = Object.keys(branches ?? {});
  if (keys.length === 0) throw optionError('branches', branches, 'an object with at least one function');
  for (const key of keys) checkFunction(`branches.${key}`, branches[key]);
  signal?.throwIfAborted();
  const inner = new AbortController();
  const onAbort = () => inner.abort(signal?.reason);
  addAbortListener(signal, onAbort);
  let first: string | undefined;
  const isOver = (key: string) => {
    if (inner.signal.aborted) return;
    first = key;
    inner.abort(new FeatherstarError('FEATHERSTAR_ABORTED', `select: ${key} was first`));
  };
  const run = async (key: string) => {
    try {
      return await (branches[key] as SelectBranches[string])(inner.signal);
    } finally {
      isOver(key);
    }
  };
  const ends = await Promise.allSettled(keys.map(run));
  removeAbortListener(signal, onAbort);
  if (first === undefined) throw inner.signal.reason;
  const others = Object.fromEntries(keys.map((key, i) => [key, ends[i]] as const).filter(([key]) => key !== first));
  const end = ends[keys.indexOf(first)] as PromiseSettledResult<unknown>;
  if (end.status === 'rejected') throw end.reason;
  return { key: first, value: end.value, others } as Selected<B>;
}

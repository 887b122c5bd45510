// The first of several waits. The others are aborted, and select() waits until they have really ended: afterwards
// nothing of it runs in the background, and what a loser came to nevertheless is in `others`, not lost.

import { checkSignal } from '../base/abort.js';
import { addAbortListener, removeAbortListener } from '../base/abort-listeners.js';
import { FeatherstarError, optionError } from '../base/errors.js';
import { checkFunction } from './wait-queue.js';

export type SelectBranches = Record<string, (signal: AbortSignal) => unknown>;

/** The branch that was first: `key` tells the type of `value`. */
export type Selected<B extends SelectBranches> = {
  [K in keyof B]: {
    key: K;
    value: Awaited<ReturnType<B[K]>>;
    /** How each of the others ended: most with the abort, but one may have had its result in the same instant. */
    others: { [L in Exclude<keyof B, K>]: PromiseSettledResult<Awaited<ReturnType<B[L]>>> };
  };
}[keyof B];

/**
 * Starts every branch with a signal, in order. The first that ends decides: its value, or its error, is the result.
 * Then the signal aborts (FEATHERSTAR_ABORTED) and the others are waited for. A branch that ignores its signal delays
 * it all. `options.signal` aborts all branches, and rejects with its reason when they have ended.
 */
export async function select<B extends SelectBranches>(
  branches: B,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<Selected<B>> {
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
      return await branches[key](inner.signal);
    } finally {
      isOver(key);
    }
  };
  const ends = await Promise.allSettled(keys.map(run));
  removeAbortListener(signal, onAbort);
  if (first === undefined) throw inner.signal.reason;
  const others = Object.fromEntries(keys.map((key, i) => [key, ends[i]] as const).filter(([key]) => key !== first));
  const end = ends[keys.indexOf(first)];
  if (end.status === 'rejected') throw end.reason;
  return { key: first, value: end.value, others } as Selected<B>;
}

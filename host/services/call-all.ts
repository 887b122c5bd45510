// A function called on several shards at once: invokeOnAll(), mapReduce() and broadcast() of a runtime. Each takes
// `{ name, signal, timeoutMs }` in place of a name; then one signal ends all the calls, and the error of a time that is
// over names the shards that have not answered.

import { listen, unlisten } from '../base/abort-listener.js';
import { checkNames, FeatherstarError, optionError } from '../base/errors.js';
import {
  type ArgumentsOf,
  checkCallOptions,
  type FunctionName,
  type ResultOf,
  type ShardHandle,
  type UntypedModule,
} from '../calls/call-api.js';
import type { CallOptions } from '../calls/call-signals.js';
import { sleep } from '../tasks/timer.js';

/** What is called on several shards: a name, or a name with a way out. */
export type CallTarget<K extends string> = K | ({ name: K } & CallOptions);

const TARGET_NAMES = { name: 1, signal: 1, timeoutMs: 1 };

/** The results in the order of `handles`. Rejects with the first error; the other calls go on. */
export async function callAll<K extends FunctionName<M>, M extends object = UntypedModule>(
  handles: readonly ShardHandle<M>[],
  target: CallTarget<K>,
  args: ArgumentsOf<M[K]>,
): Promise<ResultOf<M[K]>[]> {
  if (typeof target === 'string') return Promise.all(handles.map((handle) => handle.call(target, ...args)));
  if (typeof target !== 'object' || target === null) throw optionError('name', target, 'a name, or { name, signal }');
  checkNames(target, TARGET_NAMES);
  const { name, ...options } = target;
  if (typeof name !== 'string') throw optionError('name', name, 'the name of a function');
  const { signal, timeoutMs } = checkCallOptions(options);
  signal?.throwIfAborted();
  const end = new AbortController();
  const open = new Set(handles.map(({ index }) => index));
  const call = async (handle: ShardHandle<M>) => {
    const result = await handle.submit(name, args, { signal: end.signal });
    open.delete(handle.index);
    return result;
  };
  const onAbort = () => end.abort(signal?.reason);
  const over = new AbortController();
  listen(signal, onAbort);
  const calls = Promise.all(handles.map(call));
  if (timeoutMs !== undefined) {
    sleep(timeoutMs, { signal: over.signal }).then(
      () => end.abort(lateError(open, timeoutMs)),
      (reason) => over.signal.aborted || end.abort(reason), // no timer was free
    );
  }
  try {
    return await calls;
  } finally {
    unlisten(signal, onAbort);
    over.abort();
  }
}

function lateError(open: ReadonlySet<number>, timeoutMs: number): FeatherstarError {
  const shards = `shard${open.size === 1 ? '' : 's'} ${[...open].join(', ')}`;
  const text = `${shards} ${open.size === 1 ? 'has' : 'have'} not answered within ${timeoutMs} ms`;
  return new FeatherstarError('FEATHERSTAR_TIMEOUT', text);
}

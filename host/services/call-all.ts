// A function called on several shards at once: invokeOnAll(), mapReduce() and broadcast() of a runtime. Each takes
// `{ name, signal, timeoutMs }` in place of a name; then one signal ends all the calls, and the error of a time that is
// over names the shards that have not answered.

import { Abortable } from '../base/abortable.js';
import { FeatherstarError, optionError } from '../base/errors.js';
import { type Checks, checkOptions, signal, timeout } from '../base/options.js';
import type { ArgumentsOf, FunctionName, ResultOf, ShardHandle, UntypedModule } from '../calls/call-api.js';
import type { CallOptions } from '../calls/remote.js';

/** What is called on several shards: a name, or a name with a way out. */
export type CallTarget<K extends string> = K | ({ name: K } & CallOptions);

const TARGET_CHECKS: Checks<{ name: string } & CallOptions> = { name: checkName, signal, timeoutMs: timeout };

function checkName(name: string, value: unknown): void {
  if (typeof value !== 'string') throw optionError(name, value, 'the name of a function');
}

/** The results in the order of `handles`. Rejects with the first error; the other calls go on. */
export async function callAll<K extends FunctionName<M>, M extends object = UntypedModule>(
  handles: readonly ShardHandle<M>[],
  target: CallTarget<K>,
  args: ArgumentsOf<M[K]>,
): Promise<ResultOf<M[K]>[]> {
  if (typeof target === 'string') return Promise.all(handles.map((handle) => handle.call(target, ...args)));
  if (typeof target !== 'object' || target === null) throw optionError('name', target, 'a name, or { name, signal }');
  checkOptions(target, TARGET_CHECKS);
  const { name, ...options } = target;
  checkName('name', name);
  options.signal?.throwIfAborted();
  const ends = new CommonEnd(handles.map(({ index }) => index));
  ends.arm(options);
  const call = async (handle: ShardHandle<M>) => {
    const result = await handle.submit(name, args, { signal: ends.signal });
    ends.open.delete(handle.index);
    return result;
  };
  try {
    return await Promise.all(handles.map(call));
  } finally {
    ends.disarm();
  }
}

/** Ends all calls together. */
class CommonEnd extends Abortable {
  /** Shards that have not replied. */
  readonly open: Set<number>;
  readonly #controller = new AbortController();

  constructor(shards: readonly number[]) {
    super();
    this.open = new Set(shards);
  }

  /** Ends each call. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  onAbort(reason: unknown): void {
    this.#controller.abort(reason);
  }

  override timeoutError(timeoutMs: number): FeatherstarError {
    const isOne = this.open.size === 1;
    const shards = `shard${isOne ? '' : 's'} ${[...this.open].join(', ')}`;
    const text = `${shards} ${isOne ? 'has' : 'have'} not answered within ${timeoutMs} ms`;
    return new FeatherstarError('FEATHERSTAR_TIMEOUT', text);
  }
}

// What users call other shards by: handles of shards, typed by the functions that the shard module exports.
//
//   import type * as module from '../shard/shard.js';
//   runtime<typeof module>().shard(1).call('get', 'key')      name, arguments and result are checked
//
// Without the type any name may be called with anything, and the result is unknown.

import { optionError } from '../base/errors.js';
import { checkShard } from '../base/options.js';
import { currentShard } from '../shard/shard.js';
import type { Calls } from './call.js';
import { type CallOptions, checkCallOptions, type UntypedModule } from './remote.js';

export type { UntypedModule } from './remote.js';

type AnyFunction = (...args: never[]) => unknown;

/** Names of the functions that a module exports; its classes and values cannot be called. */
export type FunctionName<M extends object> = {
  [K in keyof M]: M[K] extends AnyFunction ? K : never;
}[keyof M] &
  string;

export type ArgumentsOf<F> = F extends (...args: infer A) => unknown ? A : never;
/** What a call of it resolves to. */
export type ResultOf<F> = F extends (...args: never[]) => infer R ? Awaited<R> : never;

/** The functions that a module exports, as callers see them: awaited. */
export type Caller<M extends object> = <K extends FunctionName<M>>(
  name: K,
  ...args: ArgumentsOf<M[K]>
) => Promise<ResultOf<M[K]>>;

export class ShardHandle<M extends object = UntypedModule> {
  readonly index: number;
  readonly #calls: Calls;

  constructor(index: number, calls: Calls) {
    this.index = index;
    this.#calls = calls;
  }

  /** Runs an exported function of the shard module on that shard. */
  readonly call: Caller<M> = (name, ...args) => this.#calls.call(this.index, name, args) as never;

  /** The same with a way out: a signal, or a time after which it rejects. */
  async submit<K extends FunctionName<M>>(
    name: K,
    args: ArgumentsOf<M[K]>,
    options: CallOptions = {},
  ): Promise<ResultOf<M[K]>> {
    if (!Array.isArray(args)) throw optionError('args', args, 'an array');
    return (await this.#calls.call(this.index, name, args, checkCallOptions(options))) as ResultOf<M[K]>;
  }
}

/**
 * Runs an exported function of the shard module on a shard, from any shard; with a way out. For typed results name the
 * module, `submitTo<typeof module, 'get'>(1, 'get', ['key'])`, or use `runtime<typeof module>().shard(1).submit()`.
 */
export async function submitTo<M extends object = UntypedModule, K extends FunctionName<M> = FunctionName<M>>(
  shard: number,
  name: K,
  args: ArgumentsOf<M[K]>,
  options: CallOptions = {},
): Promise<ResultOf<M[K]>> {
  const own = currentShard();
  checkShard(shard, own.header.shardCount);
  return new ShardHandle<M>(shard, own.calls as Calls).submit(name, args, options);
}

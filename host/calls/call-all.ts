// A function called on several shards at once: what onAll() and onOthers() return.
//
//   onAll().size()                            a plain call to each shard
//   onAll().with({ timeoutMs: 500 }).size()   one signal ends all the calls; the error names the shards that are late

import { Abortable, type WaitOptions } from '../base/abortable.js';
import { FeatherstarError } from '../base/errors.js';
import type { Send } from './remote.js';

type Call = (shard: number, options: WaitOptions | undefined) => Promise<unknown>;

/** All shards, in their order. */
export function everyShard(shardCount: number): number[] {
  return Array.from({ length: shardCount }, (_, shard) => shard);
}

/** Makes one call of a remoteClass() a call of each of `shards`. `send` sends one of them. */
export function sendToAll<T>(
  shards: readonly number[],
  send: (shard: number, ...call: Parameters<Send<T>>) => Promise<unknown>,
): Send<T> {
  return (method, args, options) => callAll(shards, (shard, each) => send(shard, method, args, each), options);
}

/** Calls each of `shards`. Resolves to the results in their order. Rejects with the first error; other calls go on. */
function callAll(shards: readonly number[], call: Call, options: WaitOptions | undefined): Promise<unknown[]> {
  if (options !== undefined) return callUntil(shards, call, options);
  return Promise.all(shards.map((shard) => call(shard, undefined)));
}

async function callUntil(shards: readonly number[], call: Call, options: WaitOptions): Promise<unknown[]> {
  options.signal?.throwIfAborted();
  const end = new CommonEnd(shards);
  const one = async (shard: number) => {
    const result = await call(shard, { signal: end.signal });
    end.open.delete(shard);
    return result;
  };
  end.arm(options);
  try {
    return await Promise.all(shards.map(one));
  } finally {
    end.disarm();
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

// Directories that are open for no longer than an operation takes: what the last name of a path lies in. The host's
// table has room for few, and users have theirs there, too; so many operations at once share the rest of it.
//
//   enter() --> opens all that it wants, or none, and waits in order --> leave(), when nothing runs in them any more
//
// Invariant: a caller that waits waits for others of these. If there are none, a full table is an error (EMFILE).
//
// Next: directory.ts.

import { abortable } from '../base/abortable.js';
import { FeatherstarError } from '../base/errors.js';
import { Errno } from '../core/kernel.js';
import { perShard } from '../shard/per-shard.js';
import type { Shard } from '../shard/shard.js';

/** Something that was opened; close() resolves when its place in the table is free again. */
interface Closable {
  close(): Promise<void>;
}

interface WayWaiter {
  /** False: it has to go on waiting. */
  attempt(): boolean;
}

class Ways {
  #count = 0;
  #waiters: WayWaiter[] = [];

  /** All of them, or undefined when there are others to wait for. Throws what opening one fails with. */
  #open<T extends Closable>(opens: readonly (() => T)[]): T[] | undefined {
    const opened: T[] = [];
    try {
      for (const open of opens) opened.push(open());
      this.#count += opened.length;
      return opened;
    } catch (error) {
      for (const one of opened) void one.close();
      const isFull = FeatherstarError.is(error) && error.errno === Errno.EMFILE;
      if (isFull && this.#count > 0) return undefined;
      throw error;
    }
  }

  async enter<T extends Closable>(opens: readonly (() => T)[], signal: AbortSignal | undefined): Promise<T[]> {
    const opened = this.#waiters.length === 0 ? this.#open(opens) : undefined;
    return opened ?? this.#wait(opens, signal);
  }

  #wait<T extends Closable>(opens: readonly (() => T)[], signal: AbortSignal | undefined): Promise<T[]> {
    return abortable<T[]>(
      (resolve, reject) => {
        const waiter: WayWaiter = {
          attempt: () => {
            try {
              const opened = this.#open(opens);
              if (opened === undefined) return false;
              resolve(opened);
            } catch (error) {
              reject(error);
            }
            return true;
          },
        };
        this.#waiters.push(waiter);
        return () => {
          this.#waiters = this.#waiters.filter((other) => other !== waiter);
        };
      },
      { signal },
    );
  }

  leave(directories: readonly Closable[]): void {
    for (const directory of directories) {
      void directory.close().then(() => {
        this.#count--;
        while (this.#waiters[0]?.attempt()) this.#waiters.shift();
      });
    }
  }
}

const waysOf = perShard(() => new Ways());

/** Runs `run` with what `opens` open; nothing of it is open afterwards. An abort ends the wait for room. */
export async function withWays<T extends Closable, R>(
  shard: Shard,
  opens: readonly (() => T)[],
  signal: AbortSignal | undefined,
  run: (directories: T[]) => Promise<R>,
): Promise<R> {
  if (opens.length === 0) return run([]);
  const ways = waysOf(shard);
  const directories = await ways.enter(opens, signal);
  try {
    return await run(directories);
  } finally {
    ways.leave(directories);
  }
}

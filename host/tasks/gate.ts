// A gate: work goes in as long as it is open, and close() waits until all of it has come out. What Seastar's services
// use to stop in order.

import type { AbortOptions } from '../base/abort.js';
import { abortable } from '../base/abortable.js';
import { FeatherstarError } from '../base/errors.js';
import { checkSignal, checkString } from '../base/options.js';

export class Gate {
  readonly name: string;
  #count = 0;
  #isClosed = false;
  readonly #waiters = new Set<() => void>();

  constructor(name = 'gate') {
    this.name = checkString('name', name);
  }

  /** How many are inside. */
  get count(): number {
    return this.#count;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Goes in; leave() has to follow. Throws FEATHERSTAR_CLOSED once close() was called. */
  enter(): void {
    if (this.#isClosed) throw new FeatherstarError('FEATHERSTAR_CLOSED', `${this.name} is closed`);
    this.#count++;
  }

  /** Comes out. Throws FEATHERSTAR_OPTION where nobody is inside. */
  leave(): void {
    if (this.#count === 0) throw new FeatherstarError('FEATHERSTAR_OPTION', `${this.name}: leave() without an enter()`);
    this.#count--;
    if (this.#count !== 0) return;
    for (const wake of this.#waiters) wake();
    this.#waiters.clear();
  }

  /** Runs `fn` inside. Rejects with FEATHERSTAR_CLOSED, without calling it, once close() was called. */
  async hold<T>(fn: () => T | PromiseLike<T>): Promise<T> {
    this.enter();
    try {
      return await fn();
    } finally {
      this.leave();
    }
  }

  /** Lets nobody in any more, and resolves when all are out. `signal` ends the wait; the gate stays closed. */
  async close(options: AbortOptions = {}): Promise<void> {
    const signal = checkSignal(options.signal);
    this.#isClosed = true;
    signal?.throwIfAborted();
    if (this.#count === 0) return;
    await abortable<void>(
      (resolve) => {
        this.#waiters.add(resolve);
        return () => this.#waiters.delete(resolve);
      },
      { signal },
    );
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

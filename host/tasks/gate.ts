// A gate: work goes in as long as it is open, and close() waits until all of it has come out. Seastar's services use a
// gate to stop in order.

import { abortable, type WaitOptions } from '../base/abortable.js';
import { FeatherstarError } from '../base/errors.js';
import { type Checks, checkOptions, checkString, WAIT_CHECKS } from '../base/options.js';

/** Options of a gate. */
export interface GateOptions {
  /** Names the gate in error messages. Default: 'the gate'. */
  name?: string | undefined;
}

const GATE_CHECKS: Checks<GateOptions> = { name: checkString };

/**
 * Lets work in while it is open. `close()` waits until all work has left, so a service can stop in order.
 *
 * @example
 * const requests = new Gate({ name: 'requests' });
 * const reply = await requests.hold(() => handle(request));
 * await requests.close({ timeoutMs: 5000 }); // no new ones; those inside may end
 */
export class Gate {
  /** The name in error messages. */
  readonly name: string;
  #count = 0;
  #isClosed = false;
  readonly #waiters = new Set<() => void>();

  /** Throws FEATHERSTAR_OPTION if the name is no string. */
  constructor(options: GateOptions = {}) {
    checkOptions(options, GATE_CHECKS);
    this.name = options.name ?? 'the gate';
  }

  /** How many callers are inside. */
  get size(): number {
    return this.#count;
  }

  /** Whether `close()` was called. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Goes in; the caller must call `leave()` later. Throws FEATHERSTAR_CLOSED after `close()`. */
  enter(): void {
    if (this.#isClosed) throw new FeatherstarError('FEATHERSTAR_CLOSED', `${this.name} is closed`);
    this.#count++;
  }

  /** Comes out. Throws FEATHERSTAR_STATE if no caller is inside. */
  leave(): void {
    if (this.#count === 0) throw new FeatherstarError('FEATHERSTAR_STATE', `${this.name}: leave() without an enter()`);
    this.#count--;
    if (this.#count !== 0) return;
    for (const wake of this.#waiters) wake();
    this.#waiters.clear();
  }

  /** Runs `fn` inside the gate. After `close()` it rejects with FEATHERSTAR_CLOSED, and `fn` is not called. */
  async hold<T>(fn: () => T | PromiseLike<T>): Promise<T> {
    this.enter();
    try {
      return await fn();
    } finally {
      this.leave();
    }
  }

  /**
   * Closes the gate, and resolves when all callers inside have left. Rejects with FEATHERSTAR_TIMEOUT or the signal's
   * reason; the gate stays closed.
   */
  async close(options: WaitOptions = {}): Promise<void> {
    checkOptions(options, WAIT_CHECKS);
    this.#isClosed = true;
    options.signal?.throwIfAborted();
    if (this.#count === 0) return;
    await abortable<void>((resolve) => {
      this.#waiters.add(resolve);
      return () => this.#waiters.delete(resolve);
    }, options);
  }

  /** Calls `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

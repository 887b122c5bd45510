// The seed's CancellationToken: an AbortController with parents and children, for whoever prefers that to signals.

import { abortable } from '../base/abortable.js';
import { FeatherstarError } from '../base/errors.js';
import { checkFunction } from './wait-queue.js';

export class CancellationToken {
  readonly #controller = new AbortController();
  readonly #children = new Set<CancellationToken>();
  #parent: CancellationToken | undefined;

  /** For everything that takes `{ signal }`. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get isCancelled(): boolean {
    return this.signal.aborted;
  }

  /** What it was cancelled with; undefined before. */
  get reason(): unknown {
    return this.signal.reason;
  }

  /** Cancels it and its children. The first call counts. */
  cancel(reason: unknown = new FeatherstarError('FEATHERSTAR_ABORTED', 'the token was cancelled')): void {
    if (this.isCancelled) return;
    this.#detach();
    this.#controller.abort(reason);
    for (const child of [...this.#children]) child.cancel(reason);
  }

  /**
   * A token that is cancelled with this one, or alone. The parent keeps it until one of the two is cancelled or the
   * child is disposed of (`using child = token.child()`).
   */
  child(): CancellationToken {
    const child = new CancellationToken();
    if (this.isCancelled) {
      child.cancel(this.reason);
      return child;
    }
    child.#parent = this;
    this.#children.add(child);
    return child;
  }

  /** Throws the reason if it was cancelled. */
  throwIfCancelled(): void {
    this.signal.throwIfAborted();
  }

  /**
   * What `work` comes to, or a rejection with the reason as soon as the token is cancelled. A function gets the signal,
   * and is not called if it was cancelled before. What `work` comes to after that is dropped.
   */
  cancellable<T>(work: PromiseLike<T> | ((signal: AbortSignal) => T | PromiseLike<T>)): Promise<T> {
    const { signal } = this;
    if (typeof (work as PromiseLike<T>)?.then !== 'function') checkFunction('work', work);
    if (typeof work === 'function' && signal.aborted) return Promise.reject(signal.reason);
    const start = async () => (typeof work === 'function' ? work(signal) : work);
    return abortable(start(), { signal });
  }

  /** Its parent forgets it. */
  [Symbol.dispose](): void {
    this.#detach();
  }

  #detach(): void {
    if (this.#parent !== undefined) this.#parent.#children.delete(this);
    this.#parent = undefined;
  }
}

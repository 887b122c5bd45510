// The seed's CancellationToken: an AbortController with parents and children, for programs that prefer that to signals.

import { abortable } from '../base/abortable.js';
import { FeatherstarError } from '../base/errors.js';
import { checkFunction } from '../base/options.js';

/**
 * An AbortController with parents and children.
 *
 * @example
 * using token = parent.child();
 * await sleep(1000, { signal: token.signal }); // elsewhere: parent.cancel()
 */
export class CancellationToken {
  readonly #controller = new AbortController();
  readonly #children = new Set<CancellationToken>();
  #parent: CancellationToken | undefined;

  /** The signal that aborts when the token is cancelled. Give it to everything that takes `{ signal }`. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Whether the token was cancelled. */
  get isCancelled(): boolean {
    return this.signal.aborted;
  }

  /** The reason given to `cancel()`; undefined before. */
  get reason(): unknown {
    return this.signal.reason;
  }

  /** Cancels the token and its children. The second call does nothing. Default reason: FEATHERSTAR_ABORTED. */
  cancel(reason: unknown = new FeatherstarError('FEATHERSTAR_ABORTED', 'the token was cancelled')): void {
    if (this.isCancelled) return;
    this.#detach();
    this.#controller.abort(reason);
    for (const child of [...this.#children]) child.cancel(reason);
  }

  /**
   * Makes a token that is cancelled when this one is, or on its own. The parent keeps it until one of the two is
   * cancelled or the child is disposed of (`using child = token.child()`).
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

  /** Throws the reason if the token was cancelled. */
  throwIfCancelled(): void {
    this.signal.throwIfAborted();
  }

  /**
   * Resolves or rejects as `work` does, or rejects with the reason as soon as the token is cancelled. A function is
   * called with the signal, and is not called if the token is cancelled already. A later result of `work` is dropped.
   */
  cancellable<T>(work: PromiseLike<T> | ((signal: AbortSignal) => T | PromiseLike<T>)): Promise<T> {
    const { signal } = this;
    if (typeof (work as PromiseLike<T>)?.then !== 'function') checkFunction('work', work);
    if (typeof work === 'function' && signal.aborted) return Promise.reject(signal.reason);
    const start = async () => (typeof work === 'function' ? work(signal) : work);
    return abortable(start(), { signal });
  }

  /** Takes the token away from its parent. It is not cancelled by this. */
  [Symbol.dispose](): void {
    this.#detach();
  }

  #detach(): void {
    if (this.#parent !== undefined) this.#parent.#children.delete(this);
    this.#parent = undefined;
  }
}

// Aborting for tasks and timers. A source costs nothing until its signal is used. A check tells whether an error only
// says that something was aborted.

import { FeatherstarError } from './errors.js';

/** Options of what can be aborted. */
export interface AbortOptions {
  /** If it aborts, what was begun ends, and the promise rejects with its reason. */
  signal?: AbortSignal | undefined;
}

/** An AbortController that is made when its signal is asked for: most tasks never do, and it takes a microsecond. */
export class LazyAbort {
  #controller: AbortController | undefined;
  #isAborted = false;
  #reason: unknown;

  get isAborted(): boolean {
    return this.#isAborted;
  }

  get reason(): unknown {
    return this.#reason;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#isAborted) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  abort(reason: unknown): void {
    if (this.#isAborted) return;
    this.#isAborted = true;
    this.#reason = reason;
    this.#controller?.abort(reason);
  }

  throwIfAborted(): void {
    if (this.#isAborted) throw this.#reason;
  }
}

export function abortedError(what: string): FeatherstarError {
  return new FeatherstarError('FEATHERSTAR_ABORTED', `${what} was aborted`);
}

/** Whether an error that comes after an abort is just its echo. Any other error is a failure that must be reported. */
export function isEcho(error: unknown, reason: unknown): boolean {
  if (error === reason) return true;
  if (!(error instanceof Error)) return false;
  if (error.name === 'AbortError' || error.cause === reason) return true;
  return FeatherstarError.is(error) && error.code === 'FEATHERSTAR_ABORTED';
}

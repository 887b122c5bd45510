// The handle of a task: await it, abort it, ask whether it has ended.
//
// Two things end separately. The result is there when the task has its value, has failed or is aborted. The task itself
// has ended when its function is through, which after an abort may be later. `ended` and isFinished tell that.

import { type AbortOptions, abortedError, isEcho, LazyAbort } from '../base/abort.js';
import { addAbortListener, removeAbortListener } from '../base/abort-listeners.js';
import { currentShard } from '../shard/shard.js';
import { reportUnhandled } from './unhandled.js';

let lastId = 0;

/**
 * A task: await it for its result. `spawn()`, TaskBuilder, JoinSet and `spawnPeriodic()` make it.
 *
 * @example
 * const handle = spawn(async ({ signal }) => download(url, { signal }));
 * handle.abort(); // or: const file = await handle
 */
export class JoinHandle<T> implements PromiseLike<T> {
  /** The number of the task on its shard, from 1. */
  readonly id = ++lastId;
  /** The name that warnings have. */
  readonly name: string;
  readonly #abort = new LazyAbort();
  readonly #work: Promise<T>;
  readonly #result: Promise<T>;
  #stopListening: (() => void) | undefined;
  #reject!: (reason: unknown) => void;
  #isFinished = false;
  #isAwaited = false;

  /** @internal `begin` starts the task. Its promise ends when the function has ended. */
  constructor(name: string, { signal }: AbortOptions, begin: (abort: LazyAbort) => Promise<T>) {
    this.name = name;
    const { unhandled } = currentShard();
    let resolve!: (value: T) => void;
    this.#result = new Promise<T>((onValue, onError) => {
      resolve = onValue;
      this.#reject = onError;
    });
    if (signal?.aborted) {
      this.abort(signal.reason);
      this.#work = Promise.reject(signal.reason);
    } else {
      if (signal !== undefined) this.#listen(signal);
      this.#work = begin(this.#abort);
    }
    this.#work.then(
      (value) => {
        this.#finish();
        resolve(value);
      },
      (error) => {
        this.#finish();
        if (this.#abort.isAborted) {
          if (!isEcho(error, this.#abort.reason)) reportUnhandled(this.#what, error, unhandled);
          return;
        }
        this.#fail(error);
        if (!this.#isAwaited) reportUnhandled(this.#what, error, unhandled, () => this.#isAwaited);
      },
    );
  }

  get #what(): string {
    return `task ${JSON.stringify(this.name)}`;
  }

  #listen(signal: AbortSignal): void {
    const onAbort = () => this.abort(signal.reason);
    addAbortListener(signal, onAbort);
    this.#stopListening = () => removeAbortListener(signal, onAbort);
  }

  #finish(): void {
    this.#isFinished = true;
    this.#stopListening?.();
  }

  /** This prevents Node's own report of the rejection: failures that no code awaits are reported here. */
  #fail(error: unknown): void {
    this.#result.catch(() => undefined);
    this.#reject(error);
  }

  /** Whether the function has ended. After an abort this may be later than the rejection of the handle. */
  get isFinished(): boolean {
    return this.#isFinished;
  }

  /** Resolves when the function has ended, in whatever way. It never rejects. */
  get ended(): Promise<void> {
    return this.#work.then(
      () => undefined,
      () => undefined,
    );
  }

  /**
   * Aborts the task: the handle rejects at once with `reason` (default: FEATHERSTAR_ABORTED), and the task's signal
   * aborts. A task that has not started never runs. One that runs goes on until it looks at its signal. Does nothing if
   * the task has finished.
   */
  abort(reason: unknown = abortedError(this.#what)): void {
    if (this.#isFinished || this.#abort.isAborted) return;
    this.#fail(reason);
    this.#abort.abort(reason);
  }

  /** Waits for the result, like `Promise.prototype.then()`; `await handle` calls it. */
  // biome-ignore lint/suspicious/noThenProperty: a handle is awaited, as in the seed
  then<A = T, B = never>(
    onValue?: ((value: T) => A | PromiseLike<A>) | null,
    onError?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.#isAwaited = true;
    return this.#result.then(onValue, onError);
  }

  /** Waits for an error, like `Promise.prototype.catch()`. */
  catch<B = never>(onError?: ((reason: unknown) => B | PromiseLike<B>) | null): Promise<T | B> {
    return this.then(undefined, onError);
  }

  /** Waits for the end, like `Promise.prototype.finally()`. */
  finally(onEnd?: (() => void) | null): Promise<T> {
    return this.then().finally(onEnd);
  }
}

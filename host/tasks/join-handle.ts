// The handle of a task: await it, abort it, ask whether it has ended.
//
// Two things end separately. The result is there when the task has its value, has failed or is aborted; the task itself
// has ended when its function is through, which after an abort may be later. `ended` and isFinished tell that.

import { type AbortOptions, abortedError, isEcho, LazyAbort } from '../base/abort.js';
import { addAbortListener, removeAbortListener } from '../base/abort-listeners.js';
import { currentShard } from '../shard/shard.js';
import { reportUnhandled } from './unhandled.js';

let lastId = 0;

/** A running task: await it for its result. Made by spawn(), TaskBuilder, JoinSet and spawnPeriodic(). */
export class JoinHandle<T> implements PromiseLike<T> {
  /** Counts up from 1 on each shard. */
  readonly id = ++lastId;
  readonly name: string;
  readonly #abort = new LazyAbort();
  readonly #work: Promise<T>;
  readonly #result: Promise<T>;
  #stopListening: (() => void) | undefined;
  #reject!: (reason: unknown) => void;
  #isFinished = false;
  #isAwaited = false;

  /** `begin` starts the task. What it answers ends when the function has. */
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

  /** Without Node's own report of the rejection: what nobody awaits is reported here. */
  #fail(error: unknown): void {
    this.#result.catch(() => undefined);
    this.#reject(error);
  }

  /** Whether the function has ended; after an abort that may be later than the handle rejects. */
  get isFinished(): boolean {
    return this.#isFinished;
  }

  /** Resolves when the function has ended, however it did. */
  get ended(): Promise<void> {
    return this.#work.then(
      () => undefined,
      () => undefined,
    );
  }

  /**
   * Aborts the task's signal, and the handle rejects at once with `reason` (default: FEATHERSTAR_ABORTED). A task that
   * has not started never runs; one that runs goes on until it heeds its signal. No effect once it has finished.
   */
  abort(reason: unknown = abortedError(this.#what)): void {
    if (this.#isFinished || this.#abort.isAborted) return;
    this.#fail(reason);
    this.#abort.abort(reason);
  }

  // biome-ignore lint/suspicious/noThenProperty: a handle is awaited, as in the seed
  then<A = T, B = never>(
    onValue?: ((value: T) => A | PromiseLike<A>) | null,
    onError?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.#isAwaited = true;
    return this.#result.then(onValue, onError);
  }

  /** As a promise's. */
  catch<B = never>(onError?: ((reason: unknown) => B | PromiseLike<B>) | null): Promise<T | B> {
    return this.then(undefined, onError);
  }

  /** As a promise's. */
  finally(onEnd?: (() => void) | null): Promise<T> {
    return this.then().finally(onEnd);
  }
}

// The waiting callers, in order: the one queue under everything in this folder.
//
// A waiter is a node of a doubly linked list, so one that gives up leaves in O(1) from wherever it stands. It ends in
// exactly one way: it is granted, its signal aborts, its time is over (on the shard's wheel), or the queue is closed.
// Each of them removes its listener and its timer. Without `timeoutMs` no shard is needed.

import { Abortable, type WaitOptions } from '../base/abortable.js';
import { FeatherstarError } from '../base/errors.js';
import {
  type Checks,
  checkedLater,
  checkInteger,
  checkOptions,
  checkString,
  integer,
  WAIT_CHECKS,
} from '../base/options.js';

export type { WaitOptions } from '../base/abortable.js';

/** How many may wait at once in one queue, unless `maxWaiters` says otherwise. */
export const WAITERS_DEFAULT = 65_536;
/** The highest `maxWaiters`, and the highest capacity of a channel. */
export const WAITERS_MAX = 16_777_216;

/** Options of everything that callers wait for in a queue: locks, events, channels, pipes. */
export interface QueueOptions {
  /** Names the object in error messages. Default: its kind, such as 'the mutex'. */
  name?: string | undefined;
  /** How many callers may wait at once, 1 to 16,777,216; default 65,536. One more gets FEATHERSTAR_FULL. */
  maxWaiters?: number | undefined;
}

export const QUEUE_CHECKS: Checks<QueueOptions> = { name: checkString, maxWaiters: integer(1, WAITERS_MAX) };

const QUEUE_WAIT_CHECKS: Checks<WaitOptions & { units?: number | undefined }> = { ...WAIT_CHECKS, units: checkedLater };

/** Checks the options of a wait. `units` are a semaphore's, which passes its options on as they are. */
export function checkQueueWait(options: WaitOptions): void {
  checkOptions<WaitOptions & { units?: number | undefined }>(options, QUEUE_WAIT_CHECKS);
}

export function closedError(what: string): FeatherstarError {
  return new FeatherstarError('FEATHERSTAR_CLOSED', `${what} is closed`);
}

class QueueWaiter<Q, R> extends Abortable {
  next: QueueWaiter<Q, R> | undefined;
  previous: QueueWaiter<Q, R> | undefined;

  constructor(
    readonly queue: WaitQueue<Q, R>,
    readonly request: Q,
    readonly resolve: (result: R) => void,
    readonly reject: (reason: unknown) => void,
  ) {
    super();
  }

  override timeoutError(timeoutMs: number): FeatherstarError {
    return new FeatherstarError('FEATHERSTAR_TIMEOUT', `${this.queue.what}: waited for longer than ${timeoutMs} ms`);
  }

  onAbort(reason: unknown): void {
    this.queue.leave(this, reason);
  }
}

/** Waiters with what they ask for (`Q`); a grant gives them `R`. */
export class WaitQueue<Q, R> {
  readonly what: string;
  readonly #maxWaiters: number;
  readonly #onLeave: (() => void) | undefined;
  #first: QueueWaiter<Q, R> | undefined;
  #last: QueueWaiter<Q, R> | undefined;
  #length = 0;

  /** `onLeave`: a caller gave up, and perhaps the next one can have its units. */
  constructor(what: string, maxWaiters: number = WAITERS_DEFAULT, onLeave?: () => void) {
    this.what = what;
    this.#maxWaiters = checkInteger('maxWaiters', maxWaiters, 1, WAITERS_MAX);
    this.#onLeave = onLeave;
  }

  get length(): number {
    return this.#length;
  }

  /** The request of the first waiter; undefined: no caller waits. */
  get head(): Q | undefined {
    return this.#first?.request;
  }

  /** Waits at the end of the queue. `options` have been checked. */
  wait(request: Q, options: WaitOptions): Promise<R> {
    if (options.signal?.aborted) return Promise.reject(options.signal.reason);
    if (this.#length >= this.#maxWaiters) {
      const text = `${this.what}: ${this.#length} wait already (maxWaiters)`;
      return Promise.reject(new FeatherstarError('FEATHERSTAR_FULL', text));
    }
    return new Promise((resolve, reject) => {
      const waiter = new QueueWaiter(this, request, resolve, reject);
      waiter.arm(options);
      waiter.previous = this.#last;
      if (this.#last === undefined) this.#first = waiter;
      else this.#last.next = waiter;
      this.#last = waiter;
      this.#length++;
    });
  }

  #unlink(waiter: QueueWaiter<Q, R>): void {
    const { next, previous } = waiter;
    if (previous === undefined) this.#first = next;
    else previous.next = next;
    if (next === undefined) this.#last = previous;
    else next.previous = previous;
    waiter.next = undefined;
    waiter.previous = undefined;
    this.#length--;
    waiter.disarm();
  }

  /** The first one has what it asked for. False: no caller waits. */
  grant(result: R): boolean {
    const waiter = this.#first;
    if (waiter === undefined) return false;
    this.#unlink(waiter);
    waiter.resolve(result);
    return true;
  }

  /** A waiter gives up. */
  leave(waiter: QueueWaiter<Q, R>, reason: unknown): void {
    this.#unlink(waiter);
    waiter.reject(reason);
    this.#onLeave?.();
  }

  rejectAll(reason: unknown): void {
    for (let waiter = this.#first; waiter !== undefined; waiter = this.#first) {
      this.#unlink(waiter);
      waiter.reject(reason);
    }
  }
}

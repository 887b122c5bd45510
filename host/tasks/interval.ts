// Intervals: a tick each period, and a policy for missed ticks, as in tokio's MissedTickBehavior. With a period of 10
// and a consumer that is away from 12 to 35:
//
//   due     10   20   30   40   50
//   burst   10   35,  35,  40,  50     all of them, the late ones at once
//   skip    10   35,       40,  50     one, and then in step again
//   delay   10   35,            45, 55 one, and from then on anew
//
// A timer is on the wheel only while a consumer waits for a tick.

import type { AbortOptions } from '../base/abort.js';
import { abortable, type WaitOptions } from '../base/abortable.js';
import { FeatherstarError } from '../base/errors.js';
import { checkSignal, checkTimeout, checkWait, oneOf } from '../base/options.js';
import { monotonicNs } from '../hosts/host.js';
import { currentShard, type Shard } from '../shard/shard.js';
import { Wait } from '../shard/wait.js';

/** The policy for ticks that were not taken in time: all come late, the phase shifts, or they are left out. */
export type MissedTicks = 'burst' | 'delay' | 'skip';

/** Options of an interval. If `signal` aborts, `tick()` rejects with its reason. */
export interface IntervalOptions extends AbortOptions {
  /** The policy for ticks that are taken a period late or more; default 'burst'. */
  missed?: MissedTicks | undefined;
}

const PERIOD_MIN_MS = 0.001;
const checkMissed = oneOf('burst', 'delay', 'skip');

/** A clock that ticks every period. `interval()` makes it. */
export class Interval implements AsyncIterable<number> {
  /** The time between two ticks. */
  readonly periodMs: number;
  readonly #shard: Shard;
  readonly #periodNs: number;
  readonly #policy: MissedTicks;
  readonly #signal: AbortSignal | undefined;
  #dueNs: number;
  #ticks = 0;
  #missed = 0;
  #wait: Wait | undefined;
  #isClosed = false;
  #last: Promise<unknown> | undefined;

  /** @internal `interval()` makes them. */
  constructor(periodMs: number, options: IntervalOptions = {}) {
    const { missed = 'burst' } = options;
    this.periodMs = checkTimeout('periodMs', periodMs, PERIOD_MIN_MS);
    checkMissed('missed', missed);
    this.#signal = checkSignal(options.signal);
    this.#shard = currentShard();
    this.#policy = missed;
    this.#periodNs = periodMs * 1e6;
    this.#dueNs = monotonicNs() + this.#periodNs;
  }

  /** How many ticks were taken. */
  get ticks(): number {
    return this.#ticks;
  }

  /** How many ticks were a whole period late or more: taken late ('burst'), or left out ('delay', 'skip'). */
  get missedTicks(): number {
    return this.#missed;
  }

  /**
   * Waits for the next tick, and resolves to the number of ticks so far. The first tick, 1, comes a period after the
   * interval was made. If several callers wait, each gets a tick of its own, in order, and `timeoutMs` begins with the
   * caller's turn. Rejects with the reason of a signal that aborts, FEATHERSTAR_TIMEOUT, FEATHERSTAR_CLOSED after
   * `close()`, and FEATHERSTAR_FULL if no timer is free.
   */
  tick(options: WaitOptions = {}): Promise<number> {
    const before = this.#last;
    const tick = before === undefined ? this.#tick(options) : before.then(() => this.#tick(options));
    const over = tick.then(
      () => undefined,
      () => undefined,
    );
    this.#last = over;
    void over.then(() => {
      if (this.#last === over) this.#last = undefined;
    });
    return tick;
  }

  async #tick(options: WaitOptions): Promise<number> {
    checkWait(options);
    this.#signal?.throwIfAborted();
    if (this.#isClosed) throw intervalClosed();
    const leftNs = this.#dueNs - monotonicNs();
    if (leftNs > 0) await this.#waitFor(leftNs, options);
    return this.#take(monotonicNs());
  }

  async #waitFor(delayNs: number, options: WaitOptions): Promise<void> {
    let hasEndedEarly = false;
    try {
      await abortable<void>((resolve, reject) => {
        const wait = new Wait(this.#shard, delayNs, this.#signal, resolve, (reason) => {
          if (!hasEndedEarly) reject(reason);
        });
        this.#wait = wait;
        return () => {
          hasEndedEarly = true;
          wait.cancel(undefined);
        };
      }, options);
    } finally {
      this.#wait = undefined;
    }
  }

  #take(nowNs: number): number {
    const late = Math.floor((nowNs - this.#dueNs) / this.#periodNs); // whole periods
    if (late <= 0) this.#dueNs += this.#periodNs;
    else if (this.#policy === 'burst') {
      this.#missed++;
      this.#dueNs += this.#periodNs;
    } else {
      this.#missed += late;
      this.#dueNs = this.#policy === 'delay' ? nowNs + this.#periodNs : this.#dueNs + (late + 1) * this.#periodNs;
    }
    return ++this.#ticks;
  }

  /** Stops the ticks: callers of `tick()` reject with FEATHERSTAR_CLOSED, and loops end. */
  close(): void {
    this.#isClosed = true;
    this.#wait?.cancel(intervalClosed());
  }

  /** Calls `close()`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  /** The ticks, until the interval is closed. Leaving the loop does not close it. */
  async *[Symbol.asyncIterator](): AsyncGenerator<number, void, undefined> {
    while (!this.#isClosed) {
      try {
        yield await this.tick();
      } catch (error) {
        if (this.#isClosed && FeatherstarError.is(error) && error.code === 'FEATHERSTAR_CLOSED') return;
        throw error;
      }
    }
  }
}

function intervalClosed(): FeatherstarError {
  return new FeatherstarError('FEATHERSTAR_CLOSED', 'the interval is closed');
}

/**
 * Makes an interval that ticks every `periodMs` milliseconds, 0.001 to 100 days, and never early. Throws
 * FEATHERSTAR_OPTION, or FEATHERSTAR_NO_SHARD outside a runtime.
 *
 * @example
 * for await (const tick of interval(1000, { missed: 'skip', signal })) report(tick);
 */
export function interval(periodMs: number, options: IntervalOptions = {}): Interval {
  return new Interval(periodMs, options);
}

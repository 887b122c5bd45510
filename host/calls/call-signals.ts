// AbortSignals across shards. A signal among the arguments of a call is written as a number. The called function gets a
// signal of its own shard, which aborts when the caller's does. So a function takes a signal as any function does, and
// a call without one costs nothing.
//
//   caller   call('get', key, signal)                  -> number 7 -> get(key, signal')
//            signal aborts: the call rejects at once   -> ABORT 7, reason -> signal' aborts, if the call still runs
//
// Invariant: when a call has ended, on either side, nothing of its signals is left there: no listener, no number.

import { addAbortListener, removeAbortListener } from '../base/abort-listeners.js';
import { Abortable } from '../base/abortable.js';
import { FeatherstarError } from '../base/errors.js';

/** The events that can end a call from outside, and a function for the case that it ends before it was sent. */
export class Watch extends Abortable {
  /** Ends the call; call.ts sets it once it knows where the call is. `told`: numbers that the peer must hear of. */
  end: ((reason: unknown, told: number[]) => void) | undefined;
  /** Undoes what was done for a call that is not sent yet; call.ts clears it when it is. */
  ifNotSent: (() => void) | undefined;
  readonly #signals = new Map<AbortSignal, number[]>();

  /** `sent`: the signals among the arguments, numbered from `first`. */
  constructor(sent: readonly AbortSignal[], first: number, signal: AbortSignal | undefined) {
    super();
    for (let i = 0; i < sent.length; i++) this.#add(sent[i] as AbortSignal).push((first + i) >>> 0);
    if (signal !== undefined) this.#add(signal);
  }

  #add(signal: AbortSignal): number[] {
    let numbers = this.#signals.get(signal);
    if (numbers === undefined) {
      numbers = [];
      this.#signals.set(signal, numbers);
    }
    return numbers;
  }

  /** The signal that has aborted already. */
  get aborted(): AbortSignal | undefined {
    for (const signal of this.#signals.keys()) if (signal.aborted) return signal;
    return undefined;
  }

  start(timeoutMs: number | undefined): void {
    this.arm({ timeoutMs });
    for (const signal of this.#signals.keys()) addAbortListener(signal, this);
  }

  override timeoutError(timeoutMs: number): FeatherstarError {
    return new FeatherstarError('FEATHERSTAR_TIMEOUT', `the call took longer than ${timeoutMs} ms`);
  }

  onAbort(reason: unknown, signal: AbortSignal | undefined): void {
    const { end } = this;
    const told = signal === undefined ? [] : (this.#signals.get(signal) as number[]);
    this.stop();
    end?.(reason, told);
  }

  /** The call has ended. */
  stop(): void {
    this.end = undefined;
    this.ifNotSent?.();
    this.ifNotSent = undefined;
    this.disarm();
    for (const signal of this.#signals.keys()) removeAbortListener(signal, this);
    this.#signals.clear();
  }
}

/** The signals that called functions on this shard were given, by peer and number. */
export class GivenSignals {
  readonly #controllers = new Map<number, AbortController>();

  open(peer: number, id: number): AbortSignal {
    const controller = new AbortController();
    this.#controllers.set(key(peer, id), controller);
    return controller.signal;
  }

  /** Aborts what is there; a call that has ended meanwhile has nothing any more. */
  abort(peer: number, ids: readonly number[], reason: unknown): void {
    for (const id of ids) this.#take(peer, id)?.abort(reason);
  }

  /** The call that had them has ended. */
  close(peer: number, ids: readonly number[]): void {
    for (const id of ids) this.#take(peer, id);
  }

  /** The callers on that shard are gone. */
  peerDown(peer: number, reason: unknown): void {
    const gone = [...this.#controllers.keys()].filter((name) => Math.floor(name / ID_RANGE) === peer);
    this.abort(
      peer,
      gone.map((name) => name % ID_RANGE),
      reason,
    );
  }

  get size(): number {
    return this.#controllers.size;
  }

  #take(peer: number, id: number): AbortController | undefined {
    const name = key(peer, id);
    const controller = this.#controllers.get(name);
    this.#controllers.delete(name);
    return controller;
  }
}

const ID_RANGE = 2 ** 32;

function key(peer: number, id: number): number {
  return peer * ID_RANGE + id;
}

/** The signals that a function on the caller's own shard is given; it gets them as they are. */
export function signalsAmong(args: readonly unknown[]): AbortSignal[] {
  const found: AbortSignal[] = [];
  for (const arg of args) {
    if (typeof arg !== 'object' || arg === null) continue;
    if (arg instanceof AbortSignal) found.push(arg);
    else if (hasSignal(arg)) found.push(arg.signal);
  }
  return found;
}

function hasSignal(value: object): value is { signal: AbortSignal } {
  return Object.getPrototypeOf(value) === Object.prototype && 'signal' in value && value.signal instanceof AbortSignal;
}

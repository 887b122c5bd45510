// Process signals on every shard. Node gives them to the main thread only. So shard 0 listens for all shards, as long
// as one of them has a listener, and passes them on by the workers' ports.
//
//   process --> SignalHub (shard 0) --> SignalBoard (each shard) --> onSignal() handlers, waitForSignal() waits
//
// While the first SIGINT, SIGTERM or SIGQUIT is being handled, a second one ends the process with 128 + its number. So
// a shutdown that hangs can be cut short. Handling means that a handler's promise is open, or that a wait has ended and
// no wait is open again. If no shard listens, the signal has its default action.
//
// Next: signals.ts, which users call.

import { constants } from 'node:os';

/** The name of a signal of the system, such as 'SIGTERM'. */
export type SignalName = NodeJS.Signals;

/** The messages of a shard's board to the hub. */
export interface SignalLink {
  want(name: SignalName, isWanted: boolean): void;
  /** A wait for these has ended: from now on one more of them ends the process. */
  waited(names: readonly SignalName[]): void;
  /** All handlers of a signal have ended. */
  done(name: SignalName): void;
}

/** Where signals come from: the process, or a simulated one. */
export interface SignalSource {
  on(name: SignalName, listener: (name: SignalName) => void): unknown;
  off(name: SignalName, listener: (name: SignalName) => void): unknown;
  /** Ends the process. */
  exit(code: number): void;
}

const ENDING: readonly string[] = ['SIGINT', 'SIGTERM', 'SIGQUIT'];

/** Shard 0's part: the process's listeners. */
export class SignalHub {
  readonly #source: SignalSource;
  readonly #deliver: (shard: number, name: SignalName) => void;
  readonly #wants = new Map<SignalName, Set<number>>();
  readonly #busy = new Map<SignalName, Set<number>>();
  readonly #waited = new Set<SignalName>();
  readonly #listening = new Set<SignalName>();

  constructor(source: SignalSource, deliver: (shard: number, name: SignalName) => void) {
    this.#source = source;
    this.#deliver = deliver;
  }

  /** The link of one shard. */
  link(shard: number): SignalLink {
    return {
      want: (name, isWanted) => {
        if (isWanted) this.#waited.delete(name);
        this.#note(this.#wants, name, shard, isWanted);
      },
      waited: (names) => {
        for (const name of names) if (ENDING.includes(name)) this.#waited.add(name);
      },
      done: (name) => this.#note(this.#busy, name, shard, false),
    };
  }

  /** That shard does not run any more. */
  gone(shard: number): void {
    for (const map of [this.#wants, this.#busy]) {
      for (const name of [...map.keys()]) this.#note(map, name, shard, false);
    }
  }

  #note(map: Map<SignalName, Set<number>>, name: SignalName, shard: number, isIn: boolean): void {
    const shards = map.get(name) ?? new Set();
    map.set(name, shards);
    if (isIn) shards.add(shard);
    else shards.delete(shard);
    if (shards.size === 0) map.delete(name);
    this.#listen(name);
  }

  #listen(name: SignalName): void {
    const isNeeded = this.#wants.has(name) || this.#busy.has(name) || this.#waited.has(name);
    if (isNeeded === this.#listening.has(name)) return;
    if (isNeeded) {
      this.#source.on(name, this.#onSignal);
      this.#listening.add(name);
    } else {
      this.#source.off(name, this.#onSignal);
      this.#listening.delete(name);
    }
  }

  readonly #onSignal = (name: SignalName): void => {
    const isSecond = this.#busy.has(name) || this.#waited.has(name);
    if (isSecond && ENDING.includes(name)) {
      this.#source.exit(128 + constants.signals[name]);
      return; // from a simulated process: its code goes on to the end of the turn
    }
    for (const shard of [...(this.#wants.get(name) ?? [])]) {
      this.#note(this.#busy, name, shard, true);
      this.#deliver(shard, name);
    }
  };

  close(): void {
    for (const name of this.#listening) this.#source.off(name, this.#onSignal);
    this.#listening.clear();
    this.#wants.clear();
    this.#busy.clear();
    this.#waited.clear();
  }
}

export interface SignalListener {
  readonly names: readonly SignalName[];
  /** A wait: gone after its first signal. */
  readonly once: boolean;
  readonly fn: (name: SignalName) => unknown;
}

/** One shard's part: who wants to know of what. */
export class SignalBoard {
  readonly #link: SignalLink;
  readonly #listeners = new Set<SignalListener>();

  constructor(link: SignalLink) {
    this.#link = link;
  }

  #isWanted(name: SignalName): boolean {
    return [...this.#listeners].some((listener) => listener.names.includes(name));
  }

  add(listener: SignalListener): void {
    const fresh = listener.names.filter((name) => !this.#isWanted(name));
    this.#listeners.add(listener);
    for (const name of fresh) this.#link.want(name, true);
  }

  remove(listener: SignalListener): void {
    if (!this.#listeners.delete(listener)) return;
    for (const name of listener.names) if (!this.#isWanted(name)) this.#link.want(name, false);
  }

  /** A signal has come. A handler that fails is reported; the others run. */
  async deliver(name: SignalName): Promise<void> {
    const running: Promise<unknown>[] = [];
    for (const listener of [...this.#listeners]) {
      if (!listener.names.includes(name)) continue;
      if (listener.once) {
        this.#link.waited(listener.names);
        this.remove(listener);
      }
      running.push((async () => listener.fn(name))());
    }
    for (const result of await Promise.allSettled(running)) {
      if (result.status === 'rejected') {
        process.emitWarning(`a handler of ${name} failed: ${result.reason?.stack ?? result.reason}`, 'Featherstar');
      }
    }
    this.#link.done(name);
  }
}

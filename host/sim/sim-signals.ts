// Signals of a simulated process: the program's, or that of a machine with a runtime of its own.
//
//   world.signal(), host.signal(), process.kill(process.pid) --> a turn of shard 0 --> its listeners --> none: the end
//
// Listeners are those of process.on() in code of shard 0, and runtime/signal-board.ts, which hears of signals as in
// production. Each thread has listeners of its own, but signals come to shard 0 only, as to Node's main thread.
//
// Next: surroundings.ts, which has process.on() and process.kill().

import { EventEmitter } from 'node:events';
import { constants } from 'node:os';
import type { SignalName, SignalSource } from '../runtime/signal-board.js';
import type { Place, World } from './world.js';

/** Signals that do not end a process of Node without a listener. */
const HARMLESS: readonly string[] = ['SIGCHLD', 'SIGCONT', 'SIGPIPE', 'SIGURG', 'SIGUSR1', 'SIGWINCH'];

export function isSignal(event: unknown): event is SignalName {
  return typeof event === 'string' && Object.hasOwn(constants.signals, event);
}

/** The listeners for signals that code of this thread has. */
export function signalEvents(place: Place): EventEmitter {
  place.signalEvents ??= new EventEmitter();
  return place.signalEvents;
}

export class SimSignals implements SignalSource {
  readonly #world: World;
  readonly #first: Place;
  readonly #end: (text: string) => void;

  /** `first`: shard 0, which hears of them. `end`: the process ends; the text says why. */
  constructor(world: World, first: Place, end: (text: string) => void) {
    this.#world = world;
    this.#first = first;
    this.#end = end;
  }

  on(name: SignalName, listener: (name: SignalName) => void): void {
    signalEvents(this.#first).on(name, listener);
  }

  off(name: SignalName, listener: (name: SignalName) => void): void {
    signalEvents(this.#first).off(name, listener);
  }

  /** A signal comes, in a turn of shard 0. If a listener ends the process, those behind it do not run. */
  send(name: SignalName): void {
    const place = this.#first;
    this.#world.post(place, () => {
      this.#world.tell(place, `the process gets ${name}`);
      const listeners = name === 'SIGKILL' ? [] : signalEvents(place).rawListeners(name);
      for (const listener of listeners) {
        if (place.hasEnded) return;
        listener.call(process, name, constants.signals[name]);
      }
      if (listeners.length !== 0 || HARMLESS.includes(name)) return;
      const why = name === 'SIGKILL' ? '' : ': no code listens for it';
      this.#end(`${name} has ended the process${why}`);
    });
  }

  exit(code: number): void {
    this.#end(`a second signal has ended the process, with exit code ${code}`);
  }
}

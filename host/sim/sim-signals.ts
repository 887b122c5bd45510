// Signals of the simulated process. The program sends them (world.signal()); runtime/signal-board.ts hears of them, as
// it does of the process's own in production.

import { FeatherstarError } from '../base/errors.js';
import type { SignalName, SignalSource } from '../runtime/signal-board.js';
import type { Place, World } from './world.js';

export class SimSignals implements SignalSource {
  readonly #world: World;
  readonly #first: Place;
  readonly #listeners = new Map<SignalName, Set<(name: SignalName) => void>>();

  /** `first`: shard 0, which hears of them. */
  constructor(world: World, first: Place) {
    this.#world = world;
    this.#first = first;
  }

  on(name: SignalName, listener: (name: SignalName) => void): void {
    this.#listeners.set(name, (this.#listeners.get(name) ?? new Set()).add(listener));
  }

  off(name: SignalName, listener: (name: SignalName) => void): void {
    this.#listeners.get(name)?.delete(listener);
  }

  /** A signal comes, in a turn of shard 0. */
  send(name: SignalName): void {
    const place = this.#first;
    this.#world.post(place, () => {
      this.#world.tell(place, `the process gets ${name}`);
      const listeners = [...(this.#listeners.get(name) ?? [])];
      if (listeners.length === 0) this.#end(`${name} has ended the process: no shard waits for it`);
      for (const listener of listeners) listener(name);
    });
  }

  exit(code: number): void {
    this.#end(`a second signal has ended the process, with exit code ${code}`);
  }

  #end(text: string): never {
    throw new FeatherstarError('FEATHERSTAR_SIMULATION', text);
  }
}

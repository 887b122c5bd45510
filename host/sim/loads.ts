// Work of a shard that takes real time: loading its module, the pool of Node's threads. The world stands still
// meanwhile, so it is as if that took none.
//
//   run() --> the world pauses --> done --> the shard goes on, in a turn
//                              --> a module that waits for the world at its top level: turns go on, until it is loaded
//
// Next: world.ts.

import { setRuntime } from '../runtime/runtime.js';
import { enterShard } from '../shard/shard.js';
import { realSoon } from './real.js';
import { loadInTime } from './watchdog.js';
import type { Place, World } from './world.js';

/** Rounds of the thread's own loop, until a module that has staged something is taken to wait for that. */
const ROUNDS = 10;

interface LoadingModule {
  readonly module: string;
  readonly loaded: Promise<void>;
}

export class Loads {
  readonly #world: World;
  /** How long a module may take, in real time; 0: for ever. */
  readonly #mostMs: number;
  readonly #waiting: (() => Promise<void>)[] = [];
  readonly #modules = new Map<Place, LoadingModule>();
  /** The shard that works now, between turns; else -1. */
  #shard = -1;
  #onStaged: (() => void) | undefined;

  constructor(world: World, mostMs: number) {
    this.#world = world;
    this.#mostMs = mostMs;
  }

  /** Runs work of the current shard. `module`: the name of the module that it loads. */
  run<T>(work: () => Promise<T>, module?: string): Promise<T> {
    const world = this.#world;
    const place = world.current as Place;
    return new Promise((resolve, reject) => {
      this.#waiting.push(async () => {
        if (place.hasEnded) return;
        this.#shard = place.index;
        enterShard(place.shard);
        setRuntime(place.runtime);
        const fail = (error: unknown) => world.post(place, () => reject(error));
        const done = work().then((value) => world.post(place, () => resolve(value)), fail);
        await (module === undefined ? done : this.#loadModule(place, module, done).catch(fail));
        this.#shard = -1;
        enterShard(undefined);
        setRuntime(undefined);
      });
    });
  }

  /** Takes the next work out, for a world that pauses meanwhile. */
  next(): (() => Promise<void>) | undefined {
    return this.#waiting.shift();
  }

  /** Whether the shard's work may stage something now. */
  mayStage(shard: number): boolean {
    if (shard !== this.#shard) return false;
    this.#onStaged?.();
    return true;
  }

  /** Whether there are modules that wait for something. */
  get hasModules(): boolean {
    return this.#modules.size !== 0;
  }

  /** Resolves when one of them is loaded. */
  anyModule(): Promise<void> {
    const all = [...this.#modules.values()];
    const names = all.map(({ module }) => module).join(', ');
    return loadInTime(names, this.#mostMs, () => Promise.race(all.map(({ loaded }) => loaded)));
  }

  /** The thread has ended. */
  drop(place: Place): void {
    this.#modules.delete(place);
  }

  /** Resolves when the module is loaded, or waits for the world. */
  async #loadModule(place: Place, module: string, loaded: Promise<void>): Promise<void> {
    this.#modules.set(place, { module, loaded });
    void loaded.then(() => this.#modules.delete(place));
    const isStaged = new Promise<void>((resolve) => {
      this.#onStaged = resolve;
    });
    await loadInTime(module, this.#mostMs, () => Promise.race([loaded, isStaged]));
    this.#onStaged = undefined;
    for (let i = 0; i < ROUNDS && this.#modules.has(place); i++) await realSoon();
    if (this.#modules.has(place)) this.#world.post(place, () => {}); // a turn, in which what it has staged goes out
  }
}

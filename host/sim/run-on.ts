// Runs a function on another shard. The result comes in a turn of the shard that asked, and so does that shard's death.
//
// Next: world.ts.

import { FeatherstarError } from '../base/errors.js';
import type { Place, World } from './world.js';

/** Rejects with FEATHERSTAR_PEER_DOWN if the shard does not run, or dies before the function has ended. */
export function runOn<T>(world: World, place: Place, run: () => T | Promise<T>): Promise<T> {
  return place.hasEnded || !place.hasStarted ? Promise.reject(diedError(place)) : runIn(world, place, run);
}

/** Runs it also in a thread that is no shard yet. */
export function runIn<T>(world: World, place: Place, run: () => T | Promise<T>): Promise<T> {
  const home = world.current as Place;
  return new Promise<T>((resolve, reject) => {
    const mourner = () => world.post(home, () => reject(diedError(place)));
    place.mourners.add(mourner);
    const end = (settle: () => void) => {
      place.mourners.delete(mourner);
      world.post(home, settle);
    };
    world.post(place, () => {
      new Promise<T>((done) => done(run())).then(
        (value) => end(() => resolve(value)),
        (error) => end(() => reject(error)),
      );
    });
  });
}

function diedError({ label }: Place): FeatherstarError {
  return new FeatherstarError('FEATHERSTAR_PEER_DOWN', `${label} has died`);
}

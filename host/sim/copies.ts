// Which copies of featherstar run simulations in this process. A search sees the worlds of its own copy only. So a
// program that imports another copy, as beside a command that was installed globally, must be told that.
//
// Next: runs.ts.

import { fileURLToPath } from 'node:url';
import { FeatherstarError } from '../base/errors.js';

const KEY = Symbol.for('featherstar.simulations');
const HOME = fileURLToPath(new URL('../../..', import.meta.url));

/** How many simulations each copy has begun, by its folder. */
function counts(): Map<string, number> {
  const shared = globalThis as { [KEY]?: Map<string, number> };
  shared[KEY] ??= new Map();
  return shared[KEY];
}

/** A simulation of this copy begins. */
export function countSimulation(): void {
  counts().set(HOME, (counts().get(HOME) ?? 0) + 1);
}

/** Returns a function that looks whether another copy has begun a simulation since, and returns the error for that. */
export function watchCopies(): () => FeatherstarError | undefined {
  const before = new Map(counts());
  return () => {
    const other = [...counts()].find(([home, count]) => home !== HOME && count !== before.get(home))?.[0];
    if (other === undefined) return undefined;
    const what = `the program imports another copy of featherstar, ${other}, and this one is ${HOME}`;
    const remedy = "run the command of the program's own copy: npx featherstar sim, in the program's folder";
    return new FeatherstarError('FEATHERSTAR_STATE', `${what}: ${remedy}`);
  };
}

// The globals of a simulated program. A way to learn of time, chance or the real world is simulated, or allowed because
// it is pure, or refused. The error of a refusal says what to use instead.
//
//   sim-clocks.ts    dates, clocks                   \
//   sim-chance.ts    random values                    |
//   sim-timers.ts    timers, ticks                    +--> Replacements --> the globals, put back when the world ends
//   pool-work.ts     pure work of Node's threads      |
//   surroundings.ts  the machine                      |
//   node-net.ts      sockets, HTTP, names             |
//   node-fs.ts       files                            |
//   doors.ts         what leaves the simulation      /
//
// Only code of a shard in its turn gets the simulated ones. Other code in this thread (a test runner's timer, the
// module loader) gets the real ones. But dates and clocks are the world's for all code. docs/testing.md has the list,
// and tests/sim/escapes.test.js has a test for each of its lines.

import timers from 'node:timers';
import { shutDoors } from './doors.js';
import { countLoads } from './module-loads.js';
import { syncNamedImports } from './named-imports.js';
import { nodeFiles } from './node-fs.js';
import { freshAgent, nodeNetwork } from './node-net.js';
import { poolWork } from './pool-work.js';
import { apply, type Replacement, replaced, stage, stageWorld, type Undo } from './replace.js';
import { chances } from './sim-chance.js';
import { clocks } from './sim-clocks.js';
import { sleepers } from './sim-timers.js';
import { surroundings } from './surroundings.js';
import type { World } from './world.js';

/** Warnings of the library go into the trace. */
function warnings(): Replacement[] {
  const real = process.emitWarning as (...args: unknown[]) => void;
  const emitWarning = (...args: [text: string | Error, type?: unknown]) => {
    const inside = stage();
    if (inside === undefined || args[1] !== 'Featherstar') real.apply(process, args);
    else inside.world.trace.remark(inside.world.nowNs, inside.place.index, `warning: ${args[0]}`);
  };
  return [replaced(process, 'emitWarning', emitWarning)];
}

const parts = [
  clocks,
  chances,
  sleepers,
  warnings,
  poolWork,
  surroundings,
  shutDoors,
  countLoads,
  nodeFiles,
  nodeNetwork,
];
const all = parts.flatMap((part) => part());
const globals = new Set<object>(objectsOfGlobals());

const KEPT = new Map<object, readonly PropertyKey[]>([
  [globalThis, [...Object.keys(timers), 'fetch']],
  [process, ['nextTick']],
  [Math, ['random']],
  [performance, ['now']],
]);

/** Whether modules keep this global when they load: `const { nextTick } = process`. */
function isKept({ target, name }: Replacement): boolean {
  return KEPT.get(target)?.includes(name) === true;
}

/** Objects that a program finds without a module. */
function objectsOfGlobals(): object[] {
  const { Temporal } = globalThis as { Temporal?: { Now: object } };
  const { crypto } = globalThis;
  const found = [globalThis, process, performance, Math, AbortSignal, Atomics, WebAssembly, crypto, crypto.subtle];
  return [...found, Intl.DateTimeFormat.prototype, ...(Temporal === undefined ? [] : [Temporal.Now])];
}

// Functions of modules are replaced once and for good: a module keeps those that it finds when it loads. Some globals
// are, too. All of these do what the real ones do wherever no simulation runs.
for (const each of all) if (!globals.has(each.target) || isKept(each)) apply(each);
syncNamedImports();

/** Puts the world's in the place of the globals. Returns a function that puts the real ones back. */
export function replaceGlobals(world: World): Undo {
  stageWorld(world);
  const undos = [freshAgent()];
  for (const each of all) if (globals.has(each.target)) undos.push(apply(each));
  return () => {
    for (const undo of undos.reverse()) undo();
    stageWorld(undefined);
  };
}

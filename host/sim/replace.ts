// How a world takes the place of globals and of functions of Node's modules, and gives them back.
//
//   a Replacement --apply()--> what a program finds there --undo--> what was there before
//
// Each replacement is made once for each process and asks for the world that runs now. So a module that has kept
// `const { setTimeout } = require('node:timers/promises')` works in the next world, too. Without a world, and outside
// of a shard's turn, each replacement does what the real function does.
//
// Next: globals.ts, which applies all of them.

import { AsyncResource } from 'node:async_hooks';
import type { AnyFunction } from '../calls/remote.js';
import type { Place, World } from './world.js';

export type Undo = () => void;
export type Callback = (...args: unknown[]) => void;

/** Bun and Deno have no modules of Node's that can be replaced as a whole. */
export const isOtherRuntime = 'Bun' in globalThis || 'Deno' in globalThis;

/** One property that is another one while a world runs. */
export interface Replacement {
  readonly target: object;
  readonly name: PropertyKey;
  readonly value?: unknown;
  /** For a property that is computed. */
  readonly get?: () => unknown;
}

const WITHOUT_DESTROY = { requireManualDestroy: true };

let running: World | undefined;

/** Says which world runs; undefined: none. */
export function stageWorld(world: World | undefined): void {
  running = world;
}

/** The world that runs in this thread. */
export function activeWorld(): World | undefined {
  return running;
}

/** A world, and the shard of it that has its turn. */
export interface Stage {
  readonly world: World;
  readonly place: Place;
}

/** The world whose shard has its turn now, and that shard. Undefined: code outside of the simulation runs. */
export function stage(): Stage | undefined {
  const place = running?.current;
  return running === undefined || place === undefined ? undefined : { world: running, place };
}

/** The result of stage(), for functions that only run in a shard's turn, as those of switched() do. */
export function onStage(): Stage {
  return stage() as Stage;
}

/** A callback that runs later with what each AsyncLocalStorage holds now, as Node's own timers and ticks do. */
export function bound(run: () => void): () => void {
  const resource = new AsyncResource('SIMULATED', WITHOUT_DESTROY); // AsyncResource.bind() takes ten times as long
  return () => resource.runInAsyncScope(run);
}

/** A property that is replaced by a value. */
export function replaced(target: object, name: PropertyKey, value: unknown): Replacement {
  return { target, name, value };
}

/** A function that is another one in a shard's turn. A target without that function is left as it is. */
export function switched(target: object, name: string, simulated: AnyFunction): Replacement[] {
  const real = (target as Record<string, unknown>)[name];
  if (typeof real !== 'function') return [];
  function chosen(this: unknown, ...args: unknown[]): unknown {
    const isInside = stage() !== undefined;
    if (new.target !== undefined && !isInside) return Reflect.construct(real as never, args, new.target);
    return (isInside ? simulated : (real as AnyFunction)).apply(this, args as never);
  }
  keepShape(chosen, real as AnyFunction);
  return [replaced(target, name, chosen)];
}

/** `instanceof`, static members and util.promisify() go on working. */
export function keepShape(made: object, real: object): void {
  Object.setPrototypeOf(made, Object.getPrototypeOf(real));
  for (const key of Reflect.ownKeys(real)) {
    const descriptor = Object.getOwnPropertyDescriptor(real, key) as PropertyDescriptor;
    if (key === 'arguments' || key === 'caller' || (key === 'prototype' && descriptor.value === undefined)) continue;
    if (key === 'prototype') Object.assign(made, { prototype: descriptor.value });
    else Object.defineProperty(made, key, { ...descriptor, configurable: true });
  }
}

/** Puts it in its place. A property that can be neither set nor defined stays. */
export function apply({ target, name, value, get }: Replacement): Undo {
  const before = Object.getOwnPropertyDescriptor(target, name);
  if (before !== undefined && !before.configurable && !before.writable) return () => {};
  const shape = { configurable: before?.configurable ?? true, enumerable: before?.enumerable ?? false };
  if (get === undefined) Object.defineProperty(target, name, { value, writable: true, ...shape });
  else Object.defineProperty(target, name, { get, ...shape });
  return () => {
    if (before === undefined) Reflect.deleteProperty(target, name);
    else Object.defineProperty(target, name, before);
  };
}

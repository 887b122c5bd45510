// The functions that can be called on a shard: those of the shard module, by number, and those of the library
// (internal.ts). Every shard loads the same module, so sorted names give the same numbers, and a call carries 16 bits
// for a name.

import { FeatherstarError } from '../base/errors.js';
import { INTERNAL_FIRST, internalName, runInternal } from './internal.js';
import { type RemoteClass, remoteClass, type Send } from './remote.js';

export type ShardFunction = (...args: never[]) => unknown;

/** The names of a shard module's functions; a function's number is its place among them. */
export function functionNames(exports: Record<string, unknown>): string[] {
  return Object.keys(exports)
    .filter((name) => typeof exports[name] === 'function')
    .sort();
}

export class Functions {
  #functions: ShardFunction[] | undefined;
  #numbers = new Map<string, number>();
  #Remote: RemoteClass<number> | undefined;

  /** All that the module exports. */
  exports: Readonly<Record<string, unknown>> = {};

  set(exports: Record<string, unknown>): void {
    this.exports = exports;
    const names = functionNames(exports);
    this.#numbers = new Map(names.map((name, i) => [name, i]));
    this.#functions = names.map((name) => exports[name] as ShardFunction);
    this.#Remote = remoteClass(this.#numbers);
  }

  /** An object with a method for each function. Each call is sent by `send`, which gets the function's number. */
  remote(send: Send<number>): object {
    if (this.#Remote !== undefined) return new this.#Remote(send);
    const text = 'the shard module is not loaded yet: call on() inside a function, not at the top level of the module';
    throw new FeatherstarError('FEATHERSTAR_MODULE', text);
  }

  get names(): string[] {
    return [...this.#numbers.keys()];
  }

  get isLoaded(): boolean {
    return this.#functions !== undefined;
  }

  number(name: string): number | undefined {
    return this.#numbers.get(name);
  }

  /** How a function is called in a sentence. */
  describe(number: number): string {
    if (number >= INTERNAL_FIRST) return internalName(number);
    const name = [...this.#numbers.keys()][number]; // in the order of the numbers
    return `the function ${JSON.stringify(name)}`;
  }

  exported(name: string): ShardFunction | undefined {
    const number = this.#numbers.get(name);
    return number === undefined ? undefined : this.#functions?.[number];
  }

  run(number: number, args: readonly unknown[]): unknown {
    if (number >= INTERNAL_FIRST) return runInternal(number, args as unknown[]);
    const run = this.#functions?.[number] as ((...args: unknown[]) => unknown) | undefined;
    if (run === undefined) {
      throw new FeatherstarError('FEATHERSTAR_MODULE', `the shard module has no function ${number}`);
    }
    switch (args.length) {
      case 0:
        return run();
      case 1:
        return run(args[0]);
      case 2:
        return run(args[0], args[1]);
      default:
        return run(...args);
    }
  }
}

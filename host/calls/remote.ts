// How functions of other shards are called: through an object that has a method for each of them.
//
//   const here = runtime<typeof import('./app.js')>();
//   await here.on(1).set('key', 'value');                    // runs set() of app.js on shard 1
//   await here.on(1).with({ timeoutMs: 100 }).get('key');    // rejects with FEATHERSTAR_TIMEOUT after 100 ms
//   await here.onAll().size();                               // runs size() on every shard: an array in shard order
//
//   on(1).set(...) --> a method of remoteClass() --> send(method, arguments, options) --> call.ts, foreign.ts, ...
//
// The methods are made once, from the names that the module exports. A Proxy would look the name up in every call, and
// cost 35 to 55 ns each time. All that can be called has this form: shard modules, services, and both from a thread or
// a page that is no shard.
//
// Next: call.ts, which sends the call.

import type { WaitOptions } from '../base/abortable.js';
import { checkOptions, WAIT_CHECKS } from '../base/options.js';

// --- types -----------------------------------------------------------------------------------------------------------

export type AnyFunction = (...args: never[]) => unknown;

/** A module of which nothing is known: any function can be called with anything, and returns `unknown`. */
export type UntypedModule = Record<string, (...args: unknown[]) => unknown>;

/** The signatures of a function, up to four; a function with fewer has its first one several times. */
type Signatures<F> = F extends {
  (...args: infer A): infer R;
  (...args: infer B): infer S;
  (...args: infer C): infer T;
  (...args: infer D): infer U;
}
  ? [[A, R], [B, S], [C, T], [D, U]]
  : never;

/** A function that has one signature, and no type parameters. */
type IsPlain<F> = F extends (...args: infer A) => infer R ? (((...args: A) => R) extends F ? true : false) : never;

type CallOf<S> = S extends [infer A extends unknown[], infer R] ? (...args: A) => Promise<Awaited<R>> : never;
type CallAllOf<S> = S extends [infer A extends unknown[], infer R] ? (...args: A) => Promise<Awaited<R>[]> : never;
type LastOf<F> = Signatures<F>[3];

/**
 * A function as another shard calls it: it returns a promise. A function that returns a promise already keeps its type
 * whole, with type parameters and overloads. Any other one keeps up to four overloads, and loses its type parameters:
 * each becomes what it extends.
 */
export type RemoteFunction<F> = [Signatures<F>[number][1]] extends [Promise<unknown>]
  ? F
  : IsPlain<F> extends true
    ? CallOf<LastOf<F>>
    : Signatures<F> extends [infer P, infer Q, infer V, infer W]
      ? CallOf<P> & CallOf<Q> & CallOf<V> & CallOf<W>
      : never;

/** A function as it is called on several shards: it returns a promise of an array. Type parameters are lost. */
export type RemoteAllFunction<F> =
  IsPlain<F> extends true
    ? CallAllOf<LastOf<F>>
    : Signatures<F> extends [infer P, infer Q, infer V, infer W]
      ? CallAllOf<P> & CallAllOf<Q> & CallAllOf<V> & CallAllOf<W>
      : never;

/**
 * Names that cannot be called: with() is the options', an object with then() would be taken for a promise, and each
 * object has a constructor.
 */
type Reserved = 'with' | 'then' | 'constructor';

/** The names of the functions of a module, or of the methods of a service, that can be called. */
type Callable<M, K extends keyof M> = M[K] extends AnyFunction ? Exclude<K, Reserved> : never;

/**
 * The functions of a module as they run on one shard. `M` is the module's type: `typeof import('./app.js')`. Its
 * classes and values are left out.
 */
export type Remote<M extends object> = {
  /** Takes a signal or a time that ends the wait: `on(1).with({ timeoutMs: 100 }).get('key')`. */
  with(options: WaitOptions): Remote<M>;
} & { readonly [K in keyof M as Callable<M, K>]: RemoteFunction<M[K]> };

/** The functions of a module as they run on several shards at once. Each resolves to an array, in shard order. */
export type RemoteAll<M extends object> = {
  /** Takes a signal or a time that ends the wait for all shards: `onAll().with({ timeoutMs: 100 }).size()`. */
  with(options: WaitOptions): RemoteAll<M>;
} & { readonly [K in keyof M as Callable<M, K>]: RemoteAllFunction<M[K]> };

// --- the objects -----------------------------------------------------------------------------------------------------

/** Sends one call. `method` is what remoteClass() was given for the name. */
export type Send<T> = (method: T, args: unknown[], options: WaitOptions | undefined) => Promise<unknown>;

class RemoteBase<T> {
  readonly #send: Send<T>;
  readonly #options: WaitOptions | undefined;

  constructor(send: Send<T>, options?: WaitOptions) {
    this.#send = send;
    this.#options = options;
  }

  with(options: WaitOptions): RemoteBase<T> {
    const both = { ...this.#options, ...checkOptions(options, WAIT_CHECKS) };
    return new (this.constructor as RemoteClass<T>)(this.#send, both);
  }

  static method<T>(method: T): (this: RemoteBase<T>, ...args: unknown[]) => Promise<unknown> {
    return function (...args) {
      return this.#send(method, args, this.#options);
    };
  }
}

export type RemoteClass<T> = new (send: Send<T>, options?: WaitOptions) => RemoteBase<T>;

/** A class whose objects have a method for each name. `methods`: what Send gets for each. */
export function remoteClass<T>(methods: Iterable<readonly [name: string, method: T]>): RemoteClass<T> {
  const Remote = class extends RemoteBase<T> {};
  for (const [name, method] of methods) {
    if (name === 'with' || name === 'then' || name === 'constructor') continue;
    Object.defineProperty(Remote.prototype, name, { value: RemoteBase.method(method), enumerable: true });
  }
  return Remote;
}

// A service with one instance on every shard: Seastar's sharded<T>. The shard module exports a class; start() makes one
// of it in each thread, and a Sharded, which every shard has, reaches them all.
//
//   Sharded.start('Store', args)    1. new Store(...args) on every shard   2. instance.start() on every shard
//   store.on(1).get('key')          the method on that shard's instance, as a call between shards
//   store.stop()                    instance.stop(), the last shard first
//
// Two steps, so that a start() finds its siblings. If any of it fails on any shard, every instance that was made is
// stopped, and start() rejects. When the runtime closes, it stops the services that still run, the last service first,
// while all shards are up.
//
// Invariant: an instance can be called from the end of its constructor until its stop() begins.

import type { WaitOptions } from '../base/abortable.js';
import { FeatherstarError, optionError } from '../base/errors.js';
import { inTime } from '../base/in-time.js';
import { checkShard } from '../base/options.js';
import type { Calls } from '../calls/call.js';
import { everyShard, sendToAll } from '../calls/call-all.js';
import { type Remote, type RemoteAll, type RemoteClass, remoteClass, type Send } from '../calls/remote.js';
import { runtime } from '../runtime/runtime.js';
import { perShard } from '../shard/per-shard.js';
import { currentShard, type Shard } from '../shard/shard.js';

export const SERVICE_STOP_TIMEOUT_MS = 4000;
const OWN_METHODS = ['start', 'stop'];

type Instance<S> = S extends abstract new (...args: never[]) => infer I ? I : S;
type Arguments<S> = S extends abstract new (...args: infer A) => unknown ? A : unknown[];
/** A failure on one shard. */
export interface ServiceFailure {
  /** The number of the shard. */
  shard: number;
  /** The error that was thrown there. */
  error: unknown;
}

/** FEATHERSTAR_SERVICE: what failed, shard by shard; `cause` is the first of it. */
export class ServiceError extends FeatherstarError {
  /** The failures, in shard order. */
  readonly failures: readonly ServiceFailure[];

  /** @internal */
  constructor(text: string, failures: readonly ServiceFailure[]) {
    const { shard, error } = failures[0] as ServiceFailure;
    const reason = error instanceof Error ? error.message : String(error);
    super('FEATHERSTAR_SERVICE', `${text} on shard ${shard}: ${reason}`, { cause: error });
    this.failures = failures;
  }
}

/** One shard's part of a service. */
interface Member {
  readonly handle: Sharded<object>;
  readonly instance: Record<string, unknown>;
  ending: Promise<void> | undefined;
}

const members = perShard(() => new Map<number, Member>());
const handleOf = new WeakMap<object, Sharded<object>>();
let beingMade: Sharded<object> | undefined; // while its constructor runs
let made = 0;

function callsOf(shard: Shard): Calls {
  return shard.calls as Calls; // every runtime has them, also one of a single shard
}

function notRunning(name: string): FeatherstarError {
  return new FeatherstarError('FEATHERSTAR_CLOSED', `the service ${name} does not run on this shard`);
}

/** A member that can be called. */
function running(shard: Shard, id: number, name: string): Member {
  const member = members(shard).get(id);
  if (member === undefined || member.ending !== undefined) throw notRunning(name);
  return member;
}

let makeHandle: (name: string, id: number) => Sharded<object>;
let setMethods: (handle: Sharded<object>, names: readonly string[]) => void;

/** The methods of an instance, its own and inherited ones; getters are not called. */
export function methodNames(instance: object): string[] {
  const names = new Set<string>();
  for (let from = instance; from !== Object.prototype && from !== null; from = Object.getPrototypeOf(from)) {
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(from))) {
      const isTaken = OWN_METHODS.includes(name) || name in Object.prototype;
      if (typeof value === 'function' && !isTaken) names.add(name);
    }
  }
  return [...names];
}

/** A service, as one shard sees it. */
export class Sharded<T> {
  static {
    makeHandle = (name, id) => new Sharded(name, id);
    setMethods = (handle, names) => {
      handle.#Remote = remoteClass(names.map((name) => [name, name]));
    };
  }

  /** The name of its class, as the shard module exports it. */
  readonly name: string;
  readonly #id: number; // the same on every shard
  readonly #shard = currentShard();
  readonly #shardCount = runtime().shardCount;
  #Remote: RemoteClass<string> | undefined; // there when its constructor has ended
  #stopping: Promise<void> | undefined;

  private constructor(name: string, id: number) {
    this.name = name;
    this.#id = id;
  }

  /**
   * Makes an instance of an exported class on every shard and runs its start(), if it has one. `S` is the class, then
   * the arguments are typed, or its instances. The arguments are copied to each shard. Rejects with FEATHERSTAR_SERVICE
   * when it failed anywhere; then it has been stopped everywhere.
   */
  static async start<S>(name: string, ...args: Arguments<S>): Promise<Sharded<Instance<S>>> {
    const shard = currentShard();
    const { self, shardCount } = runtime();
    if (typeof name !== 'string' || callsOf(shard).exported(name) === undefined) {
      throw new FeatherstarError('FEATHERSTAR_MODULE', `the shard module exports no class ${JSON.stringify(name)}`);
    }
    made++;
    const id = (shard.numbersFrom + made) * shardCount + self; // no other shard makes this number
    let failures = await onEach(shard, shardCount, 'create', id, name, args);
    if (failures.length === 0) failures = await onEach(shard, shardCount, 'begin', id, name);
    if (failures.length === 0) return running(shard, id, name).handle as unknown as Sharded<Instance<S>>;
    failures.push(...(await stopEverywhere(shard, shardCount, id)));
    throw new ServiceError(`the service ${name} did not start`, failures);
  }

  /** The service that an instance belongs to: how it reaches its siblings. Works in its constructor, too. */
  static of<T extends object>(instance: T): Sharded<T> {
    const handle = handleOf.get(instance) ?? beingMade;
    if (handle === undefined) throw optionError('instance', instance, 'an instance of a sharded service');
    return handle as unknown as Sharded<T>;
  }

  /** The service of this class that was started last. Throws FEATHERSTAR_CLOSED if none runs on this shard. */
  static named<S>(name: string): Sharded<Instance<S>> {
    const found = [...members(currentShard()).values()].reverse().find((member) => member.handle.name === name);
    if (found === undefined) throw notRunning(name);
    return found.handle as unknown as Sharded<Instance<S>>;
  }

  /** This shard's instance. Throws FEATHERSTAR_CLOSED when it is stopped. */
  get local(): T {
    return running(this.#shard, this.#id, this.name).instance as T;
  }

  /**
   * The methods of one shard's instance: `on(1).get('key')`. Each returns a promise, and `on(1).with({ signal,
   * timeoutMs })` ends the wait. There is no start() and stop(), and nothing before the constructor of this shard's
   * instance has ended: FEATHERSTAR_CLOSED.
   */
  on(shard: number): Remote<Omit<T, 'start' | 'stop'>> {
    checkShard(shard, this.#shardCount);
    return this.#remote((method, args, options) => this.#invoke(shard, method, args, options)) as never;
  }

  /**
   * The methods of all instances at once: `onAll().size()` resolves to an array, in shard order. Rejects with the first
   * error; the other calls go on.
   */
  onAll(): RemoteAll<Omit<T, 'start' | 'stop'>> {
    return this.#remoteAll(everyShard(this.#shardCount));
  }

  /** The methods of all instances but this shard's. Otherwise it is like onAll(). */
  onOthers(): RemoteAll<Omit<T, 'start' | 'stop'>> {
    return this.#remoteAll(everyShard(this.#shardCount).filter((shard) => shard !== this.#shard.index));
  }

  #remoteAll(shards: readonly number[]): RemoteAll<Omit<T, 'start' | 'stop'>> {
    return this.#remote(
      sendToAll(shards, (shard, method, args, options) => this.#invoke(shard, method, args, options)),
    ) as never;
  }

  #remote(send: Send<string>): object {
    if (this.#Remote === undefined) throw notRunning(this.name);
    return new this.#Remote(send);
  }

  async #invoke<R>(shard: number, method: string, args: unknown[], options?: WaitOptions): Promise<R> {
    checkShard(shard, this.#shardCount);
    if (this.#shard.closed) throw notRunning(this.name);
    const calls = callsOf(this.#shard);
    const message = ['invoke', this.#id, this.name, method, args];
    return calls.submitInternal(shard, 'sharded', message, options) as Promise<R>;
  }

  /**
   * Runs stop() of every instance, one after the other, the last shard first. It always finishes: an instance that has
   * not stopped after 4 s is left alone. Rejects with FEATHERSTAR_SERVICE if any failed. Any shard may, and once is
   * enough.
   */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop(performance.now() + SERVICE_STOP_TIMEOUT_MS);
    return this.#stopping;
  }

  async #stop(deadlineMs: number): Promise<void> {
    if (this.#shard.closed) return;
    const failures = await stopEverywhere(this.#shard, this.#shardCount, this.#id, deadlineMs);
    if (failures.length > 0) throw new ServiceError(`the service ${this.name} did not stop`, failures);
  }

  /** Calls `stop()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

/** One step on every shard at once; what failed. */
async function onEach(shard: Shard, shardCount: number, step: string, ...args: unknown[]): Promise<ServiceFailure[]> {
  const calls = callsOf(shard);
  const steps = Array.from({ length: shardCount }, (_, peer) => calls.callInternal(peer, 'sharded', step, ...args));
  const results = await Promise.allSettled(steps);
  return results.flatMap((result, peer) =>
    result.status === 'rejected' ? [{ shard: peer, error: result.reason as unknown }] : [],
  );
}

async function stopEverywhere(
  shard: Shard,
  shardCount: number,
  id: number,
  deadlineMs = performance.now() + SERVICE_STOP_TIMEOUT_MS,
): Promise<ServiceFailure[]> {
  const failures: ServiceFailure[] = [];
  for (let peer = shardCount - 1; peer >= 0; peer--) {
    try {
      await before(deadlineMs, callsOf(shard).callInternal(peer, 'sharded', 'end', id));
    } catch (error) {
      const isDown = FeatherstarError.is(error) && error.code === 'FEATHERSTAR_PEER_DOWN';
      if (!isDown) failures.push({ shard: peer, error }); // what died with its shard needs no stopping
    }
  }
  return failures;
}

async function before(deadlineMs: number, stopping: Promise<unknown>): Promise<void> {
  const hasEnded = stopping.then(() => true);
  if (await inTime(hasEnded, Math.max(1, deadlineMs - performance.now()))) return;
  throw new FeatherstarError('FEATHERSTAR_SERVICE', 'stop() has not ended in time');
}

/** Stops every service that runs on this shard, which is each of them, the one that was started last first. */
async function stopAll(shard: Shard, shardCount: number, timeoutMs: number): Promise<unknown[]> {
  const deadlineMs = performance.now() + timeoutMs;
  const errors: unknown[] = [];
  for (const [id, { handle }] of [...members(shard)].reverse()) {
    const failures = await stopEverywhere(shard, shardCount, id, deadlineMs);
    if (failures.length > 0) errors.push(new ServiceError(`the service ${handle.name} did not stop`, failures));
  }
  return errors;
}

// --- what shards ask of each other -----------------------------------------------------------------------------------

function create(id: number, name: string, args: unknown[]): void {
  const shard = currentShard();
  const Class = callsOf(shard).exported(name) as unknown as new (...args: unknown[]) => Record<string, unknown>;
  const handle = makeHandle(name, id);
  const outer = beingMade;
  beingMade = handle;
  let instance: Record<string, unknown>;
  try {
    instance = new Class(...args);
  } finally {
    beingMade = outer;
  }
  handleOf.set(instance, handle);
  setMethods(handle, methodNames(instance));
  members(shard).set(id, { handle, instance, ending: undefined });
  const here = runtime();
  here.stopServices = (timeoutMs) => stopAll(shard, here.shardCount, timeoutMs);
}

async function begin(id: number, name: string): Promise<void> {
  const { instance } = running(currentShard(), id, name);
  if (typeof instance.start === 'function') await instance.start();
}

function invoke(id: number, service: string, name: string, args: unknown[]): unknown {
  const { instance } = running(currentShard(), id, service);
  const method = instance[name];
  if (typeof method !== 'function' || name === 'start' || name === 'stop' || name in Object.prototype) {
    throw new FeatherstarError('FEATHERSTAR_MODULE', `the service ${service} has no method ${JSON.stringify(name)}`);
  }
  return method.apply(instance, args);
}

/** A second call while it stops waits for the same end. */
function end(id: number): Promise<void> | undefined {
  const all = members(currentShard());
  const member = all.get(id);
  if (member === undefined) return undefined;
  member.ending ??= (async () => {
    try {
      if (typeof member.instance.stop === 'function') await member.instance.stop();
    } finally {
      all.delete(id);
    }
  })();
  return member.ending;
}

export const internal = { create, begin, invoke, end };

// The runtime: shards up, shards down. The calling thread is shard 0; the others are workers.

import { setMaxListeners } from 'node:events';
import { abortable } from '../base/abortable.js';
import { FeatherstarError, optionError } from '../base/errors.js';
import { homeOf } from '../base/home-of.js';
import { type Checks, checkFunction, checkOptions, checkShard, checkSignal } from '../base/options.js';
import { keepSecret } from '../base/secrets.js';
import { Calls } from '../calls/call.js';
import { everyShard } from '../calls/call-all.js';
import { offerParts } from '../calls/parts.js';
import type { Remote, RemoteAll, UntypedModule } from '../calls/remote.js';
import { coreModule, type Memories, makeMemory } from '../core/core.js';
import { HEADER_STATES, SHARDS_MAX, ShardState } from '../core/layout.js';
import { type HostName, monotonicNs } from '../hosts/host.js';
import { brokenGuards, writeGuards } from '../shard/memory-checks.js';
import { enterShard, findShard, Shard } from '../shard/shard.js';
import { type Pinning, pinCaller, planPinning, startThreadPool } from './cpus.js';
import { Death, type ShardDown } from './death.js';
import { Lifeline } from './lifeline.js';
import { NodePlatform } from './node-platform.js';
import { type Checked, checkCloseTimeout, checkRuntimeOptions, type RuntimeOptions } from './options.js';
import type { RuntimePlatform, ShardWorker } from './protocol.js';
import { checkForce, kill, type RestartOptions, restart } from './restart.js';
import { type CloseReport, quiet, shutDown } from './shutdown.js';
import { SignalBoard, SignalHub, type SignalLink } from './signal-board.js';
import { readStats, type ShardStats } from './stats.js';
import { Watcher } from './watch.js';
import { endThread, introduce } from './workers.js';

/** Options of `close()` of a runtime or a server. */
export interface CloseOptions {
  /** How long what runs may go on, 0 to 3,600,000 ms. Then it is ended by force, and `close()` resolves. */
  timeoutMs?: number | undefined;
}

export const CLOSE_CHECKS: Checks<CloseOptions> = { timeoutMs: (_, value) => checkCloseTimeout(value) };

/** A function that `onClose()` runs: it ends something. `timeoutMs` is how long `close()` waits for all hooks. */
export type CloseHook = (options: { timeoutMs: number }) => Promise<void> | void;

/** The runtime, as every shard has it: `runtime()` returns it. Only a `Runtime`, on shard 0, can be closed. */
export class WorkerRuntime<M extends object = UntypedModule> {
  /** How many shards there are. */
  readonly shardCount: number;
  /** Which host runs the shards. */
  readonly hostName: HostName;
  /** @internal Stops the sharded services before any shard stops, and returns what failed. sharded.ts sets it. */
  stopServices: ((timeoutMs: number) => Promise<unknown[]>) | undefined;
  /** @internal Who wants to know of process signals on this shard (signals.ts). */
  readonly signals: SignalBoard;
  /** @internal */
  protected readonly own: Shard;
  readonly #calls: Calls;
  readonly #remotes: Remote<M>[] = []; // by shard, as they are asked for
  #all: RemoteAll<M> | undefined;
  #others: RemoteAll<M> | undefined;
  readonly #onClose: CloseHook[] = [];
  readonly #aborter = new AbortController();

  /** @internal */
  constructor(own: Shard, shardCount: number, hostName: HostName, link: SignalLink) {
    this.own = own;
    this.signals = new SignalBoard(link);
    this.shardCount = shardCount;
    this.hostName = hostName;
    this.#calls = own.calls as Calls;
    setMaxListeners(0, this.#aborter.signal); // everything that runs may listen
  }

  /** Aborts on every shard when the runtime closes, after the time that what runs has to end by itself. */
  get signal(): AbortSignal {
    return this.#aborter.signal;
  }

  /** Whether several shards can listen on one port (the portable host needs Node 22.12 for it). */
  get sharesPorts(): boolean {
    return this.own.host.sharesPorts;
  }

  /** This thread's shard number. */
  get self(): number {
    return this.own.index;
  }

  /**
   * Runs `fn` before this shard stops; the hook that was registered last runs first. Returns a function that takes the
   * hook back.
   */
  onClose(fn: CloseHook): () => void {
    checkFunction('fn', fn);
    this.#onClose.push(fn);
    return () => {
      const at = this.#onClose.indexOf(fn);
      if (at >= 0) this.#onClose.splice(at, 1);
    };
  }

  /** @internal Aborts `signal`, and runs what onClose() registered, also meanwhile. Returns their failures. */
  async runOnClose(timeoutMs: number): Promise<unknown[]> {
    const failures: unknown[] = [];
    this.#tellClosing();
    while (this.#onClose.length !== 0) {
      const hooks = this.#onClose.splice(0).reverse();
      for (const result of await Promise.allSettled(hooks.map(async (fn) => fn({ timeoutMs })))) {
        if (result.status === 'rejected') failures.push(result.reason);
      }
    }
    return failures;
  }

  #tellClosing(): void {
    if (!this.signal.aborted) this.#aborter.abort(new FeatherstarError('FEATHERSTAR_CLOSED', 'the runtime closes'));
  }

  /** @internal Closes what is open on this shard, and gives its last events some time to come. */
  async cancel(graceMs: number): Promise<void> {
    this.#tellClosing(); // if the time was over before the drain
    this.own.shutDownOwners();
    await quiet(this.own, graceMs);
  }

  /** The statistics of each shard, in shard order. Read without disturbing it: docs/runtime.md lists it. */
  stats(): ShardStats[];
  /** The statistics of one shard. */
  stats(shard: number): ShardStats;
  stats(...args: [] | [shard: number]): ShardStats | ShardStats[] {
    if (args.length === 0) return everyShard(this.shardCount).map((shard) => readStats(this.own, shard));
    return readStats(this.own, checkShard(args[0], this.shardCount));
  }

  /**
   * The functions of the shard module, as they run on one shard: `on(1).get('key')`. Each returns a promise.
   * `on(1).with({ signal, timeoutMs })` ends the wait. Throws FEATHERSTAR_OPTION if there is no such shard, and
   * FEATHERSTAR_MODULE before the module is loaded.
   */
  on(shard: number): Remote<M> {
    const known = typeof shard === 'number' ? this.#remotes[shard] : undefined; // '0' and 'length' would find something
    return known ?? this.#makeRemote(shard);
  }

  #makeRemote(shard: number): Remote<M> {
    checkShard(shard, this.shardCount);
    const remote = this.#calls.remote(shard) as Remote<M>;
    this.#remotes[shard] = remote;
    return remote;
  }

  /**
   * The functions of the shard module, as they run on every shard at once: `onAll().size()` resolves to an array, in
   * shard order. Rejects with the first error; the other calls go on.
   */
  onAll(): RemoteAll<M> {
    this.#all ??= this.#calls.remoteAll(everyShard(this.shardCount)) as RemoteAll<M>;
    return this.#all;
  }

  /** The functions of the shard module, as they run on every shard but this one. Otherwise it is like onAll(). */
  onOthers(): RemoteAll<M> {
    this.#others ??= this.#calls.remoteAll(
      everyShard(this.shardCount).filter((shard) => shard !== this.self),
    ) as RemoteAll<M>;
    return this.#others;
  }

  /**
   * The shard that a key lives on: `on(homeOf(key)).get(key)`. Every shard has the same answer, and so has every later
   * version of featherstar for the same number of shards. Text counts as its UTF-8 bytes.
   */
  homeOf(key: string | Uint8Array): number {
    return homeOf(key, this.shardCount);
  }
}

let runtimeHere: WorkerRuntime | undefined;

export function setRuntime(runtime: WorkerRuntime | undefined): void {
  runtimeHere = runtime;
}

export function findRuntime(): WorkerRuntime | undefined {
  return runtimeHere;
}

/** The runtime that this thread is a shard of. */
export function runtime<M extends object = UntypedModule>(): WorkerRuntime<M> {
  if (runtimeHere === undefined) {
    throw new FeatherstarError('FEATHERSTAR_NO_SHARD', 'this thread is no shard: start a Runtime first');
  }
  return runtimeHere as unknown as WorkerRuntime<M>;
}

/**
 * The runtime, as the thread that has started it, shard 0, has it.
 *
 * @example
 * const runtime = await Runtime.start({ shards: 'auto', module: new URL('./shard.js', import.meta.url) });
 * await runtime.close();
 */
export class Runtime<M extends object = UntypedModule> extends WorkerRuntime<M> {
  /** Which host was picked, and why. */
  readonly hostReason: string;
  /** The processor that each shard is kept on, in shard order; undefined: any. */
  readonly cpus: readonly (number | undefined)[];
  /** Says which shard is pinned where, or why none is. */
  readonly pinning: string;
  readonly #hub: SignalHub;
  readonly #watcher: Watcher;
  readonly #isWatched: boolean;
  readonly #workers: (ShardWorker | undefined)[];
  readonly #states: Int32Array;
  readonly #shutdownTimeoutMs: number;
  readonly #platform: RuntimePlatform;
  readonly #onShardDown = new Set<(shard: number, why: ShardDown) => unknown>();
  readonly #deaths: Death[] = [];
  #restarting: Promise<unknown> = Promise.resolve();
  #newborn: ShardWorker | undefined;
  #closing: Promise<CloseReport> | undefined;
  readonly #closer = new AbortController(); // aborts when #closing is set
  readonly #lifeline: Lifeline;
  readonly #saysPinning: boolean;
  #unpin: (() => void) | undefined;

  private constructor(
    own: Shard,
    options: Checked,
    workers: (ShardWorker | undefined)[],
    pinning: Pinning,
    platform: RuntimePlatform,
  ) {
    const hub = new SignalHub(platform.signals, (shard, name) => {
      const worker = workers[shard];
      if (worker !== undefined) worker.tell({ type: 'signal', name });
      else if (shard === 0) void this.signals.deliver(name);
    });
    super(own, options.shards, options.factory.name, hub.link(0));
    this.#hub = hub;
    this.#watcher = new Watcher(own, options.stallMs);
    this.#isWatched = options.stallMs > 0 && options.shards > 1;
    this.hostReason = options.factory.reason;
    this.cpus = pinning.cpus;
    this.pinning = pinning.text;
    this.#saysPinning = options.cpuset !== 'auto' || pinning.cpus.some((cpu) => cpu !== undefined);
    this.#workers = workers;
    this.#lifeline = new Lifeline(own, workers);
    this.#shutdownTimeoutMs = options.shutdownTimeoutMs;
    this.#platform = platform;
    this.#states = new Int32Array(own.memory.buffer, HEADER_STATES, SHARDS_MAX);
    workers.forEach((worker, shard) => {
      if (worker !== undefined) this.#listenTo(worker, shard);
    });
  }

  #listenTo(worker: ShardWorker, shard: number): void {
    const link = this.#hub.link(shard);
    worker.onMessage((message) => {
      if (message.type === 'busy') this.#watcher.begin(shard);
      if (message.type === 'holds') this.#lifeline.onHolds(shard, message.holds);
      if (message.type === 'signalWanted') link.want(message.name, message.isWanted);
      else if (message.type === 'signalWaited') link.waited(message.names);
      else if (message.type === 'signalDone') link.done(message.name);
    });
  }

  /** The first worker that lives watches this shard. */
  #askForWatch(): void {
    const worker = this.#workers.find((each) => each !== undefined);
    worker?.tell({ type: 'busy' });
  }

  /** All shards run: from here on one that ends is told of, not an error of start(). */
  #begin(): void {
    if (this.#isWatched) this.own.stepMark.nudge = () => this.#askForWatch();
    if (this.cpus[0] !== undefined) this.#unpin = pinCaller(this.cpus[0]);
    this.#workers.forEach((worker, shard) => {
      if (worker !== undefined) this.#mourn(worker, shard);
    });
  }

  #mourn(worker: ShardWorker, shard: number): void {
    const death = new Death();
    this.#deaths[shard] = death;
    const base = this.own.header.shardsOffset + shard * this.own.header.shardBytes;
    worker.onExit((code) => this.#onExit(worker, shard, death.why(code, this.own.memory, base)));
    worker.onError((error) => {
      death.onError(error);
      if (worker === this.#newborn) return; // restart() rejects with it
      process.emitWarning(`shard ${shard} died: ${error?.message ?? error}`, 'Featherstar');
    });
  }

  /** Starts all shards and loads the module in each. Rejects with what first went wrong, and stops the rest. */
  static async start<M extends object = UntypedModule>(options: RuntimeOptions = {}): Promise<Runtime<M>> {
    if (findShard() !== undefined) {
      throw new FeatherstarError('FEATHERSTAR_STATE', 'this thread is a shard already: one runtime at a time');
    }
    const checked = checkRuntimeOptions(options);
    const signal = checkSignal(options.signal);
    signal?.throwIfAborted();
    const pinning = planPinning(checked.cpuset, checked.shards);
    const memories = makeMemory(checked.shards, checked.limits, checked.sharedBytes);
    if (checked.checkMemory) writeGuards(memories.memory, memories.header);
    return Runtime.launch<M>(checked, memories, new NodePlatform(checked, memories, pinning.cpus), pinning, signal);
  }

  /** @internal Starts shards in workers of any platform. The calling thread becomes shard 0. */
  static async launch<M extends object>(
    options: Checked,
    memories: Memories,
    platform: RuntimePlatform,
    pinning: Pinning,
    signal?: AbortSignal,
  ): Promise<Runtime<M>> {
    const { threadSpawn } = platform;
    const module = coreModule();
    const own = new Shard({ ...options, ...memories, module, shard: 0, threadSpawn });
    const workers: (ShardWorker | undefined)[] = [undefined];
    let runtime: Runtime<M> | undefined;
    try {
      own.core.boot(0, monotonicNs());
      enterShard(own);
      own.start();
      if (pinning.cpus.some((cpu) => cpu !== undefined)) await startThreadPool();
      platform.initialize(own.core, module);
      for (let i = 1; i < options.shards; i++) workers.push(platform.start(i));
      offerParts();
      own.calls = new Calls(own, options.shards);
      runtime = new Runtime<M>(own, options, workers, pinning, platform);
      setRuntime(runtime as unknown as WorkerRuntime); // for the module, as it loads
      const others = workers.slice(1) as ShardWorker[];
      await abortable(introduce(own, others, options, platform.importModule), { signal });
      runtime.#begin();
      return runtime;
    } catch (error) {
      if (runtime !== undefined) runtime.#hub.close();
      setRuntime(undefined);
      await Promise.all(workers.map((worker) => worker && endThread(worker)));
      enterShard(undefined);
      own.close();
      throw error;
    }
  }

  /**
   * @internal Gives a shard a value by a message of its own (base/secrets.ts), as calls go through memory that all
   * shards share.
   */
  sendSecret(shard: number, name: string, value: unknown): void {
    if (shard === 0) keepSecret(name, value);
    else this.#workers[shard]?.tell({ type: 'secret', name, value });
  }

  /** A line that a server may print about its runtime: '2 shards · host uring · pinned to 0,1'. */
  get summary(): string {
    const why = this.hostName === 'portable' ? ` (${this.hostReason})` : '';
    const shards = `${this.shardCount} shard${this.shardCount === 1 ? '' : 's'}`;
    return `${shards} · host ${this.hostName}${why}${this.#saysPinning ? ` · ${this.pinning}` : ''}`;
  }

  /** A worker ended: in order, or because it died. Calls that wait for it are told. */
  #onExit(worker: ShardWorker, shard: number, why: ShardDown): void {
    const ran = worker === this.#workers[shard];
    this.#workers[shard] = undefined;
    if (this.own.closed) return; // it was stuck when the runtime closed
    Atomics.store(this.#states, shard, ShardState.STOPPED);
    this.#hub.gone(shard);
    this.#watcher.stop(shard);
    this.#lifeline.onHolds(shard, false);
    this.own.stepMark.unwatch();
    this.own.calls?.peers.down(shard);
    this.own.host.setPeer(shard, undefined);
    for (const each of [...this.#workers, this.#newborn]) each?.tell({ type: 'peerDown', shard });
    if (!ran || this.#closing !== undefined) return;
    for (const fn of this.#onShardDown) {
      (async () => fn(shard, why))().catch((error) =>
        process.emitWarning(`onShardDown failed for shard ${shard}: ${error?.stack ?? error}`, 'Featherstar'),
      );
    }
  }

  /**
   * From now on the runtime does not keep the process alive, as in Node an unref'd server does not. The sockets and
   * servers of `featherstar/node` do, on every shard, unless they are unref'd themselves. Nothing else does: no task,
   * no call, no server of `serve()`. A process that ends so does not close the runtime. No effect on Bun and Deno, and
   * none after the first close().
   */
  unref(): this {
    if (this.#closing === undefined) this.#lifeline.unref();
    return this;
  }

  /** The runtime keeps the process alive, as it does from its start until it is closed. */
  ref(): this {
    if (this.#closing === undefined) this.#lifeline.ref();
    return this;
  }

  /**
   * Runs `fn` whenever a shard has died, when all others have been told: `(shard) => runtime.restart(shard)`. Returns a
   * function that ends this.
   */
  onShardDown(fn: (shard: number, why: ShardDown) => unknown): () => void {
    const entry = (shard: number, why: ShardDown) => fn(shard, why); // the same `fn` may be registered twice
    this.#onShardDown.add(entry);
    return () => void this.#onShardDown.delete(entry);
  }

  /**
   * Starts a shard that has died again, with nothing of what it had: a new thread, which loads the module anew.
   * Resolves when it can be called. Rejects with FEATHERSTAR_MODULE if it does not start; then it is dead again.
   * Rejects with FEATHERSTAR_TIMEOUT if another shard is too busy to forget the dead one, and with FEATHERSTAR_CLOSED.
   * `force`: a shard that lives is killed first, whatever it does. Rejects with FEATHERSTAR_TIMEOUT if its thread does
   * not end, because the kernel does not let go of it. Shard 0 cannot be restarted: FEATHERSTAR_OPTION.
   */
  restart(shard: number, options: RestartOptions = {}): Promise<void> {
    const restarting = this.#restarting.then(() => this.#restart(shard, options)); // one after the other
    this.#restarting = restarting.catch(() => {});
    return restarting;
  }

  async #restart(shard: number, options: RestartOptions): Promise<void> {
    const force = checkForce(options);
    if (shard === 0) throw optionError('shard', shard, 'another one than the main thread, which cannot be restarted');
    const isThere = Number.isInteger(shard) && shard > 0 && shard < this.shardCount;
    const isDead = isThere && this.#states[shard] === ShardState.STOPPED;
    if (!isDead && !(isThere && force)) throw optionError('shard', shard, 'a shard that has died');
    const { signal } = this.#closer;
    signal.throwIfAborted();
    const start = () => {
      const worker = this.#platform.start(shard);
      this.#newborn = worker;
      this.#listenTo(worker, shard);
      this.#mourn(worker, shard);
      worker.ref();
      return worker;
    };
    const [own, workers] = [this.own, this.#workers];
    const living = workers[shard];
    if (living !== undefined) {
      (this.#deaths[shard] as Death).wasKilled = true;
      await abortable(kill(shard, living), { signal });
    }
    try {
      workers[shard] = await abortable(restart(shard, { own, workers, start, signal }), { signal });
      this.#lifeline.onStart(shard);
    } catch (error) {
      const newborn = this.#newborn as ShardWorker | undefined;
      if (newborn !== undefined && !(await endThread(newborn))) workers[shard] = newborn; // there until it has ended
      throw error;
    } finally {
      this.#newborn = undefined;
    }
  }

  /**
   * Stops all shards in order, and always finishes. Hooks of onClose() and open calls may go on for `timeoutMs`; then
   * `signal` aborts on every shard, and everything that is still open is closed. A shard that does not respond is
   * terminated. Rejects with the first failure of shard 0's onClose(), when all is over. Again: the same promise.
   */
  async close(options: CloseOptions = {}): Promise<CloseReport> {
    const { timeoutMs = this.#shutdownTimeoutMs } = checkOptions(options, CLOSE_CHECKS);
    this.#closing ??= this.#close(timeoutMs);
    return this.#closing;
  }

  async #close(timeoutMs: number): Promise<CloseReport> {
    this.#lifeline.ref();
    this.#closer.abort(new FeatherstarError('FEATHERSTAR_CLOSED', 'the runtime closes'));
    await this.#restarting; // it ends a thread, at most
    const { report, failures } = await shutDown(this, this.own, this.#workers, timeoutMs);
    setRuntime(undefined);
    enterShard(undefined);
    if (this.own.memoryChecks !== undefined) failures.push(...brokenGuards(this.own.memory, this.own.header));
    this.own.close();
    this.#unpin?.();
    this.#hub.close();
    this.#watcher.stop();
    if (failures.length > 0) throw failures[0];
    return report;
  }

  /** Calls `close()`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** Runs `fn` on a runtime of one shard, in this thread, and closes it: the seed's block_on. */
export async function blockOn<T>(fn: () => T | Promise<T>, options: Omit<RuntimeOptions, 'shards'> = {}): Promise<T> {
  if (typeof fn !== 'function') throw optionError('fn', fn, 'a function');
  const runtime = await Runtime.start({ ...options, shards: 1 });
  try {
    return await fn();
  } finally {
    await runtime.close();
  }
}

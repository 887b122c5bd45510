// The runtime: shards up, shards down. The calling thread is shard 0; the others are workers.

import { Worker } from 'node:worker_threads';
import { Calls } from './call.js';
import { type ArgumentsOf, type FunctionName, type ResultOf, ShardHandle, type UntypedModule } from './call-api.js';
import { coreModule, makeMemory } from './core.js';
import { type Pinning, pinCaller, planPinning, startThreadPool } from './cpus.js';
import { FeatherstarError, optionError } from './errors.js';
import { type DoorbellToken, type HostName, monotonicNs } from './hosts/host.js';
import { COUNTER_NAMES, type CounterName, HEADER_STATES, type Header, SHARDS_MAX, ShardState } from './layout.js';
import { type Checked, checkOptions, type RuntimeOptions } from './options.js';
import type { FromWorker, ShardData, ToWorker } from './protocol.js';
import { enterShard, findShard, Shard } from './shard.js';
import { Threads } from './threads.js';

/** What every shard can do with its runtime; only shard 0 can close it. */
export class WorkerRuntime<M extends object = UntypedModule> {
  readonly shardCount: number;
  readonly hostName: HostName;
  /** Stops the sharded services before any shard stops, and answers what failed. Theirs to set (sharded.ts). */
  stopServices: ((timeoutMs: number) => Promise<unknown[]>) | undefined;
  protected readonly own: Shard;
  readonly #handles: ShardHandle<M>[];
  readonly #onClose: (() => Promise<void> | void)[] = [];

  constructor(own: Shard, shardCount: number, hostName: HostName) {
    this.own = own;
    this.shardCount = shardCount;
    this.hostName = hostName;
    const calls = own.calls as Calls;
    this.#handles = Array.from({ length: shardCount }, (_, i) => new ShardHandle<M>(i, calls));
  }

  /** Whether several shards can listen on one port (the portable host needs Node 22.12 for it). */
  get sharesPorts(): boolean {
    return this.own.host.sharesPorts;
  }

  /** This thread's shard number. */
  get self(): number {
    return this.own.index;
  }

  /** Runs `fn` before this shard stops, last registered first: servers close themselves here. */
  onClose(fn: () => Promise<void> | void): void {
    this.#onClose.push(fn);
  }

  /** Runs what onClose() registered. All of it, even if some fails; answers the failures. */
  async runOnClose(): Promise<unknown[]> {
    const results = await Promise.allSettled(
      this.#onClose
        .splice(0)
        .reverse()
        .map(async (fn) => fn()),
    );
    return results.filter((result) => result.status === 'rejected').map((result) => result.reason);
  }

  shard(index: number): ShardHandle<M> {
    const handle = this.#handles[index];
    if (handle === undefined) throw optionError('shard', index, `an integer from 0 to ${this.shardCount - 1}`);
    return handle;
  }

  /** Runs a function on every shard; the results in shard order. The first error rejects. */
  readonly invokeOnAll = <K extends FunctionName<M>>(name: K, ...args: ArgumentsOf<M[K]>): Promise<ResultOf<M[K]>[]> =>
    Promise.all(this.#handles.map((handle) => handle.call(name, ...args)));

  /** Runs a function on every shard and folds the results, in shard order. */
  async mapReduce<K extends FunctionName<M>, A>(
    name: K,
    args: ArgumentsOf<M[K]>,
    fold: (sum: A, value: ResultOf<M[K]>) => A,
    start: A,
  ): Promise<A> {
    return (await this.invokeOnAll(name, ...args)).reduce(fold, start);
  }

  /** Runs a function on every other shard; resolves when all have, and rejects with the first error. */
  async broadcast<K extends FunctionName<M>>(name: K, ...args: ArgumentsOf<M[K]>): Promise<void> {
    await Promise.all(this.#handles.map((handle) => handle.index !== this.self && handle.call(name, ...args)));
  }
}

let runtimeHere: WorkerRuntime | undefined;

export function setRuntime(runtime: WorkerRuntime | undefined): void {
  runtimeHere = runtime;
}

/** The runtime that this thread is a shard of. */
export function runtime<M extends object = UntypedModule>(): WorkerRuntime<M> {
  if (runtimeHere === undefined) {
    throw new FeatherstarError('FEATHERSTAR_NO_SHARD', 'this thread is no shard: start a Runtime first');
  }
  return runtimeHere as unknown as WorkerRuntime<M>;
}

export async function importModule(url: string | undefined): Promise<Record<string, unknown>> {
  if (url === undefined) return {};
  try {
    return (await import(url)) as Record<string, unknown>;
  } catch (cause) {
    const text = cause instanceof Error ? cause.message : String(cause);
    throw new FeatherstarError('FEATHERSTAR_MODULE', `the shard module ${url} cannot be loaded: ${text}`, { cause });
  }
}

export class Runtime<M extends object = UntypedModule> extends WorkerRuntime<M> {
  /** Which host was picked, and why. */
  readonly hostReason: string;
  /** The processor that each shard is kept on, in shard order; undefined: any. */
  readonly cpus: readonly (number | undefined)[];
  /** What is pinned where, or why nothing is. */
  readonly pinning: string;
  readonly #workers: (Worker | undefined)[];
  readonly #states: Int32Array;
  readonly #header: Header;
  readonly #shutdownTimeoutMs: number;
  #closing: Promise<void> | undefined;
  readonly #saysPinning: boolean;
  #unpin: (() => void) | undefined;

  private constructor(own: Shard, options: Checked, workers: (Worker | undefined)[], pinning: Pinning) {
    super(own, options.shards, options.factory.name);
    this.hostReason = options.factory.reason;
    this.cpus = pinning.cpus;
    this.pinning = pinning.text;
    this.#saysPinning = options.cpuset !== 'auto' || pinning.cpus.some((cpu) => cpu !== undefined);
    if (pinning.cpus[0] !== undefined) this.#unpin = pinCaller(pinning.cpus[0]);
    this.#workers = workers;
    this.#shutdownTimeoutMs = options.shutdownTimeoutMs;
    this.#header = own.header;
    this.#states = new Int32Array(own.memory.buffer, HEADER_STATES, SHARDS_MAX);
    workers.forEach((worker, shard) => {
      worker?.on('exit', () => this.#onExit(shard));
      worker?.on('error', (error) =>
        process.emitWarning(`shard ${shard} died: ${error?.message ?? error}`, 'Featherstar'),
      );
    });
  }

  /** Starts all shards and loads the module in each. Rejects with what first went wrong, and stops the rest. */
  static async start<M extends object = UntypedModule>(options: RuntimeOptions = {}): Promise<Runtime<M>> {
    if (findShard() !== undefined) {
      throw new FeatherstarError('FEATHERSTAR_OPTION', 'this thread is a shard already: one runtime at a time');
    }
    const checked = checkOptions(options);
    const pinning = planPinning(checked.cpuset, checked.shards);
    const { memory, header } = makeMemory(checked.shards, checked.limits);
    const module = coreModule();
    const threads = new Threads(memory, (shard) => makeWorker(shard, checked, pinning.cpus[shard]));
    if (pinning.cpus.some((cpu) => cpu !== undefined)) await startThreadPool();
    const own = new Shard({ ...checked, module, memory, header, shard: 0, threadSpawn: threads.threadSpawn });
    const workers: (Worker | undefined)[] = [undefined];
    try {
      own.core.boot(0, monotonicNs());
      enterShard(own);
      own.start();
      threads.initialize(own.core, module);
      for (let i = 1; i < checked.shards; i++) workers.push(threads.start(own.core, i, monotonicNs()));
      await introduce(own, workers, checked);
      const runtime = new Runtime<M>(own, checked, workers, pinning);
      setRuntime(runtime as unknown as WorkerRuntime);
      return runtime;
    } catch (error) {
      for (const worker of workers) await worker?.terminate();
      enterShard(undefined);
      own.close();
      throw error;
    }
  }

  /** What a server may print of its runtime: '2 shards · host uring · pinned to 0,1'. */
  get summary(): string {
    const why = this.hostName === 'portable' ? ` (${this.hostReason})` : '';
    const shards = `${this.shardCount} shard${this.shardCount === 1 ? '' : 's'}`;
    return `${shards} · host ${this.hostName}${why}${this.#saysPinning ? ` · ${this.pinning}` : ''}`;
  }

  /** One shard's counters, read without disturbing it. */
  stats(shard = this.self): Record<CounterName, number> {
    if (!Number.isInteger(shard) || shard < 0 || shard >= this.shardCount) {
      throw optionError('shard', shard, `an integer from 0 to ${this.shardCount - 1}`);
    }
    const at = this.#header.shardsOffset + shard * this.#header.shardBytes + this.#header.countersOffset;
    const words = new BigUint64Array(this.own.memory.buffer, at, COUNTER_NAMES.length);
    return Object.fromEntries(COUNTER_NAMES.map((name, i) => [name, Number(words[i])])) as Record<CounterName, number>;
  }

  /** A worker ended: in order, or because it died. Whoever waits for it is told. */
  #onExit(shard: number): void {
    this.#workers[shard] = undefined;
    const inOrder = this.#closing !== undefined;
    Atomics.store(this.#states, shard, ShardState.STOPPED);
    this.own.calls?.peerDown(shard);
    if (inOrder) return;
    this.own.host.setPeer(shard, undefined);
    for (const worker of this.#workers)
      worker?.postMessage({ featherstar: { type: 'peerDown', shard } satisfies ToWorker });
  }

  /** Stops all shards in order and always finishes: a shard that does not stop in time is terminated. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const unstopped = (await this.stopServices?.(this.#shutdownTimeoutMs)) ?? [];
    const workers = this.#workers.map((worker) => worker && stopWorker(worker, this.#shutdownTimeoutMs));
    const failures = [...unstopped, ...(await this.runOnClose())];
    await Promise.all(workers);
    setRuntime(undefined);
    enterShard(undefined);
    this.own.close();
    this.#unpin?.();
    if (failures.length > 0) throw failures[0];
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function makeWorker(shard: number, options: Checked, cpu: number | undefined): Worker {
  const data: ShardData = {
    shard,
    shardCount: options.shards,
    module: options.module,
    cpu,
    host: options.factory.name,
    idlePollNs: options.idlePollNs,
    quotaNs: options.quotaNs,
    stallMs: options.stallMs,
    unhandled: options.unhandled,
  };
  return new Worker(new URL('./worker.js', import.meta.url), {
    workerData: data,
    name: `featherstar shard ${shard}`,
    ...execArgv(),
  });
}

/** A worker inherits Node's flags; of those for a program that is no file (`--input-type`, `-e`) it would die. */
function execArgv(): { execArgv?: string[] } {
  const given = process.execArgv;
  if (!given.some((flag) => flag.startsWith('--input-type'))) return {};
  const isCode = (flag: string | undefined) => flag === '-e' || flag === '--eval';
  return {
    execArgv: given.filter((flag, i) => !flag.startsWith('--input-type') && !isCode(flag) && !isCode(given[i - 1])),
  };
}

/** The next message of a worker of this type; rejects when it fails or ends first. */
function expect<T extends FromWorker['type']>(worker: Worker, type: T): Promise<Extract<FromWorker, { type: T }>> {
  return new Promise((resolve, reject) => {
    const finish = (settle: () => void) => {
      worker.off('message', onMessage);
      worker.off('error', reject);
      worker.off('exit', onExit);
      settle();
    };
    const onMessage = ({ featherstar: message }: { featherstar?: FromWorker }) => {
      if (message?.type === type) finish(() => resolve(message as Extract<FromWorker, { type: T }>));
      else if (message?.type === 'failed') finish(() => reject(startError(message)));
    };
    const onExit = (code: number) => {
      finish(() => reject(new FeatherstarError('FEATHERSTAR_MODULE', `a shard exited with code ${code} at start`)));
    };
    worker.on('message', onMessage);
    worker.on('error', reject);
    worker.on('exit', onExit);
  });
}

/** What went wrong in a worker: postMessage carries an Error's text and stack, but not its code. */
function startError({ error, code }: Extract<FromWorker, { type: 'failed' }>): FeatherstarError {
  return new FeatherstarError(code ?? 'FEATHERSTAR_MODULE', error.message, { cause: error });
}

/** Gives every shard what it needs to wake the others, then lets all load their module. */
async function introduce(own: Shard, workers: (Worker | undefined)[], options: Checked): Promise<void> {
  const others = workers.slice(1) as Worker[];
  for (const worker of others) worker.ref();
  const booted = await Promise.all(others.map((worker) => expect(worker, 'booted')));
  const tokens: DoorbellToken[][] = [own.host.doorbells(options.shards), ...booted.map((message) => message.tokens)];
  for (let i = 1; i < tokens.length; i++) own.host.setPeer(i, tokens[i][0]);
  const running = others.map((worker) => expect(worker, 'running'));
  others.forEach((worker, i) => {
    const mine = tokens.map((row, peer) => (peer === i + 1 ? undefined : row[i + 1]));
    const ports = mine.filter((token) => typeof token === 'object');
    worker.postMessage({ featherstar: { type: 'peers', tokens: mine } satisfies ToWorker }, ports as never);
  });
  own.calls = new Calls(own, options.shards);
  const module = importModule(options.module).then((exports) => own.calls?.setModule(exports));
  await Promise.all([module, ...running]);
}

async function stopWorker(worker: Worker, timeoutMs: number): Promise<void> {
  const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
  worker.postMessage({ featherstar: { type: 'stop' } satisfies ToWorker });
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, timeoutMs);
  });
  await Promise.race([ended, late]);
  clearTimeout(timer);
  await worker.terminate();
}

/** Runs `fn` on a runtime of one shard, in this thread, and closes it: the seed's block_on. */
export async function blockOn<T>(fn: () => T | Promise<T>, options: Omit<RuntimeOptions, 'shards'> = {}): Promise<T> {
  const runtime = await Runtime.start({ ...options, shards: 1 });
  try {
    return await fn();
  } finally {
    await runtime.close();
  }
}

// featherstar/browser: a runtime in a page. Its shards are Web Workers over one shared memory, on the core.wasm that
// serves traffic elsewhere. The page is no shard: it starts them, calls them by messages, and may look at the memory.
//
//   page: core.wasm, memory --> a worker each: worker.ts --> doorbells among them --> shard module --> calls
//
// Next: worker.ts, and shard.ts, which shard modules import.

import { abortable, type WaitOptions } from '../base/abortable.js';
import { unpackError } from '../base/error-parts.js';
import { FeatherstarError, optionError, textOf } from '../base/errors.js';
import { homeOf } from '../base/home-of.js';
import { inTime } from '../base/in-time.js';
import { type Checks, checkedLater, checkOptions, checkShard, integer, number } from '../base/options.js';
import { everyShard, sendToAll } from '../calls/call-all.js';
import { type Remote, type RemoteAll, type RemoteClass, remoteClass, type UntypedModule } from '../calls/remote.js';
import { makeMemory, sharedBytesMost } from '../core/core-module.js';
import { HEADER_STATES, type Header, type Limits, ShardState } from '../core/layout.js';
import { checkLimits } from '../core/limits.js';
import { ports, tokensOf } from '../shard/doorbells.js';
import { checkIsolation, useModule } from './platform.js';
import type { FromShard, ToShard } from './protocol.js';

export { FeatherstarError } from '../base/errors.js';
export { Control, type Header, type Limits } from '../core/layout.js';

/** Options of `BrowserRuntime.start()`. */
export interface BrowserOptions {
  /** 1 to 16. Default 2. */
  shards?: number | undefined;
  /** The shard module: URL of what every shard loads, and whose exports can be called. */
  module?: URL | string | undefined;
  /** Where core.wasm is. Default: beside this package's own files. */
  core?: URL | string | undefined;
  /** Sizes of the tables (docs/limits.md); the defaults are smaller here. */
  limits?: Partial<Limits> | undefined;
  /** Bytes of each shard for large values that move by reference. Default 1,048,576; 65,536 at a time. */
  sharedBytes?: number | undefined;
  /** Longest run of tasks in one turn, µs. Default 500. */
  taskQuotaUs?: number | undefined;
}

const SHARDS_MAX = 16;
const TASK_QUOTA_US_MAX = 1_000_000;
const PAGE_BYTES = 65_536;
const GRACE_MS = 250;
const PAGE_LIMITS: Partial<Limits> = {
  opSlots: 1024,
  timerSlots: 16_384,
  taskSlots: 16_384,
  connectionSlots: 17,
  recvBufferCount: 2,
  largeRecvBufferCount: 1,
  largeRecvBufferBytes: 1,
  sendBufferCount: 2,
  arenaBytes: 1_048_576,
};

const CHECKS: Checks<BrowserOptions> = {
  shards: integer(1, SHARDS_MAX),
  module: checkedLater,
  sharedBytes: (name, value) => {
    if (!Number.isInteger(value) || (value as number) < 0 || (value as number) % PAGE_BYTES !== 0) {
      throw optionError(name, value, `a multiple of ${PAGE_BYTES}`);
    }
  },
  taskQuotaUs: number(0, TASK_QUOTA_US_MAX, 'microseconds'),
  limits: checkedLater,
  core: checkedLater,
};

interface PendingCall {
  resolve: (value: unknown) => void;
  reject: (reason: unknown) => void;
}

function hostError(text: string, cause?: unknown): FeatherstarError {
  return new FeatherstarError('FEATHERSTAR_HOST', text, { cause });
}

async function compileCore(url: URL | string): Promise<WebAssembly.Module> {
  try {
    return await WebAssembly.compileStreaming(fetch(url));
  } catch (error) {
    throw hostError(`${url} cannot be loaded as core.wasm: ${error}`, error);
  }
}

/** Relative to the page, as it is the page that names it. */
function moduleUrl(module: URL | string | undefined): string | undefined {
  if (module === undefined) return undefined;
  const base = typeof document === 'undefined' ? location.href : document.baseURI;
  try {
    return new URL(module, base).href;
  } catch {
    throw optionError('module', module, 'a URL');
  }
}

function makeWorker(index: number): Worker {
  try {
    return new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: `shard ${index}` });
  } catch (error) {
    throw hostError(`the library has to be of the page's own origin: ${error}`, error);
  }
}

/** Why start() rejects. If a worker ends before all run, the shard module ended it. */
function startFailure(error: unknown, module: string | undefined): FeatherstarError {
  if (FeatherstarError.is(error) && error.code === 'FEATHERSTAR_HOST') return error;
  const text = error instanceof Error ? error.message : textOf(error);
  const what = module === undefined ? 'a shard cannot start' : `the shard module ${module} cannot be loaded`;
  return new FeatherstarError('FEATHERSTAR_MODULE', `${what}: ${text}`, { cause: error });
}

/** One worker, seen from the page. */
class ShardMember {
  readonly worker: Worker;
  /** The lock that it holds while it lives. */
  readonly lock = `featherstar ${crypto.randomUUID()}`;
  /** When it runs no more, for whatever reason. */
  readonly ended: Promise<void>;
  readonly #index: number;
  #onEnded = () => {};
  #holdsLock = false;
  readonly #pending = new Map<number, PendingCall>();
  readonly #waiters = new Map<FromShard['type'], (message: FromShard) => void>();
  #failure: unknown;
  #id = 0;

  constructor(index: number) {
    this.#index = index;
    this.ended = new Promise((resolve) => {
      this.#onEnded = resolve;
    });
    this.worker = makeWorker(index);
    this.worker.onmessage = ({ data }: { data: FromShard }) => this.#on(data);
    this.worker.onerror = (event) => this.#die(event.message);
  }

  say(message: ToShard, transfer: Transferable[] = []): void {
    this.worker.postMessage(message, transfer);
  }

  /** Its next message of that kind; rejects if it fails. */
  next<T extends FromShard['type']>(type: T): Promise<Extract<FromShard, { type: T }>> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) reject(this.#failure);
      this.#waiters.set(type, resolve as (message: FromShard) => void);
      this.#pending.set(-1, { resolve: () => {}, reject });
    });
  }

  call(name: string, args: unknown[]): Promise<unknown> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const id = this.#id++;
    return new Promise((resolve, reject) => {
      this.say({ type: 'call', id, name, args }); // throws what cannot be cloned
      this.#pending.set(id, { resolve, reject });
    });
  }

  #on(message: FromShard): void {
    if (message.type === 'booted' && message.holdsLock) this.#watch();
    if (message.type === 'answer') this.#take(message.id)?.resolve(message.value);
    else if (message.type === 'threw') this.#take(message.id)?.reject(unpackError(message.error));
    else if (message.type === 'failed') this.#end(unpackError(message.error));
    else this.#waiters.get(message.type)?.(message);
  }

  /** Waits for the end of the worker. */
  #watch(): void {
    this.#holdsLock = true;
    const onFree = () => {
      this.fail(new FeatherstarError('FEATHERSTAR_PEER_DOWN', `shard ${this.#index} does not run any more`));
      this.#onEnded();
    };
    navigator.locks.request(this.lock, onFree).catch(() => {
      this.#holdsLock = false; // the page itself is refused
    });
  }

  /** An uncaught exception ends a shard, as on a server. Without one, its script was not to be had. */
  #die(why: string | undefined): void {
    const text = 'cannot be loaded: is it served, and with Cross-Origin-Embedder-Policy: require-corp as the page is?';
    if (why === undefined) this.#end(hostError(`${new URL('./worker.js', import.meta.url)} ${text}`));
    else this.#end(new FeatherstarError('FEATHERSTAR_PEER_DOWN', `shard ${this.#index} died: ${why}`));
  }

  #end(error: unknown): void {
    this.fail(error);
    this.worker.terminate();
    if (!this.#holdsLock) this.#onEnded(); // as good as it gets
  }

  #take(id: number): PendingCall | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    return pending;
  }

  fail(error: unknown): void {
    this.#failure ??= error;
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }

  /** In order if it responds. A worker that has failed, or is in a step that does not end, does not respond. */
  async stop(): Promise<void> {
    const stopped = this.next('stopped').catch(() => undefined);
    this.say({ type: 'stop' });
    await inTime(stopped, GRACE_MS);
    this.fail(new FeatherstarError('FEATHERSTAR_CLOSED', 'the runtime was closed'));
    this.worker.terminate();
  }
}

/**
 * A runtime in a web page: its shards are Web Workers. The page itself is no shard.
 *
 * @example
 * const runtime = await BrowserRuntime.start({ module: new URL('./shard.js', import.meta.url) });
 */
export class BrowserRuntime<M extends object = UntypedModule> {
  /** How many shards there are. */
  readonly shardCount: number;
  /** The memory of all shards, and where things lie in it: for watching. */
  readonly memory: WebAssembly.Memory;
  /** Where things lie in `memory`, and the limits. */
  readonly header: Header;
  readonly #members: readonly ShardMember[];
  readonly #Remote: RemoteClass<string>;
  #closing: Promise<void> | undefined;

  private constructor(
    memory: WebAssembly.Memory,
    header: Header,
    members: readonly ShardMember[],
    functions: readonly string[],
  ) {
    this.#Remote = remoteClass(functions.map((name) => [name, name]));
    this.memory = memory;
    this.header = header;
    this.shardCount = members.length;
    this.#members = members;
    members.forEach((member, shard) => {
      member.ended.then(() => this.#onEnd(shard));
    });
  }

  /** A worker ended before its time: the other shards are told, as it is their calls that wait. */
  #onEnd(shard: number): void {
    if (this.#closing !== undefined) return;
    Atomics.store(new Int32Array(this.memory.buffer, HEADER_STATES, this.shardCount), shard, ShardState.STOPPED);
    for (const member of this.#members) member.say({ type: 'peerDown', shard });
  }

  /**
   * Starts a runtime. Rejects with FEATHERSTAR_HOST if the page is not cross-origin isolated or the library's own files
   * cannot be loaded. Rejects with FEATHERSTAR_MODULE if the module cannot be loaded on some shard, and with
   * FEATHERSTAR_OPTION for a wrong option.
   */
  static async start<M extends object = UntypedModule>(options: BrowserOptions = {}): Promise<BrowserRuntime<M>> {
    const { shards = 2, module, sharedBytes = 1_048_576, taskQuotaUs = 500 } = checkOptions(options, CHECKS);
    const limits = checkLimits({ ...PAGE_LIMITS, ...options.limits });
    const url = moduleUrl(module);
    checkIsolation();
    const core = await compileCore(options.core ?? new URL('../../core.wasm', import.meta.url));
    useModule(core);
    const most = sharedBytesMost(shards, limits);
    if (sharedBytes > most) throw optionError('sharedBytes', sharedBytes, `at most ${most} for ${shards} shards`);
    const { memory, header, blocks } = makeMemory(shards, limits, sharedBytes);
    const members: ShardMember[] = [];
    let functions: readonly string[];
    try {
      for (let index = 0; index < shards; index++) members.push(new ShardMember(index));
      functions = await bringUpMembers(members, { core, memory, blocks, module: url, taskQuotaUs });
    } catch (error) {
      for (const { worker } of members) worker.terminate();
      throw startFailure(error, url);
    }
    return new BrowserRuntime<M>(memory, header, members, functions);
  }

  /**
   * The functions of the shard module, as they run on one shard: `on(1).get('key')`. Each returns a promise, and what
   * goes there and back is cloned, as by postMessage(). `on(1).with({ signal, timeoutMs })` ends the wait; the function
   * goes on. Throws FEATHERSTAR_OPTION if there is no such shard.
   */
  on(shard: number): Remote<M> {
    checkShard(shard, this.shardCount);
    return new this.#Remote((name, args, options) => this.#call(shard, name, args, options)) as object as Remote<M>;
  }

  /**
   * The functions of the shard module, as they run on every shard at once: `onAll().size()` resolves to an array, in
   * shard order. Rejects with the first error; the other calls go on.
   */
  onAll(): RemoteAll<M> {
    const shards = everyShard(this.shardCount);
    const send = sendToAll<string>(shards, (shard, name, args, options) => this.#call(shard, name, args, options));
    return new this.#Remote(send) as object as RemoteAll<M>;
  }

  /** The shard that a key lives on. Every shard has the same answer. Text counts as its UTF-8 bytes. */
  homeOf(key: string | Uint8Array): number {
    return homeOf(key, this.shardCount);
  }

  async #call(shard: number, name: string, args: unknown[], options: WaitOptions | undefined): Promise<unknown> {
    const member = this.#members[shard] as ShardMember;
    options?.signal?.throwIfAborted();
    return abortable(member.call(name, args), options ?? {});
  }

  /** Ends all shards. Calls that are open reject with FEATHERSTAR_CLOSED. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await Promise.all(this.#members.map((member) => member.stop()));
  }

  /** Calls `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

interface Start {
  core: WebAssembly.Module;
  memory: WebAssembly.Memory;
  blocks: ArrayBufferLike;
  module: string | undefined;
  taskQuotaUs: number;
}

/** Resolves to the names of the functions that the shard module exports. */
async function bringUpMembers(
  members: readonly ShardMember[],
  { taskQuotaUs, ...start }: Start,
): Promise<readonly string[]> {
  const originMs = performance.timeOrigin;
  const booted = await Promise.all(
    members.map((member, shard) => {
      const answer = member.next('booted');
      const quotaNs = taskQuotaUs * 1000;
      member.say({ type: 'start', shard, shardCount: members.length, quotaNs, originMs, lock: member.lock, ...start });
      return answer;
    }),
  );
  const tokens = booted.map((message) => message.tokens);
  const running = await Promise.all(
    members.map((member, shard) => {
      const answer = member.next('running');
      const mine = tokensOf(shard, tokens);
      member.say({ type: 'peers', tokens: mine }, ports(mine));
      return answer;
    }),
  );
  return (running[0] as (typeof running)[number]).functions;
}

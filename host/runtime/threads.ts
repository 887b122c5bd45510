// Threads by the wasi-threads ABI: the core asks for a thread, the new thread instantiates the core over the same
// memory and calls its wasi_thread_start. The only user of @emnapi/wasi-threads, which makes the workers and carries
// module and memory to them. (The proposal is on its way out elsewhere; what replaces it replaces this file.)

import { parentPort, type Worker } from 'node:worker_threads';
import { ThreadMessageHandler, WASIThreads } from '@emnapi/wasi-threads';
import { FeatherstarError, internalError } from '../base/errors.js';
import type { Core } from '../core/core.js';
import { HEADER_SCRATCH } from '../core/layout.js';
import { monotonicNs } from '../hosts/host.js';

/** The core needs no WASI besides threads; the library wants an object of this shape. */
class NoWasi {
  readonly wasiImport = {};
  initialize(): void {}
  start(): number {
    return 0;
  }
}

/**
 * Starts the thread of a shard through its core, whose import `wasi.thread-spawn` makes the thread. If that fails, it
 * throws FEATHERSTAR_HOST if `refusal()` has an error that says why, and else FEATHERSTAR_INTERNAL.
 */
export function startThread(
  core: Core,
  memory: WebAssembly.Memory,
  shard: number,
  refusal?: () => Error | undefined,
): void {
  new Float64Array(memory.buffer, HEADER_SCRATCH + 8, 1)[0] = monotonicNs(); // for wasi_thread_start()
  const tid = core.startShard(shard);
  if (tid >= 0) return;
  const cause = refusal?.();
  throw cause ? refusedThread(shard, cause) : internalError(`shard ${shard}: no thread could be started (${tid})`);
}

/** Why the system, or Node, has refused a thread. */
function refusedThread(shard: number, cause: Error): FeatherstarError {
  const isDenied = (cause as { code?: string }).code === 'ERR_ACCESS_DENIED';
  const remedy = isDenied
    ? 'Give Node --allow-worker'
    : 'Lower shards, or raise the limit of threads (ulimit -u, the pids limit of a container)';
  const text = `shard ${shard}: no thread could be started: ${cause.message}. ${remedy}`;
  return new FeatherstarError('FEATHERSTAR_HOST', text, { cause });
}

/** The starting thread's side. Workers are made by `spawn`, one for each shard that the core starts. */
export class Threads {
  readonly #wasi: WASIThreads;
  readonly #memory: WebAssembly.Memory;
  #core: Core | undefined;
  #worker: Worker | undefined;
  #failure: Error | undefined; // the library returns a code in its place
  #shard = 0;

  constructor(memory: WebAssembly.Memory, spawn: (shard: number) => Worker) {
    this.#memory = memory;
    this.#wasi = new WASIThreads({
      wasi: new NoWasi() as never,
      reuseWorker: false,
      onCreateWorker: () => {
        try {
          this.#worker = spawn(this.#shard);
        } catch (error) {
          this.#failure = error as Error;
          throw error;
        }
        return this.#worker as never;
      },
      printErr: () => {}, // it would print what the runtime reports as an error anyway
    } as never);
  }

  /** The import `wasi.thread-spawn`. The result struct lies in the header, so the core needs no malloc for it. */
  readonly threadSpawn = (arg: number): number => {
    const spawn = this.#wasi.getImportObject().wasi['thread-spawn'] as (arg: number, result: number) => number;
    const failed = spawn(arg, HEADER_SCRATCH);
    const tid = new Int32Array(this.#memory.buffer, HEADER_SCRATCH, 2)[1] as number;
    return failed ? -tid : tid;
  };

  initialize(core: Core, module: WebAssembly.Module): void {
    this.#core = core;
    const instance = { exports: { ...core, memory: this.#memory } } as unknown as WebAssembly.Instance;
    this.#wasi.initialize(instance, module, this.#memory);
  }

  start(shard: number): Worker {
    this.#shard = shard;
    this.#failure = undefined;
    startThread(this.#core as Core, this.#memory, shard, () => this.#failure);
    const worker = this.#worker as Worker;
    // The library takes the end of one thread for the end of the program; here it is the end of one shard.
    const manager = this.#wasi.PThread as unknown as { expectedTerminations: WeakSet<Worker> };
    manager.expectedTerminations.add(worker);
    return worker;
  }
}

export interface ThreadStart {
  module: WebAssembly.Module;
  memory: WebAssembly.Memory;
}

/** The new thread's side: `instantiate` makes the core, `started` runs when wasi_thread_start has returned. */
export function handleThread(instantiate: (start: ThreadStart) => Core, started: (shard: number) => void): void {
  const port = parentPort;
  if (port === null) throw new FeatherstarError('FEATHERSTAR_INTERNAL', 'not a worker');
  const handler = new ThreadMessageHandler({
    postMessage: (message: unknown) => port.postMessage(message),
    onLoad({ wasmModule, wasmMemory }: { wasmModule: WebAssembly.Module; wasmMemory: WebAssembly.Memory }) {
      const core = instantiate({ module: wasmModule, memory: wasmMemory });
      const exports = {
        wasi_thread_start(tid: number, shard: number) {
          core.wasi_thread_start(tid, shard);
          started(shard);
          throw 'unwind'; // the library's word for: back to the event loop, the thread goes on
        },
      };
      return { module: wasmModule, instance: { exports } as unknown as WebAssembly.Instance };
    },
  } as never);
  port.on('message', (data) => handler.handle({ data } as never));
}

// Node, Bun and Deno as the runtime's platform: worker threads, their messages, signals. In each thread runs worker.ts.
//
// Next: threads.ts, which starts a thread when the core asks for it.

import { isMainThread, Worker } from 'node:worker_threads';
import { FeatherstarError } from '../base/errors.js';
import { processSecret } from '../base/secrets.js';
import type { Core, Memories } from '../core/core.js';
import { countIdleOf } from '../hosts/utilization.js';
import type { Checked } from './options.js';
import type { FromWorker, RuntimePlatform, ShardModule, ShardWorker, ToWorker } from './protocol.js';
import { Threads } from './threads.js';
import { shardData } from './workers.js';

/** An import's error in words. If this Node cannot read TypeScript, they say what to do. */
export function importText(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  if (!/^Unknown file extension "\.[cm]?tsx?"/.test(text)) return text;
  // In a thread tsx does nothing by itself: it has to be told.
  const remedy = isMainThread
    ? "Use Node 22.18 or later, or install tsx and set NODE_OPTIONS='--import tsx'"
    : "Use Node 22.18 or later, or install tsx and set NODE_OPTIONS='--import ./register.mjs'. That file has " +
      "import { register } from 'tsx/esm/api'; register();";
  return `${text}. Node ${process.versions.node} does not read TypeScript. ${remedy}`;
}

export async function importModule(url: string | undefined): Promise<ShardModule> {
  if (url === undefined) return {};
  try {
    return (await import(url)) as ShardModule;
  } catch (cause) {
    const text = `the shard module ${url} cannot be loaded: ${importText(cause)}`;
    throw new FeatherstarError('FEATHERSTAR_MODULE', text, { cause });
  }
}

export class NodePlatform implements RuntimePlatform {
  readonly signals = process;
  readonly importModule = importModule;
  readonly threadSpawn: (shard: number) => number;
  readonly #threads: Threads;

  /** `cpus`: the processor that each shard is kept on, in shard order. */
  constructor(options: Checked, { memory, header, blocks }: Memories, cpus: readonly (number | undefined)[]) {
    this.#threads = new Threads(memory, (shard) => {
      const worker = new Worker(new URL('./worker.js', import.meta.url), {
        workerData: { ...shardData(shard, options, blocks, cpus[shard]), secret: processSecret() },
        name: `featherstar shard ${shard}`,
        ...execArgv(),
      });
      const base = header.shardsOffset + shard * header.shardBytes;
      if (options.factory.name === 'uring') countIdleOf(worker, memory, base);
      return worker;
    });
    this.threadSpawn = this.#threads.threadSpawn;
  }

  initialize(core: Core, module: WebAssembly.Module): void {
    this.#threads.initialize(core, module);
  }

  start(shard: number): ShardWorker {
    return new NodeWorker(this.#threads.start(shard));
  }
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

class NodeWorker implements ShardWorker {
  readonly #worker: Worker;

  constructor(worker: Worker) {
    this.#worker = worker;
  }

  tell(message: ToWorker, transfer: readonly unknown[] = []): void {
    this.#worker.postMessage({ featherstar: message }, transfer as never);
  }

  /** The thread library's messages go through the same port. */
  onMessage(listener: (message: FromWorker) => void): () => void {
    return this.#on('message', ({ featherstar: message }: { featherstar?: FromWorker }) => {
      if (message !== undefined) listener(message);
    });
  }

  onError(listener: (error: Error) => void): () => void {
    return this.#on('error', listener);
  }

  onExit(listener: (exitCode: number) => void): () => void {
    return this.#on('exit', listener);
  }

  #on<T>(event: string, listener: (value: T) => void): () => void {
    this.#worker.on(event, listener);
    return () => this.#worker.off(event, listener);
  }

  terminate(): Promise<unknown> {
    return this.#worker.terminate();
  }

  ref(): void {
    this.#worker.ref();
  }

  unref(): void {
    this.#worker.unref();
  }
}

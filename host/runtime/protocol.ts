// The messages of shard 0 and a shard's worker at birth and death, and the interfaces that carry them. Everything else
// goes through the mesh.
//
//   shard 0: platform.start() --> ShardWorker    tell() -------> WorkerShard.onMessage()    (worker-shard.ts)
//                                 onMessage() <----------- say() WorkerPort                 the worker's thread
//
// Two platforms implement the three interfaces at the end: Node's worker threads (node-platform.ts, worker.ts), and the
// threads of a simulated world (host/sim/sim-platform.ts). Both deliver the messages of one worker in order, and its
// exit behind all that it said.

import type { PackedError } from '../base/error-parts.js';
import type { Core } from '../core/core.js';
import type { DoorbellToken, HostName } from '../hosts/host.js';
import type { NetworkRules } from '../net/network-rules.js';
import type { SignalName, SignalSource } from './signal-board.js';
import type { Holdings } from './stats.js';

export interface ShardData {
  shard: number;
  /** The block memory; module and linear memory come by the thread library. No typed array: Deno would copy it. */
  blocks: ArrayBufferLike;
  shardCount: number;
  /** The module's URL, or undefined: none. */
  module: string | undefined;
  /** The processor that it is kept on, or undefined: any. */
  cpu: number | undefined;
  host: HostName;
  network: NetworkRules | undefined;
  idlePollNs: number;
  quotaNs: number;
  stallMs: number;
  unhandled: 'warn' | 'throw';
  checkMemory: boolean;
}

export type FromWorker =
  | { type: 'booted'; tokens: DoorbellToken[] } // how each peer rings this shard
  | { type: 'running' } // the module is loaded
  | { type: 'failed'; error: PackedError } // it could not be
  | { type: 'busy' } // a turn has begun: a watch may check whether it ends (watch.ts)
  | { type: 'signalWanted'; name: SignalName; isWanted: boolean }
  | { type: 'signalWaited'; names: readonly SignalName[] }
  | { type: 'signalDone'; name: SignalName }
  | { type: 'holds'; holds: boolean } // whether something here keeps the process alive (lifeline.ts)
  | { type: 'buried'; number: number; token: DoorbellToken } // a dead one's; how its next life rings this shard
  | { type: 'welcomed'; number: number } // that life is known here
  | { type: 'drained'; failures: string[] } // what onClose() registered has ended
  | { type: 'cancelled' } // runtime.signal has aborted, and what was open is closed
  | { type: 'stopped'; left: Holdings; waitsFor: readonly string[] }; // what cannot be cancelled: it ends with that

export type ToWorker =
  | { type: 'peers'; tokens: (DoorbellToken | undefined)[] } // how this shard rings each peer
  | { type: 'peerDown'; shard: number }
  | { type: 'bury'; shard: number; number: number } // say when what it left is gone: it is to be started again
  | { type: 'peerUp'; shard: number; number: number; token: DoorbellToken } // how it is rung
  | { type: 'secret'; name: string; value: unknown } // what may not lie in the memory that all shards share
  | { type: 'busy' } // the same of shard 0
  | { type: 'signal'; name: SignalName }
  | { type: 'watchHolders'; isOn: boolean } // tell whether something there keeps the process alive
  | { type: 'drain'; timeoutMs: number }
  | { type: 'cancel'; graceMs: number }
  | { type: 'stop' };

/** A shard's worker, as shard 0 sees it. The functions that add a listener return a function that removes it. */
export interface ShardWorker {
  /** `transfer`: what is moved, not copied. */
  tell(message: ToWorker, transfer?: readonly unknown[]): void;
  onMessage(listener: (message: FromWorker) => void): () => void;
  /** The thread ends, because no code caught this error. */
  onError(listener: (error: Error) => void): () => void;
  /** The thread has ended. */
  onExit(listener: (exitCode: number) => void): () => void;
  /**
   * Ends the thread in the middle of whatever it does. Resolves when it has ended. That can take for ever: while the
   * kernel works for a thread, the thread cannot end.
   */
  terminate(): Promise<unknown>;
  /** Whether the worker keeps the process alive. */
  ref(): void;
  unref(): void;
}

/** The parts of the platform that shard 0 needs: threads above all. */
export interface RuntimePlatform {
  /** Where the process's signals come from. */
  readonly signals: SignalSource;
  /** The import `wasi.thread-spawn` of shard 0's core. */
  readonly threadSpawn: (shard: number) => number;
  /** Shard 0's core runs. */
  initialize(core: Core, module: WebAssembly.Module): void;
  /** Throws FEATHERSTAR_INTERNAL if no thread can be started. */
  start(shard: number): ShardWorker;
  /** Loads the shard module for shard 0. Rejects with FEATHERSTAR_MODULE. */
  importModule(url: string | undefined): Promise<ShardModule>;
}

/** A worker's own side of it, in its thread. */
export interface WorkerPort {
  say(message: FromWorker, transfer?: readonly unknown[]): void;
  /** Loads the shard module. Rejects with FEATHERSTAR_MODULE. */
  importModule(url: string | undefined): Promise<ShardModule>;
  /** Ends the thread when all that it does now is done. */
  leave(): void;
}

/** The exports of a shard module. */
export type ShardModule = Record<string, unknown>;

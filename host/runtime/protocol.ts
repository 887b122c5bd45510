// What the starting thread and a shard's worker say to each other at birth and death. Everything else goes through
// the mesh.

import type { ErrorCode } from '../base/errors.js';
import type { DoorbellToken, HostName } from '../hosts/host.js';
import type { NetworkRules } from '../net/network-rules.js';
import type { SignalName } from './signal-board.js';
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
  | { type: 'failed'; error: Error; code: ErrorCode | undefined } // it could not be
  | { type: 'busy' } // a turn has begun: somebody may want to look whether it ends (watch.ts)
  | { type: 'signalWanted'; name: SignalName; isWanted: boolean }
  | { type: 'signalWaited'; names: readonly SignalName[] }
  | { type: 'signalDone'; name: SignalName }
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
  | { type: 'busy' } // the same of shard 0
  | { type: 'signal'; name: SignalName }
  | { type: 'drain'; timeoutMs: number }
  | { type: 'cancel'; graceMs: number }
  | { type: 'stop' };

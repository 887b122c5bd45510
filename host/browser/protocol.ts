// The messages between the page and its shards.

import type { PackedError } from '../base/error-parts.js';
import type { DoorbellToken } from '../hosts/host.js';

export interface StartMessage {
  type: 'start';
  shard: number;
  shardCount: number;
  module: string | undefined;
  core: WebAssembly.Module;
  memory: WebAssembly.Memory;
  blocks: ArrayBufferLike;
  quotaNs: number;
  /** When the page began, ms since 1970: the zero of all shards' clocks. */
  originMs: number;
  /** The name of the lock that the worker holds while it lives, if it can (worker.ts). */
  lock: string;
}

export type ToShard =
  | StartMessage
  | { type: 'peers'; tokens: (DoorbellToken | undefined)[] }
  | { type: 'peerDown'; shard: number }
  | { type: 'call'; id: number; name: string; args: unknown[] }
  | { type: 'stop' };

export type FromShard =
  | { type: 'booted'; tokens: DoorbellToken[]; holdsLock: boolean }
  | { type: 'running'; functions: readonly string[] }
  | { type: 'answer'; id: number; value: unknown }
  | { type: 'threw'; id: number; error: PackedError }
  | { type: 'failed'; error: PackedError }
  | { type: 'stopped' };

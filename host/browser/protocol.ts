// What the page and its shards tell each other.

import type { DoorbellToken } from '../hosts/host.js';

export interface StartMessage {
  type: 'start';
  shard: number;
  shardCount: number;
  module: string | undefined;
  core: WebAssembly.Module;
  memory: WebAssembly.Memory;
  quotaNs: number;
}

export type ToShard =
  | StartMessage
  | { type: 'peers'; tokens: (DoorbellToken | undefined)[] }
  | { type: 'call'; id: number; name: string; args: unknown[] }
  | { type: 'stop' };

export type FromShard =
  | { type: 'booted'; tokens: DoorbellToken[] }
  | { type: 'running' }
  | { type: 'answer'; id: number; value: unknown }
  | { type: 'threw'; id: number; error: unknown }
  | { type: 'failed'; error: unknown }
  | { type: 'stopped' };

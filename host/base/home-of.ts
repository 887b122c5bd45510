// The shard that a key lives on. The hash is part of the API: it never changes. Another version of a program, or a
// program in another language, finds the same home for the same key and number of shards.
//
//   key --> UTF-8 bytes --> FNV-1a, 32 bits --> finalizer of MurmurHash3 --> modulo shardCount
//
// FNV-1a alone would not do: its lowest bit is only the parity of the lowest bits of all bytes.

import { optionError } from './errors.js';

const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;
const encoder = new TextEncoder();

function hashBytes(bytes: Uint8Array): number {
  let hash = FNV_OFFSET;
  for (let i = 0; i < bytes.length; i++) hash = Math.imul(hash ^ (bytes[i] as number), FNV_PRIME);
  return hash;
}

function hashText(text: string): number {
  let hash = FNV_OFFSET;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit > 127) return hashBytes(encoder.encode(text));
    hash = Math.imul(hash ^ unit, FNV_PRIME);
  }
  return hash;
}

function mix(hash: number): number {
  let mixed = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

/** The home of a key among `shardCount` shards. Text counts as its UTF-8 bytes. Throws FEATHERSTAR_OPTION. */
export function homeOf(key: string | Uint8Array, shardCount: number): number {
  if (typeof key === 'string') return mix(hashText(key)) % shardCount;
  if (key instanceof Uint8Array) return mix(hashBytes(key)) % shardCount;
  throw optionError('key', key, 'a string or a Uint8Array');
}

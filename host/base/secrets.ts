// Secrets on their way to the shards of a process. Calls go through memory that all shards share, and so does all that
// is sent with them. A secret goes by a message of its own from thread to thread (runtime/protocol.ts), and is kept
// here, in the heap of its thread.

import { randomBytes } from 'node:crypto';

let secret: Uint8Array | undefined;
const kept = new Map<string, unknown>();
const waiting = new Map<string, (value: unknown) => void>();

/** 32 random bytes, which all threads have that are shards of one runtime. */
export function processSecret(): Uint8Array {
  secret ??= randomBytes(32);
  return secret;
}

/** In the thread of a worker, before anything asks for it. */
export function setProcessSecret(bytes: Uint8Array): void {
  secret = bytes;
}

/** Keeps a value that another thread has sent, until it is taken. */
export function keepSecret(name: string, value: unknown): void {
  const take = waiting.get(name);
  waiting.delete(name);
  if (take === undefined) kept.set(name, value);
  else take(value);
}

/** Resolves to a value that was sent, or that is on its way. Each is taken once. */
export function takeSecret(name: string): Promise<unknown> {
  if (!kept.has(name)) return new Promise((resolve) => waiting.set(name, resolve));
  const value = kept.get(name);
  kept.delete(name);
  return Promise.resolve(value);
}

// Functions that the library's own parts call on other shards, beside those of the shard module. They are called by
// number, so they cannot collide with a name of a module. All shards have the same library, and so the same numbers.
//
// A part is loaded by its first call: a program without sharded services loads nothing of them. Calls that come while
// it loads wait in order.

import { FeatherstarError } from '../base/errors.js';

const NAMES = ['ask', 'channel', 'http', 'net', 'node', 'sharded', 'websocket'] as const;

const SENTENCES: Record<(typeof NAMES)[number], string> = {
  ask: 'a request that may take long',
  channel: 'a ShardChannel',
  http: 'a server on every shard',
  net: 'a connection of another shard',
  node: 'a port of a server of featherstar/node',
  sharded: 'a sharded service',
  websocket: 'subscribers of a WebSocket topic',
};

/** Numbers from the top of the 16 bits that a message has for them; the shard module's count from 0. */
export const INTERNAL_FIRST = 0xff00;

type PartFunctions = Record<string, (...args: never[]) => unknown>;
export type Part = (typeof NAMES)[number];
export type Parts = Readonly<Record<Part, () => Promise<PartFunctions>>>;

let parts: Parts | undefined;
const loaded = new Map<Part, PartFunctions>();
const loading = new Map<Part, Promise<PartFunctions>>();

/** Says how each part is loaded (parts.ts). */
export function useParts(all: Parts): void {
  parts = all;
}

export function internalMethod(part: Part): number {
  return INTERNAL_FIRST + NAMES.indexOf(part);
}

/** How a part is called in a sentence; beside the parts there are aborts (call.ts). */
export function internalName(method: number): string {
  const part = NAMES[method - INTERNAL_FIRST];
  return part === undefined ? 'an abort' : `a function for ${SENTENCES[part]}`;
}

/** Runs a part's function on this shard: `args` begins with its name. */
export function runInternal(method: number, [name, ...args]: unknown[]): unknown {
  const part = NAMES[method - INTERNAL_FIRST] as Part;
  const functions = loaded.get(part);
  const run = (all: PartFunctions) => (all[name as string] as (...args: unknown[]) => unknown)(...args);
  return functions === undefined ? load(part).then(run) : run(functions);
}

/** Loads all parts. A simulated program could not: no file of this machine is there in its world. */
export async function loadParts(): Promise<void> {
  await Promise.all(NAMES.map(load));
}

function load(part: Part): Promise<PartFunctions> {
  let waiting = loading.get(part);
  if (waiting === undefined) {
    if (parts === undefined)
      return Promise.reject(new FeatherstarError('FEATHERSTAR_HOST', `there is no ${part} here`));
    waiting = parts[part]().then((functions) => {
      loaded.set(part, functions);
      return functions;
    });
    loading.set(part, waiting);
  }
  return waiting;
}

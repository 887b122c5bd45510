// Whether Node loads a CommonJS module now. It reads the module's files by functions of node:fs, in the turn of the
// shard that calls require(), and then runs the module. So meanwhile files are those of the real disk.
//
// Next: node-fs.ts.

import Module from 'node:module';
import type { AnyFunction } from '../calls/remote.js';
import { type Replacement, replaced } from './replace.js';

let loads = 0;

export function isLoading(): boolean {
  return loads !== 0;
}

export function countLoads(): Replacement[] {
  const loader = Module as unknown as Record<string, AnyFunction | undefined>;
  return ['_load', '_resolveFilename'].flatMap((name) => {
    const load = loader[name];
    if (load === undefined) return [];
    return replaced(loader, name, function counted(this: unknown, ...args: never[]): unknown {
      loads++;
      try {
        return load.apply(this, args);
      } finally {
        loads--;
      }
    });
  });
}

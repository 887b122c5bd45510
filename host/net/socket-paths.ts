// The Unix sockets that this shard connects to at the moment. A path names anything on this machine, so the gate takes
// none from memory: JavaScript puts a path into a table of the host, and the submission names its index.
//
//   connect({ path }) --> take(path): index --> host.setSocketPath(index, path) --> CONNECT with that index --> give()
//
// Attempts at one path share an index.

import { FeatherstarError } from '../base/errors.js';
import { SOCKET_PATHS } from '../hosts/host.js';
import { perShard } from '../shard/per-shard.js';
import type { Shard } from '../shard/shard.js';

export class SocketPaths {
  readonly #shard: Shard;
  readonly #paths: string[] = [];
  readonly #uses: number[] = new Array(SOCKET_PATHS).fill(0);

  constructor(shard: Shard) {
    this.#shard = shard;
  }

  /** The index that names `path` until it is given back. Throws FULL. */
  take(path: string): number {
    const known = this.#paths.indexOf(path);
    const index = known >= 0 && (this.#uses[known] as number) > 0 ? known : this.#uses.indexOf(0);
    if (index < 0) {
      const text = `${SOCKET_PATHS} paths of Unix sockets are being connected to: wait for one`;
      throw new FeatherstarError('FEATHERSTAR_FULL', text);
    }
    if (this.#uses[index] === 0) this.#set(index, path);
    (this.#uses[index] as number)++;
    return index;
  }

  give(index: number): void {
    if (--(this.#uses[index] as number) !== 0) return;
    this.#paths[index] = '';
    if (!this.#shard.closed) this.#shard.host.setSocketPath?.(index, undefined);
  }

  #set(index: number, path: string): void {
    const { host } = this.#shard;
    if (host.setSocketPath === undefined) {
      throw new FeatherstarError('FEATHERSTAR_HOST', `the host ${host.name} has no Unix sockets`);
    }
    host.setSocketPath(index, path);
    this.#paths[index] = path;
  }
}

export const socketPathsOf = perShard((shard) => new SocketPaths(shard));

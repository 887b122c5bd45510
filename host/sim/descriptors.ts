// The file descriptors that code of one shard has from node:fs. They end with the shard's thread, as those of a Worker
// of Node's do.
//
// Next: node-fs-calls.ts.

import type { SimOpenFile } from './disk-calls.js';

const FIRST = 3; // behind the standard streams

/** An open file, and its cursor. */
export interface Descriptor {
  readonly file: SimOpenFile;
  readonly path: string;
  position: number;
}

export class Descriptors {
  readonly #open = new Map<number, Descriptor>();
  #isClosed = false;

  /** The lowest free number, as a kernel gives it; -1: the thread has ended. */
  add(file: SimOpenFile, path: string): number {
    if (this.#isClosed) return -1;
    let fd = FIRST;
    while (this.#open.has(fd)) fd++;
    this.#open.set(fd, { file, path, position: 0 });
    return fd;
  }

  get(fd: number): Descriptor | undefined {
    return this.#open.get(fd);
  }

  /** False: it is not open. */
  close(fd: number): boolean {
    this.#open.get(fd)?.file.close();
    return this.#open.delete(fd);
  }

  closeAll(): void {
    this.#isClosed = true;
    for (const fd of [...this.#open.keys()]) this.close(fd);
  }
}

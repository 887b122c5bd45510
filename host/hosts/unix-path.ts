// Listening on a path of the file system. A socket's file outlives a server that was killed. So the next listener
// checks whether a server responds there. If none does, the file is removed and the path is taken over. If one does, or
// if it is no socket, that is EADDRINUSE. The file is removed by the listener that made it, and by no other. It is
// known by its number on its device. So a server that has taken a path over keeps it when the earlier server closes
// late.
//
// Two processes that take the same stale path over at the same moment are not kept apart: the last one has it.

import { lstatSync, type Stats, unlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { FeatherstarError } from '../base/errors.js';
import { Errno } from '../core/kernel.js';

function look(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}

function isSame(a: Stats | undefined, b: Stats | undefined): boolean {
  return a !== undefined && b !== undefined && a.ino === b.ino && a.dev === b.dev;
}

/**
 * Whether no server responds at the socket's file. Only a refusal says so: any other outcome may be a server that is
 * busy.
 */
function isStale(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    socket.once('connect', () => {
      socket.destroy();
      resolve(false);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'ECONNREFUSED'));
  });
}

/** Removes the file that a listener has made: call it when it closes. */
export type Unlink = () => void;

/**
 * Binds by `bind`, which is called again if the path was stale. Returns what it did, and a function that removes the
 * file.
 */
export async function bindPath<T>(path: string, bind: () => T | Promise<T>): Promise<{ bound: T; unlink: Unlink }> {
  await new Promise((resolve) => setImmediate(resolve)); // a listener of this thread that was closed just now is gone
  const first = look(path);
  let bound: T;
  try {
    bound = await bind();
  } catch (error) {
    const inUse = FeatherstarError.is(error) && error.errno === Errno.EADDRINUSE;
    if (!inUse || !first?.isSocket() || !(await isStale(path))) throw error;
    if (isSame(first, look(path))) unlinkSync(path);
    bound = await bind();
  }
  const own = look(path);
  const unlink = () => {
    if (isSame(own, look(path))) unlinkSync(path);
  };
  return { bound, unlink };
}

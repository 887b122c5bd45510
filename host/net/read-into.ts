// readInto(): received bytes go into an array of the caller's.
//
// Next: connection.ts.

import type { WaitOptions } from '../base/abortable.js';
import { type FeatherstarError, optionError, systemError } from '../base/errors.js';
import { Errno } from '../core/kernel.js';
import type { SocketTransport } from './socket.js';

/** Throws OPTION. */
export function checkInto(into: unknown): void {
  if (!(into instanceof Uint8Array) || into.length === 0) {
    throw optionError('into', into, 'a Uint8Array with room for at least one byte');
  }
}

/** Copies as many bytes into the array as it has room for. Throws SYSTEM if it was detached or shrunk since. */
export function fillFrom(into: Uint8Array, bytes: Uint8Array): number {
  const count = Math.min(into.length, bytes.length);
  if (count === 0) throw noRoomError();
  try {
    into.set(count === bytes.length ? bytes : bytes.subarray(0, count));
  } catch {
    throw noRoomError(); // optimised code of Node 20 may see the length that a detached array had
  }
  return count;
}

function noRoomError(): FeatherstarError {
  return systemError('recv', Errno.EFAULT, 'into the array of readInto()');
}

/** readInto() of a connection whose bytes come in arrays of their own. */
export async function readAndFill(
  connection: SocketTransport,
  into: Uint8Array,
  options: WaitOptions | undefined,
): Promise<number | null> {
  checkInto(into);
  const bytes = await connection.read(options);
  if (bytes === null) return null;
  let count = 0;
  try {
    count = fillFrom(into, bytes);
  } finally {
    if (count < bytes.length) connection.unread(bytes.subarray(count));
  }
  return count;
}

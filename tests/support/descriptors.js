// Counts descriptors for tests of files, so that none stays open.

import { existsSync, readdirSync, readlinkSync } from 'node:fs';

/**
 * Descriptors of this process that are ours: of folders and files of tests, and of rings. Bun and Deno open others when
 * they please. 0 where there is no /proc.
 */
export function openFiles() {
  if (!existsSync('/proc/self/fd')) return 0;
  const ours = readdirSync('/proc/self/fd').filter((number) => {
    try {
      return /featherstar-|io_uring/.test(readlinkSync(`/proc/self/fd/${number}`));
    } catch {
      return false; // it was that of this look
    }
  });
  return ours.length;
}

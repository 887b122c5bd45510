// Bytes of a message as text. They are checked when a message is complete: Node's isUtf8() takes a microsecond for 16
// KiB, also in shared memory. A check in the core, byte by byte, took a hundred times as long (RATIONALE.md).
//
// Next: frame-writer.ts.

import { isUtf8 } from 'node:buffer';

/** The text; a number: the close code for bytes that are not UTF-8, or longer than a string can be. */
export function messageText(bytes: Uint8Array): string | 1007 | 1009 {
  if (!isUtf8(bytes)) return 1007;
  try {
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8');
  } catch {
    return 1009;
  }
}

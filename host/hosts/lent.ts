// Finds lent bytes for the hosts that emulate io_uring, by the same rules as host/native/gate.c#admit_lent.
//
// Next: portable-gate.ts.

import type { LentBytes } from './host.js';

/**
 * The bytes that a SENDMSG names: `len` of those in `lent[slot]`, from `skip` in the first piece on. Undefined if they
 * are not all there: a piece was detached, or fewer were lent.
 */
export function findLent(lent: LentBytes, slot: number, skip: number, len: number): Uint8Array[] | undefined {
  const row = lent[slot] ?? [];
  const found: Uint8Array[] = [];
  let from = skip;
  let left = len;
  for (const piece of row instanceof Uint8Array ? [row] : row) {
    if (left === 0) break;
    if (piece.length <= from) return undefined;
    const bytes = from === 0 && piece.length <= left ? piece : piece.subarray(from, from + left);
    found.push(bytes);
    left -= bytes.length;
    from = 0;
  }
  return left === 0 ? found : undefined;
}

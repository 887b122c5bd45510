// Looks for bytes in the memory that all shards share.

import { currentShard } from '../../dist/host/shard/shard.js';

/** `text`: what must not be there. It is given in halves, as a call puts its arguments into that memory. */
export function isInMemory(first, second) {
  const { bytes } = currentShard();
  return bytes.includes(Buffer.from(first + second, 'latin1'));
}

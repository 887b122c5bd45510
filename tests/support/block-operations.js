// Submissions that name a block, made by hand as the host's own code makes them; the same on every host.

import { blockAddress } from '../../dist/host/shard/block-pool.js';
import { connectFileOrThrow, openSocketOrThrow, send } from '../../dist/host/shard/ops.js';
import { operate } from './operation.js';

const AF_INET = 2;
const SOCKADDR_BYTES = 16;

/** A socket that is connected to 127.0.0.1; the address is taken from a block, too. Resolves with its slot. */
export async function connectFromBlock(shard, port, shared) {
  const slot = await operate(shard, (operation) => openSocketOrThrow(operation, AF_INET));
  const { bytes } = shared;
  bytes.set([AF_INET, 0, port >> 8, port & 255, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
  const address = blockAddress(bytes.byteOffset);
  const result = await operate(shard, (operation) => connectFileOrThrow(operation, slot, address, SOCKADDR_BYTES));
  if (result !== 0) throw new Error(`connect: ${result}`);
  return slot;
}

export function sendFromBlock(shard, slot, shared, length) {
  return operate(shard, (operation) => send(operation, slot, blockAddress(shared.bytes.byteOffset), length));
}

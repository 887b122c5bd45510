// Submissions that name a block, made by hand as the host's own code makes them; the same on every host.

import { blockAddress } from '../../dist/host/shard/block-pool.js';
import { connectFile, openSocket, send } from '../../dist/host/shard/ops.js';

const AF_INET = 2;
const SOCKADDR_BYTES = 16;

/** Stages by `stage(owner id)`; resolves with the result. */
export function operation(shard, stage) {
  return new Promise((resolve) => {
    const id = shard.register({
      onEvent: (_tag, result) => {
        shard.unregister(id);
        resolve(result);
      },
    });
    stage(id);
  });
}

/** A socket that is connected to 127.0.0.1; the address is taken from a block, too. Resolves with its slot. */
export async function connectFromBlock(shard, port, shared) {
  const slot = await operation(shard, (id) => openSocket(shard, AF_INET, id, 0));
  const { bytes } = shared;
  bytes.set([AF_INET, 0, port >> 8, port & 255, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
  const address = blockAddress(bytes.byteOffset);
  const result = await operation(shard, (id) => connectFile(shard, slot, address, SOCKADDR_BYTES, id, 0));
  if (result !== 0) throw new Error(`connect: ${result}`);
  return slot;
}

export function sendFromBlock(shard, slot, shared, length) {
  return operation(shard, (id) => send(shard, slot, blockAddress(shared.bytes.byteOffset), length, id, 0));
}

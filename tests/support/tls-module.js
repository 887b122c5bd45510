// A module that serve({ module, tls }) loads on every shard.

import { runtime } from 'featherstar';

export default {
  fetch(_request, { tls }) {
    return Response.json([runtime().self, tls.isResumed]);
  },
};

export const self = () => runtime().self;
export const exit = () => process.exit(3);

/** Whether these bytes are anywhere in the memory that the shards share. */
export { isInMemory } from './memory-search.js';

export async function echoSocket(socket) {
  for await (const bytes of socket) await socket.write(`${Buffer.from(bytes)} on ${runtime().self}`);
  socket.close();
}

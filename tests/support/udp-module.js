// The shard module of tests/api/udp.test.js: sockets that answer with what came and where.

import { runtime } from 'featherstar';
import { UdpSocket } from 'featherstar/net';

async function serve(socket) {
  try {
    for await (const { bytes, remote } of socket) {
      await socket.send(`${Buffer.from(bytes)}@${runtime().self}`, remote);
    }
  } catch (error) {
    if (error.code !== 'FEATHERSTAR_CLOSED') throw error; // the runtime closes while an answer is on its way
  }
}

/** On a port of its own. */
export async function echo() {
  const socket = await UdpSocket.bind({ hostname: '127.0.0.1' });
  void serve(socket);
  return socket.port;
}

/** On a port that other shards have, too. */
export async function share(port) {
  const socket = await UdpSocket.bind({ hostname: '127.0.0.1', port, reusePort: true });
  void serve(socket);
  return socket.port;
}

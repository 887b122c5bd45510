// The shard module of the program whose traffic becomes vectors: calls, timers, tasks, an HTTP server and its clients.
//
// Next: program.js.

import { runtime, schedulingGroup, sleep, spawn, yieldNow } from 'featherstar';
import { Response, serve } from 'featherstar/http';
import { connect } from 'featherstar/net';
import { currentShard } from '../../dist/host/shard/shard.js';

export const add = (a, b) => a + b;

/** Holds the request's credit for a while, as a host does that has not loaded its module. */
export async function held(caller) {
  const { core } = currentShard();
  core.holdRequest(caller);
  await sleep(1);
  core.beginRequest(caller);
}

export const giveBack = (bytes) => bytes;

export async function later(ms) {
  await sleep(ms);
  return ms;
}

/** Bytes that come back later, with those of other calls that wait as long. */
export async function bytesLater(bytes, ms) {
  await sleep(ms);
  return bytes;
}

/** Tasks of two groups, which take turns. */
export async function work(steps) {
  const groups = [undefined, schedulingGroup('slow', { shares: 20 })];
  const parts = groups.map((group) =>
    spawn(
      async () => {
        for (let i = 0; i < steps; i++) await yieldNow();
      },
      group === undefined ? {} : { group },
    ),
  );
  await Promise.all(parts);
}

/** Asks the next shard, which asks the next one. */
export async function around(hops) {
  if (hops === 0) return 0;
  const { self, shardCount } = runtime();
  const passed = await runtime()
    .on((self + 1) % shardCount)
    .around(hops - 1);
  return passed + 1;
}

let server;

export async function startServer(port) {
  server = await serve({
    port,
    limits: { headerBytes: 512, targetBytes: 200 },
    fetch: async (request) => {
      const body = await request.text();
      return new Response(`${request.method} ${new URL(request.url).pathname} ${body.length}`);
    },
  });
  return server.port;
}

/** Sends these bytes on a connection, and reads until it ends. Returns how many came; -1: the connection broke. */
export async function ask(port, text) {
  let socket;
  try {
    socket = await connect({ port, hostname: 'server.test' });
    await socket.write(text);
    let count = 0;
    for await (const bytes of socket) count += bytes.length;
    return count;
  } catch (error) {
    if (!['FEATHERSTAR_SYSTEM', 'FEATHERSTAR_CLOSED'].includes(error.code)) throw error;
    return -1;
  } finally {
    socket?.close();
  }
}

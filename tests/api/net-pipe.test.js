// socket.pipeTo() under load: how many bytes a thousand pipes hold, and that they release them. The peers are sockets
// of Node's. tests/contract/pipes.js has the behaviours of a pipe on every host.

import { once } from 'node:events';
import { connect } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { sleep } from 'featherstar';
import { listen } from 'featherstar/net';
import * as assert from 'uvu/assert';
import { hosts, oneShardSuite } from '../support/hosts.js';

const MEBIBYTE = 1024 * 1024;
const PIPES = 1000;
const SLOW = 50;
const HELD_BYTES = 131_072; // by a pipe at most: docs/net.md
const READ_BYTES = { uring: 0, portable: 196_608 }; // by the platform: a chunk, and a stream that stops at 64 KiB
const SLACK_BYTES = MEBIBYTE;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc');

/** Bytes of all arrays that are still in use. */
function arrayBytes() {
  collectGarbage();
  collectGarbage(); // the first one frees arrays in a thread of its own
  return process.memoryUsage().arrayBuffers;
}

/** A socket of the shard's, and its peer. */
async function pair(listener) {
  const accepting = listener.accept();
  const peer = connect({ port: listener.port, host: '127.0.0.1' })
    .on('error', () => {})
    .pause();
  return { peer, socket: await accepting };
}

async function openPipe(listener) {
  const source = await pair(listener);
  const target = await pair(listener);
  const outcome = source.socket.pipeTo(target.socket).catch((error) => error.code);
  const close = () => {
    for (const { peer, socket } of [source, target]) {
      peer.destroy();
      socket.close();
    }
  };
  return { from: source.peer, to: target.peer, target: target.socket, outcome, close };
}

async function countOf(stream) {
  let bytes = 0;
  stream.on('data', (piece) => {
    bytes += piece.length;
  });
  stream.resume();
  await once(stream, 'end');
  return bytes;
}

for (const host of hosts()) {
  const { check, run } = oneShardSuite('net pipes', host);

  check('a thousand pipes, some of whose targets do not read', async () => {
    const listener = await listen({ hostname: '127.0.0.1' });
    const data = Buffer.alloc(16 * MEBIBYTE, 'pattern');
    const all = [];
    while (all.length < PIPES) all.push(await openPipe(listener));
    const slow = all.slice(0, SLOW);
    const before = arrayBytes();
    for (const { from } of slow) from.write(data);
    await sleep(500);
    const held = arrayBytes() - before;
    assert.ok(held < SLOW * (HELD_BYTES + READ_BYTES[host]) + SLACK_BYTES, `${held} bytes are held`);

    for (const { from } of all.slice(SLOW)) from.end(data.subarray(0, 200_000));
    const counts = await Promise.all(all.slice(SLOW).map(({ to }) => countOf(to)));
    assert.equal(new Set(counts), new Set([200_000]));
    for (const { outcome } of all.slice(SLOW)) assert.is(await outcome, 200_000);

    for (const { target } of slow) target.close(); // with a buffer under way
    for (const { outcome } of slow) assert.is(await outcome, 'FEATHERSTAR_CLOSED');
    for (const each of all) each.close();
    const again = await Promise.all(Array.from({ length: 8 }, () => openPipe(listener)));
    for (const { from } of again) from.end(data);
    for (const { to, outcome } of again)
      assert.equal(await Promise.all([countOf(to), outcome]), [data.length, data.length]);
    for (const each of again) each.close();
    listener.close();
  });
  run();
}

// `timeoutMs`, wherever one waits: the wait rejects with FEATHERSTAR_TIMEOUT and leaves nothing behind, and what it
// waited for can be had afterwards.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Gate, interval, JoinSet, openSender, ShardChannel, sleep, waitForSignal } from 'featherstar';
import { openDirectory } from 'featherstar/fs';
import { connect, listen, UdpSocket } from 'featherstar/net';
import * as assert from 'uvu/assert';
import { hosts, oneShardSuite, rejection } from '../support/hosts.js';
import { within } from '../support/http.js';

const HERE = '127.0.0.1';
const SHORT = { timeoutMs: 5 };
const LONG = { timeoutMs: 60_000 };

async function timesOut(promise, what) {
  assert.is((await within(rejection(promise), what)).code, 'FEATHERSTAR_TIMEOUT', what);
}

const text = (bytes) => Buffer.from(bytes).toString();

for (const host of hosts()) {
  const { check, run } = oneShardSuite('timeouts', host);

  check('sockets: accept, read, and write to a peer that does not read', async () => {
    const listener = await listen({ hostname: HERE });
    await timesOut(listener.accept(SHORT), 'accept');
    const accepting = listener.accept(LONG);
    const socket = await connect({ hostname: HERE, port: listener.port, ...LONG });
    const peer = await accepting;
    await timesOut(socket.read(SHORT), 'read');
    await peer.write('late', LONG);
    assert.is(text(await within(socket.read(LONG), 'what came late')), 'late');
    const large = new Uint8Array(1 << 20);
    const fill = async () => {
      for (;;) await socket.write(large, SHORT);
    };
    await timesOut(fill(), 'write');
    for (const one of [socket, peer, listener]) one.close();
  });

  check('connect: one time for all its stages', async () => {
    await timesOut(connect({ hostname: '192.0.2.1', port: 9, timeoutMs: 0 }), 'connect');
  });

  check('datagrams', async () => {
    const socket = await UdpSocket.bind({ hostname: HERE, ...LONG });
    await timesOut(socket.receive(SHORT), 'receive');
    await socket.send('late', { hostname: HERE, port: socket.port, ...LONG });
    assert.is(text((await within(socket.receive(LONG), 'a datagram')).bytes), 'late');
    socket.close();
  });

  check('files: a pipe without a writer is read for as long as it may take', async () => {
    const path = mkdtempSync(join(tmpdir(), 'featherstar-timeouts-'));
    try {
      execFileSync('mkfifo', [join(path, 'pipe')]);
      const directory = await openDirectory(path);
      // The portable host reads at positions, and pipes have none.
      if (host === 'uring') await timesOut(directory.readFile('pipe', SHORT), 'readFile');
      await directory.replaceFile('file', 'content', LONG);
      const file = await directory.open('file', { flags: 'r+', ...LONG });
      await file.write('C', { position: 0, ...LONG });
      await file.truncate(4, LONG);
      await file.sync({ dataOnly: true, ...LONG });
      await file.close();
      await directory.rename('file', 'other', LONG);
      await directory.sync(LONG);
      assert.equal([await directory.readText('other', LONG), (await directory.stat('other', LONG)).size], ['Cont', 4]);
      assert.is((await directory.list(LONG)).length, 2);
      await directory.close();
    } finally {
      rmSync(path, { recursive: true });
    }
  });

  check('gates, sets of tasks, intervals, signals', async () => {
    const gate = new Gate();
    gate.enter();
    await timesOut(gate.close(SHORT), 'gate');
    gate.leave();
    await gate.close(LONG);
    const set = new JoinSet();
    set.spawn(({ signal }) => sleep(LONG.timeoutMs, { signal }));
    await timesOut(set.joinNext(SHORT), 'joinNext');
    await set.shutdown(LONG);
    const deaf = new JoinSet();
    await new Promise((begun) => {
      deaf.spawn(() => {
        begun(); // only now: an abort ends a task that has not begun
        return sleep(50);
      });
    });
    await timesOut(deaf.shutdown(SHORT), 'shutdown');
    await deaf.shutdown(LONG);
    const ticking = interval(60);
    await timesOut(ticking.tick(SHORT), 'tick');
    assert.is(await ticking.tick(LONG), 1, 'no tick was lost');
    await timesOut(waitForSignal(['SIGUSR2'], SHORT), 'waitForSignal');
  });

  check('channels between shards', async () => {
    const channel = new ShardChannel({ capacity: 1 });
    const sender = await openSender(channel.name, LONG);
    await timesOut(channel.receive(SHORT), 'receive');
    await sender.send('first', LONG);
    await timesOut(sender.send('second', SHORT), 'send');
    assert.is(await channel.receive(LONG), 'first');
    await sender.send('third', LONG);
    assert.is(await channel.receive(LONG), 'third', 'what timed out was taken back');
    await sender.close();
    channel.close();
  });

  run();
}

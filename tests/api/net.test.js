// featherstar/net: a socket of the shard on one side, one of Node's on the other.

import { connect } from 'node:net';
import { Runtime, sleep } from 'featherstar';
import { listen } from 'featherstar/net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { back, holdings, hosts, rejection } from '../support/hosts.js';
import { Client, until, within } from '../support/http.js';

const MEBIBYTE = 1024 * 1024;

function pattern(length) {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >>> 8) * 7 + (i >>> 16)) & 0xff;
  return bytes;
}

for (const host of hosts()) {
  const test = suite(`net (${host})`);
  let runtime;
  let listener;
  let base;

  test.before(async () => {
    runtime = await Runtime.start({ shards: 1, host });
    listener = await listen({ hostname: '127.0.0.1' });
    await sleep(5);
    base = holdings();
  });
  test.after(() => runtime.close());

  /** A test that leaves nothing behind. */
  const check = (name, run) =>
    test(name, async () => {
      await run();
      await back(base);
    });

  /** Both ends of a connection: Node's and the shard's. */
  async function pair(options) {
    const accepted = listener.accept();
    const client = await Client.open(listener.port, options);
    return [client, await within(accepted, 'accept')];
  }

  async function readAll(socket) {
    const runs = [];
    for await (const run of socket) runs.push(run);
    return Buffer.concat(runs);
  }

  check('read, write, end, close', async () => {
    const [client, socket] = await pair();
    await client.write('hello');
    assert.is(Buffer.from(await socket.read()).toString(), 'hello');
    await socket.write('wörld');
    await socket.write(new Uint8Array([33]));
    await socket.write('');
    assert.is((await client.take(7)).toString(), 'wörld!');
    await socket.end();
    await socket.end();
    assert.is((await client.rest()).length, 0);
    assert.is((await rejection(socket.write('x'))).code, 'FEATHERSTAR_CLOSED');
    await client.write('still'); // half-closed: the other direction goes on
    assert.is(Buffer.from(await socket.read()).toString(), 'still');
    client.end();
    assert.is(await within(socket.read(), 'the end'), null);
    assert.is(await socket.read(), null);
    assert.not(socket.isClosed);
    socket.close();
    socket.close();
    assert.ok(socket.isClosed);
    assert.is((await rejection(socket.write('x'))).code, 'FEATHERSTAR_CLOSED');
    client.destroy();
  });

  check('a listener that closes ends the connections that were not taken', async () => {
    const other = await listen({ hostname: '127.0.0.1' });
    const clients = [];
    for (let i = 0; i < 3; i++) clients.push(await Client.open(other.port));
    await clients[2].write('unread');
    const first = await within(other.accept(), 'accept');
    await sleep(20);
    other.close();
    assert.is(await other.accept(), null);
    for (const client of clients.slice(1)) await until(() => client.ending !== undefined, 'the end', 2000);
    await first.write('still'); // it belongs to the program
    assert.is(`${await clients[0].take(5)}`, 'still');
    first.close();
    for (const client of clients) client.destroy();
  });

  check('close() rejects what waits', async () => {
    const [client, socket] = await pair();
    const reading = rejection(socket.read());
    const writing = rejection(socket.write(new Uint8Array(64 * MEBIBYTE)));
    await sleep(2);
    await socket[Symbol.asyncDispose]();
    assert.is((await reading).code, 'FEATHERSTAR_CLOSED');
    assert.is((await writing).code, 'FEATHERSTAR_CLOSED');
    assert.is((await rejection(socket.read())).code, 'FEATHERSTAR_CLOSED');
    client.destroy();
  });

  check('5 MiB each way at once', async () => {
    const bytes = pattern(5 * MEBIBYTE);
    const [client, socket] = await pair();
    const sending = client.write(bytes).then(() => client.end());
    const writing = (async () => {
      for (let at = 0; at < bytes.length; at += 99_991) await socket.write(bytes.subarray(at, at + 99_991));
      await socket.end();
    })();
    const [read, received] = await within(Promise.all([readAll(socket), client.take(bytes.length)]), 'all of it');
    assert.ok(read.equals(bytes));
    assert.ok(received.equals(bytes));
    await Promise.all([sending, writing]);
    await client.rest();
    socket.close();
    client.destroy();
  });

  check('a written buffer may be used again at once', async () => {
    const [client, socket] = await pair();
    const buffer = Buffer.alloc(3000);
    const wanted = [];
    for (let i = 0; i < 200; i++) {
      buffer.fill(i);
      wanted.push(Buffer.from(buffer));
      await socket.write(buffer);
    }
    buffer.fill(0xff);
    assert.ok((await client.take(600_000)).equals(Buffer.concat(wanted)));
    socket.close();
    client.destroy();
  });

  check('a client that does not read holds the writer up, and lets it go on when it does', async () => {
    const [client, socket] = await pair({ paused: true });
    const chunk = pattern(256 * 1024);
    let written = 0;
    const writing = (async () => {
      for (; written < 64; written++) await socket.write(chunk);
      await socket.end();
    })();
    await until(async () => {
      const before = written;
      await sleep(50);
      return written > 0 && written === before;
    }, 'the writer is held up');
    assert.ok(written < 64);
    assert.ok(holdings().sendBuffers <= base.sendBuffers + 2);
    client.resume();
    const all = await client.take(64 * chunk.length);
    assert.ok(all.subarray(-chunk.length).equals(chunk));
    await within(writing, 'the writer');
    socket.close();
    client.destroy();
  });

  check('a shard that does not read holds its client up', async () => {
    const [client, socket] = await pair();
    const bytes = pattern(32 * MEBIBYTE);
    let isSent = false;
    const sending = client.write(bytes).then(() => {
      isSent = true;
      client.end();
    });
    await sleep(100);
    assert.not(isSent);
    assert.ok((await within(readAll(socket), 'all of it')).equals(bytes));
    await sending;
    socket.close();
    client.destroy();
  });

  check('a read can be aborted; what comes then waits for the next one', async () => {
    const [client, socket] = await pair();
    const reason = new Error('own reason');
    assert.is(await rejection(socket.read({ signal: AbortSignal.abort(reason) })), reason);
    const controller = new AbortController();
    const reading = rejection(socket.read({ signal: controller.signal }));
    await sleep(2);
    controller.abort(reason);
    assert.is(await reading, reason);
    await client.write('kept');
    await sleep(20);
    assert.is(Buffer.from(await within(socket.read(), 'what came')).toString(), 'kept');
    const later = new AbortController();
    const finished = socket.read({ signal: later.signal });
    await client.write('more');
    assert.is(Buffer.from(await finished).toString(), 'more');
    later.abort();
    assert.is(await rejection(socket.write('x', { signal: AbortSignal.abort(reason) })), reason);
    socket.close();
    client.destroy();
  });

  check('one read at a time; only bytes and text are written', async () => {
    const [client, socket] = await pair();
    const first = socket.read();
    assert.is((await rejection(socket.read())).code, 'FEATHERSTAR_STATE');
    await client.write('x');
    assert.is((await first).length, 1);
    for (const bytes of [5, null, undefined, {}, [1]]) {
      assert.is((await rejection(socket.write(bytes))).code, 'FEATHERSTAR_OPTION');
    }
    socket.close();
    client.destroy();
  });

  check('a reset is an error, for reads and for writes', async () => {
    const [client, socket] = await pair();
    const reading = rejection(socket.read());
    await sleep(2);
    client.reset();
    const error = await within(reading, 'the reset');
    assert.equal([error.code, error.errnoName, error.syscall], ['FEATHERSTAR_SYSTEM', 'ECONNRESET', 'recv']);
    assert.is((await rejection(socket.read())).errnoName, 'ECONNRESET');
    assert.ok((await rejection(socket.write('x'))).code.startsWith('FEATHERSTAR_'));
    socket.close();

    const [other, writer] = await pair({ paused: true });
    const writing = rejection(writer.write(new Uint8Array(64 * MEBIBYTE)));
    await sleep(20);
    other.reset();
    assert.is((await within(writing, 'the write')).code, 'FEATHERSTAR_SYSTEM');
    writer.close();
  });

  check('a client that sends and leaves at once: its bytes are still read', async () => {
    const [client, socket] = await pair();
    await client.write('last words');
    client.end();
    assert.is((await within(readAll(socket), 'all of it')).toString(), 'last words');
    socket.close();
    client.destroy();
  });

  check('many connections, taken by iteration', async () => {
    const echoes = [];
    const serving = (async () => {
      for await (const socket of listener) {
        echoes.push(
          (async () => {
            for await (const bytes of socket) await socket.write(bytes);
            await socket.end();
            socket.close();
          })(),
        );
        if (echoes.length === 100) return;
      }
    })();
    const clients = await Promise.all(Array.from({ length: 100 }, () => Client.open(listener.port)));
    await within(serving, 'all are accepted');
    for (const [i, client] of clients.entries()) {
      await client.write(`client ${i}`);
      client.end();
    }
    for (const [i, client] of clients.entries()) assert.is((await client.rest()).toString(), `client ${i}`);
    await within(Promise.all(echoes), 'the echoes end');
    for (const client of clients) client.destroy();
  });

  check('a listener that closes: who waits gets null, who was not taken is closed, the port is free', async () => {
    const other = await listen({ hostname: '127.0.0.1' });
    const { port } = other;
    const client = await Client.open(port);
    await sleep(20); // accepted, but taken by nobody
    const taken = await other.accept();
    const waiting = other.accept();
    const untaken = await rejection(within(other.accept(), 'nobody comes', 20));
    assert.match(untaken.message, /nothing within/);
    const late = await Client.open(port).catch((error) => error);
    await sleep(20);
    other.close();
    other.close();
    await other[Symbol.asyncDispose]();
    if (late instanceof Client) {
      (await within(waiting, 'accept'))?.close();
      late.destroy();
    } else assert.is(await within(waiting, 'accept'), null);
    assert.is(await other.accept(), null);
    taken.close();
    await client.rest();
    client.destroy();
    await until(async () => {
      const attempt = await Client.open(port).catch((error) => error.code);
      if (attempt instanceof Client) attempt.destroy();
      return attempt === 'ECONNREFUSED';
    }, 'the port is free');
  });

  check('ports in use and options that are wrong', async () => {
    const taken = await rejection(listen({ hostname: '127.0.0.1', port: listener.port }));
    assert.equal([taken.code, taken.errnoName], ['FEATHERSTAR_SYSTEM', 'EADDRINUSE']);
    const wrong = [
      null,
      ...[-1, 65_536, 0.5, '80', NaN].map((port) => ({ port })),
      ...['', 5, null].map((hostname) => ({ hostname })),
      ...[0, -1, 0.5, '1'].map((backlog) => ({ backlog })),
    ];
    for (const options of wrong) {
      assert.is((await rejection(listen(options))).code, 'FEATHERSTAR_OPTION', JSON.stringify(options));
    }
    assert.is((await rejection(listen({ hostname: 'no-such-name.invalid' }))).code, 'FEATHERSTAR_DNS');
  });

  check('connections that come and go in a hurry', async () => {
    const serving = (async () => {
      for (let i = 0; i < 200; i++) (await listener.accept()).close();
    })();
    for (let i = 0; i < 200; i++) {
      const socket = connect(listener.port, '127.0.0.1').on('error', () => {});
      if (i % 3 === 0) socket.once('connect', () => socket.resetAndDestroy());
      else socket.once('close', () => socket.destroy()).resume();
      if (i % 20 === 0) await sleep(1);
    }
    await within(serving, 'all are accepted');
  });

  test.run();
}

// Behaviours of socket.pipeTo(). A part of behaviours.js.

import assert from 'node:assert/strict';
import { sleep } from 'featherstar';
import { pair, pattern, readAll, say } from './sockets.js';

const MEBIBYTE = 1_048_576;

/** client.far --pipe--> server.near: what the client says comes to the server. */
async function proxied() {
  const client = await pair();
  const server = await pair();
  const close = () => {
    client.close();
    server.close();
  };
  return { client, server, in: client.far, out: server.near, close };
}

async function manyProxied(count) {
  const all = [];
  while (all.length < count) all.push(await proxied()); // a shard has few listeners at a time
  return all;
}

export const pipes = {
  'an echo of pieces of every size, counted': async () => {
    const pieces = [1, 100, 4096, 4097, 65_535, 65_536, 65_537, 3 * MEBIBYTE + 7, 5, 200_000].map(pattern);
    const { near, far, close } = await pair();
    const echoing = far.pipeTo(far);
    const [, back] = await Promise.all([say(near, ...pieces), readAll(near, 5)]);
    assert.ok(back.equals(Buffer.concat(pieces)));
    assert.equal(await echoing, back.length);
    assert.equal(far.isClosed, false);
    close();
  },
  'what was received before, and an end that has come already, go along': async () => {
    const { client, server, in: source, out, close } = await proxied();
    await client.near.write('first');
    const controller = new AbortController();
    const given = source.read({ signal: controller.signal });
    controller.abort(new Error('enough'));
    await assert.rejects(given, /enough/);
    await say(client.near, ' and last');
    await sleep(20);
    assert.equal(await source.pipeTo(out), 14);
    assert.equal(`${await readAll(server.far)}`, 'first and last');
    assert.equal(await source.read(), null);
    close();
  },
  'a proxy both ways, whoever ends first': async () => {
    const request = pattern(MEBIBYTE, 1);
    const response = pattern(2 * MEBIBYTE, 2);
    for (const isClientFirst of [true, false]) {
      const { client, server, in: source, out, close } = await proxied();
      const counts = Promise.all([source.pipeTo(out), out.pipeTo(source)]);
      const [first, second] = isClientFirst ? [client.near, server.far] : [server.far, client.near];
      const [sent, answered] = isClientFirst ? [request, response] : [response, request];
      const [, seen] = await Promise.all([say(first, sent), readAll(second)]);
      assert.ok(seen.equals(sent));
      const [, answer] = await Promise.all([say(second, answered), readAll(first)]);
      assert.ok(answer.equals(answered));
      assert.deepEqual(await counts, [request.length, response.length]);
      close();
    }
  },
  'a reader that is slow makes the writer wait': async () => {
    const { client, server, in: source, out, close } = await proxied();
    const data = pattern(32 * MEBIBYTE);
    let isWritten = false;
    const piping = source.pipeTo(out);
    const writing = client.near.write(data).then(() => {
      isWritten = true;
      return client.near.end();
    });
    await sleep(100);
    assert.equal(isWritten, false);
    assert.ok((await readAll(server.far, 30)).equals(data));
    await writing;
    assert.equal(await piping, data.length);
    close();
  },
  'a slow target holds up no other pipe': async () => {
    const slow = await manyProxied(12);
    const data = pattern(4 * MEBIBYTE);
    for (const each of slow) {
      each.piping = each.in.pipeTo(each.out);
      each.saying = say(each.client.near, data);
    }
    await sleep(50);
    const fast = await proxied();
    const piping = fast.in.pipeTo(fast.out);
    const [, seen] = await Promise.all([say(fast.client.near, data), readAll(fast.server.far)]);
    assert.ok(seen.equals(data));
    assert.equal(await piping, data.length);
    fast.close();
    for (const each of slow) {
      assert.ok((await readAll(each.server.far)).equals(data));
      assert.equal(await each.piping, data.length);
      await each.saying;
      each.close();
    }
  },
  'many pipes at once, with writers that pause': async () => {
    const all = await manyProxied(40);
    await Promise.all(
      all.map(async (each, i) => {
        const pieces = Array.from({ length: 6 }, (_, k) => pattern(1 + i * 2500 * k, i));
        const piping = each.in.pipeTo(each.out);
        const saying = (async () => {
          for (const piece of pieces) {
            await each.client.near.write(piece);
            await sleep((i % 3) * 2);
          }
          await each.client.near.end();
        })();
        const seen = await readAll(each.server.far, i % 4);
        assert.ok(seen.equals(Buffer.concat(pieces)), `pipe ${i}`);
        assert.equal(await piping, seen.length);
        await saying;
        each.close();
      }),
    );
  },
  'an abort ends it, and loses no byte': async () => {
    for (const rests of [0, 3, 20]) {
      const { client, server, in: source, out, close } = await proxied();
      await assert.rejects(source.pipeTo(out, { signal: AbortSignal.abort(new Error('before')) }), /before/);
      const data = pattern(6 * MEBIBYTE, rests);
      const controller = new AbortController();
      const piping = source.pipeTo(out, { signal: controller.signal });
      const aborted = assert.rejects(piping, /during/);
      const saying = say(client.near, data);
      for (let i = 0; i < rests; i++) await sleep(0.2);
      const reading = readAll(server.far);
      await sleep(rests / 10);
      controller.abort(new Error('during'));
      await aborted;
      const rest = await readAll(source);
      await saying;
      await out.write('!');
      await out.end();
      const seen = await reading;
      assert.ok(Buffer.concat([seen.subarray(0, -1), rest]).equals(data), `${seen.length} and ${rest.length} bytes`);
      assert.equal(seen.at(-1), 33);
      close();
    }
  },
  'a second pipe follows one that was aborted': async () => {
    const { client, server, in: source, out, close } = await proxied();
    const data = pattern(8 * MEBIBYTE);
    const saying = say(client.near, data);
    const reading = readAll(server.far);
    let code = 'FEATHERSTAR_TIMEOUT';
    for (let i = 0; code === 'FEATHERSTAR_TIMEOUT'; i++) {
      const options = i < 20 ? { timeoutMs: 0.3 } : {};
      code = await source.pipeTo(out, options).then(
        () => undefined,
        (error) => error.code,
      );
    }
    assert.ok(code === undefined || code === 'FEATHERSTAR_CLOSED', code); // the time was over while it sent the end
    assert.ok((await reading).equals(data));
    await saying;
    close();
  },
  'an end that the program closes': async (t) => {
    for (const which of ['in', 'out']) {
      for (const isBusy of [false, true]) {
        const all = await proxied();
        const code = t.code(all.in.pipeTo(all.out));
        if (isBusy) all.client.near.write(pattern(8 * MEBIBYTE)).catch(() => {});
        await sleep(5);
        all[which].close();
        assert.equal(await code, 'FEATHERSTAR_CLOSED', `${which}, ${isBusy}`);
        assert.equal(await t.code(all.in.pipeTo(all.out)), 'FEATHERSTAR_CLOSED');
        all.close();
      }
    }
  },
  'a target that has ended takes nothing': async (t) => {
    const { client, server, in: source, out, close } = await proxied();
    await out.end();
    assert.equal(await t.code(source.pipeTo(out)), 'FEATHERSTAR_CLOSED');
    await client.near.write('x');
    assert.equal(`${await source.read()}`.length > 0, true);
    assert.equal(await server.far.read(), null);
    close();
  },
  'the peer of the target leaves': async (t) => {
    const { client, server, in: source, out, close } = await proxied();
    const failed = t.errno(source.pipeTo(out));
    server.far.close();
    const writing = (async () => {
      for (;;) {
        await client.near.write(pattern(10_000));
        await sleep(1);
      }
    })().catch(() => {});
    assert.ok(['EPIPE', 'ECONNRESET'].includes(await failed));
    close();
    await writing;
  },
  'while it runs there is no other reader': async (t) => {
    const { client, server, in: source, out, close } = await proxied();
    const piping = source.pipeTo(out);
    assert.equal(await t.code(source.read()), 'FEATHERSTAR_STATE');
    assert.equal(await t.code(source.pipeTo(source)), 'FEATHERSTAR_STATE');
    assert.equal(await t.code(server.far.pipeTo('x')), 'FEATHERSTAR_OPTION');
    const reading = server.far.read();
    assert.equal(await t.code(server.far.pipeTo(source)), 'FEATHERSTAR_STATE');
    await out.write('beside ');
    assert.equal(`${Buffer.from(await reading)}`, 'beside ');
    await say(client.near, 'it');
    assert.equal(await piping, 2);
    assert.equal(`${await readAll(server.far)}`, 'it');
    close();
  },
  'two pipes into one socket': async (t) => {
    const a = await pair();
    const b = await pair();
    const server = await pair();
    const first = a.far.pipeTo(server.near);
    const second = b.far.pipeTo(server.near);
    let count = 0;
    const writing = Promise.all([a.near.write(pattern(MEBIBYTE)), b.near.write(pattern(MEBIBYTE))]);
    while (count < 2 * MEBIBYTE) count += (await server.far.read()).length;
    await writing;
    await a.near.end();
    assert.equal(await first, MEBIBYTE);
    assert.equal(await server.far.read(), null);
    await b.near.write('more');
    assert.equal(await t.code(second), 'FEATHERSTAR_CLOSED'); // its target has ended
    for (const each of [a, b, server]) each.close();
  },
};

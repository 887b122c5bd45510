// Large bodies of requests, on each host: whole and as streams, cut by the client in any way. Clients that stall hold
// up no other. A connection that has sent much receives into large buffers. Small requests that follow are
// handled as ever.

import { isDisturbed } from 'node:stream';
import { Response, serve } from 'featherstar/http';
import * as assert from 'uvu/assert';
import { currentShard } from '../../dist/host/shard/shard.js';
import { hosts, rejection } from '../support/hosts.js';
import { ask, Client, get, post, until } from '../support/http.js';
import { later, MEBIBYTE, pattern, ServerRig } from './server-rig.js';

const head = (length) => `POST / HTTP/1.1\r\nHost: test\r\nContent-Length: ${length}\r\n\r\n`;
const chunk = (bytes) => Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from('\r\n')]);

/** Reads a body in each of the ways that there are. */
const READS = {
  bytes: (request) => request.bytes(),
  arrayBuffer: async (request) => new Uint8Array(await request.arrayBuffer()),
  late: async (request) => {
    await later(2);
    return request.bytes();
  },
  stream: async (request) => {
    const parts = [];
    for await (const part of request.body ?? []) parts.push(part);
    return Buffer.concat(parts);
  },
  slowly: async (request) => {
    const parts = [];
    for await (const part of request.body ?? []) {
      parts.push(part);
      if (parts.length % 4 === 0) await later(1);
    }
    return Buffer.concat(parts);
  },
  'one chunk, then the rest': async ({ body }) => {
    if (body === null) return Buffer.alloc(0);
    const reader = body.getReader();
    const { value } = await reader.read();
    reader.releaseLock();
    const parts = [value];
    for await (const part of body) parts.push(part);
    return Buffer.concat(parts);
  },
  'by the platform': async ({ body }) => new Uint8Array(await new globalThis.Response(body).arrayBuffer()),
  'the platform takes over': async ({ body }) => {
    if (body === null) return Buffer.alloc(0);
    const reader = body.getReader();
    const first = reader.read();
    isDisturbed(body);
    const { value } = await first;
    reader.releaseLock();
    const parts = [value];
    for await (const part of body) parts.push(part);
    return Buffer.concat(parts);
  },
  'a clone': async (request) => new Uint8Array(await request.clone().arrayBuffer()),
};

const hasByob = Object.getOwnPropertySymbols(new ReadableStream()).length !== 0; // as in host/http/platform.ts

/** Reads into views of `bytes`, all on one buffer. */
async function readByob({ body }, bytes, options, between = () => {}) {
  const parts = [];
  const reader = body?.getReader({ mode: 'byob' });
  for (let view = new Uint8Array(bytes); reader !== undefined; ) {
    const { value, done } = await reader.read(view, options);
    if (value.length !== 0) parts.push(Buffer.from(value));
    if (done) break;
    view = new Uint8Array(value.buffer);
    await between(parts.length);
  }
  return Buffer.concat(parts);
}

if (hasByob)
  Object.assign(READS, {
    byob: (request) => readByob(request, 65_536),
    'byob, small views': (request) => readByob(request, 3000),
    'byob, full views': (request) => readByob(request, 200_000, { min: 200_000 }),
    'byob, slowly': (request) => readByob(request, 40_000, undefined, (count) => (count % 4 === 0 ? later(1) : null)),
  });

for (const host of hosts()) {
  const rig = new ServerRig('uploads', host);

  rig.check('one connection: large and small bodies, of known length and in chunks, and none, in turn', async () => {
    const client = await Client.open(rig.server.port);
    for (const [name, read] of Object.entries(READS)) {
      for (const length of [1, 65_536, 10, 2 * MEBIBYTE + 17, 0, 300_000]) {
        const expected = pattern(length);
        let got;
        rig.handler = async (request) => {
          got = request.method === 'GET' ? undefined : await read(request);
          return new Response('read');
        };
        const label = `${name} of ${length}`;
        const whole = await client.ask(Buffer.concat([Buffer.from(head(length)), expected]));
        if (length !== 0) assert.ok(expected.equals(got), label);
        assert.is(whole.text, 'read', label);
        if (length === 0) continue;
        const chunks = [Buffer.from('POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n')];
        for (let at = 0; at < length; at += 50_000) chunks.push(chunk(expected.subarray(at, at + 50_000)));
        chunks.push(Buffer.from('0\r\n\r\n'));
        assert.is((await client.ask(Buffer.concat(chunks))).text, 'read', `${label} in chunks`);
        assert.ok(expected.equals(got), `${label} in chunks`);
      }
      for (let i = 0; i < 10; i++) assert.is((await client.ask(get())).text, 'read');
    }
    client.destroy();
  });

  rig.check('large bodies go straight into arrays where the host can do that', async () => {
    const { targets, host: own } = currentShard();
    const body = Buffer.concat([Buffer.from(head(MEBIBYTE)), pattern(MEBIBYTE)]);
    const client = await Client.open(rig.server.port);
    rig.handler = async (request) => new Response(String((await request.bytes()).length));
    for (let i = 0; i < 3; i++) assert.is((await client.ask(body)).text, String(MEBIBYTE));
    assert.is(targets.length > 0, own.receivesIntoLent === true, 'a target was shown');
    assert.ok(
      targets.every((target) => target === undefined),
      'no target is shown any more',
    );
    client.destroy();
  });

  rig.check('more clients send at once than chunks can wait', async () => {
    const body = pattern(400_000);
    const whole = Buffer.concat([Buffer.from(head(body.length)), body]);
    let good = 0;
    rig.handler = async (request) => {
      if (Buffer.from(await request.bytes()).equals(body)) good++;
      return new Response('read');
    };
    const clients = await Promise.all(Array.from({ length: 200 }, () => Client.open(rig.server.port)));
    for (let i = 0; i < 2; i++) await Promise.all(clients.map((client) => client.ask(whole)));
    assert.is(good, 400);
    for (const client of clients) client.destroy();
  });

  rig.check(
    'a response before the body is in: the rest is dropped or the connection ends, and no byte goes astray',
    async () => {
      for (const restBytes of [60_000, 300_000]) {
        const client = await Client.open(rig.server.port);
        const body = pattern(400_000 + restBytes);
        let reads;
        rig.handler = async (request) => new Response(String((await request.bytes()).length));
        const whole = Buffer.concat([Buffer.from(head(body.length)), body]);
        for (let i = 0; i < 3; i++) assert.is((await client.ask(whole)).text, String(body.length));
        rig.handler = async (request) => {
          reads = request.bytes().catch(({ code }) => code);
          await later(30);
          return new Response('enough');
        };
        client.write(whole.subarray(0, whole.length - restBytes));
        assert.is((await client.response()).text, 'enough');
        assert.is(await reads, 'FEATHERSTAR_BODY');
        if (restBytes <= 65_536) {
          rig.handler = async (request) => new Response(`${request.method} next`);
          client.write(Buffer.concat([whole.subarray(whole.length - restBytes), Buffer.from(get())]));
          assert.is((await client.response()).text, 'GET next');
        }
        client.destroy();
      }
    },
  );

  rig.check(
    '100 Continue, a client that ends its side, and one that resets, in the middle of a large body',
    async () => {
      const body = pattern(500_000);
      const hows = ['continue', 'end', 'reset'];
      const ways = hasByob ? [READS.bytes, READS.stream, READS.byob] : [READS.bytes, READS.stream];
      for (const [read, how] of ways.flatMap((way) => hows.map((one) => [way, one]))) {
        const client = await Client.open(rig.server.port);
        let failure;
        rig.handler = async (request) => {
          try {
            return new Response(String(Buffer.from(await read(request)).equals(body)));
          } catch (error) {
            failure = error.code;
            throw error;
          }
        };
        const whole = Buffer.concat([Buffer.from(head(body.length)), body]);
        for (let i = 0; i < 3; i++) assert.is((await client.ask(whole)).text, 'true');
        if (how === 'continue') {
          client.write(head(body.length).replace('\r\n\r\n', '\r\nExpect: 100-continue\r\n\r\n'));
          assert.is((await client.response()).status, 100);
          client.write(body.subarray(0, 200_000));
          await later(5);
          client.write(body.subarray(200_000));
          assert.is((await client.response()).text, 'true');
        } else {
          client.write(whole.subarray(0, 300_000));
          await later(10);
          if (how === 'end') client.end();
          else client.reset();
          await until(() => failure !== undefined, 'the handler is told');
          assert.is(failure, 'FEATHERSTAR_CLOSED');
          rig.errors.length = 0;
        }
        client.destroy();
      }
    },
  );

  rig.check('a BYOB reader: no array is made for a large body where the host receives into views', async () => {
    if (!hasByob) return;
    const expected = pattern(4 * MEBIBYTE);
    const client = await Client.open(rig.server.port);
    const whole = Buffer.concat([Buffer.from(head(expected.length)), expected]);
    let at = 0;
    let isGood = true;
    rig.handler = async ({ body }) => {
      at = 0;
      const reader = body.getReader({ mode: 'byob' });
      for (let view = new Uint8Array(65_536); ; ) {
        const { value, done } = await reader.read(view);
        if (done) return new Response(String(at));
        if (!expected.subarray(at, at + value.length).equals(value)) isGood = false;
        at += value.length;
        view = new Uint8Array(value.buffer);
      }
    };
    for (let i = 0; i < 2; i++) assert.is((await client.ask(whole)).text, String(expected.length));
    const { allocUnsafeSlow } = Buffer;
    let arrays = 0;
    Buffer.allocUnsafeSlow = (bytes) => {
      if (bytes > 16_384) arrays++;
      return allocUnsafeSlow(bytes);
    };
    try {
      assert.is((await client.ask(whole)).text, String(expected.length));
    } finally {
      Buffer.allocUnsafeSlow = allocUnsafeSlow;
    }
    assert.ok(isGood, 'the bytes');
    if (currentShard().host.receivesIntoLent) assert.is(arrays, 0);
    client.destroy();
  });

  rig.check('a BYOB reader that reads no more: the client waits, resets, or gets its response', async () => {
    if (!hasByob) return;
    const body = pattern(2 * MEBIBYTE);
    const whole = Buffer.concat([Buffer.from(head(body.length)), body]);
    const tellsResets = host !== 'portable' || !('Deno' in globalThis); // Deno's sockets do not, while they are paused
    for (const how of ['goes on', 'responds', 'releases', 'cancels', ...(tellsResets ? ['reset'] : [])]) {
      const client = await Client.open(rig.server.port);
      rig.handler = async (request) => new Response(String((await readByob(request, 65_536)).length));
      for (let i = 0; i < 2; i++) assert.is((await client.ask(whole)).text, String(body.length));
      let outcome;
      rig.handler = async (request) => {
        const reader = request.body.getReader({ mode: 'byob' });
        const { value } = await reader.read(new Uint8Array(65_536));
        await later(20);
        if (how === 'releases') reader.releaseLock();
        if (how === 'cancels') await reader.cancel();
        if (how === 'reset') client.reset();
        if (how === 'reset') await until(() => request.signal.aborted, 'the handler is told');
        if (how !== 'goes on' && how !== 'reset') return new Response('enough');
        let next;
        do {
          next = await reader.read(new Uint8Array(next?.value.buffer ?? value.buffer)).catch(({ code }) => code);
        } while (how === 'reset' && next.value !== undefined); // what has come before
        outcome = next.value?.buffer.byteLength ?? next;
        if (how === 'goes on') reader.releaseLock();
        for await (const _part of how === 'goes on' ? request.body : []);
        return new Response('enough');
      };
      client.write(whole);
      if (how !== 'reset') assert.is((await client.response()).text, 'enough', how);
      else await until(() => outcome !== undefined, 'the read ends');
      if (how === 'goes on') assert.is(outcome, 65_536);
      if (how === 'reset') assert.is(outcome, 'FEATHERSTAR_CLOSED');
      client.destroy();
    }
  });

  rig.check('a large body with the next requests behind it in the same packets', async () => {
    const client = await Client.open(rig.server.port);
    const lengthOf = async (request) => (request.body === null ? 'none' : (await request.bytes()).length);
    rig.handler = async (request) => new Response(String(await lengthOf(request)));
    const post = Buffer.concat([Buffer.from(head(200_001)), pattern(200_001)]);
    for (let round = 0; round < 3; round++) {
      client.write(Buffer.concat([post, Buffer.from(get()), post, Buffer.from(get()), Buffer.from(get())]));
      const texts = [];
      for (let i = 0; i < 5; i++) texts.push((await client.response()).text);
      assert.equal(texts, ['200001', 'none', '200001', 'none', 'none']);
    }
    client.destroy();
  });

  rig.check('clients that stall, dribble or leave in the middle of a large body hold up no other one', async () => {
    rig.handler = async (request) => new Response(String((await request.bytes()).length));
    const slow = await Promise.all(Array.from({ length: 40 }, () => Client.open(rig.server.port)));
    for (const client of slow) client.write(Buffer.concat([Buffer.from(head(MEBIBYTE)), pattern(500_000)]));
    await later(20);
    for (const client of slow) client.write('x'); // into a large buffer
    const well = await Client.open(rig.server.port);
    for (let i = 0; i < 3; i++) {
      assert.is(
        (await well.ask(Buffer.concat([Buffer.from(head(MEBIBYTE)), pattern(MEBIBYTE)]))).text,
        String(MEBIBYTE),
      );
      for (const client of slow) client.write('x');
    }
    for (const client of slow.slice(0, 20)) client.destroy();
    for (const client of slow.slice(20)) {
      assert.is((await client.ask(pattern(MEBIBYTE - 500_004))).text, String(MEBIBYTE));
      client.destroy();
    }
    well.destroy();
    rig.errors.length = 0; // handlers were told of clients that had left
  });

  rig.check('a handler that reads at timers gets all bytes in order', async () => {
    const bytes = pattern(8 * MEBIBYTE);
    rig.handler = async (request) => {
      const parts = [];
      for await (const part of request.body) {
        parts.push(part);
        await later(0);
      }
      return new Response(`${Buffer.concat(parts).equals(bytes)}`);
    };
    const answers = await Promise.all(Array.from({ length: 4 }, () => ask(rig.server.port, post('/', bytes))));
    assert.equal(
      answers.map(({ text }) => text),
      Array(4).fill('true'),
    );
  });

  rig.check('a handler that stops reading in the middle slows its client down', async () => {
    const length = 32 * MEBIBYTE; // more than a socket of the loopback interface takes
    let goOn;
    const fetch = async (request) => {
      const reader = request.body.getReader();
      let count = 0;
      const readTo = async (bytes) => {
        while (count < bytes) count += (await reader.read()).value.length;
      };
      await readTo(2 * MEBIBYTE);
      await new Promise((resolve) => {
        goOn = resolve;
      });
      await readTo(length);
      return new Response(`${count}`);
    };
    const server = await serve({ hostname: '127.0.0.1', fetch, limits: { bodyBytes: length } });
    const client = await Client.open(server.port);
    let isWritten = false;
    await client.write(head(length));
    const writing = client.write(Buffer.alloc(length)).then(() => {
      isWritten = true;
    });
    await until(() => goOn !== undefined, 'it has read a part');
    await later(200);
    const waits = !isWritten;
    goOn();
    assert.is((await client.response()).text, `${length}`);
    await writing;
    client.destroy();
    await server.close();
    assert.ok(waits, 'the client waits');
  });

  rig.check('a body goes to another thread through a stream of the platform, and not by itself', async () => {
    const bytes = pattern(MEBIBYTE);
    rig.handler = async (request) => {
      const { port1, port2 } = new MessageChannel();
      const error = await rejection(async () => port1.postMessage(request.body, [request.body]));
      assert.ok(['DataCloneError', 'TypeError'].includes(error.name), error.stack); // as docs/http.md says
      const arrives = new Promise((resolve) => port2.once('message', resolve));
      const through = request.body.pipeThrough(new TransformStream());
      port1.postMessage(through, [through]);
      const parts = [];
      for await (const part of await arrives) parts.push(part);
      port1.close();
      return new Response(Buffer.concat(parts));
    };
    assert.ok((await ask(rig.server.port, post('/', bytes))).body.equals(bytes));
  });

  rig.run();
}

// core: debug
// How connections of serve() end, in virtual time. A client that leaves at any state of a connection is noticed soon,
// and every wait has an end.

import { sleep } from 'featherstar';
import { Response, serve } from 'featherstar/http';
import { simulate } from 'featherstar/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const SEEDS = 30;
const PORT = 80;
const NOTICED_MS = 100;
const WAIT_MS = 60_000;
const HOUR_MS = 3_600_000;
const MEBIBYTE = 1024 * 1024;
const PATIENT = {
  headerTimeoutMs: HOUR_MS,
  idleTimeoutMs: HOUR_MS,
  requestTimeoutMs: HOUR_MS,
  halfCloseTimeoutMs: HOUR_MS,
};

const never = () => new Promise(() => {});
const head = (path, bytes) => `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: ${bytes}\r\n\r\n`;
const get = (path) => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;

/** Runs `program` with a server whose handler notes what it is told, and says that nothing is left. */
async function each(limits, program) {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const faults = seed % 2 === 0 ? { partial: 0.2, noBuffers: 0.1 } : { freeze: 0.05 };
    const { left } = await simulate({ seed, faults }, async (world) => {
      const told = { aborted: [], cancelled: [], failed: [], begun: 0 };
      const fetch = async (request) => {
        told.begun++;
        const { path, signal } = request;
        const onAbort = () => told.aborted.push(performance.now());
        if (signal.aborted) onAbort();
        else signal.addEventListener('abort', onAbort);
        if (path === '/quiet') {
          const cancel = () => told.cancelled.push(performance.now());
          return new Response(new ReadableStream({ start: (to) => to.enqueue(Buffer.from('hello')), cancel }));
        }
        if (path === '/never' || path === '/unread') return never();
        if (path === '/early') return new Response('early', { status: 413 });
        if (path === '/large') return new Response('x'.repeat(1_000_000));
        if (path === '/slow') await sleep(50);
        if (path === '/late') await sleep(200).then(() => request.text());
        if (path === '/late') return never();
        try {
          return new Response(`${path}${(await request.text()).length}`);
        } catch (error) {
          told.failed.push(performance.now());
          throw error;
        }
      };
      const server = await serve({ port: PORT, fetch, limits: { ...PATIENT, ...limits } });
      await program(world, server, told);
      for (let i = 0; i < 100 && server.stats.connections !== 0; i++) await sleep(1);
      assert.is(server.stats.connections, 0, `seed ${seed}`);
      await server.close();
    });
    for (const held of left) for (const [what, count] of Object.entries(held)) assert.is(count, 0, `${seed}: ${what}`);
  }
}

const until = async (condition) => {
  const deadline = performance.now() + WAIT_MS;
  for (; !condition(); await sleep(1)) if (performance.now() > deadline) throw new Error(`not within ${WAIT_MS} ms`);
};

/** Reads until the end, or a reset. */
async function drain(client) {
  let text = '';
  try {
    for (let bytes = await client.read(); bytes !== null; bytes = await client.read()) text += Buffer.from(bytes);
  } catch (error) {
    assert.is(error.code, 'FEATHERSTAR_SYSTEM');
  }
  return text;
}

for (const leave of ['close', 'reset', 'end']) {
  test(`${leave} at each state of a connection is noticed within ${NOTICED_MS} ms`, async () => {
    const moments = {
      before: { bytes: '' },
      head: { bytes: 'GET / HT' },
      body: { bytes: `${head('/echo', 10)}half`, told: 'failed' },
      chunk: { bytes: 'POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel', told: 'failed' },
      handling: { bytes: get('/never'), told: 'aborted', stays: leave === 'end' || leave === 'close' },
      streaming: { bytes: get('/quiet'), told: 'cancelled' },
      pipelined: { bytes: get('/echo') + get('/never') + get('/echo'), told: 'aborted', stays: true },
    };
    for (const [name, { bytes, told: what, stays }] of Object.entries(moments)) {
      await each({ halfCloseTimeoutMs: 500 }, async (world, server, told) => {
        const client = await world.connect({ port: PORT });
        if (bytes !== '') await client.write(bytes);
        await until(() => server.stats.connections === 1);
        await sleep(20);
        const leftAt = performance.now();
        client[leave]();
        if (what !== undefined) {
          await until(() => told[what].length !== 0);
          assert.ok(told[what][0] - leftAt <= NOTICED_MS, `${name}: ${told[what][0] - leftAt} ms`);
        }
        await until(() => server.stats.connections === 0);
        const took = performance.now() - leftAt;
        assert.ok(took <= (stays ? 500 : 0) + NOTICED_MS, `${name}: ${took} ms`);
        client.close();
      });
    }
  });
}

test('a reset behind FIN, and one while nothing is received, is noticed', async () => {
  for (const bytes of [get('/never'), `${head('/unread', MEBIBYTE)}${'x'.repeat(500_000)}`]) {
    await each({}, async (world, server, told) => {
      const client = await world.connect({ port: PORT });
      client.write(bytes).catch(() => {}); // not all of it is taken
      await until(() => told.begun === 1);
      await sleep(50);
      if (bytes.length < 1000) client.end();
      await sleep(50);
      assert.is(server.stats.connections, 1);
      client.reset();
      await sleep(NOTICED_MS);
      assert.is(server.stats.connections, 0);
      assert.is(told.aborted.length, 1);
    });
  }
});

test('FIN behind a body that waits for its reader, and behind requests that wait for their turn', async () => {
  const body = `${head('/late', 300_000)}${'x'.repeat(300_000)}`;
  for (const bytes of [body, `${get('/slow').repeat(3)}${get('/never')}`, get('/large') + get('/never')]) {
    await each({ halfCloseTimeoutMs: 1000 }, async (world, server, told) => {
      const client = await world.connect({ port: PORT });
      client.write(bytes).then(
        () => client.end(),
        () => {},
      );
      await until(() => told.begun > 0);
      await sleep(200); // FIN has come, and the large answer waits for its reader
      const from = performance.now();
      await drain(client);
      await until(() => server.stats.connections === 0);
      const took = performance.now() - from;
      assert.ok(took < 1500, `${took} ms`);
      assert.ok(told.aborted.length > 0);
      client.close();
    });
  }
});

test('a client that half-closes gets its answers, also to what it has sent ahead', async () => {
  await each({ halfCloseTimeoutMs: 1000 }, async (world) => {
    const client = await world.connect({ port: PORT });
    await client.write(`${get('/slow')}${head('/slow', 3)}abc${get('/echo')}`);
    client.end();
    const answers = (await drain(client)).split('HTTP/1.1 200 OK').slice(1);
    assert.equal(
      answers.map((answer) => answer.slice(answer.indexOf('\r\n\r\n') + 4)),
      ['/slow0', '/slow3', '/echo0'],
    );
    client.close();
  });
});

/** Uploads `bytes` a second for `ms`, without reading, to a handler that answers at once. How long it was taken. */
async function upload(world, server, bytes, ms) {
  const client = await world.connect({ port: PORT });
  await client.write(head('/early', 5e6));
  await until(() => server.stats.connections === 1);
  const from = performance.now();
  const piece = Buffer.alloc(bytes / 20);
  while (performance.now() - from < ms && server.stats.connections !== 0) {
    if (piece.length !== 0) await client.write(piece).catch(() => {});
    await sleep(50);
  }
  return { client, took: performance.now() - from };
}

test('an answer before the end of an upload reaches its client, who reads when all is sent', async () => {
  await each({}, async (world, server) => {
    const { client } = await upload(world, server, 200_000, 15_000);
    assert.is(server.stats.connections, 1);
    client.end();
    const text = await drain(client);
    assert.match(text, /^HTTP\/1.1 413 /);
    assert.ok(text.endsWith('early'));
    client.close();
  });
});

test('the server lingers for 2 s of silence, and for 30 s in all', async () => {
  await each({}, async (world, server) => {
    const silent = await upload(world, server, 0, HOUR_MS);
    assert.ok(silent.took > 1900 && silent.took < 2200, `${silent.took} ms`);
    silent.client.close();
    const endless = await upload(world, server, 2000, HOUR_MS);
    assert.ok(endless.took > 29_900 && endless.took < 30_300, `${endless.took} ms`);
    endless.client.close();
  });
});

test('a client that vanishes is given up after unreachableTimeoutMs; one that is cut off for less is not', async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const hosts = { web: [0], laptop: [] };
    const { value } = await simulate({ seed, hosts }, async (world) => {
      let abortedAt;
      const fetch = (request) => {
        request.signal.addEventListener('abort', () => {
          abortedAt = performance.now();
        });
        return never();
      };
      const server = await serve({ port: PORT, fetch, limits: { ...PATIENT, unreachableTimeoutMs: 20_000 } });
      const client = await world.connect({ port: PORT, hostname: 'web', from: 'laptop' });
      await client.write(get('/'));
      await until(() => server.stats.requests === 1);
      await sleep(20); // all has been confirmed
      world.partition('web', 'laptop');
      await sleep(15_000);
      world.heal('web', 'laptop');
      await sleep(30_000);
      assert.is(abortedAt, undefined);
      world.partition('web', 'laptop');
      const from = performance.now();
      await until(() => server.stats.connections === 0);
      const took = abortedAt - from;
      client.reset();
      await server.close();
      return took;
    });
    assert.ok(value > 19_900 && value < 20_100, `${value} ms`);
  }
});

test('close() ends quiet streams after half a second, and clients that have left at once', async () => {
  await each({}, async (world, server, told) => {
    const quiet = await world.connect({ port: PORT });
    await quiet.write(get('/quiet'));
    const left = await world.connect({ port: PORT });
    await left.write(get('/never'));
    await until(() => told.begun === 2);
    left.end();
    await until(() => told.aborted.length === 1);
    const from = performance.now();
    await server.close({ timeoutMs: HOUR_MS });
    const took = performance.now() - from;
    assert.ok(took <= 700, `${took} ms`);
    assert.is(told.cancelled.length, 1);
    quiet.close();
    left.close();
  });
});

test.run();

// deadline: 240 s
// How connections end: clients that leave, in the normal way (FIN) or not (RST), at each state of a connection; and
// servers that close while streams are open.

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { Response as FeatherResponse, serve } from 'featherstar/http';
import * as assert from 'uvu/assert';
import { hosts } from '../support/hosts.js';
import { ask, Client, get, post, until, within } from '../support/http.js';
import { later, MEBIBYTE, pattern, ServerRig } from './server-rig.js';

const PlatformResponse = Response; // serve() puts ours in its place

const HOUR_MS = 3_600_000;
const PATIENT = { headerTimeoutMs: HOUR_MS, idleTimeoutMs: HOUR_MS, requestTimeoutMs: HOUR_MS };
const LEAVERS = 10_000;
const AT_ONCE = 250;
const LEAVES = ['end', 'destroy', 'reset'];

const never = () => new Promise(() => {});
const aborted = async (signal) => {
  if (!signal.aborted) await once(signal, 'abort');
};

/** A stream that says one thing and then nothing, for ever. */
function quiet(onCancel, type = 'text/event-stream') {
  const body = new ReadableStream({
    start: (controller) => controller.enqueue(Buffer.from('data: hello\n\n')),
    cancel: onCancel,
  });
  return new FeatherResponse(body, { headers: { 'content-type': type } });
}

const KEEPALIVE = '02';

/** The timer of the server's end of the one connection to `port`, as the kernel has it (proc_net_tcp.txt). */
function timerOf(port) {
  const local = `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const established = '01';
  const lines = readFileSync('/proc/net/tcp', 'latin1').trim().split('\n');
  const fields = lines
    .map((line) => line.trim().split(/\s+/))
    .find((each) => each[1] === local && each[3] === established);
  const [kind, ticks] = fields[5].split(':');
  return { kind, dueMs: Number.parseInt(ticks, 16) * 10 };
}

/** A client whose request is being handled. */
async function asking(server, bytes = get()) {
  const client = await Client.open(server.port);
  const before = server.stats.requests;
  client.write(bytes);
  await until(() => server.stats.requests > before, 'the handler runs');
  return client;
}

for (const host of hosts()) {
  const rig = new ServerRig('HTTP: the ends of connections', host);
  const gone = (server = rig.server) => until(() => server.stats.connections === 0, 'the connection is closed');

  /** A server of other limits. */
  const withServer = async (options, run) => {
    const onError = (error) => rig.errors.push(error);
    const server = await serve({
      hostname: '127.0.0.1',
      onError,
      ...options,
      limits: { ...PATIENT, ...options.limits },
    });
    try {
      await run(server);
    } finally {
      await server.close({ timeoutMs: 0 });
    }
  };

  // --- clients that leave --------------------------------------------------------------------------------------------

  for (const leave of LEAVES) {
    rig.check(`${leave} while a handler runs: request.signal aborts, and the connection is closed`, async () => {
      let told = 0;
      rig.handler = async (request) => {
        await aborted(request.signal);
        told++;
        return never();
      };
      const clients = [];
      for (let i = 0; i < 5; i++) clients.push(await asking(rig.server));
      for (const client of clients) client[leave]();
      await until(() => told === 5, 'the handlers are told');
      await gone();
      for (const client of clients) client.destroy();
    });

    rig.check(`${leave} while a stream has nothing to say: it is cancelled`, async () => {
      let cancelled = 0;
      let signal;
      rig.handler = (request) => {
        signal = request.signal;
        return quiet(() => cancelled++, request.path.slice(1));
      };
      for (const type of ['text/event-stream', 'text/plain']) {
        const client = await Client.open(rig.server.port);
        client.write(get(`/${type}`));
        await until(() => client.pending.includes('hello'), 'the stream begins');
        client[leave]();
        await gone();
        client.destroy();
        assert.ok(signal.aborted);
      }
      assert.is(cancelled, 2);
    });

    rig.check(
      `${leave} before a request, in its head, in its body, between two, and while the server lingers`,
      async () => {
        const codes = [];
        rig.handler = async (request) => {
          if (request.path === '/early') return new FeatherResponse('early', { headers: { connection: 'close' } });
          return new FeatherResponse(await request.text().catch((error) => codes.push(error.code) && ''));
        };
        const head = (path, length) => `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: ${length}\r\n\r\n`;
        const moments = {
          before: () => {},
          head: (client) => client.write('GET / HT'),
          body: (client) => client.write(`${head('/', 10)}half`),
          chunk: (client) => client.write('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel'),
          between: (client) => client.ask(get()),
          lingering: (client) => client.ask(`${head('/early', 1e6)}half`),
        };
        for (const [name, moment] of Object.entries(moments)) {
          const client = await Client.open(rig.server.port);
          await moment(client);
          await until(() => rig.server.stats.connections === 1, `${name}: it is accepted`);
          await later(20);
          client[leave]();
          await gone();
          client.destroy();
        }
        await until(() => codes.length === 2, 'the readers of the bodies are told');
        assert.equal(codes, ['FEATHERSTAR_CLOSED', 'FEATHERSTAR_CLOSED']);
      },
    );
  }

  rig.check('node:http that destroys its request; the handler passes on what it was told', async () => {
    let told = 0;
    rig.handler = async (request) => {
      await aborted(request.signal);
      told++;
      throw request.signal.reason; // no failure of its own
    };
    const before = rig.server.stats.requests;
    const asked = request(rig.server.url, { agent: false });
    asked.on('error', () => {}); // 'socket hang up'
    asked.end();
    await until(() => rig.server.stats.requests > before, 'the handler runs');
    await later(50);
    asked.destroy();
    await until(() => told === 1, 'the handler is told');
    await gone();
  });

  rig.check('half-closed, then reset: the connection is closed, though its handler never returns', async () => {
    await withServer({ fetch: never, limits: { halfCloseTimeoutMs: HOUR_MS } }, async (server) => {
      const client = await asking(server);
      client.end();
      await later(100);
      assert.is(server.stats.connections, 1);
      client.reset();
      await gone(server);
    });
  });

  rig.check(
    'half-closed, and the handler never returns: the connection is closed after halfCloseTimeoutMs',
    async () => {
      await withServer({ fetch: never, limits: { halfCloseTimeoutMs: 100 } }, async (server) => {
        const client = await asking(server);
        client.end();
        assert.is((await client.rest()).length, 0);
        await gone(server);
        client.destroy();
      });
    },
  );

  rig.check(
    'reset while nothing is received, as the handler does not read its body, or much is sent ahead',
    async () => {
      let told = 0;
      const fetch = async (request) => {
        await aborted(request.signal);
        told++;
        return never();
      };
      await withServer({ fetch }, async (server) => {
        for (const bytes of [post('/', pattern(MEBIBYTE)).subarray(0, 300_000), Buffer.from(get().repeat(10_000))]) {
          const client = await asking(server, bytes);
          await later(200); // receiving is paused
          client.reset();
          await gone(server);
        }
        await until(() => told === 2, 'the handlers are told');
      });
    },
  );

  rig.check('FIN behind a body that waits for its reader, and behind a request that waits for its turn', async () => {
    let told = 0;
    const fetch = async (request) => {
      if (request.path === '/large') return new FeatherResponse(pattern(8 * MEBIBYTE));
      await later(50);
      await request.text();
      await aborted(request.signal);
      told++;
      return never();
    };
    await withServer({ fetch, limits: { halfCloseTimeoutMs: 100 } }, async (server) => {
      const asked = [post('/', pattern(10_000)), post('/', pattern(300_000)), get('/large') + get()];
      for (const bytes of asked) {
        const client = await Client.open(server.port, { paused: true });
        client.write(bytes);
        client.end();
        await later(100); // the large answer waits for its reader
        client.resume();
        await client.rest();
        client.destroy();
      }
      await until(() => told === asked.length, 'the handlers are told');
      await gone(server);
    });
  });

  if (host === 'uring') {
    rig.check('FIN behind more than is received is seen', async () => {
      let told = 0;
      const fetch = async (request) => {
        await aborted(request.signal);
        told++;
        return never();
      };
      await withServer({ fetch, limits: { halfCloseTimeoutMs: 100 } }, async (server) => {
        const client = await asking(server, get().repeat(3000));
        await later(200);
        client.destroy();
        await until(() => told === 1, 'the handler is told');
        await gone(server);
      });
    });
  }

  rig.check(
    'clients that have left make room: a new one is served, though none of their handlers returns',
    async () => {
      const fetch = (request) => (request.path === '/' ? never() : new FeatherResponse('served'));
      const limits = { connections: 200, halfCloseTimeoutMs: HOUR_MS };
      await withServer({ fetch, limits }, async (server) => {
        const clients = await Promise.all(Array.from({ length: 200 }, () => asking(server)));
        const client = await Client.open(server.port);
        assert.is((await client.response()).status, 503);
        client.destroy();
        for (const each of clients) each.destroy();
        await later(100);
        for (let i = 0; i < 20; i++) assert.is((await ask(server.port, get('/new'))).text, 'served');
        assert.ok(server.stats.connections <= 200);
      });
    },
  );

  // --- clients that half-close ---------------------------------------------------------------------------------------

  rig.check('a client that half-closes gets what the handler returns afterwards', async () => {
    const answers = {
      text: () => new FeatherResponse('text'),
      global: () => new PlatformResponse('global'),
      large: () => new FeatherResponse(pattern(4 * MEBIBYTE)),
    };
    let isLate = false;
    rig.handler = async (request) => {
      if (isLate) await aborted(request.signal);
      if (isLate) await later(50);
      return answers[request.path.slice(1)]();
    };
    for (isLate of [false, true]) {
      for (const [name, answer] of Object.entries(answers)) {
        const client = await Client.open(rig.server.port);
        client.write(get(`/${name}`));
        client.end();
        const response = await client.response();
        assert.equal(response.body, Buffer.from(await answer().arrayBuffer()));
        assert.is((await client.rest()).length, 0);
        client.destroy();
      }
    }
  });

  rig.check('requests that were sent ahead of FIN are all answered', async () => {
    for (const pauseMs of [0, 20]) {
      rig.handler = async (request) => {
        if (pauseMs) await later(pauseMs);
        return new FeatherResponse(request.path);
      };
      const client = await Client.open(rig.server.port);
      client.write(['/a', '/b', '/c'].map((path) => get(path)).join(''));
      client.end();
      for (const path of ['/a', '/b', '/c']) assert.is((await client.response()).text, path);
      assert.is((await client.rest()).length, 0);
      client.destroy();
    }
  });

  rig.check('a stream that takes its time is cancelled, not sent, if its client has ended', async () => {
    let cancelled = 0;
    rig.handler = async (request) => {
      await aborted(request.signal);
      return quiet(() => cancelled++);
    };
    const client = await asking(rig.server);
    client.end();
    assert.is((await client.rest()).length, 0);
    assert.is(cancelled, 1);
    client.destroy();
  });

  rig.check('a cancel() that fails is reported', async () => {
    rig.handler = () =>
      quiet(() => {
        throw new Error('cannot cancel');
      });
    const client = await Client.open(rig.server.port);
    client.write(get());
    await until(() => client.pending.includes('hello'), 'the stream begins');
    client.destroy();
    await until(() => rig.errors.length === 1, 'it is reported');
    assert.is(rig.errors.pop().message, 'cannot cancel');
  });

  if (process.platform === 'linux') {
    rig.check('clients that vanish: the kernel probes an idle connection after half of the time', async () => {
      await withServer({ fetch: never, limits: { unreachableTimeoutMs: 40_000 } }, async (server) => {
        const client = await asking(server);
        const { kind, dueMs } = timerOf(server.port);
        assert.is(kind, KEEPALIVE);
        assert.ok(dueMs > 0 && dueMs <= 30_000, `${dueMs} ms`);
        client.destroy();
      });
    });
  }

  rig.check('a client that sends no other request: the connection closes with its response, at once', async () => {
    rig.handler = () => new FeatherResponse('bye');
    for (const request of [get('/', 'Connection: close\r\n'), 'GET / HTTP/1.0\r\n\r\n']) {
      const client = await Client.open(rig.server.port);
      await client.write(request);
      await until(() => client.ending !== undefined, 'the end');
      assert.is(rig.server.stats.connections, 0); // though the client has not ended its side
      assert.match((await client.rest()).toString(), /bye$/);
      client.destroy();
    }
  });

  rig.check('request.signal does not abort when an answer has closed the connection', async () => {
    const signals = [];
    rig.handler = (request) => {
      signals.push(request.signal);
      return new FeatherResponse('x', { status: request.method === 'POST' ? 413 : 200 });
    };
    for (const bytes of [get('/', 'Connection: close\r\n'), post('/', pattern(MEBIBYTE)).subarray(0, 200)]) {
      const client = await Client.open(rig.server.port);
      await client.ask(bytes);
      client.destroy();
      await gone();
    }
    assert.equal(
      signals.map((signal) => signal.aborted),
      [false, false],
    );
  });

  // --- many ----------------------------------------------------------------------------------------------------------

  rig.check(`${LEAVERS} clients that leave: nothing is left of them`, async () => {
    const streams = { begun: 0, cancelled: 0 };
    rig.handler = async (request) => {
      if (request.path === '/stream') {
        streams.begun++;
        return quiet(() => streams.cancelled++);
      }
      if (request.path === '/never') return never();
      return new FeatherResponse(await request.text());
    };
    const requests = [get('/never'), get('/stream'), post('/body', 'x'.repeat(100)).subarray(0, 150), get('/echo')];
    const one = async (i) => {
      const client = await Client.open(rig.server.port);
      await client.write(requests[i % requests.length]);
      if (i % 8 > 3) await later(5);
      client[LEAVES[i % LEAVES.length]]();
      return client;
    };
    for (let from = 0; from < LEAVERS; from += AT_ONCE) {
      const clients = await Promise.all(Array.from({ length: AT_ONCE }, (_, i) => one(from + i)));
      for (const client of clients) client.destroy();
    }
    await gone();
    assert.ok(streams.begun > 0);
    assert.is(streams.cancelled, streams.begun);
  });

  // --- answers that come early ---------------------------------------------------------------------------------------

  rig.check('an answer before the end of an upload reaches its client, who reads when all is sent', async () => {
    rig.handler = () => new FeatherResponse('x'.repeat(10_000), { status: 413 });
    const client = await Client.open(rig.server.port, { paused: true });
    const length = 5 * MEBIBYTE;
    client.write(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${length}\r\n\r\n`);
    for (let sent = 0; sent < length; sent += 65_536) {
      await client.write(Buffer.alloc(65_536)); // 2 MB a second
      await later(32);
    }
    client.resume();
    const answer = await client.response();
    assert.equal([answer.status, answer.body.length], [413, 10_000]);
    client.end();
    await client.rest();
    client.destroy();
  });

  rig.check('the server does not take an upload that it has answered for ever', async () => {
    rig.handler = () => new FeatherResponse('early', { status: 413 });
    const client = await Client.open(rig.server.port);
    client.write('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n');
    const piece = Buffer.concat([Buffer.from('100000\r\n'), Buffer.alloc(MEBIBYTE), Buffer.from('\r\n')]);
    let sent = 0;
    do {
      await Promise.race([client.write(piece), later(1000)]);
      sent++;
    } while (rig.server.stats.connections !== 0 && sent < 200);
    assert.ok(sent < 200, `${sent} MiB were taken`);
    client.destroy();
  });

  // --- close() -------------------------------------------------------------------------------------------------------

  rig.check('close() tells streams and handlers at once, and waits for those only that still answer', async () => {
    let cancelled = 0;
    let signalled = 0;
    let go;
    const gate = new Promise((resolve) => {
      go = resolve;
    });
    const fetch = async (request) => {
      if (request.path === '/answer') return gate.then(() => new FeatherResponse('answered'));
      if (request.path === '/left') return never();
      if (request.path === '/poll') {
        await aborted(server.signal);
        signalled++;
        return new FeatherResponse('nothing new');
      }
      return quiet(() => cancelled++, request.path.slice(1));
    };
    const server = await serve({ hostname: '127.0.0.1', fetch, limits: { ...PATIENT, halfCloseTimeoutMs: HOUR_MS } });
    const events = await asking(server, get('/text/event-stream'));
    const broken = await asking(server, get('/text/plain'));
    for (const each of [events, broken]) await until(() => each.pending.includes('hello'), 'the stream begins');
    const left = await asking(server, get('/left'));
    left.end();
    const polling = await asking(server, get('/poll'));
    const answering = await asking(server, get('/answer'));
    assert.not(server.signal.aborted);
    const closed = server.close({ timeoutMs: HOUR_MS });
    assert.ok(server.signal.aborted);
    assert.is(server.signal.reason.code, 'FEATHERSTAR_CLOSED');
    assert.is((await polling.response()).text, 'nothing new');
    assert.is(signalled, 1);
    assert.is((await events.response()).text, 'data: hello\n\n');
    assert.not((await broken.rest()).toString().endsWith('0\r\n\r\n'));
    await left.rest();
    await until(() => cancelled === 2, 'the streams are told');
    for (const each of [events, broken, left, polling]) each.destroy();
    await until(() => server.stats.connections === 1, 'the others are closed');
    go();
    const answer = await answering.response();
    assert.equal([answer.text, answer.headers.connection], ['answered', 'close']);
    answering.destroy();
    await within(closed, 'close()');
  });

  rig.check('close() lets a stream that flows come to its end', async () => {
    const fetch = () => {
      let left = 10;
      const pull = async (controller) => {
        await later(100);
        if (left-- === 0) controller.close();
        else controller.enqueue(Buffer.from('part '));
      };
      return new FeatherResponse(new ReadableStream({ pull }));
    };
    const server = await serve({ hostname: '127.0.0.1', fetch, limits: PATIENT });
    const client = await asking(server);
    await until(() => client.pending.includes('part'), 'the stream begins');
    const closed = server.close({ timeoutMs: HOUR_MS });
    assert.is((await client.response()).text, 'part '.repeat(10));
    client.destroy();
    await within(closed, 'close()');
  });

  rig.run();
}

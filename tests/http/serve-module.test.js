// deadline: 120 s
// serve({ module }): a server on every core by one call.

import { createServer } from 'node:net';
import { runtime } from 'featherstar';
import { serve } from 'featherstar/http';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { hosts, rejection } from '../support/hosts.js';
import { ask, Client, get, until, within } from '../support/http.js';

const module = new URL('../support/serve-module.js', import.meta.url);
const inline = (code) => `data:text/javascript,${encodeURIComponent(code)}`;

/** Whether shard 1 runs. */
async function runs(server) {
  return server.runtime
    .on(1)
    .self()
    .then(Number.isInteger, () => false);
}

/** Which shards answer new connections. */
async function answering(port, count) {
  const seen = new Set();
  for (let i = 0; i < count; i++) seen.add((await ask(port, get())).text);
  return [...seen].sort();
}

for (const host of hosts()) {
  const test = suite(`serve({ module }) (${host})`);
  const start = (options = {}) =>
    within(serve({ module, hostname: '127.0.0.1', shards: 2, runtime: { host }, ...options }), 'start');

  test('every shard answers, and can be called', async () => {
    const server = await start();
    assert.match(server.url, /^http:\/\/127\.0\.0\.1:\d+\/$/);
    assert.equal([server.hostname, new URL(server.url).port], ['127.0.0.1', String(server.port)]);
    const all = server.runtime.sharesPorts ? ['app on 0', 'app on 1'] : ['app on 0'];
    const logged = async () => (await server.runtime.onAll().loggedHere()).flat();
    const before = (await logged()).length; // shard 0 keeps its module from one runtime to the next
    assert.equal(await answering(server.port, 60), all);
    await until(async () => (await logged()).length >= before + 60, 'each response is logged');
    assert.is((await logged()).length, before + 60);
    assert.is((await logged()).at(-1), '/ 200');
    assert.equal(await server.runtime.onAll().self(), [0, 1]);
    assert.equal(JSON.parse((await ask(server.port, get('/info'))).text), [true, '127.0.0.1', server.port]);
    await server.close();
    assert.is((await rejection(() => runtime())).code, 'FEATHERSTAR_NO_SHARD');
    await server.close(); // again: the same end
  });

  test('an exported fetch() will do; shards are as many as FEATHERSTAR_SHARDS says, if nothing else does', async () => {
    process.env.FEATHERSTAR_SHARDS = '3';
    try {
      const server = await start({
        module: inline('export const fetch = () => new Response("plain")'),
        shards: undefined,
      });
      assert.is(server.runtime.shardCount, 3);
      assert.is((await ask(server.port, get())).text, 'plain');
      await server.close();
    } finally {
      delete process.env.FEATHERSTAR_SHARDS;
    }
  });

  test('close() answers what runs, and breaks off what takes longer than timeoutMs', async () => {
    const server = await start();
    const client = await Client.open(server.port);
    await client.write(get('/wait'));
    const count = async () => (await server.runtime.onAll().countWaiting()).reduce((sum, n) => sum + n, 0);
    await until(async () => (await count()) === 1, 'the request runs');
    const begunMs = performance.now();
    await within(server.close({ timeoutMs: 100 }), 'close');
    assert.ok(performance.now() - begunMs < 3000);
    await client.rest(); // its end
    client.destroy();
  });

  test('what is wrong is said, and nothing is left', async () => {
    const code = async (options) => (await rejection(start(options))).code;
    assert.is(await code({ module: './app.js' }), 'FEATHERSTAR_OPTION');
    assert.is(await code({ module: undefined }), 'FEATHERSTAR_OPTION');
    assert.is(await code({ prot: 80 }), 'FEATHERSTAR_OPTION');
    assert.is(await code({ fetch: () => {} }), 'FEATHERSTAR_OPTION');
    assert.is(await code({ shards: 0 }), 'FEATHERSTAR_OPTION');
    assert.is(await code({ limits: { bodyBytes: 0 } }), 'FEATHERSTAR_OPTION');
    assert.is(await code({ module: inline('throw new Error("as it loads")') }), 'FEATHERSTAR_MODULE');
    for (const text of ['export default {}', 'export const fetch = 5', 'export default null', '']) {
      const error = await rejection(start({ module: inline(text) }));
      assert.is(error.code, 'FEATHERSTAR_MODULE', text);
      assert.match(error.message, /^the module has no fetch\(\): write "export default \{ fetch\(request\)/);
    }
    const first = await start();
    assert.is(await code({}), 'FEATHERSTAR_STATE'); // this thread is a shard already
    await first.close();
    const taken = createServer();
    await new Promise((resolve) => taken.listen(0, '127.0.0.1', resolve));
    const error = await rejection(start({ port: taken.address().port }));
    assert.equal([error.code, error.errnoName], ['FEATHERSTAR_SYSTEM', 'EADDRINUSE']);
    taken.close();
    await (await start()).close();
  });

  for (const how of ['exit', 'throwUncaught']) {
    test(`a shard that dies (${how}) is started again, and listens`, async () => {
      const server = await start();
      let deaths = 0;
      server.runtime.onShardDown(() => {
        deaths++;
      });
      for (let round = 1; round <= 2; round++) {
        server.runtime
          .on(1)
          [how]()
          .catch(() => {}); // it may die before it replies
        await until(() => deaths === round, 'it has died');
        await until(() => runs(server), 'it runs again');
        const all = server.runtime.sharesPorts ? ['app on 0', 'app on 1'] : ['app on 0'];
        await until(async () => (await answering(server.port, 40)).join() === all.join(), 'all answer');
      }
      await server.close();
    });
  }

  test('restart: false leaves it dead; close() while a shard is waited for ends', async () => {
    const server = await start({ restart: false });
    const down = new Promise((resolve) => server.runtime.onShardDown((shard) => resolve(shard)));
    await rejection(server.runtime.on(1).exit());
    assert.is(await within(down, 'it is told'), 1);
    assert.is((await rejection(server.runtime.on(1).self())).code, 'FEATHERSTAR_PEER_DOWN');
    await within(server.close(), 'close');

    const other = await start();
    for (let i = 0; i < 2; i++) {
      await rejection(other.runtime.on(1).exit());
      if (i === 0) await until(() => runs(other), 'it runs again');
    }
    await within(other.close(), 'close');
  });

  test.run();
}

// A sharded service in a real NATS: processes of two shards each, and a nats-server that dies. A client of NATS that
// knows nothing of this library calls it, too.
//
// The flow: nats-server <-- support/nats-program.js, which publishes support/nats-module.js; this process calls.
// Invariant: each call ends, by a result or by an error with a code, whatever happens to the server.
// deadline: 120 s

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { connect } from '@nats-io/transport-node';
import { FeatherstarError, Runtime } from 'featherstar';
import { homeOf, publishService, remote } from 'featherstar/nats';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { hosts, oneShardSuite, rejection, warnings } from '../support/hosts.js';
import { until, within } from '../support/http.js';
import { NatsServer, natsObstacle } from '../support/nats-server.js';
import { FULL } from '../support/seeds.js';

const PROGRAM = fileURLToPath(new URL('../support/nats-program.js', import.meta.url));
const MODULE = new URL('../support/nats-module.js', import.meta.url);
const CALLS = FULL ? 100_000 : 8000; // of all shards together
const SIDE = 100; // at once, of each shard
const WAITING = 10_000; // calls
const FAST_RECONNECT = { reconnectTimeWait: 20, reconnectJitter: 0, maxReconnectAttempts: -1 };

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc');
const usedBytes = () => {
  collect();
  return process.memoryUsage().heapUsed;
};

const rejectionOrValue = (promise) => promise.catch((error) => error.code);

async function startProgram(server, host, more = {}) {
  const env = { ...process.env, FEATHERSTAR_HOST: host };
  const args = [PROGRAM, server.servers, JSON.stringify(more)];
  const child = spawn(process.execPath, args, { env, stdio: ['pipe', 'pipe', 'inherit'] });
  await within(once(child.stdout, 'data'), 'the program publishes', 20_000);
  const end = async () => {
    child.stdin.end();
    if (child.exitCode === null && child.signalCode === null)
      await within(once(child, 'exit'), 'the program ends', 20_000);
    return child.exitCode;
  };
  return { child, end };
}

function natsSuite(host) {
  const test = suite(`nats (${host})`);
  let server;
  let program;
  let connection;
  let store;
  test.before(async () => {
    server = await NatsServer.start();
    program = await startProgram(server, host, { maxOpen: 200 });
    connection = await connect({ servers: server.servers, ...FAST_RECONNECT });
    store = remote(connection, { name: 'Store' });
  });
  test.after(async () => {
    assert.is(store.openCount, 0);
    store.close();
    await connection.close();
    assert.is(await program.end(), 0);
    await server.close();
  });

  /** All replies to a request of the unmodified client. */
  async function many(subject, payload = '') {
    const replies = await connection.requestMany(subject, payload, { strategy: 'stall', maxWait: 1000, stall: 100 });
    const found = [];
    for await (const reply of replies) found.push(reply.json());
    return found;
  }

  test('calls of any instance, of a shard, and of a key at its home', async () => {
    const shards = new Set();
    for (let i = 0; i < 100; i++) {
      const [pid, shard] = await store.onAny().shard();
      assert.is(pid, program.child.pid);
      shards.add(shard);
    }
    assert.equal([...shards].sort(), [0, 1], 'NATS chooses among all instances');
    assert.equal(await store.on(1).shard(), [program.child.pid, 1]);
    await store.onAny().set('key', { deep: [1n, new Map([['a', new Date(5)]])] });
    const { shardCount } = (await store.instances({ timeoutMs: 200 }))[0];
    const value = await store.on(homeOf('key', shardCount)).getHere('key');
    assert.equal(value, { deep: [1n, new Map([['a', new Date(5)]])] });
    assert.is(await store.on(1 - homeOf('key', shardCount)).getHere('key'), undefined);
    assert.equal(await store.onAny().get('key'), value);
  });

  test('instances are found by their replies', async () => {
    const instances = await store.instances({ timeoutMs: 200 });
    assert.equal(
      instances.map(({ shard, shardCount, version }) => [shard, shardCount, version]),
      [
        [0, 2, '1.2.3'],
        [1, 2, '1.2.3'],
      ],
    );
    assert.equal(await remote(connection, { name: 'Nobody' }).instances({ timeoutMs: 50 }), []);
  });

  test('an unmodified client discovers, calls and reads the figures', async () => {
    const pings = await many('$SRV.PING');
    assert.equal(
      pings.map(({ type, name }) => [type, name]),
      Array(2).fill(['io.nats.micro.v1.ping_response', 'Store']),
    );
    const [info] = await many(`$SRV.INFO.Store.${pings[0].id}`);
    assert.is(info.type, 'io.nats.micro.v1.info_response');
    const { subject, queue_group } = info.endpoints.find(({ name }) => name === 'echo');
    assert.equal([subject, queue_group], ['Store.any.echo', 'q']);
    const reply = await connection.request(subject, '["a",{"b":[1]}]', { timeout: 2000 });
    assert.equal(reply.json(), ['a', { b: [1] }]);
    assert.is((await connection.request('Store.any.double', '21', { timeout: 2000 })).string(), '42');
    const failed = await connection.request('Store.on.1.fail', '"busy"', { timeout: 2000 });
    assert.is(failed.headers.get('Nats-Service-Error'), 'busy');
    assert.is(failed.headers.get('Nats-Service-Error-Code'), '400');
    assert.equal(failed.json(), { name: 'FeatherstarError', message: 'busy', code: 'FEATHERSTAR_BUSY' });
    const stats = (await many('$SRV.STATS.Store')).flatMap(({ endpoints }) => endpoints);
    const figures = (name) => stats.filter((each) => each.name === name);
    assert.is(
      figures('echo').reduce((sum, { num_requests }) => sum + num_requests, 0),
      1,
    );
    const [fails] = figures('fail-on-1');
    assert.equal([fails.num_requests, fails.num_errors, fails.subject], [1, 1, 'Store.on.1.fail']);
    assert.match(fails.last_error, 'busy');
    assert.ok(fails.average_processing_time > 0);
  });

  test('errors are typed', async () => {
    const busy = await rejection(store.onAny().fail('full up'));
    assert.ok(FeatherstarError.is(busy));
    assert.equal([busy.code, busy.message], ['FEATHERSTAR_BUSY', 'full up']);
    const type = await rejection(store.onAny().fail('type'));
    assert.ok(type instanceof TypeError && type.cause.message === 'inner');
    const none = await rejection(store.onAny().fail('no error'));
    assert.equal([none.code, none.cause], ['FEATHERSTAR_REMOTE', 'text']);
    const missing = await rejection(store.onAny().noSuchMethod());
    assert.is(missing.code, 'FEATHERSTAR_PEER_DOWN');
    assert.match(missing.message, 'listens on Store.any.noSuchMethod');
    assert.is((await rejection(store.on(7).double(1))).code, 'FEATHERSTAR_PEER_DOWN');
    assert.is((await rejection(store.onAny().echo(() => 1))).code, 'FEATHERSTAR_CODEC');
    assert.is((await rejection(store.onAny().blob(2_000_000))).code, 'FEATHERSTAR_CODEC');
    assert.is((await rejection(store.onAny().start())).code, 'FEATHERSTAR_PEER_DOWN');
    assert.throws(() => store.on(-1), /shard must be an integer/);
    for (const name of ['then', 'toString', 'a b', 'a.b', 'x\r\nPUB y']) {
      assert.is(typeof store.onAny()[name] === 'function' && !(name in Object.prototype), false, name);
    }
    assert.is((await store.onAny().blob(900_000)).length, 900_000);
  });

  test('an error that JSON cannot carry has a reply, too', async () => {
    for (const kind of ['bigint', 'getter', 'large']) {
      const reply = await connection.request('Store.any.fail', `"${kind}"`, { timeout: 2000 });
      assert.ok(['400', '500'].includes(reply.headers.get('Nats-Service-Error-Code')), kind);
      const { code, message } = reply.json();
      assert.is(code, 'FEATHERSTAR_CODEC');
      assert.match(message, 'an error cannot be sent');
      assert.is((await rejection(store.onAny().fail(kind))).code, kind === 'bigint' ? undefined : 'FEATHERSTAR_CODEC');
    }
    const stats = await connection.request('$SRV.STATS.Store', '', { timeout: 2000 });
    for (const { last_error: lastError } of stats.json().endpoints) assert.ok(lastError.length <= 200, lastError);
    const large = await connection.request('Store.any.blob', '200000', { timeout: 2000 });
    assert.is(large.json().code, 'FEATHERSTAR_CODEC');
    assert.is(await store.onAny().double(6), 12);
  });

  test('deadlines and signals', async () => {
    const late = await rejection(store.on(0).with({ timeoutMs: 30 }).wait(10_000, new AbortController().signal));
    assert.equal([late.code, late.message], ['FEATHERSTAR_TIMEOUT', 'the call took longer than 30 ms']);
    const control = new AbortController();
    const waiting = store.on(0).wait(10_000, control.signal);
    await sleep(50);
    control.abort(new Error('enough'));
    assert.is((await rejection(waiting)).message, 'enough');
    const aborted = [];
    await until(async () => {
      aborted.push(...(await store.on(0).aborted()));
      return aborted.length >= 2;
    }, 'both functions see their signals abort');
    assert.equal(aborted.sort(), ['FEATHERSTAR_TIMEOUT', 'enough']);
    assert.is(
      await rejection(
        store
          .onAny()
          .with({ signal: AbortSignal.abort('no') })
          .double(1),
      ),
      'no',
    );
    const later = new AbortController();
    const unheard = store.on(0).with({ signal: later.signal }).wait(50);
    later.abort('off');
    assert.is(await rejection(unheard), 'off');
    assert.equal(await store.on(0).aborted(), [], 'with() ends the wait only');
  });

  test('an instance and a caller that are full say so', async () => {
    const calls = Array.from({ length: 300 }, () => store.on(1).wait(100));
    const codes = (await Promise.allSettled(calls)).map(({ reason }) => reason?.code);
    assert.equal([...new Set(codes)].sort(), ['FEATHERSTAR_FULL', undefined]);
    assert.is(codes.filter((code) => code === undefined).length, 200);
    const small = remote(connection, { name: 'Store', maxOpen: 1 });
    const [first, second] = await Promise.allSettled([small.onAny().double(1), small.onAny().double(2)]);
    assert.equal([first.value, second.reason.code], [2, 'FEATHERSTAR_FULL']);
    const open = small.on(0).wait(5000);
    small.close();
    assert.is((await rejection(open)).code, 'FEATHERSTAR_CLOSED');
    assert.is((await rejection(small.onAny().double(1))).code, 'FEATHERSTAR_CLOSED');
    assert.is(await store.onAny().double(3), 6);
  });

  test('hostile payloads get an error, and the service goes on', async () => {
    for (const payload of [Uint8Array.of(3, 4, 1, 4, 100, 9, 255, 255, 255, 255, 255), 'nonsense', Uint8Array.of(1)]) {
      const reply = await connection.request('Store.any.echo', payload, { timeout: 2000 });
      assert.is(reply.headers.get('Nats-Service-Error-Code'), '400');
    }
    connection.publish('Store.abort', Uint8Array.of(4, 4, 1, 99));
    connection.publish('Store.abort', 'nonsense');
    connection.publish('Store.any.double', '1'); // without a reply
    assert.is(await store.onAny().double(4), 8);
  });

  test('a server that dies: open calls reject, later ones wait for it', async () => {
    const open = Promise.allSettled(Array.from({ length: 5 }, () => store.onAny().wait(5000)));
    await sleep(50);
    await server.kill();
    const codes = (await open).map(({ reason }) => reason?.code);
    assert.equal(codes, Array(5).fill('FEATHERSTAR_PEER_DOWN'));
    const late = await rejection(store.onAny().with({ timeoutMs: 30 }).double(1));
    assert.is(late.code, 'FEATHERSTAR_TIMEOUT');
    const waits = rejectionOrValue(store.onAny().with({ timeoutMs: 10_000 }).double(5));
    await server.start();
    const first = await waits; // the service may come back a little later
    assert.ok(first === 10 || first === 'FEATHERSTAR_PEER_DOWN', `${first}`);
    const works = async () =>
      (await store
        .onAny()
        .double(1)
        .catch(() => undefined)) === 2;
    await until(works, 'the service is back');
  });

  test(`${CALLS} calls of two shards, with the server restarted in between`, async () => {
    const runtime = await Runtime.start({ shards: 2, module: MODULE, host });
    const both = runtime.onAll().burst({ servers: server.servers }, CALLS / 2, SIDE);
    await sleep(FULL ? 1500 : 150);
    await server.kill();
    await sleep(100);
    await server.start();
    for (const { results, wrong, errors, untyped, openCount } of await both) {
      const failed = Object.values(errors).reduce((sum, n) => sum + n, 0);
      console.log(`# of ${CALLS / 2} calls ${results} have a result; errors: ${JSON.stringify(errors)}`);
      assert.equal([wrong, untyped, openCount], [0, 0, 0]);
      assert.is(results + failed, CALLS / 2);
      assert.ok(results > CALLS / 4, `${results}`);
      assert.ok(errors.FEATHERSTAR_PEER_DOWN > 0, 'the restart came in between');
    }
    await runtime.close();
  });

  test('a process that dies: its calls end by their time, others go to the rest', async () => {
    const other = await startProgram(server, host);
    const pids = new Set();
    for (let i = 0; i < 200; i++) pids.add((await store.onAny().shard())[0]);
    assert.equal(pids, new Set([program.child.pid, other.child.pid]));
    const calls = Array.from({ length: 20 }, () => store.onAny().with({ timeoutMs: 1500 }).wait(300));
    await sleep(50);
    other.child.kill('SIGKILL');
    const codes = new Set((await Promise.allSettled(calls)).map(({ reason }) => reason?.code));
    assert.equal([...codes].sort(), ['FEATHERSTAR_TIMEOUT', undefined]);
    await other.end();
    assert.is(await store.onAny().double(1), 2);
  });

  test('a closed connection ends its calls', async () => {
    const own = await connect({ servers: server.servers });
    const calls = remote(own, { name: 'Store' });
    const open = rejection(calls.onAny().wait(3000));
    await sleep(20);
    await own.close();
    assert.is((await open).code, 'FEATHERSTAR_CLOSED');
    assert.is((await rejection(calls.onAny().double(1))).code, 'FEATHERSTAR_CLOSED');
    calls.close();
  });

  return test;
}

/** The server closes a connection whose client does not read. */
function slowSuite(host) {
  const test = suite(`nats, slow consumer (${host})`);
  test('calls of a caller that is too slow reject, and it goes on', async () => {
    const server = await NatsServer.start('max_pending: 2MB\nwrite_deadline: "100ms"');
    const program = await startProgram(server, host);
    const connection = await connect({ servers: server.servers, ...FAST_RECONNECT });
    const store = remote(connection, { name: 'Store' });
    const calls = Array.from({ length: 60 }, () => store.onAny().blob(800_000));
    await sleep(20);
    const busyUntil = Date.now() + 1000;
    while (Date.now() < busyUntil); // reads nothing meanwhile
    const codes = (await Promise.allSettled(calls)).map(({ reason }) => reason?.code);
    assert.ok(codes.includes('FEATHERSTAR_PEER_DOWN'), codes.join());
    assert.ok(
      codes.every((code) => code === undefined || code === 'FEATHERSTAR_PEER_DOWN'),
      codes.join(),
    );
    assert.is(await store.onAny().double(2), 4);
    store.close();
    await connection.close();
    await program.end();
    await server.close();
  });
  return test;
}

const LIMITED_USERS = `authorization { users = [
  { user: all, password: x }
  { user: half, password: x, permissions: { publish: ">", subscribe: ["_INBOX.>", "Store.any.>"] } }
  { user: deaf, password: x, permissions: { publish: ">", subscribe: "events" } }
] }`;

/** Users that the server lets do little. */
function limitedSuite(host) {
  const { test, check } = oneShardSuite('nats, permissions', host);
  check('an instance with more methods than a message can list works, and says why discovery does not', async () => {
    const server = await NatsServer.start('max_payload: 2048');
    const connection = await connect({ servers: server.servers });
    const names = Array.from({ length: 30 }, (_, i) => `method${i}`);
    const instance = Object.fromEntries(names.map((name) => [name, () => name]));
    const published = await publishService(instance, { connection, name: 'Wide' });
    const caller = remote(connection, { name: 'Wide' });
    const texts = await warnings(1, async () => assert.equal(await caller.instances({ timeoutMs: 50 }), []));
    assert.match(texts[0], "NATS does not take a reply of the service: InvalidArgumentError: 'payload' max_payload");
    assert.is(await caller.onAny().method29(), 'method29');
    caller.close();
    await published.close();
    await connection.close();
    await server.close();
  });

  check('a service or a caller that may not subscribe says so, and its connection works on', async () => {
    const server = await NatsServer.start(LIMITED_USERS);
    const open = (user) => connect({ servers: server.servers, user, pass: 'x' });
    const [all, half, deaf] = [await open('all'), await open('half'), await open('deaf')];
    class Store {
      double = (n) => 2 * n;
    }
    const refused = await rejection(publishService(new Store(), { connection: half, name: 'Store' }));
    assert.is(refused.code, 'FEATHERSTAR_SERVICE');
    assert.match(refused.message, 'refuses the subject Store.on.0.double');
    const callers = remote(all, { name: 'Store' });
    assert.is((await rejection(callers.onAny().double(1))).code, 'FEATHERSTAR_PEER_DOWN', 'nothing listens');
    await publishService(new Store(), { connection: all, name: 'Store' });
    assert.is(await callers.onAny().double(1), 2);

    const events = [];
    deaf.subscribe('events', { callback: (_, { data }) => events.push(`${data}`) });
    const unheard = remote(deaf, { name: 'Store' });
    const ended = await rejection(unheard.onAny().double(1));
    assert.is(ended.code, 'FEATHERSTAR_CLOSED');
    assert.match(ended.message, 'allow this user to subscribe to _INBOX.>');
    for (const calling of [unheard, remote(deaf, { name: 'Store' })]) {
      assert.is((await rejection(calling.instances({ timeoutMs: 100 }))).code, 'FEATHERSTAR_CLOSED');
    }
    all.publish('events', 'heard');
    await until(() => events.length === 1, 'the connection still receives');
    for (const each of [all, half, deaf]) await each.close();
    await server.close();
  });
  return test;
}

const connecting = suite('nats, a connection that is down');
connecting('calls and questions that wait for it leave nothing when their time is over', async () => {
  const status = new PassThrough({ objectMode: true });
  const sent = [];
  const connection = {
    status: () => status,
    closed: () => new Promise(() => undefined),
    isClosed: () => false,
    isDraining: () => false,
    publish: (subject) => sent.push(subject),
    subscribe: () => ({ unsubscribe: () => undefined }),
  };
  const store = remote(connection, { name: 'Store', timeoutMs: 1 });
  status.write({ type: 'disconnect' });
  await sleep(10);
  const before = usedBytes();
  for (let i = 0; i < WAITING / SIDE; i++) {
    const calls = Array.from({ length: SIDE }, () => store.onAny().echo('x'.repeat(1000)));
    for (const { reason } of await Promise.allSettled(calls)) assert.is(reason.code, 'FEATHERSTAR_TIMEOUT');
  }
  const kept = usedBytes() - before;
  assert.ok(kept < WAITING * 200, `${kept} bytes are kept for ${WAITING} calls`);
  assert.equal(await store.instances({ timeoutMs: 1 }), []);
  const waits = store.instances({ timeoutMs: 50 });
  status.write({ type: 'reconnect' });
  await waits;
  assert.equal(sent, ['$SRV.INFO.Store']);
});
connecting.run();

const obstacle = natsObstacle();
if (obstacle === undefined) {
  for (const host of hosts()) {
    natsSuite(host).run();
    slowSuite(host).run();
    limitedSuite(host).run();
  }
} else console.log(`# skipped: services in NATS: ${obstacle}`);

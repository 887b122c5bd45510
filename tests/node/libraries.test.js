// Clients that were written for node:net, over connections of a shard, by their documented options. Redis and
// PostgreSQL are real servers, if this machine has them. WebSocket and TLS have servers of their own libraries.
// deadline: 120 s

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import tls from 'node:tls';
import { createConnection, createServer, NodeSocket } from 'featherstar/node';
import { AbstractConnector, Redis } from 'ioredis';
import pg from 'pg';
import * as assert from 'uvu/assert';
import { WebSocket, WebSocketServer } from 'ws';
import { hosts, oneShardSuite, rejection } from '../support/hosts.js';
import { until, within } from '../support/http.js';
import { cert, key } from '../support/tls.js';

const HERE = '127.0.0.1';
const MEBIBYTE = 1_048_576;
const LOOK_MS = 50;
const IS_NODE = process.versions.bun === undefined && !('Deno' in globalThis);

async function freePort() {
  const server = net.createServer().listen(0, HERE);
  await once(server, 'listening');
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Starts a server in a folder of its own, and waits until it accepts connections. */
async function startServer(port, command, args, options, folder) {
  const child = spawn(command, args, { stdio: 'ignore', ...options });
  process.once('exit', () => child.kill('SIGKILL'));
  const accepts = () =>
    new Promise((resolve) => {
      const socket = net.connect(port, HERE, () => resolve(socket.destroy() !== undefined));
      socket.on('error', () => resolve(delay(LOOK_MS, false)));
    });
  await until(accepts, `${command} accepts connections`);
  return async () => {
    child.kill('SIGKILL');
    await once(child, 'exit');
    rmSync(folder, { recursive: true });
  };
}

async function startRedis() {
  if (spawnSync('redis-server', ['--version']).error !== undefined) return undefined;
  const folder = mkdtempSync(join(tmpdir(), 'featherstar-redis-'));
  const port = await freePort();
  const args = ['--port', `${port}`, '--bind', HERE, '--dir', folder, '--save', ''];
  return { port, stop: await startServer(port, 'redis-server', args, {}, folder) };
}

/** PostgreSQL does not run as root: then as the user that Debian has for it. */
async function startPostgres() {
  const versions = existsSync('/usr/lib/postgresql') ? readdirSync('/usr/lib/postgresql') : [];
  if (versions.length === 0) return undefined;
  const bin = `/usr/lib/postgresql/${versions.at(-1)}/bin`;
  const isRoot = process.getuid?.() === 0;
  const idOf = (flag) => Number(spawnSync('id', [flag, 'postgres'], { encoding: 'utf8' }).stdout);
  const user = isRoot ? { uid: idOf('-u'), gid: idOf('-g') } : {};
  const folder = mkdtempSync(join(tmpdir(), 'featherstar-postgres-'));
  if (isRoot) chownSync(folder, user.uid, user.gid);
  const data = join(folder, 'data');
  const made = spawnSync(`${bin}/initdb`, ['-D', data, '-U', 'postgres', '-A', 'trust', '-N'], {
    ...user,
    cwd: folder,
  });
  assert.is(made.status, 0, `${made.stderr}`);
  const port = await freePort();
  const args = ['-D', data, '-p', `${port}`, '-h', HERE, '-k', folder, '-F'];
  return { port, stop: await startServer(port, `${bin}/postgres`, args, { ...user, cwd: folder }, folder) };
}

class ShardConnector extends AbstractConnector {
  constructor(options) {
    super(options.disconnectTimeout);
    this.options = options;
  }

  async connect() {
    this.stream = createConnection(this.options);
    return this.stream;
  }
}

const redis = IS_NODE ? await startRedis() : undefined;
const postgres = IS_NODE ? await startPostgres() : undefined;
if (redis === undefined) console.log('# skipped: ioredis: no redis-server (apt-get install redis-server), or not Node');
if (postgres === undefined) console.log('# skipped: pg: no PostgreSQL (apt-get install postgresql), or not Node');

for (const host of hosts()) {
  const { test, check } = oneShardSuite('libraries', host);
  const checkWith = (server, name, run) => (server === undefined ? test.skip(name, () => undefined) : check(name, run));

  checkWith(redis, 'ioredis: commands, pipelines, large values, subscriptions, a reconnect', async () => {
    const options = { port: redis.port, host: HERE, Connector: ShardConnector, retryStrategy: () => 20 };
    const client = new Redis(options);
    assert.is(await client.set('key', 'value'), 'OK');
    assert.is(await client.get('key'), 'value');
    const pipeline = client.pipeline();
    for (let i = 0; i < 1000; i++) pipeline.incr('count');
    assert.is((await pipeline.exec()).at(-1)[1], 1000);
    const large = Buffer.alloc(4 * MEBIBYTE, 'x');
    await client.set('large', large);
    assert.ok((await client.getBuffer('large')).equals(large));
    const subscriber = new Redis(options);
    await subscriber.subscribe('topic');
    const heard = once(subscriber, 'message');
    await client.publish('topic', 'news');
    assert.equal(await within(heard, 'message'), ['topic', 'news']);
    subscriber.disconnect();
    const again = once(client, 'ready');
    const other = new Redis({ port: redis.port, host: HERE });
    await other.client('KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    await within(again, 'a new connection');
    assert.is(await client.get('key'), 'value');
    await client.del('key', 'count', 'large');
    await other.quit();
    await client.quit();
    await within(subscriber.status === 'end' ? undefined : once(subscriber, 'end'), 'end');
  });

  checkWith(postgres, 'pg: queries, a pool, large values, errors, notifications', async () => {
    const options = { host: HERE, port: postgres.port, user: 'postgres', stream: () => new NodeSocket() };
    const pool = new pg.Pool({ ...options, max: 4 });
    assert.equal((await pool.query('select $1::int + 1 as sum', [41])).rows, [{ sum: 42 }]);
    const sums = await Promise.all(Array.from({ length: 40 }, (_, n) => pool.query('select $1::int as n', [n])));
    assert.equal(
      sums.map(({ rows }) => rows[0].n),
      Array.from({ length: 40 }, (_, n) => n),
    );
    const large = 'x'.repeat(4 * MEBIBYTE);
    assert.is((await pool.query('select $1::text as text', [large])).rows[0].text, large);
    assert.is((await rejection(pool.query('select nothing'))).code, '42703');
    await pool.end();
    const client = new pg.Client(options);
    await client.connect();
    const heard = once(client, 'notification');
    await client.query('listen topic');
    await client.query("notify topic, 'news'");
    assert.is((await within(heard, 'notification'))[0].payload, 'news');
    const ended = once(client, 'end');
    await client
      .query('select pg_terminate_backend(pg_backend_pid())')
      .catch((error) => assert.is(error.code, '57P01'));
    await within(ended, 'end').catch(() => client.end());
    assert.is((await rejection(new pg.Client({ ...options, port: 1 }).connect())).code, 'ECONNREFUSED');
  });

  check('ws: a client by createConnection, a server over createServer()', async () => {
    const ofNode = http.createServer().listen(0, HERE);
    const ours = IS_NODE ? createServer().listen(0, HERE) : undefined;
    for (const server of [ofNode, ours]) {
      if (server === undefined) continue;
      if (!server.listening) await once(server, 'listening');
      const echo = new WebSocketServer({ server, perMessageDeflate: true });
      echo.on('connection', (socket) =>
        socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary })),
      );
      const client = new WebSocket(`ws://${HERE}:${server.address().port}/`, { createConnection });
      await within(once(client, 'open'), 'open');
      for (const sent of ['text', Buffer.alloc(MEBIBYTE, 7)]) {
        client.send(sent);
        const [data] = await within(once(client, 'message'), 'message');
        assert.ok(Buffer.from(sent).equals(data));
      }
      client.ping('x');
      assert.is(`${(await within(once(client, 'pong'), 'pong'))[0]}`, 'x');
      client.close(1000, 'done');
      const [code, reason] = await within(once(client, 'close'), 'close');
      assert.equal([code, `${reason}`], [1000, 'done']);
      await new Promise((resolve) => echo.close(resolve));
      await new Promise((resolve) => server.close(resolve));
    }
  });

  check('tls.connect over it: ALPN, a name that does not fit, a peer that is not trusted', async () => {
    const server = https.createServer({ key, cert }, (_, response) => response.end('secure')).listen(0, HERE);
    await once(server, 'listening');
    const { port } = server.address();
    const connect = (more) => tls.connect({ socket: createConnection(port, HERE), servername: 'localhost', ...more });
    const socket = connect({ ca: cert, ALPNProtocols: ['http/1.1'] });
    await within(once(socket, 'secureConnect'), 'secureConnect');
    assert.equal([socket.alpnProtocol, socket.authorized], ['http/1.1', true]);
    socket.end('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
    const parts = [];
    for await (const part of socket) parts.push(part);
    assert.match(`${Buffer.concat(parts)}`, /secure$/);
    for (const [more, code] of [
      [{ ca: cert, servername: 'another.example' }, 'ERR_TLS_CERT_ALTNAME_INVALID'],
      [{}, 'DEPTH_ZERO_SELF_SIGNED_CERT'],
    ]) {
      const [error] = await within(once(connect(more), 'error'), 'error');
      assert.is(error.code, code);
    }
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  test.after(async () => {
    if (host !== hosts().at(-1)) return;
    await redis?.stop();
    await postgres?.stop();
  });
  test.run();
}

// Unmodified libraries of npm in a simulated world: clients and servers that never heard of it.
//
//   node tests/sim/npm-libraries.js NAME SEED --> one line of JSON: the value, and the hash of the trace
//
// Next: host/sim/node-net.ts.

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import { createRequire } from 'node:module';
import net from 'node:net';
import { simulate } from 'featherstar/testing';
import { queryOf, readCommands, readMessages, rowOf, WELCOME } from './wire-protocols.js';

const require = createRequire(import.meta.url);
const FAULTS = { partial: 0.1, latencyUs: 3000 };

/** A server that speaks enough of Redis. */
function redisServer() {
  const values = new Map();
  const commands = {
    HELLO: () => '%1\r\n$6\r\nserver\r\n$5\r\nredis\r\n',
    CLIENT: () => '+OK\r\n',
    INFO: () => '$11\r\nloading:0\r\n\r\n',
    SET: (key, value) => values.set(key, value) && '+OK\r\n',
    GET: (key) => (values.has(key) ? `$${values.get(key).length}\r\n${values.get(key)}\r\n` : '$-1\r\n'),
    INCR: (key) => {
      values.set(key, String(Number(values.get(key) ?? 0) + 1));
      return `:${values.get(key)}\r\n`;
    },
    QUIT: () => '+OK\r\n',
  };
  return net.createServer((socket) => {
    readCommands(socket, ([name, ...args]) => {
      const run = commands[name.toUpperCase()];
      socket.write(run === undefined ? '-ERR unknown command\r\n' : run(...args));
      if (run === commands.QUIT) socket.end();
    });
    socket.on('error', () => {});
  });
}

/** It replies to any query with one row, as PostgreSQL does. */
function postgresServer() {
  return net.createServer((socket) => {
    readMessages(socket, (type, body) => {
      if (type === '') socket.write(WELCOME);
      else if (type === 'Q') socket.write(rowOf(queryOf(body).toUpperCase()));
    });
    socket.on('error', () => {});
  });
}

async function listening(server, port) {
  server.listen(port);
  await once(server, 'listening');
  return server;
}

const close = (server) => new Promise((resolve) => server.close(resolve));

export const programs = {
  /** Its connections are broken in the middle: the client connects anew and asks again. */
  async ioredis(world) {
    const Redis = require('ioredis');
    const server = await listening(redisServer(), 6379);
    const sockets = new Set();
    server.on('connection', (socket) => sockets.add(socket));
    const redis = new (Redis.default ?? Redis)({ port: 6379, host: 'localhost' });
    await redis.set('key', 'value');
    for (let i = 0; i < 5; i++) await redis.incr('count');
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const seen = [await redis.get('key'), await redis.incr('count'), sockets.size];
    await redis.quit();
    await close(server);
    world.note(`ioredis ${seen}`);
    return seen;
  },

  /** The client's pool of connections, keep-alive and pipelining over an Express server. */
  async undici() {
    const { Pool } = require('undici');
    const server = await listening(expressServer(), 8080);
    const pool = new Pool('http://localhost:8080', { connections: 3 });
    const ask = async (id) => {
      const { statusCode, body } = await pool.request({ path: `/users/${id}`, method: 'GET' });
      return `${statusCode} ${(await body.json()).id}`;
    };
    const seen = await Promise.all(Array.from({ length: 8 }, (_, i) => ask(i)));
    const posted = await pool.request({
      path: '/echo',
      method: 'POST',
      body: JSON.stringify({ a: 1 }),
      headers: JSON_TYPE,
    });
    seen.push(await posted.body.text(), (await pool.request({ path: '/none', method: 'GET' })).statusCode);
    await pool.close();
    await close(server);
    return seen;
  },

  /** Node's own client and fetch(), to the same server. */
  async node() {
    const server = await listening(expressServer(), 8080);
    const response = await fetch('http://localhost:8080/users/7');
    const seen = [response.status, await response.json(), response.headers.get('date')];
    const [reply] = await once(http.get('http://localhost:8080/users/8'), 'response');
    seen.push(reply.statusCode, (await reply.setEncoding('utf8').toArray()).join(''));
    const refused = await fetch('http://localhost:8081/').catch((error) => error.cause.code);
    seen.push(refused, await fetch('http://nowhere.example/').catch((error) => error.cause.code));
    await close(server);
    return seen;
  },

  async pg() {
    const { Pool } = require('pg');
    const server = await listening(postgresServer(), 5432);
    const pool = new Pool({ host: 'localhost', port: 5432, user: 'me', password: 'x', database: 'd', max: 2 });
    const ask = async (text) => (await pool.query(text)).rows[0].answer;
    const seen = await Promise.all(['one', 'two', 'three'].map(ask));
    await pool.end();
    await close(server);
    return seen;
  },

  async ws() {
    const { WebSocket, WebSocketServer } = require('ws');
    const server = new WebSocketServer({ port: 9000 });
    await once(server, 'listening');
    server.on('connection', (socket) => socket.on('message', (text) => socket.send(`echo ${text}`)));
    const client = new WebSocket('ws://localhost:9000/');
    await once(client, 'open');
    const seen = [];
    for (const text of ['a', 'b'.repeat(1000)]) {
      client.send(text);
      const [reply] = await once(client, 'message');
      seen.push(reply.length);
    }
    client.close();
    await once(client, 'close');
    await close(server);
    return seen;
  },
};

const JSON_TYPE = { 'content-type': 'application/json' };

function expressServer() {
  const express = require('express');
  const app = express();
  app.use(express.json());
  app.get('/users/:id', async (request, response) => {
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 5));
    response.json({ id: request.params.id });
  });
  app.post('/echo', (request, response) => response.json(request.body));
  return http.createServer(app);
}

const [name, seed] = process.argv.slice(2);
if (name !== undefined) {
  const { value, traceHash, events } = await simulate(
    { seed: Number(seed), hosts: { web: [0] }, faults: FAULTS, traceEvents: 1000 },
    programs[name],
  );
  const hash = createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 8);
  console.log(JSON.stringify({ value, hash, traceHash, events }));
}

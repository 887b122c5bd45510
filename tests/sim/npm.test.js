// Unmodified libraries of npm run in a world: the same seed gives the same values and the same trace, each time and on
// each Node. Another seed gives another trace.
// FEATHERSTAR_NODE is another Node to compare.
//
// Next: npm-libraries.js.

import { execFile } from 'node:child_process';
import http from 'node:http';
import net from 'node:net';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { simulate } from 'featherstar/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const MAIN = fileURLToPath(new URL('./npm-libraries.js', import.meta.url));
const isOtherRuntime = 'Bun' in globalThis || 'Deno' in globalThis;
const { FEATHERSTAR_NODE } = process.env;

const VALUES = {
  ioredis: ['value', 6, 2],
  undici: ['200 0', '200 1', '200 2', '200 3', '200 4', '200 5', '200 6', '200 7', '{"a":1}', 404],
  node: [200, { id: '7' }, 'Thu, 01 Jan 2026 00:00:00 GMT', 200, '{"id":"8"}', 'ECONNREFUSED', 'ENOTFOUND'],
  pg: ['ONE', 'TWO', 'THREE'],
  ws: [6, 1005],
};

async function run(name, seed, node = process.execPath) {
  const { stdout } = await promisify(execFile)(node, [MAIN, name, String(seed)]);
  return JSON.parse(stdout);
}

const isNode = isOtherRuntime ? test.skip : test;

for (const [name, value] of Object.entries(VALUES)) {
  isNode(`${name} runs unmodified, and repeats`, async () => {
    const first = await run(name, 1);
    assert.equal(first.value, value);
    assert.equal(await run(name, 1), first);
    const isComparable = FEATHERSTAR_NODE !== undefined && name !== 'node'; // fetch() of each Node sends other headers
    if (isComparable) assert.equal(await run(name, 1, FEATHERSTAR_NODE), first);
    const other = await run(name, 2);
    assert.equal(other.value, value);
    assert.is.not(other.traceHash, first.traceHash);
  });
}

isNode('node:http, node:net and fetch() work in one world after the other, with the same trace', async () => {
  const program = async () => {
    const server = http.createServer((request, response) => response.end(`you are ${request.headers.name}`));
    await new Promise((resolve) => server.listen(8080, resolve));
    const texts = [];
    for (const name of ['a', 'b']) {
      texts.push(await (await fetch('http://localhost:8080/', { headers: { name } })).text());
    }
    const again = await new Promise((resolve, reject) => {
      http.get('http://localhost:8080/', { headers: { name: 'c' } }, resolve).on('error', reject);
    });
    texts.push((await again.setEncoding('utf8').toArray()).join(''));
    await new Promise((resolve) => server.close(resolve));
    return texts;
  };
  await simulate({ seed: 1 }, program); // on Node 20 the first fetch() of a process sets a timer more than later ones
  const first = await simulate({ seed: 1 }, program);
  assert.equal(first.value, ['you are a', 'you are b', 'you are c']);
  assert.is((await simulate({ seed: 1 }, program)).traceHash, first.traceHash);
  assert.is.not((await simulate({ seed: 2 }, program)).traceHash, first.traceHash);
});

isNode('sockets and servers of node:net are those of the world, and `instanceof` knows them', async () => {
  const { value } = await simulate({ seed: 1, shards: 2, hosts: { a: [0], b: [1] } }, async (world) => {
    const server = new net.Server((socket) => socket.end('hello'));
    await new Promise((resolve) => server.listen(7000, resolve));
    const read = async () => {
      const socket = new net.Socket();
      const isSocket = socket instanceof net.Socket;
      socket.connect(7000, 'a');
      const text = (await socket.setEncoding('utf8').toArray()).join('');
      return [isSocket, text];
    };
    const seen = [server instanceof net.Server, await read(), await world.on(1, read)];
    await new Promise((resolve) => server.close(resolve));
    return seen;
  });
  assert.equal(value, [true, [true, 'hello'], [true, 'hello']]);
  assert.ok(new net.Socket() instanceof net.Socket);
});

isNode('an unref’d timer runs while a socket is open, and without one it is no reason to wait', async () => {
  const waits = () => new Promise((resolve) => setTimeout(() => resolve('late'), 500).unref());
  const { value, virtualMs } = await simulate({ seed: 1 }, async () => {
    const server = net.createServer(() => {});
    await new Promise((resolve) => server.listen(7000, resolve));
    const late = await waits();
    await new Promise((resolve) => server.close(resolve));
    return late;
  });
  assert.is(value, 'late');
  assert.ok(virtualMs >= 500);
  const error = await simulate({ seed: 1 }, waits).catch((failure) => failure);
  assert.match(error.message, /nothing is left to happen/);
});

isNode('a peer of another machine is cut off, and node:net hears of it as on Linux', async () => {
  const { value, virtualMs } = await simulate({ seed: 1, shards: 2, hosts: { a: [0], b: [1] } }, async (world) => {
    await world.on(1, () => new Promise((resolve) => net.createServer(() => {}).listen(7000, 'b', resolve)));
    world.partition('a', 'b');
    const error = await new Promise((resolve) => net.connect(7000, 'b').on('error', resolve));
    return error.code;
  });
  assert.is(value, 'ETIMEDOUT');
  assert.ok(virtualMs > 100_000);
});

test.run();

// What of the network a program lets its shards reach: `network` of Runtime.start(), through connect(), UDP, listen()
// and serve(), and for submissions that no function of featherstar's made.

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Runtime } from 'featherstar';
import { Response, serve } from 'featherstar/http';
import { connect, listen, UdpSocket } from 'featherstar/net';
import { simulate } from 'featherstar/testing';
import { suite, test } from 'uvu';
import * as assert from 'uvu/assert';
import { currentShard } from '../../dist/host/shard/shard.js';
import { hosts, rejection } from '../support/hosts.js';
import { within } from '../support/http.js';
import { submitRaw } from '../support/operation.js';

const MODULE = new URL('../support/network-module.js', import.meta.url);
const HERE = '127.0.0.1';
const OP = { CONNECT: 16, SEND: 26, SOCKET: 45 };

const codeOf = async (promise) => (await rejection(promise)).code;

const submit = (opcode, fields) => submitRaw(currentShard(), opcode, fields);

function sockaddr(address, port) {
  const bytes = Buffer.alloc(28);
  if (Array.isArray(address)) {
    bytes[0] = 10;
    bytes.set(address, 8);
  } else {
    bytes[0] = 2;
    bytes.set(address.split('.').map(Number), 4);
  }
  bytes.writeUInt16BE(port, 2);
  return Array.isArray(address) ? bytes : bytes.subarray(0, 16);
}

const mapped = (address) => [...new Array(10).fill(0), 0xff, 0xff, ...address.split('.').map(Number)];

/** What a forged CONNECT, or a forged SEND of a datagram, ends with. */
async function forged(fd, address, opcode = OP.CONNECT) {
  const shard = currentShard();
  const at = shard.sendBuffers.take();
  shard.bytes.set(address, at);
  const fields =
    opcode === OP.CONNECT
      ? { off: address.length, addr: at }
      : { off: at, addr: at, len: 1, fileIndex: address.length };
  const result = await within(submit(opcode, { fd, ...fields }), 'an answer');
  shard.sendBuffers.give(at);
  return result;
}

const EACCES = -13;

for (const host of hosts()) {
  const test = suite(`network (${host})`);
  let server;
  let port;
  let runtime;

  const start = async (network, shards = 1) => {
    runtime = await Runtime.start({ shards, host, network, module: MODULE });
  };
  test.before(async () => {
    server = createServer((socket) => socket.on('error', () => {}).end('here')).listen(0, HERE); // some leave at once
    await once(server, 'listening');
    ({ port } = server.address());
  });
  test.after.each(() => runtime?.close());
  test.after(() => server.close());

  test('connect: what the rules have, and nothing else, on each shard', async () => {
    await start({ connect: [`${HERE}:${port}`, '10.0.0.0/8:443'] }, 2);
    const socket = await connect({ port });
    assert.is(`${Buffer.from(await socket.read())}`, 'here');
    socket.close();
    const error = await rejection(connect({ port: port === 1 ? 2 : port - 1 }));
    assert.is(error.code, 'FEATHERSTAR_NETWORK');
    assert.match(
      error.message,
      new RegExp(`^connect 127.0.0.1:${port - 1}: not allowed .* has 127.0.0.1:${port}, 10.0`),
    );
    for (const hostname of ['127.0.0.2', '0.0.0.0', '11.0.0.1', '9.255.255.255', '::1', '::', '::ffff:127.0.0.2']) {
      assert.is(await codeOf(connect({ hostname, port })), 'FEATHERSTAR_NETWORK', hostname);
    }
    assert.is(await codeOf(connect({ hostname: '10.1.1.1', port: 80 })), 'FEATHERSTAR_NETWORK');
    assert.is(await codeOf(connect({ path: join(tmpdir(), 'any') })), 'FEATHERSTAR_NETWORK');
    assert.equal(await runtime.on(1).tryConnect(port), 'connected');
    assert.equal(await runtime.on(1).tryConnect(port - 1), 'FEATHERSTAR_NETWORK');
  });

  test('submissions that were forged are refused by the gate', async () => {
    await start({ connect: [`${HERE}:${port}`, '[2001:db8::/33]:53'] });
    const before = runtime.stats(0).refused;
    const families = { 2: ['127.0.0.2', '0.0.0.0', '128.0.0.1'], 10: [mapped('127.0.0.2'), mapped('0.0.0.0')] };
    const none = new Array(16).fill(0);
    families[10].push(none, none.with(15, 1), [0x20, 1, 0xd, 0xb8, 0x80, ...none.slice(5)]);
    let refused = 0;
    for (const [family, addresses] of Object.entries(families)) {
      const fd = await submit(OP.SOCKET, { fd: Number(family), off: 1, fileIndex: -1, fixed: false });
      for (const address of addresses) {
        assert.is(await forged(fd, sockaddr(address, port)), EACCES, `${address}`);
        refused++;
      }
      if (family === '2') assert.is(await forged(fd, sockaddr(HERE, port - 1)), EACCES, 'another port');
      else assert.is(await forged(fd, sockaddr([0x20, 1, 0xd, 0xb8, ...none.slice(4)], 54)), EACCES, 'another port');
      refused++;
      const there = await forged(fd, sockaddr(family === '2' ? HERE : mapped(HERE), port));
      assert.is.not(there, EACCES);
      currentShard().closeFile(fd);
    }
    assert.is(runtime.stats(0).refused, before + refused);
  });

  test('UDP: send, and connect', async () => {
    const other = createSocket('udp4');
    other.bind(0, HERE);
    await once(other, 'listening');
    const { port: allowed } = other.address();
    await start({ connect: [`${HERE}:${allowed}`] });
    const socket = await UdpSocket.bind({ hostname: HERE });
    const heard = once(other, 'message');
    await socket.send('hello', { hostname: HERE, port: allowed });
    assert.is(`${(await within(heard, 'a datagram'))[0]}`, 'hello');
    for (const target of [
      { hostname: HERE, port: allowed - 1 },
      { hostname: '127.0.0.2', port: allowed },
    ]) {
      assert.is(await codeOf(socket.send('x', target)), 'FEATHERSTAR_NETWORK');
      assert.is(await codeOf(socket.connect(target)), 'FEATHERSTAR_NETWORK');
    }
    const slot = 0; // the first grant
    assert.is(await forged(slot, sockaddr('127.0.0.2', allowed), OP.SEND), EACCES);
    assert.is(await forged(slot, sockaddr('127.0.0.2', allowed)), EACCES);
    assert.is(await forged(slot, sockaddr(HERE, allowed), OP.SEND), 1);
    socket.close();
    other.close();
  });

  test('listen, serve and bind', async () => {
    await start({ listen: [`${HERE}:*`], connect: [] });
    const listener = await listen({ hostname: HERE });
    listener.close();
    const socket = await UdpSocket.bind({ hostname: HERE });
    socket.close();
    const app = await serve({ hostname: HERE, fetch: () => new Response('') });
    await app.close();
    for (const hostname of ['0.0.0.0', '::1', '127.0.0.2']) {
      assert.is(await codeOf(listen({ hostname })), 'FEATHERSTAR_NETWORK', hostname);
      assert.is(await codeOf(UdpSocket.bind({ hostname })), 'FEATHERSTAR_NETWORK', hostname);
      assert.is(await codeOf(serve({ hostname, fetch: () => new Response('') })), 'FEATHERSTAR_NETWORK', hostname);
    }
    const path = join(tmpdir(), `featherstar-network-${process.pid}.sock`);
    assert.is(await codeOf(listen({ path })), 'FEATHERSTAR_NETWORK');
    const error = await rejection(connect({ port }));
    assert.match(error.message, /connect has no rule/);
  });

  test('Unix sockets by their path, or all of them', async () => {
    const path = join(tmpdir(), `featherstar-network-${process.pid}.sock`);
    await start({ listen: [`unix:${path}`], connect: ['unix:*'] });
    const listener = await listen({ path });
    const accepting = listener.accept();
    const socket = await connect({ path });
    for (const one of [socket, await accepting, listener]) one.close();
    assert.is(await codeOf(listen({ path: `${path}2` })), 'FEATHERSTAR_NETWORK');
    assert.is(await codeOf(connect({ port })), 'FEATHERSTAR_NETWORK');
  });

  test.run();
}

test('network: rules that are none', async () => {
  const wrong = [
    '',
    '*',
    'localhost:80',
    '127.0.0.1',
    '127.0.0.1:',
    '127.0.0.1:65536',
    '127.0.0.1:9-8',
    '127.0.0.1:-1',
  ];
  wrong.push(
    '10.0.0.1/8:80',
    '10.0.0.0/33:80',
    '10.0.0.0/:80',
    '10.0.0:80',
    '::1:80',
    '[::1]',
    '[::1/129]:80',
    7,
    null,
  );
  wrong.push('[fe80::1%1]:80', '[::ffff:10.0.0.1]:80', '[2001:db8::1/32]:80', 'unix:', 'unix:a\0b', '[127.0.0.1]:80');
  for (const rule of wrong) {
    for (const list of ['connect', 'listen']) {
      const error = await rejection(Runtime.start({ shards: 1, network: { [list]: [rule] } }));
      assert.is(error.code, 'FEATHERSTAR_OPTION', `${rule}`);
      assert.match(error.message, new RegExp(`network.${list}`));
    }
  }
  for (const network of [
    7,
    null,
    'all',
    { conect: [] },
    { connect: HERE },
    { connect: new Array(65).fill(`${HERE}:1`) },
  ])
    assert.is(await codeOf(Runtime.start({ shards: 1, network })), 'FEATHERSTAR_OPTION');
  const most = new Array(64).fill(`${HERE}:1`);
  await (await Runtime.start({ shards: 1, network: { connect: most, listen: ['*:0', '[::/0]:1-2', '*:*'] } })).close();
  await (await Runtime.start({ shards: 1, network: {} })).close();
});

test('network: a simulated one', async () => {
  const network = { connect: ['127.0.0.1:80'], listen: ['127.0.0.1:80-81'] };
  const { value } = await simulate({ seed: 1, network }, async () => {
    const listener = await listen({ hostname: HERE, port: 80 });
    const second = await listen({ hostname: HERE, port: 81 });
    const socket = await connect({ port: 80 });
    socket.close();
    const codes = [await codeOf(connect({ port: 81 })), await codeOf(listen({ hostname: HERE, port: 82 }))];
    const fd = await submit(OP.SOCKET, { fd: 2, off: 1, fileIndex: -1, fixed: false });
    codes.push(await forged(fd, sockaddr(HERE, 81)), await forged(fd, sockaddr(HERE, 80)));
    currentShard().closeFile(fd);
    listener.close();
    second.close();
    return codes;
  });
  assert.equal(value, ['FEATHERSTAR_NETWORK', 'FEATHERSTAR_NETWORK', EACCES, 0]);
});

test.run();

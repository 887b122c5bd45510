// core: debug
// Datagrams of the simulated network: what may happen to them happens, and nothing else does.

import { sleep } from 'featherstar';
import { UdpSocket } from 'featherstar/net';
import { simulate } from 'featherstar/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { rejection } from '../support/hosts.js';

const HOST = '127.0.0.1';
const errno = async (promise) => (await rejection(promise)).errnoName;

/** Sends numbers. Returns those that came, in the order of coming. */
function numbers(count) {
  return async () => {
    const server = await UdpSocket.bind({ hostname: HOST, port: 5000 });
    const client = await UdpSocket.bind({ hostname: HOST });
    const came = [];
    const listening = (async () => {
      for await (const { bytes, remote } of server) {
        assert.is(remote.port, client.port);
        came.push(Number(Buffer.from(bytes)));
      }
    })();
    for (let i = 0; i < count; i++) await client.send(`${i}`, { hostname: HOST, port: 5000 });
    await sleep(50);
    server.close();
    client.close();
    await listening;
    return came;
  };
}

const sorted = (list) => [...list].sort((a, b) => a - b);
const all = (count) => Array.from({ length: count }, (_, i) => i);

test('all come, and overtake each other', async () => {
  let overtaken = 0;
  for (let seed = 1; seed <= 50; seed++) {
    const { value } = await simulate({ seed }, numbers(20));
    assert.equal(sorted(value), all(20));
    if (value.join() !== all(20).join()) overtaken++;
  }
  assert.ok(overtaken > 25, `${overtaken}`);
});

test('some are lost, some come twice, where faults say so', async () => {
  let [lost, doubled] = [0, 0];
  for (let seed = 1; seed <= 50; seed++) {
    const gone = (await simulate({ seed, faults: { lose: 0.2 } }, numbers(20))).value;
    assert.is(new Set(gone).size, gone.length);
    lost += 20 - gone.length;
    const twice = (await simulate({ seed, faults: { duplicate: 0.2 } }, numbers(20))).value;
    assert.equal(sorted(new Set(twice)), all(20));
    doubled += twice.length - 20;
  }
  assert.ok(lost > 100 && lost < 300, `${lost} of 1000 lost`);
  assert.ok(doubled > 100 && doubled < 300, `${doubled} of 1000 twice`);
});

test('ports: taken once, or shared; addresses of this machine only', async () => {
  await simulate({ seed: 1, shards: 2, hosts: { a: [0], b: [1] } }, async (world) => {
    const first = await UdpSocket.bind({ port: 5000 });
    assert.is(await errno(UdpSocket.bind({ port: 5000 })), 'EADDRINUSE');
    assert.is(await errno(UdpSocket.bind({ hostname: '10.0.0.2', port: 5001 })), 'EADDRNOTAVAIL');
    await world.on(1, () => UdpSocket.bind({ port: 5000 })); // another machine's
    first.close();
    await sleep(1);
    const again = await UdpSocket.bind({ port: 5000 });
    again.close();
  });
});

test('machines have addresses and names; a cut cable takes what is sent', async () => {
  const program = async (world) => {
    const server = await UdpSocket.bind({ port: 5000 });
    const local = await UdpSocket.bind({ hostname: HOST, port: 5001 });
    const send = (text, port = 5000) =>
      world.on(1, async () => {
        const client = await UdpSocket.bind();
        await client.send(text, { hostname: 'a', port });
        client.close();
      });
    await send('one');
    const { bytes, remote } = await server.receive();
    assert.is(`${Buffer.from(bytes)} from ${remote.hostname}`, 'one from 10.0.0.2');
    world.partition('a', 'b');
    await send('two');
    await sleep(20);
    world.heal('a', 'b');
    await send('three');
    assert.is(`${Buffer.from((await server.receive()).bytes)}`, 'three');
    await send('for nobody', 5001);
    await sleep(20);
    assert.is(local.stats.received, 0, 'it is bound to the loopback address');
    server.close();
    local.close();
  };
  for (let seed = 1; seed <= 20; seed++) await simulate({ seed, shards: 2, hosts: { a: [0], b: [1] } }, program);
});

test('a connected socket hears its peer alone, and whether it is there', async () => {
  await simulate({ seed: 1 }, async () => {
    const server = await UdpSocket.bind({ hostname: HOST, port: 5000 });
    const client = await UdpSocket.bind({ hostname: HOST });
    const other = await UdpSocket.bind({ hostname: HOST });
    await client.connect({ hostname: HOST, port: 5000 });
    await other.send('stranger', { hostname: HOST, port: client.port });
    await client.send('hello');
    const { port } = (await server.receive()).remote;
    await server.send('welcome', { hostname: HOST, port });
    assert.is(`${Buffer.from((await client.receive()).bytes)}`, 'welcome');
    server.close();
    await sleep(1);
    await client.send('still there?');
    assert.is(await errno(client.receive()), 'ECONNREFUSED');
    other.close();
    client.close();
  });
});

test('a full queue drops what comes', async () => {
  await simulate({ seed: 1 }, async () => {
    const server = await UdpSocket.bind({ hostname: HOST, port: 5000, capacity: 10 });
    for (let i = 0; i < 30; i++) await server.send(`${i}`, { hostname: HOST, port: 5000 });
    await sleep(50);
    assert.is(server.stats.dropped, 20);
    for (let i = 0; i < 10; i++) await server.receive();
    server.close();
  });
});

test.run();

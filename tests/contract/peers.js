// Behaviours of addresses: what each end of a connection knows of the other. A part of behaviours.js.

import assert from 'node:assert/strict';
import { sleep } from 'featherstar';
import { Response, serve } from 'featherstar/http';
import { connect, listen } from 'featherstar/net';

const HERE = '127.0.0.1';

async function pairOf(listener, where) {
  const accepting = listener.accept();
  const client = await connect(where);
  return { client, server: await accepting };
}

export const peers = {
  'each end of a connection knows the address of the other': async () => {
    const listener = await listen({ hostname: HERE });
    const first = await pairOf(listener, { port: listener.port });
    const second = await pairOf(listener, { port: listener.port });
    assert.deepEqual(first.client.remote, { hostname: HERE, port: listener.port });
    const { hostname, port } = first.server.remote;
    assert.equal(hostname, HERE);
    assert.ok(port > 0 && port < 65_536 && port !== listener.port, `${port}`);
    assert.notEqual(second.server.remote.port, port);
    assert.equal(second.server.remote, second.server.remote); // the host was asked once
    assert.deepEqual(first.server.local, { hostname: HERE, port: listener.port });
    assert.deepEqual(first.client.local, first.server.remote);
    assert.deepEqual(second.client.local, second.server.remote);
    assert.equal(second.client.local, second.client.local); // likewise
    first.server.close();
    second.server.close();
    assert.deepEqual(first.server.remote, { hostname, port }, 'it is kept');
    assert.deepEqual(first.server.local, { hostname: HERE, port: listener.port }, 'likewise');
    assert.equal(second.server.local, undefined, 'it was closed before it was asked');
    for (const socket of [first.client, second.client]) socket.close();
    assert.equal(second.client.remote, undefined, 'it was closed before it was asked');
    listener.close();
  },
  'many sockets are asked for their addresses in one turn': async () => {
    const listener = await listen({ hostname: HERE });
    const pairs = [];
    for (let i = 0; i < 40; i++) pairs.push(await pairOf(listener, { port: listener.port }));
    for (const { client, server } of pairs) assert.deepEqual(client.local, server.remote);
    for (const { client, server } of pairs) assert.deepEqual(server.local, client.remote);
    for (const { client, server } of pairs) {
      await client.write('ping');
      assert.equal(`${Buffer.from(await server.read())}`, 'ping');
      client.close();
      server.close();
    }
    listener.close();
  },
  'a peer that has left still has its address': async () => {
    const listener = await listen({ hostname: HERE });
    const { client, server } = await pairOf(listener, { port: listener.port });
    await client.end();
    assert.equal(await server.read(), null);
    assert.equal(server.remote.hostname, HERE);
    assert.deepEqual(server.local, { hostname: HERE, port: listener.port });
    for (const socket of [client, server, listener]) socket.close();
  },
  'an IPv4 client of an IPv6 listener': async () => {
    const listener = await listen({ hostname: '::' });
    const { client, server } = await pairOf(listener, { hostname: HERE, port: listener.port });
    assert.equal(server.remote.hostname, `::ffff:${HERE}`);
    assert.deepEqual(server.local, { hostname: `::ffff:${HERE}`, port: listener.port });
    assert.equal(client.local.hostname, HERE);
    for (const socket of [client, server, listener]) socket.close();
  },
  'a proxy tells the address of its client': async () => {
    const listener = await listen({ hostname: HERE, proxy: { trust: [HERE], expectProtocol: true } });
    const silent = await connect({ port: listener.port }); // it keeps no other from the program
    const accepting = listener.accept();
    const client = await connect({ port: listener.port });
    await client.write('PROXY TCP4 192.0.2.7 ');
    await sleep(5);
    await client.write('192.0.2.200 4711 80\r\nping');
    const server = await accepting;
    assert.deepEqual(server.remote, { hostname: '192.0.2.7', port: 4711 });
    assert.deepEqual(server.local, { hostname: HERE, port: listener.port });
    assert.equal(`${Buffer.from(await server.read())}`, 'ping');
    await client.end();
    assert.equal(await server.read(), null);
    listener.close();
    assert.equal(await silent.read(), null);
    for (const socket of [silent, client, server]) socket.close();
  },
  'a proxy tells it by a Unix socket': async (t) => {
    const path = t.path('proxy');
    const listener = await listen({ path, proxy: { trust: ['unix'], expectProtocol: true } });
    const accepting = listener.accept();
    const client = await connect({ path });
    await client.write('PROXY TCP6 2001:db8::7 2001:db8::1 4711 80\r\n');
    const server = await accepting;
    assert.deepEqual(server.remote, { hostname: '2001:db8::7', port: 4711 });
    for (const socket of [client, server, listener]) socket.close();
  },
  'the ends of a Unix socket have no address': async (t) => {
    const path = t.path('peers');
    const listener = await listen({ path });
    const { client, server } = await pairOf(listener, { path });
    assert.deepEqual([client.remote, server.remote], [undefined, undefined]);
    assert.deepEqual([client.local, server.local], [undefined, undefined]);
    for (const socket of [client, server, listener]) socket.close();
  },
};

export const peersElsewhere = {
  'a connection that was handed over has its address': async () => {
    const listener = await listen({ hostname: HERE, reusePort: false });
    const { client, server } = await pairOf(listener, { port: listener.port });
    const asked = server.remote;
    await server.handOver(1, 'sayAddresses');
    const local = { hostname: HERE, port: listener.port };
    assert.deepEqual(JSON.parse(`${Buffer.from(await client.read())}`), { remote: asked, local });
    assert.deepEqual([server.remote, server.local], [undefined, undefined]);
    const next = await pairOf(listener, { port: listener.port }); // one that was not asked before
    await next.server.handOver(1, 'sayAddresses');
    const { hostname, port } = JSON.parse(`${Buffer.from(await next.client.read())}`).remote;
    assert.equal(hostname, HERE);
    assert.ok(port > 0 && port !== asked.port, `${port}`);
    for (const socket of [client, next.client, listener]) socket.close();
  },
  'a connection that was handed over has the address that a proxy has told': async () => {
    const listener = await listen({ hostname: HERE, reusePort: false, proxy: { trust: 1, expectProtocol: true } });
    const accepting = listener.accept();
    const client = await connect({ port: listener.port });
    await client.write('PROXY TCP4 192.0.2.7 192.0.2.200 4711 80\r\n');
    await (await accepting).handOver(1, 'sayAddresses');
    const { remote } = JSON.parse(`${Buffer.from(await client.read())}`);
    assert.deepEqual(remote, { hostname: '192.0.2.7', port: 4711 });
    for (const socket of [client, listener]) socket.close();
  },
};

export const clients = {
  'a handler knows the address of its client': async () => {
    const server = await serve({
      hostname: HERE,
      fetch: (request, info) => Response.json([info.remote, request.ip, info.requestIP().port]),
    });
    const socket = await connect({ port: server.port });
    await socket.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    let text = '';
    for await (const bytes of socket) text += Buffer.from(bytes);
    const [remote, ip, port] = JSON.parse(text.slice(text.indexOf('\r\n\r\n')));
    assert.deepEqual([remote.hostname, ip, port], [HERE, HERE, remote.port]);
    socket.close();
    await server.close();
  },
};

// How a Linux kernel treats addresses, ports and paths: which sockets may be bound beside each other, and which one
// gets what arrives. As kernel.js, which see.

import { sleep } from 'featherstar';
import { connect, listen, UdpSocket } from 'featherstar/net';
import { outcome } from './kernel.js';

const A_WHILE_MS = 50;
const EACH = { hostname: '127.0.0.1', reusePort: false };

let lastPort = 20_000 + (process.pid % 12_000);

/** A port that other programs do not get by chance: below those that Linux gives out by itself (32,768 to 60,999). */
const freePort = () => lastPort++;

/** Listeners at one port, all open at last: what each was told, and what a client at each address is. */
async function atOnePort(listening, clients = []) {
  const port = freePort();
  const texts = [];
  const opened = [];
  for (const hostname of listening) {
    const told = listen({ port, hostname, reusePort: false });
    opened.push(await told.catch(() => undefined));
    texts.push(await outcome(told.then(() => undefined)));
  }
  for (const hostname of clients) texts.push(await outcome(connect({ port, hostname })));
  for (const listener of opened) listener?.close();
  return texts.join(', ');
}

/** The same of datagrams: what comes to each of the sockets, from one bound to `source`, sent to `to`. */
async function datagrams(bound, source, to) {
  const port = freePort();
  const sockets = [];
  for (const hostname of bound) sockets.push(await UdpSocket.bind({ hostname, port }));
  const sender = await UdpSocket.bind({ hostname: source });
  await sender.send('x', { hostname: to, port });
  const texts = sockets.map((socket) =>
    Promise.race([socket.receive().then((one) => one.remote.hostname), sleep(A_WHILE_MS).then(() => 'nothing')]),
  );
  const text = (await Promise.all(texts)).join(', ');
  for (const socket of [...sockets, sender]) socket.close();
  return text;
}

const cases = {
  'a port is taken once, by one address or by any': {
    run: async () => {
      const texts = [await atOnePort(['127.0.0.1', '127.0.0.1', '127.0.0.2', '0.0.0.0'])];
      return `${texts}; ${await atOnePort(['0.0.0.0', '127.0.0.1'])}`;
    },
    linux: 'ok, EADDRINUSE, ok, EADDRINUSE; ok, EADDRINUSE',
  },
  'an address hears what is sent to it': {
    run: () => atOnePort(['127.0.0.1'], ['127.0.0.1', '127.0.0.2', '0.0.0.0', 'localhost']),
    linux: 'ok, open, ECONNREFUSED, open, open',
  },
  ':: is any address, 0.0.0.0 any of IPv4': {
    run: async () => {
      const texts = [await atOnePort(['::', '0.0.0.0'], ['127.0.0.1', '::1'])];
      return `${texts}; ${await atOnePort(['0.0.0.0'], ['127.0.0.9', '::1'])}`;
    },
    linux: 'ok, EADDRINUSE, open, open; ok, open, ECONNREFUSED',
  },
  'an address of IPv6 is one however it is written': {
    run: () => atOnePort(['::1', '0:0:0:0:0:0:0:1', '127.0.0.1'], ['0:0::1', '127.0.0.1']),
    linux: 'ok, EADDRINUSE, ok, open, open',
  },
  'streams and datagrams have ports of their own': {
    run: async () => {
      const listener = await listen({ ...EACH, port: freePort() });
      const text = await outcome(UdpSocket.bind({ port: listener.port }));
      listener.close();
      return text;
    },
    linux: 'open',
  },
  'a port is free when its listener is closed, whoever is connected': {
    run: async () => {
      const port = freePort();
      const listener = await listen({ ...EACH, port });
      const accepting = listener.accept();
      const client = await connect({ hostname: '127.0.0.1', port });
      const server = await accepting;
      listener.close();
      await sleep(A_WHILE_MS);
      const text = await outcome(listen({ ...EACH, port }));
      await server.write('alive');
      return `${text}, ${await outcome(client.read())}`;
    },
    linux: 'open, 5 bytes',
  },
  'datagrams: the socket at the address, and the address they come from': {
    run: async () => {
      const texts = [];
      texts.push(await datagrams(['127.0.0.1', '127.0.0.2'], '0.0.0.0', '127.0.0.2'));
      texts.push(await datagrams(['127.0.0.1'], '0.0.0.0', '127.0.0.2'));
      texts.push(await datagrams(['0.0.0.0'], '127.0.0.3', '127.0.0.2'));
      texts.push(await datagrams(['::'], '127.0.0.3', '127.0.0.2'));
      texts.push(await datagrams(['::'], '::', '::1'));
      texts.push(await datagrams(['127.0.0.1'], '::', '127.0.0.1'));
      return texts.join('; ');
    },
    linux: 'nothing, 127.0.0.1; nothing; 127.0.0.3; ::ffff:127.0.0.3; ::1; 127.0.0.1',
  },
  'a path: absent, taken, left, and taken again': {
    run: async (t) => {
      const path = t.path('socket');
      const texts = [await outcome(connect({ path }))];
      const listener = await listen({ path });
      texts.push(await outcome(listen({ path })));
      listener.close();
      await sleep(A_WHILE_MS);
      texts.push(await outcome(connect({ path })), await outcome(listen({ path })));
      return texts.join(', ');
    },
    linux: 'ENOENT, EADDRINUSE, ENOENT, open',
  },
};

export const CASES = Object.entries(cases).map(([name, { run, linux }]) => ({ name, expected: [linux], run }));

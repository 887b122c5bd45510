// A descriptor that listens already, given to this process by another: `fd`, and systemd's protocol. A socket of the
// program that holds it outlives the servers, so what waits in its queue is served by the next one.

import { createSocket } from 'node:dgram';
import { closeSync, existsSync, fstatSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { _createServerHandle, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Runtime } from 'featherstar';
import { Response, serve } from 'featherstar/http';
import { listen, systemdSockets } from 'featherstar/net';
import { simulate } from 'featherstar/testing';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Program } from '../support/child.js';
import { end, gone, HOLDER, Holder } from '../support/holder.js';
import { hosts, rejection } from '../support/hosts.js';
import { ask, Client, get, until } from '../support/http.js';

const folder = mkdtempSync(join(tmpdir(), 'featherstar-fd-'));
process.on('exit', () => rmSync(folder, { recursive: true }));

async function withRuntime(options, run) {
  const runtime = await Runtime.start({ shards: 1, ...options });
  try {
    return await run(runtime);
  } finally {
    await runtime.close();
  }
}

/** Descriptors that do not listen: `open` returns one, and how it is closed. */
const WRONG = [
  {
    what: 'a file',
    errnoName: 'ENOTSOCK',
    open: () => {
      const fd = openSync(HOLDER);
      return { fd, close: () => closeSync(fd) };
    },
  },
  {
    what: 'a socket of datagrams',
    errnoName: 'EINVAL',
    open: async () => {
      const socket = createSocket('udp4');
      await new Promise((resolve) => socket.bind(0, '127.0.0.1', resolve));
      const handle = socket[Object.getOwnPropertySymbols(socket).find((each) => String(each).includes('state'))].handle;
      return { fd: handle.fd, close: () => socket.close() };
    },
  },
  {
    what: 'a connection',
    errnoName: 'EINVAL',
    open: async () => {
      const server = createServer().listen(0);
      const socket = connect(server.address().port);
      await new Promise((resolve) => socket.once('connect', resolve));
      const close = () => {
        socket.destroy();
        server.close();
      };
      return { fd: socket._handle.fd, close };
    },
  },
  {
    what: 'a socket that is bound and does not listen',
    errnoName: 'EINVAL',
    open: () => {
      const handle = _createServerHandle('127.0.0.1', 0, 4);
      return { fd: handle.fd, close: () => handle.close() };
    },
  },
];

for (const host of hosts()) {
  for (const shards of [1, 2]) {
    const test = suite(`a given socket (${host}, ${shards} shards)`);

    test('servers come and go, and what waits in its queue is served by the next one', async () => {
      const holder = new Holder();
      const place = await holder.place();
      const early = await Client.open(place);
      void early.write(get());
      const first = await holder.start(host, shards, ['--fd', '3']);
      assert.is((await holder.listening(1)).url, `http://[::]:${place}/`);
      assert.is((await early.response()).text, String(first));
      early.destroy();
      for (let i = 0; i < 20; i++) assert.is((await ask(place, get())).text, String(first));
      await end(first);
      const between = await Promise.all(Array.from({ length: 20 }, () => Client.open(place)));
      for (const client of between) void client.write(get());
      const second = await holder.start(host, shards, ['--fd', '3']);
      for (const client of between) {
        assert.is((await client.response()).text, String(second));
        client.destroy();
      }
      await end(second);
      await holder.close();
      assert.is(holder.stderr, '');
    });

    for (const other of host === 'uring' ? ['uring', 'portable'] : [host]) {
      test(`two servers at once have the same queue (${other})`, async () => {
        const holder = new Holder();
        const place = await holder.place();
        const both = [
          await holder.start(host, shards, ['--fd', '3']),
          await holder.start(other, shards, ['--fd', '3']),
        ];
        await holder.listening(2);
        const answers = async () =>
          (await Promise.all(Array.from({ length: 50 }, () => ask(place, get())))).map(({ text }) => text);
        for (const text of await answers()) assert.ok(both.includes(Number(text)), text);
        process.kill(both[0], 'SIGKILL');
        await gone(both[0]);
        await until(
          () =>
            answers().then(
              (texts) => texts.every((text) => text === String(both[1])),
              () => false,
            ),
          'the other serves alone',
        );
        await end(both[1]);
        await holder.close();
      });
    }

    test.run();
  }

  const test = suite(`a given socket (${host})`);

  test('systemd: --fd systemd and --fd systemd:NAME take the first socket, or the one of that name', async () => {
    const holder = new Holder();
    const place = await holder.place();
    for (const [i, flag] of ['systemd', 'systemd:web'].entries()) {
      const pid = await holder.start(host, 1, ['--fd', flag]);
      await holder.listening(i + 1);
      assert.is((await ask(place, get())).text, String(pid));
      await end(pid);
    }
    for (const [flag, env] of [
      ['systemd:other', {}],
      ['systemd', { LISTEN_FDS: '0' }],
    ]) {
      await gone(await holder.start(host, 1, ['--fd', flag], { env }));
    }
    assert.match(holder.stderr, /systemd:other: systemd has opened no socket with the name "other" for this process\n/);
    assert.match(holder.stderr, /--fd systemd: systemd has opened no socket for this process\n/);
    await holder.close();
  });

  test('a Unix socket: its file stays', async () => {
    const path = join(folder, `${host}.sock`);
    const holder = new Holder(path);
    const place = await holder.place();
    assert.equal(place, { path });
    const pid = await holder.start(host, 1, ['--fd', '3']);
    assert.is((await holder.listening(1)).url, `unix:${path}`);
    assert.is((await ask(place, get())).text, String(pid));
    await end(pid);
    assert.ok(existsSync(path));
    await holder.close();
  });

  for (const { what, errnoName, open } of WRONG) {
    test(`${what} is ${errnoName}, and stays open`, () =>
      withRuntime({ host }, async () => {
        const { fd, close } = await open();
        const fetch = () => new Response('');
        for (const error of [await rejection(listen({ fd })), await rejection(serve({ fd, fetch }))]) {
          assert.equal([error.code, error.errnoName, error.syscall], ['FEATHERSTAR_SYSTEM', errnoName, 'getsockopt']);
          assert.ok(error.message.startsWith(`getsockopt fd ${fd}: `), error.message);
        }
        fstatSync(fd);
        await close();
      }));
  }

  test('a number that is not open is EBADF; no number, or another address beside it, is FEATHERSTAR_OPTION', () =>
    withRuntime({ host }, async () => {
      const error = await rejection(listen({ fd: 9999 }));
      assert.equal([error.code, error.errnoName], ['FEATHERSTAR_SYSTEM', 'EBADF']);
      assert.match(error.message, /fd 9999: EBADF: the descriptor is not open/);
      for (const options of [
        { fd: -1 },
        { fd: 1.5 },
        { fd: 'systemd' },
        { fd: 3, port: 80 },
        { fd: 3, hostname: '::' },
        { fd: 3, path: '/x' },
        { fd: 3, backlog: 1 },
        { fd: 3, sharePort: true },
        { fd: 3, reusePort: true },
      ]) {
        assert.is((await rejection(listen(options))).code, 'FEATHERSTAR_OPTION', JSON.stringify(options));
      }
    }));

  test('the rules of the network hold for it', () =>
    withRuntime({ host, network: { listen: ['127.0.0.1:1'] } }, async () => {
      for (const [hostname, place] of [
        ['127.0.0.1', '127.0.0.1'],
        ['::1', '[::1]'],
        ['::', '[::]'],
      ]) {
        const server = createServer();
        await new Promise((resolve) => server.listen(0, hostname, resolve));
        const { fd } = server._handle;
        const error = await rejection(listen({ fd }));
        assert.is(error.code, 'FEATHERSTAR_NETWORK');
        assert.ok(error.message.startsWith(`listen ${place}:${server.address().port}: not allowed`), error.message);
        fstatSync(fd);
        server.close();
      }
    }));

  if (host === 'uring') {
    test('it stays open when the listener closes, and can be listened on again', () =>
      withRuntime({ host }, async () => {
        const server = createServer().listen(0);
        const { fd } = server._handle;
        for (let i = 0; i < 3; i++) {
          const listener = await listen({ fd });
          assert.equal([listener.port, listener.path], [server.address().port, undefined]);
          listener.close();
        }
        fstatSync(fd);
        server.close();
      }));
  } else {
    test('two servers of one process cannot have it: it would be closed twice', async () => {
      const code = `
        import { Runtime } from 'featherstar';
        import { listen } from 'featherstar/net';
        await Runtime.start({ shards: 1 });
        const listener = await listen({ fd: 3 });
        await listen({ fd: 3 }).catch((error) => console.log('again', error.errnoName));
        listener.close();
        await new Promise((resolve) => setTimeout(resolve, 100));
        await listen({ fd: 3 }).catch((error) => console.log('closed', error.errnoName));
        process.exit();`;
      const server = createServer().listen(0);
      const program = new Program(
        ['--input-type=module', '-e', code],
        { FEATHERSTAR_HOST: host },
        process.execPath,
        server._handle.fd,
      );
      await program.line(/again EADDRINUSE\nclosed EBADF\n/);
      assert.is(await program.ended(), 0);
      server.close();
    });
  }

  test.run();
}

const test = suite('a given socket');

test('systemdSockets() reads the environment', () => {
  const sockets = (env) => {
    const before = { ...process.env };
    Object.assign(process.env, { LISTEN_PID: String(process.pid), ...env });
    try {
      return systemdSockets();
    } finally {
      process.env = before;
    }
  };
  assert.equal(systemdSockets(), []);
  assert.equal(sockets({ LISTEN_FDS: '1' }), [{ fd: 3, name: 'unknown' }]);
  assert.equal(sockets({ LISTEN_FDS: '3', LISTEN_FDNAMES: 'web::admin' }), [
    { fd: 3, name: 'web' },
    { fd: 4, name: 'unknown' },
    { fd: 5, name: 'admin' },
  ]);
  assert.equal(sockets({ LISTEN_FDS: '1', LISTEN_PID: String(process.pid + 1) }), []);
  assert.equal(sockets({ LISTEN_FDS: '0' }), []);
  assert.throws(() => sockets({ LISTEN_FDS: 'x' }), /LISTEN_FDS must be a number of descriptors, got "x"/);
});

test('a simulated world has none: FEATHERSTAR_HOST', async () => {
  const error = await rejection(simulate({ seed: 1, shards: 1 }, () => listen({ fd: 3 })));
  assert.equal([error.cause.code, error.cause.message], ['FEATHERSTAR_HOST', 'the host sim takes no descriptors']);
});

test.run();

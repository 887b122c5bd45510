// A client of TLS 1.3 that asks for key updates and reads no reply: the addon's server ends its connection. One that
// reads the replies, however slowly, keeps it. The engine node:tls has no such limit.

import { once } from 'node:events';
import net from 'node:net';
import { spawn } from 'featherstar';
import { serve } from 'featherstar/http';
import { listen } from 'featherstar/net';
import { createServer } from 'featherstar/node';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { RecordConnection } from '../../dist/host/tls/record-engine.js';
import { hasOpenssl, openSClient } from '../support/certificates.js';
import { oneShardSuite } from '../support/hosts.js';
import { until, within } from '../support/http.js';
import { cert, expectedEngine, key, runWith, tlsWays } from '../support/tls.js';

const HERE = '127.0.0.1';
const LARGE = 16 * 1_048_576; // more than the kernel takes
const UPDATES_MAX = 2000;
const openssl = hasOpenssl();

/** A client of `port` by way of this process: { say(), update(), stopReading(), close() }. */
async function openClient(port) {
  const server = net.createServer().listen(0, HERE);
  await once(server, 'listening');
  const child = openSClient(server.address().port, ['-tls1_3', '-crlf']);
  const [near] = await once(server, 'connection');
  const far = net.connect(port, HERE);
  let text = '';
  let errors = '';
  let sentBytes = 0;
  near
    .on('error', () => undefined)
    .on('data', (bytes) => {
      sentBytes += bytes.length;
      far.write(bytes);
    });
  far.on('error', () => undefined).on('data', (bytes) => near.write(bytes));
  child.stdin.on('error', () => undefined);
  child.stdout.on('data', (part) => {
    text += part;
  });
  child.stderr.on('data', (part) => {
    errors += part;
  });
  await until(() => text.includes('Verify return code'), 'the handshake');

  async function say(line) {
    const before = sentBytes;
    child.stdin.write(`${line}\n`);
    await until(() => sentBytes > before || child.exitCode !== null, 'a line is sent');
  }

  /** An update goes out with the next bytes. */
  async function update() {
    const before = errors.length;
    child.stdin.write('K\n');
    await until(() => errors.length > before, 'an update');
    await say('x');
  }

  const close = () => {
    child.kill();
    for (const each of [near, far]) each.destroy();
    server.close();
  };
  return { say, update, stopReading: () => far.pause(), close };
}

/** A client that never reads asks for updates until `isOver()`. */
async function flood(port, isOver, ...lines) {
  const client = await openClient(port);
  client.stopReading();
  for (const line of lines) await client.say(line);
  let count = 0;
  while (!isOver() && count < UPDATES_MAX) {
    await client.update();
    count++;
  }
  client.close();
  assert.ok(isOver(), `open after ${count} updates`);
}

const POST = ['POST / HTTP/1.1', 'Host: localhost', 'Content-Length: 1000000', ''];

const counting = suite('replies to key updates');

counting('those that are sent do not count', () => {
  const replyBytes = 28;
  const waiting = 500; // all the time, of 10,000
  const engine = { native: { open: () => 0 }, results: new Uint32Array([0, replyBytes, 0]) };
  const connection = new RecordConnection(engine, {}, false);
  connection.isSecure = true;
  let end = 0;
  const next = (sentBytes) => {
    end += replyBytes;
    return connection.repliesTooMuch(end, sentBytes);
  };
  for (let i = 0; i < 10_000; i++) assert.not(next(end - waiting * replyBytes), `the reply ${i}`);
  const sentBytes = end - waiting * replyBytes;
  let more = 0;
  while (!next(sentBytes) && more < UPDATES_MAX) more++;
  assert.ok(more > 50 && more < 150, `${waiting + more} wait`);
});

counting('a reply to many requests at once does not count before the next one', () => {
  const engine = { native: { open: () => 0 }, results: new Uint32Array([0, 60_000, 0]) };
  const connection = new RecordConnection(engine, {}, false);
  connection.isSecure = true;
  assert.not(connection.repliesTooMuch(60_000, 0));
  assert.not(connection.repliesTooMuch(120_000, 60_000), 'the first one is sent');
  assert.ok(connection.repliesTooMuch(180_000, 60_000), 'the second one waits');
});

counting.run();

for (const { host, engine } of openssl ? tlsWays().filter((way) => way.engine === 'addon') : []) {
  const { test, check } = oneShardSuite(`key updates by ${engine}`, host);
  runWith(engine, test);

  check('listen(): reads and writes reject', async () => {
    if (expectedEngine(engine) !== engine) return;
    const errors = [];
    const listener = await listen({ hostname: HERE, tls: { key, cert } });
    spawn(async () => {
      const socket = await listener.accept();
      await socket.read(); // the client has stopped reading
      const note = ({ code, message }) => errors.push([code, /key updates/.test(message)]);
      socket.write(new Uint8Array(LARGE)).catch(({ code }) => errors.push([code]));
      try {
        for await (const _ of socket);
      } catch (error) {
        note(error);
      }
    });
    await flood(listener.port, () => errors.length !== 0, 'begin');
    await until(() => errors.length === 2, 'both reject');
    assert.equal(errors.sort(), [['FEATHERSTAR_CLOSED'], ['FEATHERSTAR_TLS', true]]);
    listener.close();
  });

  check('serve(): the body of the request is cut off', async () => {
    if (expectedEngine(engine) !== engine) return;
    let code;
    const fetch = (request) => {
      request.bytes().catch((error) => {
        code = error.code;
      });
      return new Response(new Uint8Array(LARGE));
    };
    const server = await serve({ hostname: HERE, fetch, tls: { key, cert } });
    await flood(server.port, () => code !== undefined, ...POST);
    assert.is(code, 'FEATHERSTAR_BODY');
    await server.close();
  });

  check('createServer(): the socket has an error', async () => {
    if (expectedEngine(engine) !== engine) return;
    const errors = [];
    const server = createServer({ tls: { key, cert } }, (request, response) => {
      request.resume().on('error', () => undefined);
      request.socket.once('error', ({ code, message }) => errors.push([code, /key updates/.test(message)]));
      response.end(new Uint8Array(LARGE));
    });
    server.listen(0, HERE);
    if (!server.listening) await once(server, 'listening');
    await flood(server.address().port, () => errors.length !== 0, ...POST);
    assert.equal(errors, [['FEATHERSTAR_TLS', true]]);
    await within(new Promise((resolve) => server.close(resolve)), 'close');
  });

  test.run();
}

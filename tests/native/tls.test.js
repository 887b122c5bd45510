// TLS by the addon, without a socket: calls carry the bytes between it and a client of node:tls. Misuse throws, and
// closed connections are freed.
//
// Next: sanitize.full.js.

import { Duplex } from 'node:stream';
import { connect } from 'node:tls';
import { Worker } from 'node:worker_threads';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { recordClientOptions, recordContextOptions } from '../../dist/host/tls/record-context.js';
import { cert, key } from '../support/tls.js';
import { ADDON_PATH, addon, obstacle } from './rig.js';

const WAITS = 0;
const ENDED = 1;
const FAILED = 2;
const SECURE = 8;
const HOLDS = 16;
const OUTCOMES = 7;
const PLAIN = 0;
const OUTPUT = 1;
const FIRST_PLACES = 64; // of the table

const options = recordContextOptions({ key, cert }, {});

function open() {
  const output = Buffer.alloc(131_072);
  const results = new Uint32Array(3);
  const tls = addon().openTls(output, results);
  return tls && { tls, output, results, context: tls.makeContext(options) };
}

const test = suite('tls');
const reason = obstacle() ?? (open() === undefined ? 'there is no OpenSSL that the addon can use' : undefined);
if (reason !== undefined) {
  console.log(`# skipped: tls: ${reason}`);
  test.skip(reason, () => {});
}
const it = reason === undefined ? test : () => {};

/** A client of node:tls, and a connection of the addon that has done its handshake with it. */
async function shakeHands(engine) {
  const { tls, output, results, context } = engine;
  const number = tls.open(context);
  const plain = [];
  let outcome = WAITS;
  const wire = new Duplex({
    read() {},
    write(bytes, _encoding, done) {
      const target = Buffer.alloc(bytes.length + 16_384);
      outcome = tls.receive(number, bytes, 0, bytes.length, target);
      plain.push(target.subarray(0, results[PLAIN]));
      wire.push(Buffer.from(output.subarray(0, results[OUTPUT])));
      done();
    },
  });
  const client = connect({ socket: wire, ca: cert, servername: 'localhost' });
  client.on('error', () => {});
  await new Promise((resolve, reject) => client.once('secureConnect', resolve).once('close', reject));
  const text = () => Buffer.concat(plain).toString();
  return { client, number, wire, text, outcome: () => outcome };
}

const later = () => new Promise((resolve) => setTimeout(resolve, 5));

it('bytes go both ways, and close_notify', async () => {
  const engine = open();
  const { tls, output } = engine;
  const { client, number, wire, text, outcome } = await shakeHands(engine);
  client.write('ping');
  await later();
  assert.is(text(), 'ping');
  assert.ok(outcome() & SECURE);
  assert.not.ok(outcome() & HOLDS);
  const bytes = tls.send(number, Buffer.from('-pong-'), 1, 5, undefined);
  wire.push(Buffer.from(output.subarray(0, bytes)));
  const [received] = await new Promise((resolve) => client.once('data', (...all) => resolve(all)));
  assert.is(`${received}`, 'pong');
  const { protocol, cipher, servername, isResumed, verifyResult } = tls.describe(number);
  assert.equal(
    [protocol, cipher.name, servername, isResumed, verifyResult],
    ['TLSv1.3', 'TLS_AES_256_GCM_SHA384', 'localhost', false, 0],
  );
  assert.is(tls.certificate(number), undefined);
  client.end();
  await later();
  assert.is(outcome() & OUTCOMES, ENDED);
  assert.ok(tls.end(number) > 0);
  tls.close(number);
});

it('a client and a server, both by the addon', () => {
  const { tls, output, results, context } = open();
  const client = tls.makeContext(recordClientOptions({ ca: cert, alpn: ['a'] }));
  const alike = tls.makeContext({ ...recordClientOptions({ ca: [cert], alpn: ['a'] }), authorities: [] }, client);
  assert.throws(() => tls.makeContext(recordClientOptions({ ca: cert }), {}), /not a context/);
  const serverOfA = tls.makeContext(recordContextOptions({ key, cert }, { alpn: ['b', 'a'] }));
  assert.is(tls.open(client, 'a'.repeat(256)), -1);
  let session;
  for (const [of, given] of [[client], [alike], [client, Buffer.from('no session')], [client, new Uint8Array(0)]]) {
    const [near, far] = [tls.open(of, 'localhost', given), tls.open(serverOfA)];
    const pump = (to, bytes) => {
      const plain = Buffer.alloc(bytes.length + 16_384);
      const result = tls.receive(to, bytes, 0, bytes.length, plain);
      assert.is(result & OUTCOMES, WAITS);
      return {
        plain: plain.toString('latin1', 0, results[PLAIN]),
        out: Buffer.from(output.subarray(0, results[OUTPUT])),
        result,
      };
    };
    let { out } = pump(near, Buffer.alloc(0));
    for (const to of [far, near, far, near]) ({ out } = pump(to, out));
    assert.ok(pump(near, out).result & SECURE);
    const bytes = tls.send(near, Buffer.from('ping'), 0, 4, undefined);
    assert.is(pump(far, Buffer.from(output.subarray(0, bytes))).plain, 'ping');
    const { verifyResult, verifyText, servername, alpnProtocol, isResumed } = tls.describe(near);
    assert.equal([verifyResult, verifyText, servername, alpnProtocol, isResumed], [0, 'ok', 'localhost', 'a', false]);
    session = tls.session(near);
    for (const number of [near, far]) tls.close(number);
  }
  assert.ok(session.length > 100);
  tls.close(tls.open(client, undefined, session));
  tls.close(tls.open(context, 'localhost', session)); // a server has neither
});

it('garbage fails with a reason and an alert', () => {
  const { tls, results, context } = open();
  const number = tls.open(context);
  const bytes = Buffer.from('GET / HTTP/1.1\r\n\r\n');
  assert.is(tls.receive(number, bytes, 0, bytes.length, Buffer.alloc(16_384)) & OUTCOMES, FAILED);
  assert.is(tls.failure(), 'http request');
  assert.ok(results[OUTPUT] <= 7);
  assert.is(tls.send(number, bytes, 0, 1, undefined), -1);
  tls.close(number);
});

it('an output that is too small fails, and nothing is written behind it', () => {
  const { tls, context } = open();
  const number = tls.open(context);
  assert.is(tls.send(number, Buffer.from('early'), 0, 5, new Uint8Array(10)), -1);
  tls.close(number);
});

it('misuse throws', async () => {
  const engine = open();
  const { tls, context } = engine;
  const { client, number } = await shakeHands(engine);
  const bytes = Buffer.alloc(8);
  const throws = (act, code) => assert.throws(act, (error) => error.code === code, code);
  for (const wrong of [number + 1, -1, 2 ** 31, 'a', undefined]) {
    throws(() => tls.receive(wrong, bytes, 0, 8, bytes), 'ERR_TLS_CLOSED');
    throws(() => tls.send(wrong, bytes, 0, 8, bytes), 'ERR_TLS_CLOSED');
    throws(() => tls.describe(wrong), 'ERR_TLS_CLOSED');
    throws(() => tls.close(wrong), 'ERR_TLS_CLOSED');
  }
  for (const [from, to] of [
    [0, 9],
    [5, 4],
    [9, 9],
    ['a', 1],
  ]) {
    throws(() => tls.receive(number, bytes, from, to, bytes), 'ERR_INVALID_ARG_TYPE');
    throws(() => tls.send(number, bytes, from, to, bytes), 'ERR_INVALID_ARG_TYPE');
  }
  throws(() => tls.send(number, new Uint16Array(8), 0, 8, bytes), 'ERR_INVALID_ARG_TYPE');
  throws(() => tls.open({}), 'ERR_INVALID_ARG_TYPE');
  throws(() => tls.open(tls), 'ERR_INVALID_ARG_TYPE');
  throws(() => tls.useContext(number, tls), 'ERR_INVALID_ARG_TYPE');
  const fresh = tls.open(context); // it holds nothing that is known, but a handshake has no place for plain bytes
  assert.is(tls.receive(fresh, bytes, 0, 0, undefined) & HOLDS, HOLDS);
  throws(() => tls.receive(fresh, bytes, 0, 8, undefined), 'ERR_MISSING_ARGS');
  tls.close(fresh);
  tls.close(number);
  client.destroy();
  throws(() => tls.close(number), 'ERR_TLS_CLOSED');
  assert.is(typeof tls.makeContext({ ...options, ciphers: 'NO-SUCH-CIPHER' }), 'string');
  assert.is(typeof tls.makeContext({ ...options, keys: [Buffer.from('no key')] }), 'string');
  assert.is(typeof tls.makeContext({ ...options, chains: [[Buffer.from('no certificate')]] }), 'string');
  assert.is(typeof tls.makeContext({ ...options, ticketKeys: Buffer.alloc(79) }), 'string');
  assert.is(typeof tls.makeContext({}), 'string');
});

it('closed connections leave their places to others', async () => {
  const { tls, context } = open();
  for (let round = 0; round < 3; round++) {
    const numbers = Array.from({ length: FIRST_PLACES * 4 }, () => tls.open(context));
    assert.is(new Set(numbers).size, numbers.length);
    assert.is(Math.max(...numbers), numbers.length - 1);
    for (const number of numbers) tls.close(number);
  }
});

it('a thread that ends with connections, and contexts that are collected before them, do no harm', async () => {
  const text = `
    const { createRequire } = require('node:module');
    const { workerData } = require('node:worker_threads');
    const { openTls } = createRequire(workerData.path)(workerData.path);
    const tls = openTls(new Uint8Array(100000), new Uint32Array(3));
    for (let i = 0; i < 100; i++) tls.open(tls.makeContext(workerData.options));
    globalThis.gc?.();
    for (let i = 0; i < 50; i++) tls.receive(i, Buffer.alloc(100), 0, 100, Buffer.alloc(20000));
    globalThis.open = tls.open; // without the rest of it
  `;
  const worker = new Worker(text, { eval: true, workerData: { path: ADDON_PATH, options } });
  const code = await new Promise((resolve, reject) => worker.once('exit', resolve).once('error', reject));
  assert.is(code, 0);
});

test.run();

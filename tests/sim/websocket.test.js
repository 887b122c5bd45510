// core: debug
// WebSockets in the simulator, on a network that splits, delays and breaks. Echoes come in order, messages to all
// reach both shards, and silent peers are cut off.

import { runtime, sleep } from 'featherstar';
import { connect } from 'featherstar/net';
import { simulate } from 'featherstar/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { handshake } from '../websocket/client.js';
import { frame } from '../websocket/frame.js';

const module = new URL('./websocket-module.js', import.meta.url);
const SEEDS = 30;
const SHARDS = 2;
const CLIENTS = 6;
const ROUNDS = 10;

/** A scripted client: it reads frames of a server, which are short and not masked. */
class ScriptedClient {
  #socket;
  #bytes = Buffer.alloc(0);

  static async open(port) {
    const client = new ScriptedClient();
    client.#socket = await connect({ port, hostname: 'server.test' });
    await client.#socket.write(handshake());
    const head = await client.#until((bytes) => bytes.indexOf('\r\n\r\n') + 4, 4);
    assert.match(head.toString(), /^HTTP\/1\.1 101 /);
    return client;
  }

  /** Takes as many bytes as `lengthOf` says, when it says at least `least`. */
  async #until(lengthOf, least) {
    for (;;) {
      const length = lengthOf(this.#bytes);
      if (length >= least && this.#bytes.length >= length) {
        const taken = this.#bytes.subarray(0, length);
        this.#bytes = this.#bytes.subarray(length);
        return taken;
      }
      const more = await this.#socket.read();
      if (more === null) return null;
      this.#bytes = Buffer.concat([this.#bytes, more]);
    }
  }

  send(options) {
    return this.#socket.write(frame(options));
  }

  /** The next frame, [opcode, text]; null at the end. */
  async next() {
    const bytes = await this.#until((all) => (all.length < 2 ? 0 : 2 + all[1]), 2);
    return bytes && [bytes[0] & 15, bytes.subarray(2).toString()];
  }

  close() {
    this.#socket.close();
  }
}

async function echoes(port, number) {
  const client = await ScriptedClient.open(port);
  try {
    for (let i = 0; i < ROUNDS; i++) {
      const text = `client ${number}, message ${i} ü`;
      const bytes = Buffer.from(text);
      await client.send({ opcode: 1, fin: 0, payload: bytes.subarray(0, 5) });
      await client.send({ opcode: 9, payload: `${i}` });
      await client.send({ opcode: 0, payload: bytes.subarray(5) });
      assert.equal(await client.next(), [10, `${i}`]);
      assert.equal(await client.next(), [1, text]);
    }
    await client.send({ opcode: 8, payload: [3, 0xe8] });
    assert.equal(await client.next(), [8, '\x03\ufffd']);
    assert.is(await client.next(), null);
  } finally {
    client.close();
  }
}

async function startAll() {
  const rt = runtime();
  const port = await rt.on(0).start(0);
  for (let i = 1; i < SHARDS; i++) await rt.on(i).start(port);
  return port;
}

async function echoProgram() {
  const port = await startAll();
  return Promise.allSettled(Array.from({ length: CLIENTS }, (_, i) => echoes(port, i)));
}

/** Each of the clients publishes once; each gets what the others have published. */
async function publishProgram() {
  const port = await startAll();
  const clients = await Promise.all(Array.from({ length: CLIENTS }, () => ScriptedClient.open(port)));
  await sleep(100);
  for (const [i, client] of clients.entries()) await client.send({ opcode: 1, payload: `all ${i}` });
  const got = [];
  for (const client of clients) {
    const texts = [];
    for (let i = 1; i < CLIENTS; i++) texts.push((await client.next())[1]);
    got.push(texts.sort());
    client.close();
  }
  return got;
}

async function silentProgram() {
  const port = await startAll();
  const client = await ScriptedClient.open(port);
  const frames = [await client.next(), await client.next()];
  client.close();
  return frames;
}

test('echoes come in order, with pongs between, whatever parts they come in', async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { value, left } = await simulate({ seed, shards: SHARDS, module, faults: { partial: 0.3 } }, echoProgram);
    for (const { status, reason } of value) assert.is(status, 'fulfilled', `seed ${seed}: ${reason}`);
    for (const held of left) for (const [what, count] of Object.entries(held)) assert.is(count, 0, `${seed}: ${what}`);
  }
});

test('connections that break take nothing with them', async () => {
  let broken = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const faults = { partial: 0.2, reset: 0.05, noBuffers: 0.1, freeze: 0.01, spurious: 0.05 };
    const { value, left } = await simulate({ seed, shards: SHARDS, module, faults }, echoProgram);
    broken += value.filter(({ status }) => status === 'rejected').length;
    for (const held of left) for (const [what, count] of Object.entries(held)) assert.is(count, 0, `${seed}: ${what}`);
  }
  assert.ok(broken > 5, `${broken}`);
});

test('a message to all reaches each subscriber of both shards once', async () => {
  const shards = new Set();
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { value } = await simulate({ seed, shards: SHARDS, module, faults: { partial: 0.2 } }, publishProgram);
    for (const [i, texts] of value.entries()) {
      const wanted = Array.from({ length: CLIENTS }, (_, other) => other).filter((other) => other !== i);
      assert.equal(
        texts.map((text) => Number(/^all (\d) /.exec(text)[1])),
        wanted,
        `seed ${seed}`,
      );
      for (const text of texts) shards.add(text.at(-1));
    }
  }
  assert.equal([...shards].sort(), ['0', '1']);
});

test('a silent peer is pinged, and cut off', async () => {
  const { value } = await simulate({ seed: 1, shards: SHARDS, module }, silentProgram);
  assert.equal(value, [[9, ''], null]);
});

test.run();

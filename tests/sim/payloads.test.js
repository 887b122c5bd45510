// core: debug
// The bytes that a program sends and writes are part of the trace's hash: a run with other bytes differs from there on.

import { runtime } from 'featherstar';
import { openDirectory } from 'featherstar/fs';
import { connect, listen } from 'featherstar/net';
import { simulate } from 'featherstar/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { rejection } from '../support/hosts.js';

const module = new URL('./module.js', import.meta.url);
const SEEDS = 5;

const USES = {
  'a connection': async (byte) => {
    const listener = await listen({ port: 7000 });
    const client = await connect({ port: 7000 });
    const socket = await listener.accept();
    await client.write(new Uint8Array(99).fill(byte));
    let bytes = 0;
    while (bytes < 99) bytes += (await socket.read()).length;
    client.close();
    socket.close();
    listener.close();
  },
  'a file': async (byte) => (await openDirectory('/')).writeFile('data', new Uint8Array(99).fill(byte)),
  'the arguments of a call': (byte) => runtime().on(1).slowAdd(byte, 1000, 1),
  'a large argument': (byte) => runtime().on(1).giveBack(new Uint8Array(10_001).fill(byte)),
};

for (const [what, use] of Object.entries(USES)) {
  test(`the bytes of ${what} are in the hash`, async () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const run = async (byte) => {
        const report = await simulate({ seed, shards: 2, module }, () => use(byte));
        return [report.traceHash, report.events, report.virtualMs];
      };
      const [hash, ...rest] = await run(1);
      assert.equal(await run(1), [hash, ...rest]);
      const [other, ...otherRest] = await run(2);
      assert.equal(otherRest, rest); // nothing else differs
      assert.is.not(other, hash);
    }
  });
}

test('events have names: files, connections with their bytes, functions, hosts', async () => {
  const hosts = { n1: [0], n2: [1] };
  const program = async (world) => {
    await world.on(1, USES['a file'].bind(undefined, 65));
    await world.on(1, async () => {
      const listener = await listen({ port: 7000 });
      void listener.accept().then((socket) => socket.read());
    });
    const client = await connect({ hostname: 'n2', port: 7000 });
    await client.write('append term 4');
    await runtime().on(1).slowAdd(1, 2, 3);
    throw new Error('the end');
  };
  const error = await rejection(simulate({ seed: 1, shards: 2, hosts, module, traceEvents: 1000 }, program));
  const text = error.trace.join('\n');
  assert.match(text, /shard 1 \(n2\) {2}writes 99 bytes to data: "A+"\.\.\. at 0/);
  assert.match(text, /shard 1 \(n2\) {2}gets 13 bytes, n1:\d+ > n2:7000: "append term 4"/);
  assert.match(text, /shard 0 \(n1\) {2}calls slowAdd\(\) on shard 1, \d+ bytes/);
  assert.match(text, /shard 1 \(n2\) {2}replies to shard 0, \d+ bytes/);
});

test.run();

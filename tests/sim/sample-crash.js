// The sample server loses power and is started again, on the same disk: what it has said to be saved has to be there.

import assert from 'node:assert/strict';
import { runtime, sleep, spawn } from 'featherstar';
import { connect } from 'featherstar/net';
import { SimDisk, simulate } from 'featherstar/testing';

const SHARDS = 2;
const CLIENTS = 3;
const ROUNDS = 8;
const PORT = 6000;
const CRASH_MS = 60; // at the latest
const module = new URL('./sample.js', import.meta.url);

async function start(bug) {
  for (let i = 0; i < SHARDS; i++) await runtime().on(i).start(bug, PORT);
}

/** Asks and waits for the answer, again and again. */
async function session(run) {
  const socket = await connect({ port: PORT });
  const lines = (async function* () {
    let rest = '';
    for await (const bytes of socket) {
      const parts = (rest + Buffer.from(bytes).toString()).split('\n');
      rest = parts.pop();
      yield* parts;
    }
  })();
  const ask = async (question) => {
    await socket.write(`1 ${question}\n`);
    return (await lines.next()).value.split(' ')[1];
  };
  await run(ask);
  socket.close();
}

/** `saved`: the number of each key that was saved for certain. It is the client's, and so outlives the server. */
function before(bug, saved) {
  return async (world) => {
    await start(bug);
    spawn(() => sleep(Math.random() * CRASH_MS).then(() => world.crash()));
    const client = (number) =>
      session(async (ask) => {
        const key = `k${number}`;
        for (let i = 1; i <= ROUNDS; i++) {
          await ask(`SET ${key} ${key}=${i}${'.'.repeat(600)}`);
          await ask(`SAVE ${key}`);
          saved.set(key, i);
        }
      });
    await Promise.all(Array.from({ length: CLIENTS }, (_, i) => client(i)));
    await sleep(CRASH_MS);
  };
}

function after(saved) {
  return async () => {
    await start('none');
    await session(async (ask) => {
      for (const [key, least] of saved) {
        const number = Number(/=(\d+)\.{600}$/.exec(await ask(`GET ${key}`))?.[1]);
        assert.ok(number >= least, `${key} was saved as ${least}, and is ${number}`);
      }
    });
  };
}

/** One run until the power fails, and one from there. Returns both reports. */
export async function runCrash(seed, bug = 'none') {
  const disk = new SimDisk();
  const saved = new Map();
  const common = { seed, shards: SHARDS, module, disk, maxMs: 600_000, maxTurns: 100_000 };
  const faults = { partial: seed % 2 === 0 ? 0.2 : 0, spurious: 0.02 };
  const first = await simulate({ ...common, faults }, before(bug, saved));
  assert.ok(first.crashed);
  return [first, await simulate(common, after(saved))];
}

// A second program for the simulator: actors on every shard who do something at random and give up at random, while
// shards freeze, die, and are started again. It looks for hangs, for leftovers, and for replies to another caller.
// program.js checks whether bytes are right.

import assert from 'node:assert/strict';
import { allocate, runtime, sleep, spawn, yieldNow } from 'featherstar';
import { openDirectory } from 'featherstar/fs';
import { connect, UdpSocket } from 'featherstar/net';
import { simulate } from 'featherstar/testing';

const SHARDS = 3;
const ACTORS = 4; // on each shard
const STEPS = 5;
const PORT = 7000;
const module = new URL('./module.js', import.meta.url);
const EXPECTED = ['SYSTEM', 'CLOSED', 'PEER_DOWN', 'TIMEOUT', 'FULL', 'CODEC'].map((code) => `FEATHERSTAR_${code}`);

let asked = 0; // questions, each with an answer of its own

const draw = (count) => Math.floor(Math.random() * count);

/** The actions of an actor. Each takes a signal, which may abort at any time. */
const DEEDS = {
  sleep: (signal) => sleep(draw(20), { signal }),
  yield: async () => {
    for (let i = 0; i < 5; i++) await yieldNow();
  },
  call: async (signal) => {
    const [shard, ms, timeoutMs] = [draw(SHARDS), draw(10), 1 + draw(20)];
    const number = asked++;
    const sum = await runtime().on(shard).with({ signal, timeoutMs }).slowAdd(number, 2, ms);
    assert.equal(sum, number + 2, 'the answer to another call');
  },
  around: (signal) => runtime().on(draw(SHARDS)).with({ signal }).around(draw(4)),
  bytes: async (signal) => {
    const bytes = allocate(1 + draw(100_000));
    try {
      const back = await runtime().on(draw(SHARDS)).with({ signal }).giveBack(bytes);
      back.dispose();
    } finally {
      bytes.dispose();
    }
  },
  task: async (signal) => {
    const task = spawn((own) => sleep(draw(30), { signal: own?.signal }));
    signal.addEventListener('abort', () => task.abort(signal.reason), { once: true });
    await task;
  },
  exchange: async (signal) => {
    const socket = await connect({ port: PORT, hostname: 'echo.test', signal });
    try {
      await socket.write(new Uint8Array(1 + draw(30_000)), { signal });
      if (draw(2) === 0) await socket.end();
      while (draw(4) !== 0 && (await socket.read({ signal })) !== null);
    } finally {
      socket.close();
    }
  },
  handOver: async (signal) => {
    const socket = await connect({ port: PORT, hostname: 'echo.test', signal });
    try {
      await socket.write('before', { signal });
      await socket.handOver(draw(SHARDS), 'sip');
    } finally {
      if (!socket.isClosed) socket.close();
    }
  },
  datagrams: async (signal) => {
    const [a, b] = [await UdpSocket.bind({ hostname: '127.0.0.1' }), await UdpSocket.bind({ hostname: '127.0.0.1' })];
    try {
      for (let i = draw(5); i > 0; i--) {
        await a.send('x'.repeat(draw(1000)), { hostname: '127.0.0.1', port: b.port, signal });
        await b.receive({ signal });
      }
    } finally {
      a.close();
      b.close();
    }
  },
  files: async (signal) => {
    const dir = await openDirectory('/');
    try {
      const name = `f${draw(3)}`;
      const deeds = [
        () => dir.replaceFile(name, 'x'.repeat(draw(9000)), { signal }),
        () => dir.readFile(name, { signal }),
        () => dir.writeFile(name, 'y'.repeat(draw(9000)), { signal }),
        () => dir.rename(name, `f${draw(3)}`, { signal }),
        () => dir.stat(name, { signal }),
        () => dir.list({ signal }),
        () => dir.remove(name, { signal }),
        async () => {
          const file = await dir.open(name, { flags: 'a+', signal });
          try {
            await Promise.all([
              file.write('z'.repeat(draw(5000)), { signal }),
              file.read(new Uint8Array(100), { signal }),
            ]);
          } finally {
            await file.close();
          }
        },
      ];
      await deeds[draw(deeds.length)]();
    } finally {
      await dir.close();
    }
  },
};

async function act(names) {
  for (let i = 0; i < STEPS; i++) {
    const controller = new AbortController();
    const reason = new Error('given up');
    const name = names[draw(names.length)];
    const giveUp = setTimeout(() => controller.abort(reason), draw(2) === 0 ? draw(12) : 500); // some wait for ever
    try {
      await DEEDS[name](controller.signal);
    } catch (error) {
      if (error !== reason && !EXPECTED.includes(error.code)) throw new Error(`${name}: ${error}`, { cause: error });
    } finally {
      clearTimeout(giveUp);
    }
  }
}

function worldOf(seed) {
  const on = (bit, share) => ((seed >>> 1) & bit ? share : 0);
  return {
    faults: {
      freeze: on(1, 0.01),
      partial: on(2, 0.2),
      reset: on(4, 0.05),
      errno: on(8, 0.05),
      refuse: on(16, 0.1),
      noBuffers: on(32, 0.1),
      noFiles: on(64, 0.1),
      lose: on(128, 0.1),
      duplicate: on(128, 0.1),
      spurious: 0.02,
    },
    limits:
      seed % 3 === 0
        ? { ringSlots: 1, sqeSlots: 4, cqeSlots: 4, readySlots: 16, recvBufferCount: 2, sendBufferCount: 3 }
        : {},
  };
}

/** The last shard has died: it is started again, acts as before, dies once more, and comes back for good. */
async function comeBack(world, names) {
  const shard = SHARDS - 1;
  const everybody = () => world.on(shard, () => Promise.all(Array.from({ length: ACTORS }, () => act(names))));
  await sleep(draw(40));
  await world.restart(shard);
  const first = everybody().catch((error) => assert.equal(error.code, 'FEATHERSTAR_PEER_DOWN'));
  await sleep(draw(60));
  world.kill(shard);
  await first;
  await world.restart(shard);
  await everybody();
}

/** Rejects with a SimulationError where something hangs, fails or is left over. */
export async function runChaos(seed, only = undefined) {
  const names = only ?? Object.keys(DEEDS);
  asked = 0;
  const kills = seed % 4 === 1;
  const options = { seed, shards: SHARDS, module, maxMs: 600_000, maxTurns: 200_000, ...worldOf(seed) };
  const report = await simulate(options, async (world) => {
    await runtime().on(0).echo(PORT);
    const everywhere = Array.from({ length: SHARDS }, (_, shard) =>
      world.on(shard, () => Promise.all(Array.from({ length: ACTORS }, () => act(names)))),
    );
    if (kills) {
      everywhere[SHARDS - 1].catch(() => {});
      everywhere.pop(); // no code waits for the dead
      const dies = new Promise((resolve) => {
        setTimeout(() => resolve(world.kill(SHARDS - 1)), draw(60));
      });
      if ((seed & 8) !== 0) everywhere.push(dies.then(() => comeBack(world, names)));
    }
    await Promise.all(everywhere);
    await sleep(50);
  });
  assert.ok(report.drained, `seed ${seed}: something had to be cancelled`);
  report.left.forEach((held, shard) => {
    if (held === undefined) return;
    for (const [what, count] of Object.entries(held)) {
      assert.equal(count, 0, `seed ${seed}: shard ${shard} still holds ${what}`);
    }
  });
  return report;
}

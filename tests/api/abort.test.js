// deadline: 180 s
// Aborting anything at any stage leaks nothing. Each kind of wait is aborted before it starts, when it is staged (in
// the turn that began it), in the kernel or at the peer, and when it has completed but nobody has been told: what was
// waited for is made to happen while this thread is busy. Then operations, timers, tasks, calls, buffers, owners and
// descriptors are what they were, and the table of connections, which is small, has not filled up.

import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { interval, JoinSet, Runtime, runtime, sleep, spawn, timeout, waitForSignal, yieldNow } from 'featherstar';
import { connect, listen, UdpSocket } from 'featherstar/net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { currentShard } from '../../dist/host/shard/shard.js';
import { back, holdings, hosts } from '../support/hosts.js';
import { until, within } from '../support/http.js';

const MODULE = new URL('../support/abort-module.js', import.meta.url);
/** May be over before they can be aborted. */
const QUICK = ['connect', 'yieldNow', 'UdpSocket.send', 'UdpSocket.connect', 'UdpSocket.bind'];
const DATAGRAMS = ['receive', 'send', 'send, no buffer free', 'connect', 'bind'].map((name) => `UdpSocket.${name}`);
const STAGES = ['before', 'staged', 'waiting', 'completed'];
const ROUNDS = 12; // more than connectionSlots holds of what one stage would leak
const LIMITS = { connectionSlots: 16 + 8 };
const DUE_MS = 4; // for what ends by itself; else it would take
const LONG_MS = 1e6; // so that a timer that stays armed is noticed
const BUSY_MS = 8;

let paths = 0;

const turn = () => new Promise((resolve) => setImmediate(resolve));
const descriptors = () => readdirSync('/proc/self/fd').length;

function spin(ms) {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

class Peer {
  #done = new Int32Array(new SharedArrayBuffer(8));
  #worker = new Worker(new URL('../support/abort-peer.js', import.meta.url), {
    workerData: { done: this.#done.buffer },
  });

  /** Has the peer do something while this thread waits, deaf: nothing is delivered meanwhile. */
  act(what, message = {}) {
    const before = Atomics.load(this.#done, 0);
    this.#worker.postMessage({ what, ...message });
    if (Atomics.wait(this.#done, 0, before, 10_000) === 'timed-out') throw new Error(`the peer: no ${what}`);
    spin(2); // loopback delivers when the sender's system call returns; the rest is margin for Node's own threads
    return this.#done[1];
  }

  async stop() {
    this.act('stop');
    await this.#worker.terminate();
  }
}

/**
 * The kinds: start(signal, ms) begins the wait (of `ms`, if it is for time); complete(), if it can be, makes what is
 * waited for happen without a turn;
 * end() puts back what the wait needed. `late` says what an abort after completion may leave to be taken.
 */
function kinds(peer) {
  const [shards, self] = [runtime().shardCount, runtime().self];
  const other = (self + 1) % shards;
  const all = {
    sleep: () => ({ start: (signal, ms) => sleep(ms, { signal }), complete: () => spin(BUSY_MS) }),
    timeout: () => ({
      start: (signal, ms) => timeout(ms, () => new Promise(() => {}), { signal }),
      complete: () => spin(BUSY_MS),
    }),
    'interval.tick': () => {
      let ticks;
      const start = (signal, ms) => {
        ticks = interval(ms);
        return ticks.tick({ signal });
      };
      return { start, complete: () => spin(BUSY_MS), end: () => ticks.close() };
    },
    yieldNow: () => ({ start: (signal) => yieldNow({ signal }) }),
    task: () => ({
      start: (signal, ms) => spawn((context) => sleep(ms, { signal: context.signal }), { signal }),
      complete: () => spin(BUSY_MS),
    }),
    'JoinSet.joinNext': () => {
      const set = new JoinSet();
      set.spawn((context) => sleep(1e6, { signal: context.signal }));
      return { start: (signal) => set.joinNext({ signal }), end: () => set.shutdown() };
    },
    waitForSignal: () => ({
      start: (signal) => waitForSignal(['SIGUSR2'], { signal }),
    }),
    'socket.read': async () => {
      const listener = await listen({ port: 0, reusePort: false });
      peer.act('connect', { id: 'reader', port: listener.port });
      const socket = await listener.accept();
      return {
        start: (signal) => socket.read({ signal }),
        complete: () => peer.act('write', { id: 'reader' }),
        late: async () => assert.is(Buffer.from(await within(socket.read(), 'the late bytes')).toString(), 'late'),
        end: () => {
          socket.close();
          listener.close();
          peer.act('close', { id: 'reader' });
        },
      };
    },
    'socket.write': async () => {
      const listener = await listen({ port: 0, reusePort: false });
      peer.act('connect', { id: 'slow', port: listener.port }); // it reads nothing before drain
      const socket = await listener.accept();
      return {
        start: (signal) => socket.write(Buffer.alloc(8_000_000), { signal }),
        complete: () => peer.act('drain', { id: 'slow' }),
        end: () => {
          socket.close();
          listener.close();
          peer.act('close', { id: 'slow' });
        },
      };
    },
    'listener.accept': async () => {
      const listener = await listen({ port: 0, reusePort: false });
      return {
        start: (signal) => listener.accept({ signal }),
        complete: () => peer.act('connect', { id: 'guest', port: listener.port }),
        late: async () => (await within(listener.accept(), 'the late connection')).close(),
        end: () => {
          listener.close();
          peer.act('close', { id: 'guest' });
        },
      };
    },
    'UdpSocket.receive': async () => {
      const socket = await UdpSocket.bind({ hostname: '127.0.0.1' });
      return {
        start: (signal) => socket.receive({ signal }),
        complete: () => peer.act('datagram', { port: socket.port }),
        late: async () => {
          const { bytes } = await within(socket.receive(), 'the late datagram');
          assert.is(Buffer.from(bytes).toString(), 'late');
        },
        end: () => socket.close(),
      };
    },
    'UdpSocket.send': async () => {
      const socket = await UdpSocket.bind({ hostname: '127.0.0.1' });
      const start = (signal) => socket.send('x', { hostname: '127.0.0.1', port: socket.port, signal });
      return { start, complete: () => spin(BUSY_MS), end: () => socket.close() };
    },
    'UdpSocket.send, no buffer free': async () => {
      const socket = await UdpSocket.bind({ hostname: '127.0.0.1' });
      const shard = currentShard();
      const taken = [];
      for (let at = shard.sendBuffers.take(); at !== 0; at = shard.sendBuffers.take()) taken.push(at);
      return {
        start: (signal) => socket.send('x', { hostname: '127.0.0.1', port: socket.port, signal }),
        end: () => {
          for (const at of taken) shard.sendBuffers.give(at);
          socket.close();
        },
      };
    },
    'UdpSocket.connect': async () => {
      const socket = await UdpSocket.bind({ hostname: '127.0.0.1' });
      const start = (signal) => socket.connect({ hostname: '127.0.0.1', port: socket.port, signal });
      return { start, complete: () => spin(BUSY_MS), end: () => socket.close() };
    },
    'UdpSocket.bind': () => ({
      start: (signal) => UdpSocket.bind({ hostname: 'localhost', signal }).then((socket) => socket.close()),
      complete: () => spin(BUSY_MS),
    }),
    'listener.accept, unix': async () => {
      const path = join(tmpdir(), `featherstar-abort-${process.pid}-${paths++}`);
      const listener = await listen({ path });
      return {
        start: (signal) => listener.accept({ signal }),
        complete: () => peer.act('connect', { id: 'guest', path }),
        late: async () => (await within(listener.accept(), 'the late connection')).close(),
        end: () => {
          listener.close();
          peer.act('close', { id: 'guest' });
        },
      };
    },
    connect: () => ({
      start: (signal) => connect({ port: peer.port, signal }).then((socket) => socket.close()),
      complete: () => spin(BUSY_MS),
      end: () => peer.act('close', { id: 'accepted' }),
    }),
  };
  if (shards > 1) {
    all.call = () => ({
      start: (signal) => runtime().on(other).with({ signal }).busy(DUE_MS, 'answer'),
      complete: () => spin(3 * BUSY_MS),
    });
    all['call that never ends'] = () => ({
      start: (signal) => runtime().on(other).with({ signal }).untilAborted(signal),
    });
    all['call with many bytes'] = () => ({
      start: (signal) => runtime().on(other).with({ signal }).busy(DUE_MS, new Uint8Array(100_000)),
      complete: () => spin(3 * BUSY_MS),
    });
  }
  return all;
}

/** Aborts one wait at one stage. Returns what became of it; 'early' if it ended before it could be at that stage. */
async function abortAt(stage, { start, complete, late, end }) {
  const controller = new AbortController();
  const reason = new Error(`aborted ${stage}`);
  if (stage === 'before') controller.abort(reason);
  let isOver = false;
  const outcome = Promise.resolve(start(controller.signal, stage === 'completed' ? DUE_MS : LONG_MS))
    .then(
      () => 'resolved',
      (error) => (error === reason ? 'aborted' : error),
    )
    .finally(() => {
      isOver = true;
    });
  if (stage !== 'staged') await turn();
  if (stage === 'waiting') await turn();
  if (stage === 'completed') {
    if (isOver) {
      await end?.(); // that turn took longer than DUE_MS
      return 'early';
    }
    complete();
  }
  controller.abort(reason);
  const what = await within(outcome, 'the end');
  if (stage === 'completed' && what === 'aborted') await late?.();
  await end?.();
  return what;
}

for (const host of hosts()) {
  for (const shards of [1, 2, 4]) {
    const test = suite(`abort (${host}, ${shards} shards)`);
    let here;
    let peer;
    let base;
    let files;

    test.before(async () => {
      here = await Runtime.start({ shards, host, module: MODULE, limits: LIMITS });
      peer = new Peer();
      peer.port = peer.act('listen');
      (await listen({ port: 0, reusePort: false })).close(); // libuv opens a descriptor with a thread's first listener
      await sleep(1); // whatever the start has left
      base = holdings();
      files = descriptors();
    });
    test.after(async () => {
      await peer.stop();
      await here.close();
    });

    for (const name of ['sleep', 'timeout', 'interval.tick', 'yieldNow', 'task', 'JoinSet.joinNext', 'waitForSignal']
      .concat(['socket.read', 'socket.write', 'listener.accept', 'listener.accept, unix', 'connect'], DATAGRAMS)
      .concat(shards > 1 ? ['call', 'call that never ends', 'call with many bytes'] : [])) {
      test(name, async () => {
        const kind = kinds(peer)[name];
        for (const stage of STAGES) {
          let early = 0;
          for (let round = 0; round < ROUNDS + early; round++) {
            const wait = await kind();
            if (stage === 'completed' && wait.complete === undefined) {
              await wait.end?.();
              continue;
            }
            const what = await abortAt(stage, wait);
            const mayResolve = QUICK.includes(name);
            if (what === 'early' && (mayResolve || ++early < 10 * ROUNDS)) continue;
            if (!(what === 'resolved' && mayResolve && stage !== 'before')) assert.is(what, 'aborted', stage);
          }
          await back(base);
        }
        await until(() => descriptors() <= files, 'the descriptors are closed').catch(() => undefined);
        assert.is(descriptors(), files);
      });
    }

    if (shards > 1) {
      test('the callee hears of it', async () => {
        const controller = new AbortController();
        const counted = () => runtime().on(1).endedCount();
        const before = await counted();
        const call = runtime()
          .on(1)
          .untilAborted(controller.signal)
          .catch((error) => error);
        await sleep(1);
        controller.abort();
        await within(call, 'the call');
        await until(async () => (await counted()) === before + 1, 'the abort has arrived');
        await back(base);
      });
    }

    test.run();
  }
}

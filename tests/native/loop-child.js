// One process (or, with `worker`, one worker in it) with a ring whose loop is inverted, and traffic in it that never
// ends: two sockets that send to each other. What else it does, the first argument says. Started by loop.test.js.

import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { isMainThread, MessageChannel, Worker, workerData } from 'node:worker_threads';
import { addon, BUFFER_SELECT, CQE_SKIP_SUCCESS, closeAll, OP, Rig } from './rig.js';

const [scenario, where] = isMainThread ? process.argv.slice(2) : workerData;
const HERE = fileURLToPath(import.meta.url);

const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

/** Sends a byte there and back for ever. `onBounce` is called in the turn. */
function traffic(rig, onBounce = () => {}) {
  const sockets = rig.pair();
  const state = { bounces: 0 };
  const receive = (i) => rig.stage(OP.RECV, { fd: sockets[i], flags: BUFFER_SELECT, user: BigInt(i) });
  const send = (i) => rig.stage(OP.SEND, { fd: sockets[i], flags: CQE_SKIP_SUCCESS, ...rig.put('x') });
  receive(0);
  receive(1);
  send(0);
  state.turn = () => {
    for (const { user, result, flags } of rig.take()) {
      if (result !== 1) throw new Error(`receive: ${result}`);
      rig.recycle(flags >>> 16);
      receive(Number(user));
      send(Number(user));
      state.bounces++;
    }
    onBounce(state);
  };
  return state;
}

/** A ring with nothing to do. */
function idle(turn = () => {}) {
  const rig = new Rig();
  rig.ring.start(turn);
  return rig;
}

const scenarios = {
  async together() {
    const rig = new Rig();
    const state = traffic(rig);
    rig.ring.start(state.turn);
    let ticks = 0;
    let messages = 0;
    const timer = setInterval(() => ticks++, 1);
    const { port1, port2 } = new MessageChannel();
    port1.on('message', (n) => port1.postMessage(n));
    port2.on('message', (n) => {
      messages++;
      port2.postMessage(n + 1);
    });
    port2.postMessage(0);
    let reads = 0;
    while (reads < 50 || ticks < 50 || messages < 50 || state.bounces < 1000) {
      if ((await readFile(HERE)).length > 0) reads++;
      await new Promise(setImmediate);
    }
    clearInterval(timer);
    port1.close();
    rig.ring.close();
    say('done');
  },

  async throws() {
    const errors = [];
    process.on('uncaughtException', (error) => errors.push(error.message));
    const rig = new Rig();
    const state = traffic(rig, ({ bounces }) => {
      if (bounces === 10 || bounces === 11) throw new Error(`after ${bounces}`);
      if (bounces === 20) void Promise.reject(new Error('rejected'));
      if (bounces === 21) process.nextTick(() => assertNever('tick'));
    });
    const assertNever = (what) => {
      throw new Error(what);
    };
    rig.ring.start(state.turn);
    while (state.bounces < 1000 || errors.length < 4) await sleep(1);
    rig.ring.close();
    say(errors.filter((message, i) => errors.indexOf(message) === i).sort());
  },

  async 'throws-with-a-full-window'() {
    let turns = 0;
    let errors = 0;
    process.on('uncaughtException', () => errors++);
    const rig = new Rig();
    rig.stage(OP.NOP);
    rig.ring.start(() => {
      turns++;
      rig.setControl('submitOnly', 1); // as a core does that traps in the middle of a turn
      if (turns < 3) throw new Error('nothing was taken');
      say({ turns, errors, taken: rig.take().length });
      rig.ring.close();
    });
  },

  async 'keeps-its-window'() {
    let turns = 0;
    const rig = new Rig();
    rig.stage(OP.NOP);
    rig.ring.start(() => {
      turns++;
      if (turns === 1) {
        rig.setControl('submitOnly', 1); // as the core does if the ready ring is full
      } else {
        say({ submitOnly: rig.control('submitOnly'), taken: rig.take().length });
        rig.ring.close();
      }
    });
  },

  async 'takes-nothing'() {
    const rig = idle();
    rig.stage(OP.NOP);
    setTimeout(() => process.kill(process.pid, 'SIGUSR2'), 20);
    process.on('SIGUSR2', () => {
      rig.ring.close();
      process.removeAllListeners('SIGUSR2');
      say('the signal was heard');
    });
  },

  async unhandled() {
    const rig = new Rig();
    const state = traffic(rig, ({ bounces }) => {
      if (bounces === 10) throw new Error('nobody catches this');
    });
    rig.ring.start(state.turn);
  },

  async exit() {
    const rig = new Rig();
    const state = traffic(rig, ({ bounces }) => {
      if (bounces === 100) process.exit(7);
    });
    rig.ring.start(state.turn);
  },

  async 'exit-later'() {
    const rig = new Rig();
    rig.ring.start(traffic(rig).turn);
    setTimeout(() => process.exit(7), 50);
  },

  async forever() {
    const rig = new Rig();
    rig.ring.start(traffic(rig).turn);
  },

  async asleep() {
    idle();
  },

  async idle() {
    const rig = idle();
    await sleep(100);
    const before = rig.control('enterCount');
    await sleep(500);
    say(rig.control('enterCount') - before);
    rig.ring.close();
  },

  async deadline() {
    let seen = 0;
    const rig = idle(() => {
      seen++;
      if (rig.control('nowNs') < rig.control('nextDeadlineNs')) return;
      say({ seen });
      rig.ring.close();
    });
    rig.setControl('nextDeadlineNs', addon().monotonicNs() + 20e6);
  },

  async unref() {
    const rig = idle();
    rig.ring.unref();
    rig.ring.ref();
    rig.ring.unref();
  },

  async 'close-in-turn'() {
    const rig = new Rig();
    rig.stage(OP.NOP);
    rig.ring.start(() => {
      rig.ring.close();
      say('closed');
    });
  },

  async collected() {
    const open = () => {
      const { ring } = new Rig();
      const { enter } = new Rig().ring;
      ring.start(() => ring.fd);
      ring.close();
      return { closed: new WeakRef(ring), enter };
    };
    const { closed, enter } = open();
    for (let i = 0; i < 200 && closed.deref() !== undefined; i++) {
      if (i === 5) closeAll();
      await sleep(5);
      globalThis.gc();
    }
    let code = 'still open';
    try {
      enter();
    } catch (error) {
      code = error.code;
    }
    say({ collected: closed.deref() === undefined, code });
  },

  /** Rings that are not closed by anyone: the environment's end has to. */
  async abandoned() {
    for (let i = 0; i < 20; i++) {
      const rig = new Rig();
      rig.ring.start(traffic(rig).turn);
      rig.ring.unref();
    }
  },
};

if (isMainThread && where === 'worker') {
  const worker = new Worker(new URL(import.meta.url), { workerData: [scenario] });
  worker.on('exit', (code) => say({ exit: code }));
  worker.on('error', (error) => say({ error: error.message }));
} else if (isMainThread && where === 'terminate') {
  for (let i = 0; i < 10; i++) {
    const worker = new Worker(new URL(import.meta.url), { workerData: [scenario] });
    await sleep(i < 5 ? 100 : 30 * (i - 5));
    await worker.terminate();
  }
  say('terminated');
} else {
  await scenarios[scenario]();
}

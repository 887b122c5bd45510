// A random model of sockets. A part of behaviours.js.
//
//   writer --> pair --> hop --> pair --> hop --> ... --> pair --> reader
//
// A hop moves bytes from one connection to the next by pipeTo(), read() and readInto(), in any order. It aborts some of
// them. Several chains run at once, and some are closed halfway. No byte may be lost, doubled, or another chain's.

import assert from 'node:assert/strict';
import { sleep } from 'featherstar';
import { connect, listen } from 'featherstar/net';
import { randomFrom, SEED } from '../http/random.js';
import { pattern } from './sockets.js';

const RUNS = 6;
const CHAINS_MAX = 8;
const TOTALS = [10, 10_000, 300_000, 3_000_000, 6_000_000];
const WRITTEN_BYTES = [1, 4095, 4097, 65_536, 65_537, 500_000, 2_000_000];
const ROOMS = [4096, 65_536, 200_000]; // of arrays to read into
const ENOUGH = new Error('enough');
const ENDS = ['FEATHERSTAR_CLOSED', 'FEATHERSTAR_SYSTEM'];

class Chain {
  constructor(random, id, pairs) {
    this.random = random;
    this.pairs = pairs;
    this.data = pattern(1 + random(TOTALS[random(TOTALS.length)]), id * 101);
    this.isCut = random(4) === 0;
    this.waits = []; // of aborts
  }

  close() {
    for (const socket of this.pairs.flat()) socket.close();
  }

  /** A few microtasks, or a little time. */
  async rest() {
    const choice = this.random(6);
    if (choice === 0) await sleep(this.random(3));
    else if (choice < 3) await null;
  }

  /** A signal that aborts soon. */
  soon() {
    const controller = new AbortController();
    const abort = async () => {
      await this.rest();
      if (this.random(3) !== 0) await sleep(this.random(3));
      controller.abort(ENOUGH);
    };
    this.waits.push(abort());
    return controller.signal;
  }

  /** Reads once, into an array or not. Null: the end. Undefined: it was aborted. */
  async take(socket, arrays) {
    const options = this.random(2) === 0 ? { signal: this.soon() } : {};
    const into = this.random(2) === 0 ? arrays[this.random(arrays.length)] : undefined;
    try {
      const got = await (into === undefined ? socket.read(options) : socket.readInto(into, options));
      return into === undefined || got === null ? got : into.slice(0, got);
    } catch (error) {
      if (error === ENOUGH) return undefined;
      throw error;
    }
  }

  async write(socket) {
    for (let at = 0; at < this.data.length; ) {
      const piece = this.data.subarray(at, at + WRITTEN_BYTES[this.random(WRITTEN_BYTES.length)]);
      await socket.write(piece);
      at += piece.length;
      if (this.random(4) === 0) await this.rest();
    }
    await socket.end();
  }

  async read(socket) {
    const arrays = ROOMS.map((room) => new Uint8Array(room));
    const isSlow = this.random(3) === 0;
    let at = 0;
    for (let got = await this.take(socket, arrays); got !== null; got = await this.take(socket, arrays)) {
      if (got === undefined) continue;
      assert.ok(this.data.subarray(at, at + got.length).equals(got), `${got.length} bytes from ${at} on`);
      at += got.length;
      if (isSlow) await this.rest();
    }
    if (!this.isCut) assert.equal(at, this.data.length);
  }

  async hop(source, target) {
    const arrays = ROOMS.map((room) => new Uint8Array(room));
    for (;;) {
      if (this.random(3) !== 0) {
        const options = this.random(2) === 0 ? { signal: this.soon() } : {};
        const error = await source.pipeTo(target, options).catch((error) => error);
        if (!(error instanceof Error)) return;
        if (error.code === 'FEATHERSTAR_CLOSED' && !this.isCut) {
          assert.equal(await source.read(), null); // the pipe before was aborted behind the end
          return;
        }
        if (error !== ENOUGH) throw error;
      }
      for (let i = this.random(20); i > 0; i--) {
        const got = await this.take(source, arrays);
        if (got === null) {
          await target.end();
          return;
        }
        if (got !== undefined) await target.write(got);
      }
    }
  }

  async cut() {
    if (!this.isCut) return;
    await sleep(this.random(30));
    const sockets = this.pairs.flat();
    sockets[this.random(sockets.length)].close();
    await sleep(50);
    this.close();
  }

  async run() {
    const { pairs } = this;
    const parts = [this.write(pairs[0][0]), this.read(pairs.at(-1)[1]), this.cut()];
    for (let i = 1; i < pairs.length; i++) parts.push(this.hop(pairs[i - 1][1], pairs[i][0]));
    const settled = parts.map((part) =>
      part.catch((error) => {
        if (!this.isCut || !ENDS.includes(error.code)) throw error;
        this.close();
      }),
    );
    await Promise.all(settled);
    await Promise.all(this.waits);
    this.close();
  }
}

async function makeChain(random, id, listener) {
  const pairs = [];
  for (let hops = random(4); hops >= 0; hops--) {
    const accepting = listener.accept();
    const near = await connect({ port: listener.port });
    pairs.push([near, await accepting]);
  }
  return new Chain(random, id, pairs);
}

async function runChains(seed) {
  const random = randomFrom(seed);
  const listener = await listen({ hostname: '127.0.0.1' });
  const chains = [];
  for (let left = 1 + random(CHAINS_MAX); left > 0; left--) chains.push(await makeChain(random, left, listener));
  listener.close();
  try {
    await Promise.all(chains.map((chain) => chain.run()));
  } catch (error) {
    console.error(`FEATHERSTAR_SEED=${seed} may repeat this`);
    throw error;
  }
}

export const chains = {
  'bytes go through pipes, reads and arrays in any order, beside chains that are cut': async () => {
    const count = process.env.FEATHERSTAR_SEED === undefined ? RUNS : 1;
    for (let i = 0; i < count; i++) await runChains(SEED + i);
  },
};

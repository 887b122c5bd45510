// The shard module of tests/api/sharded.test.js: services, and a log on shard 0 of what happens to them.

import { runtime, Sharded } from 'featherstar';

const log = [];
export const note = (text) => {
  log.push(text);
};
export const takeLog = () => log.splice(0);

const tell = (text) => runtime().on(0).note(`${text}@${runtime().self}`);

export class Store {
  #values = new Map();
  #service;

  constructor(prefix = '') {
    this.prefix = prefix;
    this.#service = Sharded.of(this);
  }

  homeOf(key) {
    return key.length % runtime().shardCount;
  }

  set(key, value) {
    this.#values.set(this.prefix + key, value);
    return runtime().self;
  }

  get(key) {
    return this.#values.get(this.prefix + key);
  }

  async size() {
    return this.#values.size;
  }

  /** Through the sibling that has the key. */
  put(key, value) {
    return this.#service.on(this.homeOf(key)).set(key, value);
  }

  ask(key) {
    return this.#service.on(this.homeOf(key)).get(key);
  }

  self() {
    return runtime().self;
  }

  fail(shard) {
    if (runtime().self === shard) throw new TypeError(`shard ${shard} fails`);
    return 'fine';
  }

  wait() {
    return new Promise(() => {});
  }

  later(ms) {
    return new Promise((resolve) => setTimeout(resolve, ms));
  }

  aborted(signal) {
    return new Promise((resolve) => signal.addEventListener('abort', () => resolve(runtime().self)));
  }

  exit() {
    process.exit(0);
  }
}

/** Says what happens to it, and fails where it is told to. */
export class Witness {
  constructor(name, failing = {}) {
    this.name = name;
    this.failing = failing;
    if (failing.constructor === runtime().self) throw new RangeError('constructor failed');
  }

  async start() {
    const sizes = await Sharded.of(this).onAll().isThere();
    await tell(`start ${this.name} beside ${sizes.length}`);
    if (this.failing.start === runtime().self) throw new RangeError('start failed');
  }

  isThere() {
    return true;
  }

  async stop() {
    await tell(`stop ${this.name}`);
    if (this.failing.hang === runtime().self) await new Promise(() => {});
    if (this.failing.stop === runtime().self) throw new RangeError('stop failed');
  }
}

/** Its stop() needs another service and its own siblings on shards below. */
export class Client {
  async stop() {
    const { self } = runtime();
    await Sharded.named('Store').on(0).set(`last words of ${self}`, self);
    if (self > 0)
      await Sharded.of(this)
        .on(self - 1)
        .hear();
    await tell('stop client');
  }

  hear() {}
}

export const notAClass = () => 1;
export const useNamed = (key) => Sharded.named('Store').local.get(key);
export const stopNamed = (name) => Sharded.named(name).stop();
export const startHere = async (name, ...args) => {
  const service = await Sharded.start(name, ...args);
  return service.name;
};

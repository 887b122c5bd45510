// The shard module of tests/nats: a service in NATS, and calls of one.

import { connect } from '@nats-io/transport-node';
import { FeatherstarError, runtime, Sharded, sleep } from 'featherstar';
import { publishService, remote } from 'featherstar/nats';

export class Store {
  #values = new Map();
  #siblings = Sharded.of(this);
  #aborted = [];
  #options;
  #connection;
  #published;

  /** `options`: those of connect(), and `more` those of publishService(). */
  constructor(options, more = {}) {
    this.#options = { options, more };
  }

  async start() {
    const { options, more } = this.#options;
    this.#connection = await connect({
      reconnectTimeWait: 20,
      reconnectJitter: 0,
      maxReconnectAttempts: -1,
      ...options,
    });
    this.#published = await publishService(this, { connection: this.#connection, version: '1.2.3', ...more });
  }

  async stop() {
    await this.#published.close();
    await this.#connection.close();
  }

  shard() {
    return [process.pid, runtime().self];
  }

  setHere(key, value) {
    this.#values.set(key, value);
  }

  getHere(key) {
    return this.#values.get(key);
  }

  set(key, value) {
    return this.#siblings.on(runtime().homeOf(key)).setHere(key, value);
  }

  get(key) {
    return this.#siblings.on(runtime().homeOf(key)).getHere(key);
  }

  echo(...args) {
    return args;
  }

  double(n) {
    return 2 * n;
  }

  fail(kind) {
    if (kind === 'no error') throw 'text';
    if (kind === 'type') throw new TypeError('wrong', { cause: new Error('inner') });
    if (kind === 'bigint') throw Object.assign(new Error(kind), { code: 5n });
    if (kind === 'getter') throw Object.defineProperty(new Error(kind), 'message', { get: () => this.fail('type') });
    if (kind === 'large') throw new Error('x'.repeat(1_048_576));
    throw new FeatherstarError('FEATHERSTAR_BUSY', kind);
  }

  async wait(ms, signal) {
    signal?.addEventListener('abort', () => this.#aborted.push(`${signal.reason.code ?? signal.reason.message}`));
    await sleep(ms, { signal });
    return ms;
  }

  aborted() {
    return this.#aborted.splice(0);
  }

  blob(length) {
    return new Uint8Array(length).fill(7);
  }
}

/** Calls double() `count` times, `side` at once. Resolves to the number of results, wrong ones, and errors by code. */
export async function burst(options, count, side) {
  const connection = await connect({ reconnectTimeWait: 20, reconnectJitter: 0, maxReconnectAttempts: -1, ...options });
  const store = remote(connection, { name: 'Store', timeoutMs: 5000 });
  const outcome = { results: 0, wrong: 0, errors: {}, untyped: 0 };
  let next = 0;
  const callOne = async () => {
    while (next < count) {
      const n = next++;
      try {
        const to = n % 2 === 0 ? store.onAny() : store.on(n % 4 < 2 ? 0 : 1);
        if ((await to.double(n)) === 2 * n) outcome.results++;
        else outcome.wrong++;
      } catch (error) {
        if (!FeatherstarError.is(error)) outcome.untyped++;
        outcome.errors[error.code] = (outcome.errors[error.code] ?? 0) + 1;
        await sleep(2);
      }
    }
  };
  await Promise.all(Array.from({ length: side }, callOne));
  const { openCount } = store;
  store.close();
  await connection.close();
  return { ...outcome, openCount };
}

// One HTTP server on a runtime of one shard, for tests that set its `handler`, one after the other. A test that leaves
// an error, a connection, an operation, a timer or a buffer behind has failed.

import { Runtime } from 'featherstar';
import { serve } from 'featherstar/http';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { back, holdings } from '../support/hosts.js';
import { ask, get, until } from '../support/http.js';

// No timer of the server's wakes what should be awake.
const LIMITS = { headerTimeoutMs: 3_600_000, idleTimeoutMs: 3_600_000 };

export const MEBIBYTE = 1024 * 1024;
export const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Bytes that are nowhere alike, so that a piece in the wrong place shows. */
export function pattern(length) {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >>> 8) * 7 + (i >>> 16)) & 0xff;
  return bytes;
}

/** A body of `chunks`, one every `pauseMs`, or all at once. */
export function stream(chunks, pauseMs) {
  let next = 0;
  return new ReadableStream({
    async pull(controller) {
      if (pauseMs !== undefined) await later(pauseMs);
      if (next === chunks.length) controller.close();
      else controller.enqueue(Buffer.from(chunks[next++]));
    },
  });
}

export class ServerRig {
  handler;
  server;
  /** What onError got. A test that expects some takes them out. */
  errors = [];
  #test;
  #base;

  constructor(name, host) {
    const test = suite(`${name} (${host})`);
    let runtime;
    test.before(async () => {
      runtime = await Runtime.start({ shards: 1, host });
      this.server = await serve({
        fetch: (...args) => this.handler(...args),
        hostname: '127.0.0.1',
        limits: LIMITS,
        onError: (error) => this.errors.push(error),
      });
      await later(20); // the accept is staged
      this.#base = holdings();
    });
    test.after(() => runtime.close());
    this.#test = test;
  }

  /** Adds a test. (Its end is no after.each hook: one that throws ends uvu's whole suite.) */
  check(name, run) {
    this.#test(name, async () => {
      this.errors.length = 0;
      await run();
      assert.equal(this.errors, []);
      await until(() => this.server.stats.connections === 0, 'all connections are closed');
      await back(this.#base);
    });
  }

  /** The answer of `handler` to one request on a connection of its own. */
  answerOf(handler, request = get(), options) {
    this.handler = handler;
    return ask(this.server.port, request, options);
  }

  run() {
    this.#test.run();
  }
}

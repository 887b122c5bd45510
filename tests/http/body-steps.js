// Runs steps with a stream of a body and writes down what happens, for tests that compare two kinds of streams.

import { RequestBody } from '../../dist/host/http/body.js';

const SOURCE = { onFirstRead() {}, onDrain() {} };

/** Whether `request.body` is a stream of ours: as in host/http/platform.ts. */
export const isLazy = Object.getOwnPropertySymbols(new ReadableStream()).length !== 0;

/** Resolves when all microtasks have run. */
export const settle = () => new Promise(setImmediate);

/**
 * Runs `steps({ body, stream, push, watch, note })` with the stream that `open` makes of a body. Returns what happened,
 * in order. `shown` makes values of the steps to something that can be compared.
 */
export async function happens(open, steps, shown) {
  const body = new RequestBody(SOURCE, 0);
  const stream = open(body);
  const log = [];
  const note = (name, value) => log.push(`${name}: ${JSON.stringify(shown(value))}`);
  const watch = (name, run) => {
    let result;
    try {
      result = run();
    } catch (error) {
      note(`${name} throws`, error);
      return undefined;
    }
    if (!(result instanceof Promise)) {
      note(name, result);
      return result;
    }
    result.then(
      (value) => note(name, value),
      (error) => note(`${name} rejects`, error),
    );
    return result;
  };
  const push = (text) => {
    const bytes = Buffer.from(text, 'latin1');
    body.push(bytes, 0, bytes.length, false);
  };
  await steps({ body, stream, push, watch, note });
  await settle();
  return 'Deno' in globalThis ? log.sort() : log; // Deno settles `closed` behind the reads, against the standard
}

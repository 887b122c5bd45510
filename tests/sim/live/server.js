// The servers of the live mode: one on each shard, at one port. Every handler's promise is in the ledger, so a handler
// that is never told that its client has left is found.

import { runtime, sleep } from 'featherstar';
import { Response, serve } from 'featherstar/http';
import { draw, ledger, pause, sometimes, tolerate, track } from './ledger.js';

/** More than the network takes from a server whose client does not read. */
const BIG_BYTES = 150_000;
export const LARGE_BYTES = 12_000;
const POLL_MS = 200;
const BEAT_MS = 3;
const TURN_MS = 0.0009; // a turn takes a microsecond at least
/** Pieces of a body that wait for their reader: 33 at most for 64 KiB, however they were cut (byte-queue.ts). */
export const PIECES_MAX = 40;

const aborted = (signal) =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', resolve, { once: true });
  });

/**
 * A stream that never ends by itself: it says something at once, and then `beats` times more. It does without pull(),
 * which engines call at different moments.
 */
function endless(what, bytes, beats) {
  let onCancel;
  const cancelled = new Promise((resolve) => {
    onCancel = resolve;
  });
  track(`${what} on shard ${runtime().self} is to be cancelled`, cancelled);
  let timer;
  const source = {
    start(controller) {
      let left = beats;
      const beat = () => {
        controller.enqueue(new Uint8Array(bytes).fill(46));
        if (left-- > 0) timer = setTimeout(beat, BEAT_MS);
      };
      beat();
    },
    cancel() {
      clearTimeout(timer);
      sometimes(`${what} cancelled`);
      onCancel();
    },
  };
  return new Response(new ReadableStream(source), { headers: { 'content-type': 'text/event-stream' } });
}

const HANDLERS = {
  '/fast': () => new Response('fast'),
  '/echo': async (request) => new Response(await request.text()),
  '/call': async (request) => {
    const { self, shardCount } = runtime();
    const next = (self + 1) % shardCount;
    const route = Array.from({ length: 1 + draw(4) }, (_, i) => (i % 2 === 0 ? self : next)); // and back
    const payload = request.path.length > 5 ? 'p'.repeat(100) : '';
    const seen = await track(`nest() of a handler on shard ${self}`, runtime().on(next).nest(route, payload, 1));
    return new Response(`seen ${seen === route.length + 1}`);
  },
  '/poll': async (request) => {
    await Promise.race([pause(POLL_MS), aborted(request.signal)]);
    if (request.signal.aborted) sometimes('poll told that its client left');
    return new Response('polled');
  },
  '/never': async (request) => {
    await aborted(request.signal);
    sometimes('never told that its client left');
    return new Response('too late');
  },
  '/quiet': () => endless('a quiet stream', 100, 0),
  '/sse': () => endless('an event stream', 100, 100),
  '/flood': () => endless('a flood', 20_000, 10),
  '/big': () => new Response('b'.repeat(BIG_BYTES)),
  '/large': () => new Response('l'.repeat(LARGE_BYTES)),
  '/early': () => new Response('too much', { status: 413 }),
  '/late': async (request) => {
    await sleep(20 + draw(60));
    const reader = request.body?.getReader();
    let [pieces, bytes, lastMs] = [0, 0, performance.now()];
    while (reader !== undefined) {
      const { done, value } = await reader.read();
      if (done) break;
      bytes += value.length;
      const nowMs = performance.now();
      pieces = nowMs - lastMs < TURN_MS ? pieces + 1 : 0; // what is read within one turn had waited
      lastMs = nowMs;
      if (pieces > PIECES_MAX) throw new Error(`more than ${PIECES_MAX} pieces of a body wait for their reader`);
    }
    return new Response(`${bytes}`);
  },
  '/file': async (request, { directory }) => {
    const name = `served-${runtime().self}`;
    await directory.replaceFile(name, 'f'.repeat(3000), { signal: request.signal });
    return new Response(await directory.readText(name, { signal: request.signal }));
  },
  '/lock': async (request, { semaphore }) => {
    const guard = await semaphore.acquire({ signal: request.signal });
    try {
      await pause(draw(5));
    } finally {
      guard.release();
    }
    return new Response('had it');
  },
};

/** What a handler may fail with: what its client, a peer or the disk did to it. Anything else is a defect. */
function onError(error) {
  try {
    tolerate(error);
  } catch {
    void Promise.reject(error); // without a handler, so that the world fails
  }
}

export function startServer(port, here) {
  return serve({
    port,
    hostname: '0.0.0.0',
    limits: ledger.plan.http,
    onError,
    fetch(request) {
      const [path] = request.path.split('-');
      const handler = HANDLERS[path];
      if (handler === undefined) return new Response('nothing', { status: 404 });
      const result = handler(request, here);
      return result instanceof Promise ? track(`handler ${path} on shard ${runtime().self}`, result) : result;
    },
  });
}

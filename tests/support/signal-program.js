// A program that waits for signals, for tests/api/signals.test.js. argv: what it does, and on how many shards.
//   wait     every shard but the first waits for SIGTERM or SIGINT; the first to hear of it says so; then close()
//   hang     shard 1 (or 0, if there is no other) waits, and then never ends
//   handler  every shard has a handler of SIGHUP and SIGTERM that takes as long as stdin says nothing
//   nobody   the last shard waits, its wait is aborted, and no code waits any more

import { isMainThread } from 'node:worker_threads';
import { onSignal, Runtime, runtime, sleep, waitForSignal } from 'featherstar';

const [what, shards] = process.argv.slice(2);

export async function wait() {
  return [await waitForSignal(['SIGTERM', 'SIGINT']), runtime().self];
}

export async function handle() {
  const here = runtime();
  const fn = async (name) => {
    await here.on(0).say(`${name} on ${here.self}`);
    await new Promise((resolve) => name === 'SIGHUP' && resolve());
  };
  for (const name of ['SIGTERM', 'SIGHUP']) onSignal(name, fn); // SIGHUP is heard: so is SIGTERM
}

export async function giveUp() {
  const controller = new AbortController();
  const waiting = waitForSignal(['SIGTERM'], { signal: controller.signal });
  setTimeout(() => controller.abort(new Error('given up')), 20);
  return waiting.catch((error) => error.message);
}

export const say = (text) => console.log(text);

async function main() {
  const here = await Runtime.start({ shards: Number(shards), module: import.meta.url });
  const last = here.on(here.shardCount - 1);
  if (what === 'wait' || what === 'hang') {
    const waiting = last.wait();
    while (process.listenerCount('SIGINT') === 0) await sleep(1); // word of the wait is on its way to shard 0
    say('ready');
    const [name, shard] = await waiting;
    say(`${name} on ${shard}`);
    if (what === 'wait') {
      await here.close();
      say(`listeners ${process.listenerCount('SIGTERM')} ${process.listenerCount('SIGINT')}`);
    }
  } else if (what === 'handler') {
    await here.onAll().handle();
    say('ready');
  } else {
    say(await last.giveUp());
    while (process.listenerCount('SIGTERM') !== 0) await sleep(1); // and word of its end
    say('ready');
  }
}

if (isMainThread) void main();

// The shard module of the simulator's test programs: each shard has an instance of its own.

import { runtime, sleep, spawn, yieldNow } from 'featherstar';
import { openDirectory } from 'featherstar/fs';
import { connect, listen } from 'featherstar/net';

let count = 0;

export function add(by) {
  count += by;
  return count;
}

export async function slowAdd(a, b, ms) {
  await sleep(ms);
  return a + b;
}

export const fails = async () => Promise.reject(new RangeError('as asked'));
export const where = () => runtime().self;

export const never = () => new Promise(() => {});
export const neverOn = (shard) => (shard === runtime().self ? never() : undefined);

/** Asks the next shard, which asks the next one. */
export async function around(hops) {
  if (hops === 0) return [runtime().self];
  const next = (runtime().self + 1) % runtime().shardCount;
  return [
    runtime().self,
    ...(await runtime()
      .on(next)
      .around(hops - 1)),
  ];
}

export async function work(steps) {
  const parts = Array.from({ length: 3 }, () =>
    spawn(async () => {
      for (let i = 0; i < steps; i++) await yieldNow();
      return steps;
    }),
  );
  return (await Promise.all(parts)).reduce((sum, part) => sum + part, 0);
}

export const roll = () => [Math.random(), Date.now(), performance.now()];

/** Echoes what comes, until the listener is closed. Returns the port. */
export async function echo(port) {
  const listener = await listen({ port, hostname: '0.0.0.0' });
  spawn(async () => {
    for (;;) {
      const socket = await listener.accept().catch(() => undefined); // no file slot was free: there may be one later
      if (socket === null) return;
      if (socket !== undefined) spawn(() => answer(socket)).catch(onBroken);
    }
  });
  return listener.port;
}

async function answer(socket) {
  try {
    for await (const bytes of socket) await socket.write(bytes);
    await socket.end();
  } finally {
    socket.close();
  }
}

/** A connection that breaks is the world's doing; anything else is a defect. */
function onBroken(error) {
  if (!['FEATHERSTAR_SYSTEM', 'FEATHERSTAR_CLOSED'].includes(error.code)) throw error;
}

/**
 * Sends `bytes` bytes and reads them back. The reply is the bytes that it read: all of them, or those before the
 * connection broke.
 */
export async function exchange(port, bytes, seedByte) {
  let socket;
  const sent = Uint8Array.from({ length: bytes }, (_, i) => (i * 31 + seedByte) & 255);
  let read = 0;
  try {
    socket = await connect({ port, hostname: 'echo.test' });
    const writing = socket.write(sent).then(() => socket.end());
    writing.catch(() => socket.close()); // without what was lost the server may say nothing, for ever
    for await (const part of socket) {
      for (const byte of part) if (byte !== sent[read++]) throw new Error(`byte ${read - 1} of ${bytes} is wrong`);
    }
    await writing;
    return { read, broken: false };
  } catch (error) {
    onBroken(error);
    return { read, broken: true };
  } finally {
    socket?.close();
  }
}

/** Writes, replaces, reads and removes files, which all shards share. Returns how often the disk has failed. */
export async function files(rounds) {
  const { self } = runtime();
  let failures = 0;
  const attempt = async (run) => {
    try {
      return await run();
    } catch (error) {
      onBroken(error);
      failures++;
      return undefined;
    }
  };
  const dir = await openDirectory('/');
  const log = await attempt(() => dir.open(`log-${self}`, { flags: 'a+' }));
  let logged = '';
  for (let i = 0; i < rounds; i++) {
    const line = `${self}:${i}:${'-'.repeat((i * 977) % 5000)}\n`;
    const isLogged = log !== undefined && (await attempt(() => log.write(line).then(() => true)));
    logged = isLogged && logged !== undefined ? logged + line : undefined; // one that failed may be there in part
    await attempt(() => dir.replaceFile('state', `${self}`.repeat(2000)));
    const state = await attempt(() => dir.readText('state'));
    if (state !== undefined && !/^(\d)\1{1999}$/.test(state))
      throw new Error(`a state in pieces: ${state.length} bytes`);
    if (i === 0) await attempt(() => dir.makeDirectory(`own-${self}`));
    await attempt(() => dir.writeFile(`own-${self}/f${i % 2}`, line));
    await attempt(() => dir.rename(`own-${self}/f${i % 2}`, `own-${self}/g`));
  }
  if (logged !== undefined) {
    const text = await attempt(() => dir.readText(`log-${self}`));
    if (text !== undefined && text !== logged) throw new Error(`a log of ${text.length} bytes, not ${logged.length}`);
  }
  await log?.close();
  await dir.close();
  return failures;
}

export const giveBack = (bytes) => bytes;

/** Reads once, and is done. */
export async function sip(socket) {
  try {
    await socket.read();
  } catch (error) {
    onBroken(error);
  } finally {
    socket.close();
  }
}

// A sample server for the simulator to look for bugs in: a key-value store over the shards, with lines for a protocol.
// It is right as it stands; start() plants a bug by name, where its comment stands.
//
//   client --> 'id verb key value' --> session on some shard --> the key's owner --> 'id result'
//
// Verbs: GET, SET (on every shard), WAIT (until the key is there), DUMP (many lines), SAVE (the owner's keys are on the
// disk when it is answered; a server that starts again has them).

import { Mutex, runtime, sleep, spawn, yieldNow } from 'featherstar';
import { openDirectory } from 'featherstar/fs';
import { listen } from 'featherstar/net';

const LATE_MS = 5;
const DUMP_PARTS = 48;
const DUMP_BYTES = 4096;

let bug;
const store = new Map();
const waiters = new Map();
const sessions = [];
const order = new Mutex(); // used by a bug only
let unsentBytes = 0;
let mostUnsentBytes = 0;
let folder;
let saving = Promise.resolve();

export async function start(plant, port) {
  bug = plant;
  await load();
  const listener = await listen({ port });
  spawn(async () => {
    for await (const socket of listener) spawn(() => serveSession(socket));
  });
  return listener.port;
}

async function serveSession(socket) {
  const free = sessions.indexOf(undefined);
  const slot = free < 0 ? sessions.length : free;
  const aborter = new AbortController();
  const session = { socket, slot, aborter };
  sessions[slot] = session;
  let rest = '';
  try {
    for await (const bytes of socket) {
      const lines = (rest + Buffer.from(bytes).toString()).split('\n');
      rest = lines.pop();
      for (const line of lines) spawn(() => handle(session, ...line.split(' ')));
    }
  } catch {
    // the connection broke, and that is its client's affair
  } finally {
    aborter.abort(new Error('the client has left'));
    socket.close();
    sessions[slot] = undefined;
  }
}

async function handle(session, id, verb, key, value) {
  const owner = runtime().on(ownerOf(key));
  try {
    if (verb === 'GET') await answerInTime(session, id, owner, key);
    else if (verb === 'SET') {
      await owner.set(key, value);
      await reply(session, id, 'OK');
    } else if (verb === 'WAIT') {
      // BUG forgotten abort: who waits is not told that the client has left
      const signal = bug === 'forgotten abort' ? undefined : session.aborter.signal;
      await reply(session, id, await owner.wait(key, signal));
    } else if (verb === 'SAVE') {
      await owner.save();
      await reply(session, id, 'OK');
    } else await dump(session, id);
  } catch (error) {
    if (!session.aborter.signal.aborted) throw error;
  }
}

function ownerOf(key) {
  return key.charCodeAt(1) % runtime().shardCount;
}

/** The owner's value; 'LATE' if it does not reply in time. */
async function answerInTime(session, id, owner, key) {
  if (bug === 'double reply') {
    // BUG double reply: the one that comes late is sent as well
    const late = sleep(LATE_MS).then(() => isDone || reply(session, id, 'LATE'));
    let isDone = false;
    const result = await owner.get(key);
    isDone = true;
    await reply(session, id, result);
    await late;
    return;
  }
  const result = await owner
    .with({ timeoutMs: LATE_MS })
    .get(key)
    .catch((error) => {
      if (error.code !== 'FEATHERSTAR_TIMEOUT') throw error;
      return 'LATE';
    });
  await reply(session, id, result);
}

async function reply(session, id, result) {
  // BUG stale handle: the slot may be another client's by now
  const to = bug === 'stale handle' ? sessions[session.slot] : session;
  if (to === undefined) return;
  const sending = to.socket.write(`${id} ${result}\n`);
  // BUG reply after reset: the code does not expect that the connection is gone
  if (bug === 'reply after reset') {
    sending.catch((error) => {
      throw error;
    });
  } else await sending.catch(() => to.socket.close());
}

async function dump(session, id) {
  for (let i = 0; i < DUMP_PARTS; i++) {
    unsentBytes += DUMP_BYTES;
    mostUnsentBytes = Math.max(mostUnsentBytes, unsentBytes);
    const sending = session.socket.write('x'.repeat(DUMP_BYTES)).then(
      () => {
        unsentBytes -= DUMP_BYTES;
      },
      () => {
        unsentBytes -= DUMP_BYTES;
        session.socket.close();
      },
    );
    // BUG missing backpressure: as fast as it can, whatever the client takes
    if (bug !== 'missing backpressure') await sending;
  }
  await reply(session, id, 'DUMPED');
}

// --- the owner's side -----------------------------------------------------------------------------------------------

export const get = (key) => store.get(key) ?? 'NONE';

export async function set(key, value) {
  const { shardCount, self } = runtime();
  // BUG locks in a circle: each shard holds its lock while it waits for that of the next one
  if (bug === 'locks in a circle') return pass(key, value, shardCount - 1);
  const others = Array.from({ length: shardCount }, (_, i) => i).filter((i) => i !== self);
  put(key, value);
  await Promise.all(others.map((i) => runtime().on(i).put(key, value)));
}

export function put(key, value) {
  store.set(key, value);
  for (const { resolve } of waiters.get(key) ?? []) resolve(value);
  waiters.delete(key);
}

export function pass(key, value, hops) {
  return order.withLock(async () => {
    put(key, value);
    if (hops === 0) return;
    const { shardCount, self } = runtime();
    const next = runtime().on((self + 1) % shardCount);
    await next.pass(key, value, hops - 1);
  });
}

export async function wait(key, signal) {
  if (store.has(key)) return store.get(key);
  if (bug === 'lost wake-up') await yieldNow(); // BUG lost wake-up: what comes between the look and the wait is missed
  signal?.throwIfAborted();
  return new Promise((resolve, reject) => {
    const waiter = { resolve };
    const here = waiters.get(key) ?? new Set();
    waiters.set(key, here.add(waiter));
    const onAbort = () => {
      here.delete(waiter);
      if (here.size === 0 && waiters.get(key) === here) waiters.delete(key);
      reject(signal.reason);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

const fileName = () => `store-${runtime().self}`;

async function load() {
  folder = await openDirectory('/');
  const text = await folder.readText(fileName()).catch((error) => {
    if (error.errnoName !== 'ENOENT') throw error;
    return '[]';
  });
  for (const [key, value] of JSON.parse(text)) store.set(key, value);
}

/** One after the other: an older content must not replace a newer one. */
export function save() {
  saving = saving.then(async () => {
    const text = JSON.stringify([...store]);
    // BUG non-atomic replace: a crash in between leaves the file without a part of it
    if (bug === 'non-atomic replace') await folder.writeFile(fileName(), text);
    else await folder.replaceFile(fileName(), text);
  });
  return saving;
}

/** The things that this shard still holds when all clients have left, and the most that it had unsent. */
export function leftovers() {
  const waiting = [...waiters.values()].reduce((sum, here) => sum + here.size, 0);
  return { waiting, sessions: sessions.filter((session) => session !== undefined).length, mostUnsentBytes };
}

// Clients of the sample server, who know what is right: one answer to each question, of the key that was asked for.

import assert from 'node:assert/strict';
import { runtime, sleep, spawn } from 'featherstar';
import { connect } from 'featherstar/net';
import { simulate } from 'featherstar/testing';

const SHARDS = 3;
const PAIRS = 4;
const CLIENTS = 2 * PAIRS;
const QUESTIONS = 5;
const UNSENT_MOST = 131_072; // what may wait to be sent on a shard: a little more than a connection's high water
const PORT = 6000;
const module = new URL('./sample.js', import.meta.url);

const draw = (count) => Math.floor(Math.random() * count);
const keyOf = (number) => `k${number}`;

/** A connection that counts its answers. Resolves with nothing: what is wrong throws. */
async function client(number) {
  await sleep(draw(4));
  let socket;
  const asked = new Map();
  const answered = new Set();
  const isLeaver = draw(3) === 0; // leaves in the middle, without a word
  const ask = async (index, verb, key, value = '') => {
    const id = `${number}.${index}`;
    asked.set(id, { verb, key });
    await socket.write(`${id} ${verb} ${key} ${value}\n`);
  };
  try {
    socket = await connect({ port: PORT });
    const pair = number % PAIRS; // one waits for what the other sets
    const first = `w${pair}`;
    if (number < PAIRS) await ask(QUESTIONS + 1, 'WAIT', first);
    else await ask(QUESTIONS + 1, 'SET', first, `${first}=${number}`);
    for (let i = 0; i < QUESTIONS; i++) {
      const key = keyOf(draw(6));
      const isSet = draw(2) === 0;
      await ask(i, isSet ? 'SET' : 'GET', key, isSet ? `${key}=${number}.${i}` : '');
    }
    if (isLeaver)
      await ask(QUESTIONS, 'WAIT', 'k8'); // which never comes
    else if (number === 3) await ask(QUESTIONS, 'DUMP', 'k0');
    if (isLeaver) {
      await sleep(draw(3));
      return;
    }
    await listenTo(socket, asked, answered);
    await sleep(2 * draw(8)); // a second answer would come now
    await socket.end();
    await listenTo(socket, asked, answered, true);
  } catch (error) {
    if (error.code !== 'FEATHERSTAR_SYSTEM' && error.code !== 'FEATHERSTAR_CLOSED') throw error;
  } finally {
    socket?.close();
  }
}

/** Reads until every question has its answer; or, with `toEnd`, until the server has nothing more to say. */
async function listenTo(socket, asked, answered, toEnd = false) {
  let rest = '';
  while (toEnd || answered.size < asked.size) {
    const bytes = await socket.read();
    if (bytes === null) return;
    if (draw(10) === 0) await sleep(draw(10)); // a slow reader
    const lines = (rest + Buffer.from(bytes).toString()).replaceAll(/x+/g, '').split('\n');
    rest = lines.pop();
    for (const line of lines) check(line, asked, answered);
  }
}

function check(line, asked, answered) {
  const [id, result] = line.split(' ');
  const question = asked.get(id);
  assert.ok(question !== undefined, `an answer to somebody else's question: ${line}`);
  assert.ok(!answered.has(id), `a second answer: ${line}`);
  answered.add(id);
  if (question.verb === 'SET') assert.equal(result, 'OK');
  else if (question.verb === 'DUMP') assert.equal(result, 'DUMPED');
  else assert.ok(result === 'NONE' || result === 'LATE' || result.startsWith(`${question.key}=`), line);
}

async function program(bug) {
  const rt = runtime();
  for (let i = 0; i < SHARDS; i++) await rt.on(i).start(bug, PORT);
  const clients = Array.from({ length: CLIENTS }, (_, i) => spawn(() => client(i)));
  await sleep(50); // some who were to set something have lost their connection, or left
  for (let i = 0; i < PAIRS; i++) {
    const key = `w${i}`;
    const owner = rt.on(key.charCodeAt(1) % SHARDS);
    if ((await owner.get(key)) === 'NONE') await owner.set(key, `${key}=main`);
  }
  await Promise.all(clients);
  await sleep(100);
  const left = await rt.onAll().leftovers();
  left.forEach((held, shard) => {
    assert.equal(held.sessions, 0, `shard ${shard} still has sessions`);
    assert.equal(held.waiting, 0, `on shard ${shard} somebody still waits`);
    assert.ok(held.mostUnsentBytes <= UNSENT_MOST, `shard ${shard} had ${held.mostUnsentBytes} bytes unsent`);
  });
}

/** One run of server and clients; `bug`: which one start() plants. */
export function runSample(seed, bug = 'none') {
  const faults = {
    partial: seed % 2 === 0 ? 0.1 : 0,
    reset: seed % 3 === 0 ? 0.02 : 0,
    freeze: seed % 5 === 0 ? 0.01 : 0,
    spurious: 0.02,
  };
  const limits = { creditCount: 1, ringSlots: 1 }; // calls inside each other all the same
  return simulate({ seed, shards: SHARDS, module, faults, limits, maxMs: 600_000, maxTurns: 100_000 }, () =>
    program(bug),
  );
}

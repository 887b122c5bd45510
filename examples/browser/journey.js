// Follows one call from shard 0 to shard 1 and back. This worker is no shard: it only reads. It reads the same few
// words of the shared memory over and over, notes each change and its time, and sends them to the page.
//
// Changes between two looks come in the order of changes(), which is the order in which the shards make them.
//
// Next: memory.js.

import { Watch } from './memory.js';

const LONGEST_MS = 2000;
const AFTERWARDS_MS = 5; // to see them go to sleep again
const LEVEL_NAMES = ['512 ns', '33 µs', '2 ms', '134 ms', '8.6 s', '9 min', '10 h', '26 days'];

/** One direction. The reader's change comes last, so it is read first. */
function way(watch, from) {
  const to = 1 - from;
  const { head } = watch.ring(from, to);
  const isDirty = watch.isDirty(to);
  const sleeping = watch.sleeping(to);
  return { ...watch.ring(from, to), head, isDirty, sleeping };
}

/** Effects are read before their causes, so no look has an effect without its cause. */
function look(watch) {
  const reply = way(watch, 1);
  const fired = watch.counters(1).timersFired;
  const level = watch.wheel(1).occupied.findIndex((bits) => bits !== 0n); // of the timer that is due first
  const steps = watch.counters(1).tasksRun;
  return { ways: [way(watch, 0), reply], fired, level, steps };
}

/** A message on its way from one shard to the other, in sentences. */
function* onTheWay(was, is, from, what) {
  const to = 1 - from;
  if (is.staged !== was.staged) {
    const slot = was.staged % is.slots;
    yield `Shard ${from} writes ${what} into slot ${slot} of its ring. Shard ${to} cannot see it yet.`;
  }
  if (is.tail !== was.tail) yield `Shard ${from} publishes it: one atomic store moves the tail to ${is.tail}.`;
  if (is.isDirty && !was.isDirty) yield `It sets its bit in a mask of shard ${to}'s: there is mail.`;
  if (is.sleeping === 2 && was.sleeping !== 2) yield `Shard ${to} sleeps, so shard ${from} rings its doorbell.`;
  if (is.sleeping === 0 && was.sleeping !== 0) yield `Shard ${to} is awake.`;
  if (!is.isDirty && was.isDirty) yield `Shard ${to} takes the mask, and looks into that ring.`;
  if (is.head !== was.head) yield `Shard ${to} has read ${what}: the head moves to ${is.head}, the slot is free.`;
}

function* changes(was, is) {
  yield* onTheWay(was.ways[0], is.ways[0], 0, 'the call');
  if (is.steps !== was.steps) yield 'Shard 1 runs a step of a task: the function that was called.';
  if (is.level >= 0 && is.level !== was.level) {
    const place = `level ${is.level} of the wheel, where a slot is ${LEVEL_NAMES[is.level]}`;
    if (was.level < 0) yield `The task sleeps: its timer lies on ${place}.`;
    else if (is.level < was.level) yield `Its time comes nearer: the timer moves down to ${place}.`;
  }
  if (is.fired !== was.fired) yield 'The timer fires, and the task goes on.';
  yield* onTheWay(was.ways[1], is.ways[1], 1, 'the reply');
  for (const shard of [0, 1]) {
    const [before, now] = [was.ways[1 - shard].sleeping, is.ways[1 - shard].sleeping];
    if (before === 0 && now === 1) yield `Shard ${shard} has nothing to do, and goes to sleep.`;
  }
}

/** All changes until the reply was read: { us, text }, counted from the moment at which the call was written. */
function follow(watch, first) {
  const events = [];
  let was = first;
  let looks = 1;
  let startMs;
  let endMs = performance.now() + LONGEST_MS;
  while (performance.now() < endMs) {
    const is = look(watch);
    const nowMs = performance.now();
    looks++;
    if (is.ways[0].staged !== first.ways[0].staged) startMs ??= nowMs;
    for (const text of changes(was, is)) events.push({ nowMs, text });
    if (is.ways[1].head !== was.ways[1].head) endMs = nowMs + AFTERWARDS_MS;
    was = is;
  }
  return { looks, events: events.map(({ nowMs, text }) => ({ us: Math.round((nowMs - startMs) * 1000), text })) };
}

addEventListener('message', ({ data }) => {
  const watch = new Watch(data);
  const first = look(watch);
  postMessage('looking'); // now the call may begin
  postMessage(follow(watch, first));
});

// host/shard/operation.ts and owners.ts: what is in flight, and that nothing is released twice, in every build.

import { Runtime } from 'featherstar';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Operation, prepare, Timer } from '../../dist/host/shard/operation.js';
import { Owners } from '../../dist/host/shard/owners.js';
import { currentShard } from '../../dist/host/shard/shard.js';

const OP_NOP = 0;
const isInternal = (text) => (error) => error.code === 'FEATHERSTAR_INTERNAL' && error.message.includes(text);

let runtime;
test.before(async () => {
  runtime = await Runtime.start({ shards: 1, host: 'portable' });
});
test.after(() => runtime.close());

/** An owner with one operation and one timer, and what its events were. */
function makeOwner(shard) {
  const events = [];
  const waiting = [];
  const owner = {
    onEvent(tag, result, flags) {
      if (tag === 1) its.operation.ended(flags);
      else its.timer.ended();
      events.push([tag, result]);
      waiting.shift()?.();
    },
  };
  const id = shard.register(owner);
  const its = { operation: new Operation(shard, id, 1), timer: new Timer(shard, id, 2) };
  const nextEvent = () => new Promise((resolve) => waiting.push(resolve));
  return { ...its, id, events, nextEvent, name: () => shard.ownerName(id) };
}

test('an operation is open until its event, and can be staged again', async () => {
  const shard = currentShard();
  const { operation, id, events, nextEvent } = makeOwner(shard);
  for (let i = 0; i < 3; i++) {
    const event = nextEvent();
    operation.stage(prepare(OP_NOP, 0));
    assert.ok(operation.isOpen);
    await event;
    assert.not(operation.isOpen);
  }
  assert.equal(events, [
    [1, 0],
    [1, 0],
    [1, 0],
  ]);
  shard.unregister(id);
});

test('an operation that is in flight is not staged again, nor a timer armed', async () => {
  const shard = currentShard();
  const { operation, timer, id, nextEvent } = makeOwner(shard);
  const event = nextEvent();
  operation.stage(prepare(OP_NOP, 0));
  assert.throws(() => operation.stage(prepare(OP_NOP, 0)), isInternal('in flight already'));
  await event;
  timer.arm(1e9);
  assert.throws(() => timer.arm(1e9), isInternal('in flight already'));
  assert.ok(timer.disarm());
  assert.not(timer.disarm(), 'there is nothing left to cancel');
  shard.unregister(id);
});

test('an operation or a timer that is not in flight does not end', () => {
  const shard = currentShard();
  const { operation, timer, id } = makeOwner(shard);
  assert.throws(() => operation.ended(), isInternal('was not in flight'));
  timer.arm(1e9);
  timer.disarm();
  assert.throws(() => timer.ended(), isInternal('was not in flight'));
  shard.unregister(id);
});

test('a number is not released twice', () => {
  const shard = currentShard();
  const { id } = makeOwner(shard);
  shard.unregister(id);
  assert.throws(() => shard.unregister(id), isInternal('was released before'));
  const { timer, id: again } = makeOwner(shard);
  assert.is(again, id, 'the number is free');
  timer.arm(1e9);
  shard.unregister(again);
  assert.throws(() => shard.unregister(again), isInternal('was released before'));
  timer.disarm();
});

test('a number stays its owner’s until the last event, and nothing begins under it any more', async () => {
  const shard = currentShard();
  const { operation, timer, id, events, nextEvent } = makeOwner(shard);
  const event = nextEvent();
  operation.stage(prepare(OP_NOP, 0));
  timer.arm(1e9);
  shard.unregister(id);
  await event;
  assert.equal(events, [[1, 0]]);
  assert.throws(() => operation.stage(prepare(OP_NOP, 0)), isInternal('has been released'));
  const other = makeOwner(shard);
  assert.is.not(other.id, id, 'its timer is still in flight');
  timer.disarm();
  const third = makeOwner(shard);
  assert.is(third.id, id);
  for (const { id } of [other, third]) shard.unregister(id);
});

test('an event that was not counted is refused', () => {
  const owners = new Owners();
  const id = owners.register({ onEvent() {} });
  assert.throws(() => owners.end(id), isInternal('nothing in flight'));
  assert.throws(() => owners.deliver(id, 0, 0, 0, true), isInternal('nothing in flight'));
});

test('a send buffer is not given back twice, nor one that is none', () => {
  const { sendBuffers, header } = currentShard();
  const [first, second] = [sendBuffers.take(), sendBuffers.take()];
  assert.throws(() => sendBuffers.give(first + 64), isInternal('is not in use'));
  sendBuffers.give(first);
  assert.throws(() => sendBuffers.give(first), isInternal('is not in use'));
  sendBuffers.give(second);
  const lasting = sendBuffers.takeLasting();
  sendBuffers.giveLasting(lasting);
  assert.throws(() => sendBuffers.giveLasting(lasting), isInternal('is not in use'));
  assert.throws(() => sendBuffers.give(header.sendBufferBytes), isInternal('is not in use'));
});

test('an operation that finds no slot has an event all the same', async () => {
  const shard = currentShard();
  const { operation, id, events, nextEvent } = makeOwner(shard);
  const { submit } = shard.core;
  const event = nextEvent();
  shard.core.submit = () => -5001;
  operation.stage(prepare(OP_NOP, 0));
  assert.throws(() => makeOwner(shard).operation.stageOrThrow(prepare(OP_NOP, 0)), /all operations are in use/);
  shard.core.submit = submit;
  operation.cancel();
  await event;
  assert.equal(events, [[1, -5001]]);
  assert.not(operation.isOpen);
  shard.unregister(id);
});

test.run();

// host/shard/send-buffers.ts alone: who gets a buffer, and when.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { HostControl } from '../../dist/host/core/layout.js';
import { reserveOf, SendBuffers } from '../../dist/host/shard/send-buffers.js';

function make(count) {
  const words = new Int32Array(4096);
  const control = new Int32Array(256);
  const header = { sendBufferCount: count, sendBufferBytes: 64, sendOffset: 64 };
  let hurries = 0;
  const buffers = new SendBuffers(words, control, 1024, header, () => {
    hurries++;
  });
  return { buffers, used: () => control[HostControl.sendBuffersUsed >> 2], hurries: () => hurries };
}

function takeAll(take) {
  const taken = [];
  for (let at = take(); at !== 0; at = take()) taken.push(at);
  return taken;
}

test('each buffer is given out once, and again when it is back', () => {
  const { buffers, used } = make(7);
  const first = takeAll(() => buffers.take());
  assert.is(new Set(first).size, 7);
  assert.is(used(), 7);
  for (const at of first) buffers.give(at);
  assert.is(used(), 0);
  assert.equal(takeAll(() => buffers.take()).sort(), first.sort());
});

test('lasting uses leave a reserve, but of one buffer there is none', () => {
  for (const [count, reserve] of [
    [1, 0],
    [2, 1],
    [4, 1],
    [5, 2],
    [4096, 1024],
  ]) {
    assert.is(reserveOf(count), reserve);
  }
  const { buffers } = make(8);
  const lasting = takeAll(() => buffers.takeLasting());
  assert.is(lasting.length, 6);
  assert.is(takeAll(() => buffers.take()).length, 2);
  buffers.giveLasting(lasting[0]);
  assert.is.not(buffers.takeLasting(), 0);
});

test('who waits is called in order, the two kinds in turn, and none beyond the reserve', () => {
  const { buffers, hurries } = make(4);
  const lasting = takeAll(() => buffers.takeLasting());
  const brief = takeAll(() => buffers.take());
  assert.equal([lasting.length, brief.length], [3, 1]);
  const called = [];
  const wait = (name, when, take) => buffers[when](() => called.push([name, buffers[take]()]));
  for (const name of ['a', 'b', 'c']) wait(name, 'whenFree', 'take');
  for (const name of ['A', 'B', 'C']) wait(name, 'whenLastingFree', 'takeLasting');
  assert.is(hurries(), 6, 'SENDs that have succeeded are asked to say so');
  const names = () =>
    called
      .splice(0)
      .map(([name]) => name)
      .join('');
  buffers.give(brief[0]);
  assert.is(names(), 'a', 'lasting uses have all that they may have');
  buffers.giveLasting(lasting[0]);
  assert.is(names(), 'A');
  buffers.giveLasting(lasting[1]);
  assert.is(names(), 'b', 'the other kind is next');
  buffers.giveLasting(lasting[2]);
  assert.is(names(), 'B');
});

test('a waiter that wants none any more leaves it to the next one', () => {
  const { buffers } = make(1);
  const at = buffers.take();
  const called = [];
  buffers.whenFree(() => called.push('gone'));
  buffers.whenFree(() => called.push(buffers.take()));
  buffers.give(at);
  assert.equal(called, ['gone', at]);
});

test.run();

// The linearizability checker: known histories, and random ones against a check of all orders. A store that is sound
// passes in a world; one that reads from a copy does not.

import { sleep } from 'featherstar';
import {
  assertLinearizable,
  checkLinearizable,
  History,
  listModel,
  queueModel,
  registerModel,
  setModel,
  simulate,
} from 'featherstar/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { rejection } from '../support/hosts.js';

const op = (client, startMs, endMs, input, output) => ({ client, startMs, endMs, input, output });
const write = (value, key) => ({ type: 'write', value, key });
const read = (key) => ({ type: 'read', key });
const isFine = (operations, model) => checkLinearizable(operations, model).isLinearizable;

test('a register: a read may see a write that overlaps it or not, and none goes back in time', () => {
  const model = registerModel(0);
  const overlapping = (first, second) => [
    op('a', 0, 10, write(1), true),
    op('b', 1, 3, read(), first),
    op('b', 4, 6, read(), second),
  ];
  assert.ok(isFine(overlapping(0, 0), model));
  assert.ok(isFine(overlapping(0, 1), model));
  assert.ok(isFine(overlapping(1, 1), model));
  assert.not.ok(isFine(overlapping(1, 0), model));
  assert.not.ok(isFine([op('a', 0, 1, write(1), true), op('b', 2, 3, read(), 0)], model));
  assert.not.ok(isFine([op('b', 2, 3, read(), 7)], model));
});

test('a register: compare and set, keys apart, operations that may have happened', () => {
  const model = registerModel(0);
  const compareAndSet = (expected, value) => ({ type: 'compareAndSet', expected, value });
  assert.ok(isFine([op('a', 0, 5, compareAndSet(0, 1), true), op('b', 0, 5, compareAndSet(0, 2), false)], model));
  assert.not.ok(isFine([op('a', 0, 5, compareAndSet(0, 1), true), op('b', 0, 5, compareAndSet(0, 2), true)], model));
  assert.ok(isFine([op('a', 0, 1, write(1, 'x'), true), op('b', 2, 3, read('y'), 0)], model));
  const lost = op('a', 0, Infinity, write(1), undefined);
  for (const seen of [0, 1]) assert.ok(isFine([lost, op('b', 2, 3, read(), seen)], model));
  assert.not.ok(isFine([lost, op('b', 2, 3, read(), 1), op('b', 4, 5, read(), 0)], model));
});

test('a model whose state is a Map', () => {
  const model = {
    initial: () => new Map(),
    apply: (state, { key, value }, output) => {
      if (value === undefined) return state.get(key) === output ? { state } : undefined;
      return { state: new Map(state).set(key, value) };
    },
  };
  // Only b before a explains the read; after both, the two orders have different Maps.
  const writes = [op('a', 0, 5, { key: 'k', value: 1 }), op('b', 0, 5, { key: 'k', value: 2 })];
  assert.ok(isFine([...writes, op('c', 6, 7, { key: 'k' }, 1)], model));
  assert.ok(isFine([...writes, op('c', 6, 7, { key: 'k' }, 2)], model));
  assert.not.ok(isFine([...writes, op('c', 6, 7, { key: 'k' }, 3)], model));
});

test('a set, a queue, a list', () => {
  const add = { type: 'add', value: 'x' };
  const has = { type: 'has', value: 'x' };
  assert.ok(isFine([op('a', 0, 1, add, false), op('b', 2, 3, has, true)], setModel()));
  assert.not.ok(isFine([op('a', 0, 1, add, false), op('b', 2, 3, add, false)], setModel()));
  const enqueue = (value) => ({ type: 'enqueue', value });
  const dequeue = { type: 'dequeue' };
  const both = [op('a', 0, 5, enqueue(1), true), op('b', 0, 5, enqueue(2), true)];
  assert.ok(isFine([...both, op('a', 6, 7, dequeue, 2), op('a', 8, 9, dequeue, 1)], queueModel()));
  assert.not.ok(isFine([...both, op('a', 6, 7, dequeue, 2), op('b', 6, 9, dequeue, 2)], queueModel()));
  assert.not.ok(isFine([...both, op('a', 6, 7, dequeue, null)], queueModel()));
  const append = (value) => ({ type: 'append', value });
  const list = [op('a', 0, 1, append(1), true), op('b', 2, 3, append(2), true)];
  assert.ok(isFine([...list, op('b', 4, 5, read(), [1, 2])], listModel()));
  assert.not.ok(isFine([...list, op('b', 4, 5, read(), [2, 1])], listModel()));
});

/** Whether any order of all operations that is possible in time gives all results. For few operations. */
function tryAllOrders(operations, model) {
  const go = (left, state) => {
    if (left.length === 0) return true;
    return left.some((next) => {
      if (left.some((other) => other !== next && other.endMs < next.startMs)) return false;
      const after = model.apply(state, next.input, next.output);
      return (
        after !== undefined &&
        go(
          left.filter((other) => other !== next),
          after.state,
        )
      );
    });
  };
  return go(operations, model.initial());
}

test('random histories: the same verdict as by trying all orders', () => {
  let word = 1;
  const draw = (count) => {
    word = (Math.imul(word, 1_103_515_245) + 12_345) & 0x7fffffff;
    return (word >>> 8) % count;
  };
  const verdicts = { true: 0, false: 0 };
  for (let i = 0; i < 3000; i++) {
    const operations = Array.from({ length: 2 + draw(4) }, (_, client) => {
      const startMs = draw(12);
      const input = draw(2) === 0 ? write(draw(3)) : read();
      return op(client, startMs, startMs + draw(8), input, input.type === 'read' ? draw(3) : true);
    });
    const model = registerModel(0);
    const expected = tryAllOrders(operations, model);
    assert.is(isFine(operations, model), expected, JSON.stringify(operations));
    verdicts[expected]++;
  }
  assert.ok(verdicts.true > 300 && verdicts.false > 300, JSON.stringify(verdicts));
});

test('a long history with few overlaps is checked at once', () => {
  const operations = [];
  for (let i = 0; i < 2000; i++) {
    operations.push(op('a', 10 * i, 10 * i + 12, write(i), true), op('b', 10 * i + 14, 10 * i + 15, read(), i));
  }
  assert.ok(isFine(operations, registerModel(0)));
});

/** Clients of a register whose reads come from a copy, `lagMs` behind. */
const store = (lagMs) => async () => {
  const history = new History();
  let [value, copy] = [0, 0];
  const set = async (next) => {
    await sleep(1);
    value = next;
    void sleep(lagMs).then(() => {
      copy = next;
    });
    return true;
  };
  const client = async (name) => {
    for (let i = 1; i <= 5; i++) {
      await history.record(name, write(`${name}${i}`), () => set(`${name}${i}`));
      await history.record(name, read(), async () => (lagMs === 0 ? value : copy));
    }
  };
  await Promise.all(['a', 'b', 'c'].map(client));
  assertLinearizable(history, registerModel(0));
};

test('in a world: a store is linearizable, and one that reads from a copy is not', async () => {
  for (let seed = 1; seed <= 20; seed++) await simulate({ seed }, store(0));
  const error = await rejection(simulate({ seed: 1 }, store(2)));
  assert.match(error.message, /the history is not linearizable\nno order explains more than \d+ of 30 operations/);
  assert.match(error.message, /^x +\|.*client [abc]: \{"type":"read"\} -> /m);
});

test('an operation that fails may have happened', async () => {
  const history = new History(() => 1);
  await rejection(history.record('a', write(1), () => Promise.reject(new Error('no reply'))));
  assert.equal(history.operations, [op('a', 1, Infinity, write(1), undefined)]);
  const wrong = await rejection(
    Promise.resolve().then(() => checkLinearizable([op('a', 2, 1, read(), 0)], registerModel(0))),
  );
  assert.is(wrong.code, 'FEATHERSTAR_OPTION');
});

test.run();

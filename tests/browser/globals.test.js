// What a shard's worker takes for Node's own (host/browser/globals.ts), held against Node's own: the same bytes and the
// same strings, for texts of all kinds from a seed.

import { test } from 'uvu';
import * as assert from 'uvu/assert';

const SEED = 7;
const ROUNDS = 2000;
const TEXT_UNITS_MAX = 300;
const BYTES = 2048;

/** The imitations, without putting them in place of what this process runs on. */
async function load() {
  const real = { Buffer, process, setImmediate };
  Object.assign(globalThis, { Buffer: undefined, process: undefined, setImmediate: undefined }); // as in a worker
  try {
    await import('../../dist/host/browser/globals.js');
    const { Buffer: PageBuffer, process: pageProcess, setImmediate: pageImmediate } = globalThis;
    return { PageBuffer, pageProcess, pageImmediate };
  } finally {
    Object.assign(globalThis, real);
  }
}

// Its port would keep this process: the imitation opens one when it needs it.
const ports = [];
const RealChannel = MessageChannel;
globalThis.MessageChannel = class {
  constructor() {
    const { port1, port2 } = new RealChannel();
    Object.assign(this, { port1, port2 });
    ports.push(port1);
  }
};

const { PageBuffer, pageProcess, pageImmediate } = await load();
assert.is.not(PageBuffer, Buffer);
test.after(() => {
  for (const port of ports) port.close();
});

let state = SEED;
function below(limit) {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  return Math.floor((state / 2 ** 32) * limit);
}

const KINDS = [
  () => 0x20 + below(0x5f),
  () => below(0x100),
  () => 0x80 + below(0x20), // where the web's "latin1" is not latin1
  () => below(0x10000), // halves of pairs, too
  () => 0xd800 + below(0x800),
  () => 0xfeff,
];

function makeText() {
  const kind = KINDS[below(KINDS.length)];
  let text = '';
  for (let length = below(TEXT_UNITS_MAX); length > 0; length--) {
    if (below(8) === 0) text += String.fromCodePoint(0x1f300 + below(0x100));
    else text += String.fromCharCode(kind());
  }
  return text;
}

const same = (ours, theirs, what) => assert.ok(Buffer.from(ours).equals(Buffer.from(theirs)), what);

/** Both kinds over memory that is shared, as a shard's is, and the same bytes in both. */
function pair() {
  const ours = PageBuffer.from(new SharedArrayBuffer(BYTES));
  const theirs = Buffer.from(new SharedArrayBuffer(BYTES));
  for (let i = 0; i < BYTES; i++) {
    const byte = below(256);
    ours[i] = byte;
    theirs[i] = byte;
  }
  return [ours, theirs];
}

test('texts are written as Buffer writes them', () => {
  const [ours, theirs] = pair();
  for (let round = 0; round < ROUNDS; round++) {
    const text = makeText();
    const at = below(BYTES - 2 * text.length);
    assert.is(ours.latin1Write(text, at, text.length), theirs.latin1Write(text, at, text.length));
    same(ours, theirs, `latin1, round ${round}`);
    assert.is(ours.ucs2Write(text, at, 2 * text.length), theirs.ucs2Write(text, at, 2 * text.length));
    same(ours, theirs, `ucs2, round ${round}`);
  }
});

test('UTF-8 is cut off at the end of a character', () => {
  for (let round = 0; round < ROUNDS; round++) {
    const text = makeText();
    const room = below(120);
    const [ours, theirs] = [PageBuffer.from(new SharedArrayBuffer(room)), Buffer.from(new SharedArrayBuffer(room))];
    assert.is(ours.write(text), theirs.write(text), JSON.stringify(text));
    same(ours, theirs, JSON.stringify(text));
    const at = below(room);
    assert.is(ours.write(text, at), theirs.write(text, at), `at ${at}: ${JSON.stringify(text)}`);
    same(ours, theirs, `at ${at}: ${JSON.stringify(text)}`);
    assert.is(PageBuffer.byteLength(text, 'utf8'), Buffer.byteLength(text, 'utf8'));
  }
});

test('bytes are read as Buffer reads them', () => {
  const [ours, theirs] = pair();
  for (let round = 0; round < ROUNDS; round++) {
    const start = below(BYTES);
    const end = start + 2 * below((BYTES - start) / 2);
    assert.is(ours.latin1Slice(start, end), theirs.latin1Slice(start, end), `latin1 ${start}-${end}`);
    assert.is(ours.ucs2Slice(start, end), theirs.ucs2Slice(start, end), `ucs2 ${start}-${end}`);
  }
  for (const length of [4096, 4097, 100_000]) {
    const units = Uint16Array.from({ length }, () => below(0x10000));
    const both = [PageBuffer.from(units.buffer), Buffer.from(units.buffer)];
    assert.ok(both[0].ucs2Slice(0, 2 * length) === both[1].ucs2Slice(0, 2 * length), `${length} units`);
    assert.ok(both[0].latin1Slice(0, length) === both[1].latin1Slice(0, length), `${length} bytes`);
  }
});

test('what was written is read again, a byte order mark too', () => {
  for (let round = 0; round < ROUNDS; round++) {
    const text = round === 0 ? '\ufeffname' : makeText();
    assert.is(PageBuffer.from(text).toString(), Buffer.from(text).toString(), JSON.stringify(text));
  }
});

test('a view shares its bytes, a copy has its own', () => {
  const memory = new SharedArrayBuffer(64);
  const view = PageBuffer.from(memory, 16, 32);
  const copy = PageBuffer.from(view);
  view[0] = 9;
  assert.equal([view.length, new Uint8Array(memory)[16], copy[0], copy.length], [32, 9, 0, 32]);
  assert.is(PageBuffer.alloc(5).length, 5);
  const target = PageBuffer.alloc(8);
  assert.is(view.copy(target, 3, 0, 4), 4);
  assert.equal([...target], [0, 0, 0, 9, 0, 0, 0, 0]);
});

test('bytes are filled in', () => {
  const [ours, theirs] = pair();
  for (let round = 0; round < ROUNDS; round++) {
    const source = Uint8Array.from({ length: 1 + below(100) }, () => below(256));
    const at = below(BYTES - source.length);
    ours.fill(source, at, at + source.length);
    theirs.fill(source, at, at + source.length);
    same(ours, theirs, `round ${round}`);
  }
  ours.fill(7, 3, 9);
  theirs.fill(7, 3, 9);
  same(ours, theirs, 'a number');
});

test('ticks and immediates run in order, after all microtasks', async () => {
  const order = [];
  await new Promise((resolve) => {
    pageProcess.nextTick((what) => order.push(what), 'tick');
    pageImmediate((what) => order.push(what), 'immediate');
    pageImmediate(resolve);
    let microtasks = Promise.resolve();
    for (let i = 0; i < 10; i++) microtasks = microtasks.then(() => order.push(i));
  });
  assert.equal(order, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 'tick', 'immediate']);
});

test('the clock does not go back, and the wheel can hold it', () => {
  const read = () => {
    const [seconds, ns] = pageProcess.hrtime();
    return seconds * 1e9 + ns;
  };
  const LONGEST_NS = 2 ** 60; // assembly/wheel.ts, DEADLINE_MAX_NS
  let before = 0;
  for (let i = 0; i < 1000; i++) {
    const now = read();
    assert.ok(now >= before && now < LONGEST_NS / 2, `${before}, ${now}`);
    before = now;
  }
});

test.run();

// core: both
// Frames: every rule of RFC 6455 that the core checks, in pieces of any size, and random streams against a model.
//
// Next: server.test.js.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { randomFrom, SEED } from '../http/random.js';
import { frame } from './frame.js';
import { DEFLATE, EVENT, MASKED, parse, parseOnce, reset } from './wasm.js';

const COMPRESSED = EVENT.COMPRESSED;
const WIDE = EVENT.WIDE;
const hex = (text) => Buffer.from(text).toString('hex');

/** Parses whole, byte by byte, and at every cut: all must find the same. */
function everyWay(bytes, flags, maxBytes) {
  reset(flags, maxBytes);
  const whole = parse([bytes]);
  const ways = [[...bytes].map((byte) => Buffer.from([byte]))];
  const step = Math.max(1, Math.floor(bytes.length / 200));
  for (let cut = 1; cut < bytes.length; cut += step) ways.push([bytes.subarray(0, cut), bytes.subarray(cut)]);
  for (const pieces of ways) {
    reset(flags, maxBytes);
    const { found, code } = parse(pieces);
    assert.equal([found, code], [whole.found, whole.code], `${pieces.length} pieces, ${pieces[0].length} first`);
  }
  return whole;
}

const accepts = (frames, found, flags, maxBytes) =>
  assert.equal(everyWay(Buffer.concat(frames), flags, maxBytes), { found, code: 0 });

function refuses(code, frames, flags, maxBytes) {
  const whole = everyWay(Buffer.concat(frames), flags, maxBytes);
  assert.is(whole.code, code);
  return whole.found;
}

test('messages of one frame', () => {
  accepts([frame({ opcode: 1, payload: 'hello' })], [[1, hex('hello'), 0]]);
  accepts([frame({ opcode: 2, payload: [0, 255, 128] })], [[2, '00ff80', 0]]);
  accepts(
    [frame({ opcode: 1 }), frame({ opcode: 2 })],
    [
      [1, '', 0],
      [2, '', 0],
    ],
  );
  accepts([frame({ opcode: 1, payload: 'ü' })], [[1, hex('ü'), WIDE]]);
});

test('every length, at every form of it', () => {
  for (const length of [0, 1, 15, 16, 17, 124, 125, 126, 127, 200, 65_535, 65_536, 70_000]) {
    const payload = Buffer.alloc(length, 'abcdefghijklmnopqrstuvw');
    reset();
    assert.equal(parse([frame({ opcode: 1, payload })]), { found: [[1, payload.toString('hex'), 0]], code: 0 });
  }
  refuses(1002, [frame({ form: 16, length: 125 })]);
  refuses(1002, [frame({ form: 64, length: 65_535 })]);
  refuses(1002, [frame({ form: 64, length: 2n ** 63n })]);
  refuses(1009, [frame({ form: 64, length: 2n ** 63n - 1n })]);
  refuses(1009, [frame({ form: 64, length: 2n ** 32n })]);
});

test('each of the four bytes of a mask, at every place', () => {
  const mask = [0x80, 0x7f, 0xff, 0x01];
  for (let length = 0; length < 100; length++) {
    const payload = Buffer.from(Array.from({ length }, (_, i) => (i * 7) & 255));
    accepts([frame({ opcode: 2, payload, mask })], [[2, payload.toString('hex'), 0]]);
  }
});

test('one byte that is not ASCII is seen at every place of a long text', () => {
  const length = 200;
  for (let at = 0; at < length - 1; at++) {
    const payload = Buffer.alloc(length, 'x');
    payload.set([0xc3, 0xbc], at); // ü
    reset();
    assert.equal(parse([frame({ opcode: 1, payload })]), { found: [[1, payload.toString('hex'), WIDE]], code: 0 });
  }
});

test('a peer that must mask, and one that must not', () => {
  refuses(1002, [frame({ payload: 'x', mask: null })], MASKED);
  refuses(1002, [frame({ payload: 'x' })], 0);
  accepts([frame({ opcode: 1, payload: 'unmasked', mask: null })], [[1, hex('unmasked'), 0]], 0);
});

test('reserved bits and opcodes', () => {
  for (const rsv of [1, 2, 3, 4, 5, 6, 7]) {
    for (const opcode of [1, 2, 8, 9, 10]) refuses(1002, [frame({ opcode, rsv })]);
    for (const opcode of [8, 9, 10]) refuses(1002, [frame({ opcode, rsv })], MASKED | DEFLATE);
    if (rsv !== 4) refuses(1002, [frame({ opcode: 2, rsv })], MASKED | DEFLATE);
    refuses(1002, [frame({ opcode: 2, fin: 0 }), frame({ opcode: 0, rsv })], MASKED | DEFLATE);
  }
  for (const opcode of [3, 4, 5, 6, 7, 11, 12, 13, 14, 15]) refuses(1002, [frame({ opcode })]);
});

test('a compressed message is marked, and its text is not checked', () => {
  const first = frame({ opcode: 1, rsv: 4, fin: 0, payload: [0xff] });
  accepts([first, frame({ opcode: 0, payload: [0xc3] })], [[1, 'ffc3', COMPRESSED]], MASKED | DEFLATE);
  accepts(
    [frame({ opcode: 2, rsv: 4, payload: 'a' }), frame({ opcode: 2, payload: 'b' })],
    [
      [2, '61', COMPRESSED],
      [2, '62', 0],
    ],
    MASKED | DEFLATE,
  );
});

test('fragments, and control frames between them', () => {
  const ping = frame({ opcode: 9, payload: 'p' });
  const parts = [frame({ opcode: 1, fin: 0, payload: 'ab' }), ping, frame({ opcode: 0, fin: 0 })];
  accepts(
    [...parts, frame({ opcode: 0, payload: 'c' }), frame({ opcode: 10 })],
    [
      [9, hex('p'), 0],
      [1, hex('abc'), 0],
      [10, '', 0],
    ],
  );
  refuses(1002, [frame({ opcode: 0 })]);
  refuses(1002, [frame({ opcode: 0, fin: 0 })]);
  for (const opcode of [1, 2]) refuses(1002, [frame({ opcode: 1, fin: 0 }), frame({ opcode })]);
  assert.equal(refuses(1002, [frame({ opcode: 1 }), frame({ opcode: 0 })]), [[1, '', 0]]);
});

test('control frames are whole, and short', () => {
  for (const opcode of [8, 9, 10]) {
    refuses(1002, [frame({ opcode, fin: 0 })]);
    refuses(1002, [frame({ opcode, length: 126, payload: Buffer.alloc(126) })]);
    refuses(1002, [frame({ opcode, length: 65_536, payload: Buffer.alloc(126) })]);
    accepts([frame({ opcode, payload: Buffer.alloc(125, 0xff) })], [[opcode, 'ff'.repeat(125), 0]]);
  }
});

test('the limit of a message, over all its fragments', () => {
  const most = { opcode: 2, payload: Buffer.alloc(10) };
  const found = [2, '00'.repeat(10), 0];
  accepts([frame(most), frame(most)], [found, found], MASKED, 10);
  refuses(1009, [frame({ payload: Buffer.alloc(11) })], MASKED, 10);
  const parts = [frame({ fin: 0, payload: Buffer.alloc(6) }), frame({ opcode: 0, fin: 0, payload: Buffer.alloc(4) })];
  accepts([...parts, frame({ opcode: 0 })], [found], MASKED, 10);
  refuses(1009, [...parts, frame({ opcode: 0, payload: 'x' })], MASKED, 10);
  accepts([frame({ opcode: 9, payload: Buffer.alloc(125) })], [[9, '00'.repeat(125), 0]], MASKED, 1);
});

test('a frame that is too large is refused by its head', () => {
  reset(MASKED, 10);
  assert.is(parseOnce(frame({ length: 11 })).taken, -1009);
  reset(MASKED, 2 ** 31 - 1);
  assert.is(parseOnce(frame({ length: 2 ** 31 })).taken, -1009);
});

test('after a failure each call says the same, and a reset helps', () => {
  reset();
  assert.equal(parseOnce(frame({ opcode: 3 })).taken, -1002);
  assert.equal(parseOnce(frame({ opcode: 1, payload: 'ok' })), { taken: -1002, event: 0, data: undefined });
  reset();
  assert.equal(parse([frame({ opcode: 1, payload: 'ok' })]), { found: [[1, hex('ok'), 0]], code: 0 });
});

test('each call takes at most one frame, and says what is still to come', () => {
  reset();
  const two = Buffer.concat([frame({ opcode: 1, payload: 'a' }), frame({ opcode: 1, payload: 'b' })]);
  assert.equal(parseOnce(two), { taken: 7, event: 1 | EVENT.FIN | EVENT.END, data: Buffer.from('a') });
  assert.equal(parseOnce(Buffer.alloc(0)), { taken: 0, event: 0, data: undefined });
  const long = frame({ opcode: 1, payload: 'long' });
  assert.equal(parseOnce(long.subarray(0, 6)), { taken: 6, event: 0, data: undefined }, 'a head, and no payload');
  assert.equal(parseOnce(Buffer.alloc(0)), { taken: 0, event: 0, data: undefined });
  assert.equal(parseOnce(long.subarray(6, 9)), { taken: 3, event: 1 | EVENT.FIN, data: Buffer.from('lon') });
  assert.equal(parseOnce(long.subarray(9)), { taken: 1, event: 1 | EVENT.FIN | EVENT.END, data: Buffer.from('g') });
  const first = frame({ opcode: 2, fin: 0, payload: 'x' });
  assert.equal(parseOnce(first), { taken: 7, event: 2 | EVENT.END, data: Buffer.from('x') });
});

// --- random ----------------------------------------------------------------------------------------------------------

/** A stream of frames that are all right, and what is in it. */
function randomStream(random) {
  const frames = [];
  const found = [];
  const bytes = (length) => Buffer.from(Array.from({ length }, () => random(256)));
  const masked = (options) => frames.push(frame({ ...options, mask: [...bytes(4)] }));
  const control = () => {
    const opcode = 9 + random(2);
    const payload = bytes(random(126));
    masked({ opcode, payload });
    found.push([opcode, payload.toString('hex'), 0]);
  };
  for (let left = 1 + random(6); left > 0; left--) {
    const isText = random(2) === 0;
    const rsv = random(3) === 0 ? 4 : 0;
    const whole = isText ? Buffer.from('ab€\u{1f600}ü'.repeat(random(40))) : bytes(random(300));
    let opcode = isText ? 1 : 2;
    let at = 0;
    for (let parts = random(4); parts > 0; parts--) {
      const end = at + random(whole.length - at + 1);
      masked({ opcode, fin: 0, payload: whole.subarray(at, end), rsv: opcode === 0 ? 0 : rsv });
      opcode = 0;
      at = end;
      if (random(3) === 0) control();
    }
    masked({ opcode, payload: whole.subarray(at), rsv: opcode === 0 ? 0 : rsv });
    const isWide = isText && rsv === 0 && whole.length !== 0;
    found.push([isText ? 1 : 2, whole.toString('hex'), (rsv === 0 ? 0 : COMPRESSED) | (isWide ? WIDE : 0)]);
  }
  return { bytes: Buffer.concat(frames), found };
}

test(`random streams in random pieces, seed ${SEED}`, () => {
  const random = randomFrom(SEED);
  for (let round = 0; round < 500; round++) {
    const { bytes, found } = randomStream(random);
    const pieces = [];
    for (let at = 0; at < bytes.length; ) {
      const end = Math.min(bytes.length, at + 1 + random(1 + random(200)));
      pieces.push(bytes.subarray(at, end));
      at = end;
    }
    reset(MASKED | DEFLATE);
    assert.equal(parse(pieces), { found, code: 0 }, `round ${round}`);
  }
});

test(`random bytes are taken or refused, and never more than were given, seed ${SEED}`, () => {
  const random = randomFrom(SEED + 1);
  for (let round = 0; round < 3000; round++) {
    reset(random(4), 1000);
    const bytes = Buffer.from(Array.from({ length: 1 + random(40) }, () => random(256)));
    const { taken } = parseOnce(bytes);
    assert.ok((taken > 0 && taken <= bytes.length) || [-1002, -1009].includes(taken), `${taken}`);
  }
});

test.run();

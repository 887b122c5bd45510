// core: both
// What the core writes into responses, against what JavaScript says it should be.
//
// Next: ../tidy.test.js.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { randomFrom, SEED } from './random.js';
import { core, OUT, u8 } from './wasm.js';

const TEMPLATE = 16384;
const ROOM = 1024;
const UNTOUCHED = 0xa5;

/** Calls `write(out)`, and answers what it wrote; fails if it touched anything past `room` bytes. */
function written(write, room) {
  u8.fill(UNTOUCHED, OUT - 16, OUT + ROOM);
  const bytes = write(OUT);
  let text = '';
  for (let at = OUT; at < OUT + bytes; at++) text += String.fromCharCode(u8[at]);
  for (let at = OUT - 16; at < OUT; at++) assert.is(u8[at], UNTOUCHED, 'wrote in front');
  for (let at = OUT + room; at < OUT + ROOM; at++) {
    if (u8[at] !== UNTOUCHED) assert.unreachable(`wrote ${at - OUT} bytes behind the start, room was ${room}`);
  }
  return text;
}

function head(template, contentLength) {
  for (let i = 0; i < template.length; i++) u8[TEMPLATE + i] = template.charCodeAt(i);
  const write = (out) => core.http_head(out, TEMPLATE, template.length, contentLength);
  return written(write, template.length + 16);
}

function date(epochSeconds) {
  return written((out) => core.http_date(out, epochSeconds), 32);
}

test('a head is its template, the length and an empty line', () => {
  const values = new Set(Array.from({ length: 12_000 }, (_, index) => index));
  for (let power = 1; power <= 2 ** 32; power *= 2) for (const step of [-1, 0, 1]) values.add(power + step);
  for (let power = 1; power < 2 ** 32; power *= 10) for (const step of [-1, 0, 1]) values.add(power + step);
  const random = randomFrom(SEED);
  for (let i = 0; i < 20_000; i++) values.add(random(2 ** 32));
  const template = 'HTTP/1.1 200 OK\r\nContent-Length: ';
  let count = 0;
  for (const value of values) {
    if (value < 0 || value >= 2 ** 32) continue;
    const actual = head(template, value);
    if (actual !== `${template}${value}\r\n\r\n`) assert.is(actual, `${template}${value}\r\n\r\n`, `seed ${SEED}`);
    count++;
  }
  assert.ok(count > 30_000);
});

test('a template may have any length', () => {
  for (let bytes = 0; bytes < 300; bytes++) {
    const template = Array.from({ length: bytes }, (_, index) => String.fromCharCode(32 + (index % 90))).join('');
    assert.is(head(template, bytes), `${template}${bytes}\r\n\r\n`);
  }
});

test('a date is what RFC 9110 5.6.7 says, in every year from 0 to 9999', () => {
  assert.is(date(784111777), 'Sun, 06 Nov 1994 08:49:37 GMT');
  const check = (epochSeconds) => {
    const expected = new Date(Math.floor(epochSeconds) * 1000).toUTCString();
    if (date(epochSeconds) !== expected) assert.is(date(epochSeconds), expected, `${epochSeconds} seconds`);
  };
  const first = -62167219200;
  const last = 253402300799;
  const random = randomFrom(SEED);
  for (let year = 0; year <= 9999; year++) {
    const start = new Date(0).setUTCFullYear(year, 0, 1) / 1000;
    const march = new Date(0).setUTCFullYear(year, 2, 1) / 1000;
    for (const at of [start, march]) for (const step of [-1, 0]) if (at + step >= first) check(at + step);
    check(start + random(365 * 86400));
  }
  for (let day = 0; day < 366 * 5; day++) check(1577836800 + day * 86400 + random(86400));
  for (const at of [first, last, 0, -1, 0.999, -0.5, 1e9 + 0.5]) check(at);
});

test('a time that has no such date writes nothing', () => {
  for (const value of [-62167219201, 253402300800, 1e300, -1e300, Infinity, -Infinity, NaN]) {
    u8.fill(UNTOUCHED, OUT, OUT + 64);
    assert.is(core.http_date(OUT, value), 0, String(value));
    assert.ok(u8.subarray(OUT, OUT + 64).every((byte) => byte === UNTOUCHED));
  }
});

test.run();

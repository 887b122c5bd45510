// core: both
// The body of a request: Content-Length and chunked, what is refused, every limit, and random chunkings in random
// pieces against the bytes that were sent.
//
// Next: response.test.js.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { randomFrom, SEED } from './random.js';
import { CONN, core, DONE, dataBytes, dataStart, decode, flags, parse, place, setLimits, textAt } from './wasm.js';

const RANGE = -5003;
// biome-ignore format: a list of spellings
const EXTENSIONS_REFUSED = [
  ';', '; ', ' ;', ';;a', ';a;', ';a=', ';a= ', ';=b', '; =b', ';a=b=c', ';a=;b', ';a ', ';a=b ', ';a="b" ', ';a b',
  ';a=b c', ';bad[=x', ';a=[', ';a="b', ';a="b\\"', ';a=b"', ';a="b"c', ';a="b"=c', ';a="b""c"', ';"a"=b', ';\xe9=b',
  ';a=\xe9', ';a="b\rc"', ',a', ':a', ';a b=c',
];
const TCHARS = "!#$%&'*+-.^_`|~09AZaz";

function begin(field) {
  const { result } = parse(`POST / HTTP/1.1\r\nHost: a\r\n${field}\r\n\r\n`);
  assert.ok(result > 0, field);
}

function decodeChunked(pieces) {
  begin('Transfer-Encoding: chunked');
  return decode(pieces);
}

/** Decodes whole, byte by byte and at every cut; all must agree. */
function decodeEveryWay(encoded) {
  const whole = decodeChunked([encoded]);
  const ways = [[...encoded]];
  for (let cut = 1; cut < encoded.length; cut++) ways.push([encoded.slice(0, cut), encoded.slice(cut)]);
  for (const pieces of ways) {
    const { status, body } = decodeChunked(pieces);
    assert.equal([status, body], [whole.status, whole.body], JSON.stringify(pieces));
  }
  return whole;
}

test.before.each(() => setLimits());

test('a body is not decoded before its head', () => {
  core.http_reset(CONN);
  assert.is(core.http_body(CONN, place('x'), 1), RANGE);
  assert.is(core.http_parse(CONN, place('GET / HTTP/1.1\r\n'), 16), 0);
  assert.is(core.http_body(CONN, place('x'), 1), RANGE);
});

test('a request without a body is done at once', () => {
  for (const field of ['X: y', 'Content-Length: 0']) {
    begin(field);
    assert.ok(flags() & DONE);
    assert.is(core.http_body(CONN, place('GET / '), 6), 0);
    assert.is(dataBytes(), 0);
  }
});

test('a body of known length, in pieces', () => {
  begin('Content-Length: 10');
  assert.is(core.http_body(CONN, place(''), 0), 0);
  assert.not(flags() & DONE);
  assert.equal(decode(['hel', '', 'lo, ', 'you', 'NEXT']), { status: 1, body: 'hello, you', consumed: 10 });
  assert.is(core.http_body(CONN, place('NEXT'), 4), 0, 'what follows is not taken');
  begin('Content-Length: 9007199254740991');
  assert.equal(decode(['x'.repeat(5000)]), { status: 0, body: 'x'.repeat(5000), consumed: 5000 });
});

test('a piece of 2 GiB or more is taken in part, for the result is signed', () => {
  begin('Content-Length: 9007199254740991');
  const ptr = place('');
  assert.is(core.http_body(CONN, ptr, 2 ** 31), 2 ** 31 - 1);
  assert.is(dataBytes(), 2 ** 31 - 1);
});

test('what is accepted of chunked bodies', () => {
  const accepted = [
    ['0\r\n\r\n', '', 'RFC 9112 7.1: only the last chunk'],
    ['5\r\nhello\r\n0\r\n\r\n', 'hello', 'plain'],
    ['00000005\r\nhello\r\n000\r\n\r\n', 'hello', 'RFC 9112 7.1: 1*HEXDIG, 1*"0"'],
    ['a\r\n0123456789\r\nB\r\n0123456789a\r\n0\r\n\r\n', '01234567890123456789a', 'either case'],
    ['4\r\n\r\n\r\n\r\n0\r\n\r\n', '\r\n\r\n', 'data is not looked at'],
    ['1;a\r\nx\r\n0;b="c;\\"\t\x80"\r\n\r\n', 'x', 'RFC 9112 7.1.1: extensions'],
    ['1 \t;a=b\r\nx\r\n0\r\n\r\n', 'x', 'RFC 9112 7.1.1: bad whitespace'],
    ['1; \ta \t= \tb \t; c ;d= ""\r\nx\r\n0;a;b\r\n\r\n', 'x', 'RFC 9112 7.1.1: bad whitespace, everywhere'],
    ['1;a="\\"\\\\;\\\t\\\xff"\r\nx\r\n0\r\n\r\n', 'x', 'RFC 9110 5.6.4: quoted pairs'],
    [`0\r\nX: y\r\n${TCHARS}:\r\nZ:\t\x80\xff \r\n\r\n`, '', 'RFC 9112 7.1.2: trailers'],
  ];
  for (const [encoded, body, why] of accepted) {
    const expected = { status: 1, body, consumed: encoded.length };
    assert.equal(decodeEveryWay(encoded), expected, why);
    assert.equal(decodeChunked([`${encoded}GET / HTTP/1.1\r\n`]), expected, `${why}: the next request is left alone`);
    for (let end = 1; end < encoded.length; end++) {
      assert.is(decodeChunked([encoded.slice(0, end)]).status, 0, `${why}: not done after ${end} bytes`);
    }
  }
});

test('what is refused of chunked bodies', () => {
  const refused = [
    ['\r\n', 'no size'],
    [';a\r\n', 'no size'],
    [' 5\r\n', 'RFC 9112 7.1: no space before it'],
    ['5 \r\n', 'RFC 9112 7.1: nor behind it, without an extension'],
    ['-1\r\n', 'no sign'],
    ['+1\r\n', 'no sign'],
    ['0x5\r\n', 'hex digits only'],
    ['g\r\n', 'hex digits only'],
    ['`\r\n', 'next to a letter'],
    ['@\r\n', 'next to a letter'],
    ['5\n', 'RFC 9112 2.2: bare LF'],
    ['5\rx', 'RFC 9112 2.2: bare CR'],
    ['5;a\n', 'RFC 9112 2.2: bare LF'],
    ['5;a\0', 'a control'],
    ['5;a\x7f', 'a control'],
    ['5;a\rb', 'RFC 9112 2.2: bare CR'],
    ['5 a', 'only ; may follow the space'],
    ...EXTENSIONS_REFUSED.map((extension) => [`5${extension}\r\nhello\r\n0\r\n\r\n`, 'RFC 9112 7.1.1']),
    ...EXTENSIONS_REFUSED.map((extension) => [`0${extension}\r\n\r\n`, 'RFC 9112 7.1.1, of the last chunk']),
    ['1\r\nxy', 'the chunk is longer than it said'],
    ['1\r\nx\n', 'RFC 9112 2.2: bare LF'],
    ['1\r\nx\rx', 'RFC 9112 2.2: bare CR'],
    ['0\r\n\n', 'RFC 9112 2.2: bare LF'],
    ['0\r\n\rx', 'RFC 9112 2.2: bare CR'],
    ['0\r\nX\r\n', 'a trailer without a colon'],
    ['0\r\n: y\r\n', 'a trailer without a name'],
    ['0\r\nX : y\r\n', 'RFC 9112 5.1'],
    ['0\r\n X: y\r\n', 'RFC 9112 5.2: no folding'],
    ['0\r\nX: y\0', 'a control'],
    ['0\r\nX: y\n', 'RFC 9112 2.2: bare LF'],
    ['0\r\nX: y\rz', 'RFC 9112 2.2: bare CR'],
    ['0\r\nX\xe9: y', 'not a token'],
  ];
  for (const [encoded, why] of refused) {
    assert.is(decodeEveryWay(encoded).status, -400, `${why}: ${JSON.stringify(encoded)}`);
  }
});

test('trailers and extensions may hold what a head may: every byte', () => {
  for (let code = 0; code < 256; code++) {
    const byte = String.fromCharCode(code);
    const tokenOk = /[!#$%&'*+\-.^_`|~0-9A-Za-z]/.test(byte);
    const nameOk = tokenOk || byte === ':'; // a colon ends the name
    const valueOk = /[\t -~\x80-\xff]/.test(byte);
    assert.is(decodeChunked([`0\r\nX${byte}X: y\r\n\r\n`]).status, nameOk ? 1 : -400, `name: 0x${code.toString(16)}`);
    assert.is(decodeChunked([`0\r\nX:y${byte}y\r\n\r\n`]).status, valueOk ? 1 : -400, `value: 0x${code.toString(16)}`);
    const quotedOk = valueOk && byte !== '"'; // a quote in the middle ends the string; a backslash is for the next byte
    const extension = `extension: 0x${code.toString(16)}`;
    assert.is(decodeChunked([`0;x${byte}x\r\n\r\n`]).status, /[;=]/.test(byte) || tokenOk ? 1 : -400, extension);
    assert.is(decodeChunked([`0;x=x${byte}x\r\n\r\n`]).status, byte === ';' || tokenOk ? 1 : -400, extension);
    assert.is(decodeChunked([`0;x="x${byte}x"\r\n\r\n`]).status, quotedOk ? 1 : -400, extension);
    assert.is(decodeChunked([`0;x="\\${byte}"\r\n\r\n`]).status, valueOk ? 1 : -400, extension);
  }
});

test('a chunk may have 2^53 - 1 bytes, in 16 digits', () => {
  for (const size of ['1fffffffffffff', '001FFFFFFFFFFFFF']) {
    assert.equal(decodeChunked([`${size}\r\nxx`]), { status: 0, body: 'xx', consumed: size.length + 4 });
  }
  for (const size of ['20000000000000', 'ffffffffffffffff', '10000000000000000']) {
    assert.is(decodeChunked([`${size}\r\n`]).status, -400, size);
  }
  assert.is(decodeChunked([`${'0'.repeat(16)}\r\n\r\n`]).status, 1);
  assert.is(decodeChunked(['0'.repeat(17)]).status, -400, '17 digits');
});

test('a chunk may have 256 bytes of extension, and trailers 8 KiB', () => {
  const extension = `;${'x'.repeat(255)}`;
  const chunk = `1${extension}\r\nx\r\n`;
  assert.equal(decodeChunked([`${chunk}${chunk}0${extension}\r\n\r\n`]).body, 'xx');
  assert.equal(decodeChunked(['1;23456789abcdef\r\nx\r\n0000000000000001\r\ny\r\n']).body, 'xy', 'counted anew');
  assert.is(decodeChunked([`1${extension}x`]).status, -431);
  assert.is(decodeChunked([`1${' '.repeat(257)}`]).status, -431, 'spaces count');
  const trailer = `X: ${'y'.repeat(1019)}\r\n`;
  assert.is(trailer.length, 1024);
  assert.is(decodeChunked([`0${extension}\r\n${trailer.repeat(8)}\r\n`]).status, 1);
  assert.is(decodeChunked([`0\r\n${trailer.repeat(8)}X`]).status, -431);
  assert.is(decodeChunked([`0\r\nX: ${'y'.repeat(8190)}`]).status, -431, 'in mid-line');
});

test('the data of all chunks in a piece comes as one run', () => {
  const one = '1\r\nx\r\n';
  const cases = [
    [one.repeat(1000), 'x'.repeat(1000)],
    [
      `3\r\nabc\r\n${one}5;a=b\r\nhello\r\n400\r\n${'y'.repeat(1024)}\r\n2\r\n\r\n\r\n`,
      `abcxhello${'y'.repeat(1024)}\r\n`,
    ],
    [`${one}${one}ff\r\nbegun`, 'xxbegun'],
    [`${one}${one}f`, 'xx'],
    [`${one}${one}0\r\nX: y\r\n\r\n`, 'xx'],
  ];
  for (const [encoded, body] of cases) {
    begin('Transfer-Encoding: chunked');
    const at = place(encoded);
    assert.is(core.http_body(CONN, at, encoded.length), encoded.length);
    assert.is(textAt(at + dataStart(), dataBytes()), body);
    assert.is(dataStart(), encoded.indexOf('\n') + 1, 'the first data stays where it is');
  }
});

test('data before what is refused comes first; the refusal is repeated', () => {
  for (const [bad, status] of [
    ['1\r\nz!', -400],
    [`1;x=${'x'.repeat(300)}`, -431],
    ['0\r\n X', -400],
  ]) {
    begin('Transfer-Encoding: chunked');
    const data = '1\r\nx\r\n2\r\nyz\r\n';
    const at = place(data + bad);
    const taken = core.http_body(CONN, at, data.length + bad.length);
    assert.ok(taken >= data.length && taken < data.length + bad.length, `${taken}`);
    assert.is(textAt(at + dataStart(), dataBytes()).slice(0, 3), 'xyz');
    for (let i = 0; i < 3; i++) {
      assert.is(core.http_body(CONN, at + taken, 1), status);
      assert.is(dataBytes(), 0);
    }
    core.http_reset(CONN);
    assert.ok(parse('GET / HTTP/1.1\r\nHost: a\r\n\r\n').result > 0, 'the next request is none the worse');
  }
});

// --- chance ---------------------------------------------------------------------------------------------------------

function randomText(random, bytesMax) {
  let text = '';
  for (let bytes = random(bytesMax + 1); bytes > 0; bytes--) text += String.fromCharCode(random(256));
  return text;
}

function encodeChunks(body, random) {
  let encoded = '';
  for (let at = 0; at < body.length; ) {
    const bytes = 1 + random(Math.min(body.length - at, random(4) === 0 ? 1000 : 8));
    const size = bytes.toString(16).padStart(random(6), '0');
    const extension = random(4) === 0 ? `${' '.repeat(random(3))};a="${random(1000)}"` : '';
    encoded += `${random(2) ? size.toUpperCase() : size}${extension}\r\n${body.slice(at, at + bytes)}\r\n`;
    at += bytes;
  }
  return `${encoded}0\r\n${'X-Sum: 1, 2\r\n'.repeat(random(3))}\r\n`;
}

function split(text, random) {
  const pieces = [];
  for (let at = 0; at < text.length; ) {
    const bytes = 1 + random(random(2) ? 4 : 400);
    pieces.push(text.slice(at, at + bytes));
    at += bytes;
  }
  return pieces;
}

test('random bodies in random chunks and pieces arrive as they were sent', () => {
  const random = randomFrom(SEED);
  const cases = process.env.FEATHERSTAR_FULL ? 200_000 : 10_000;
  for (let i = 0; i < cases; i++) {
    const why = `FEATHERSTAR_SEED=${SEED}, case ${i}`;
    const body = randomText(random, random(10) === 0 ? 3000 : 60);
    const encoded = encodeChunks(body, random);
    const expected = { status: 1, body, consumed: encoded.length };
    assert.equal(decodeChunked(split(`${encoded}NEXT`, random)), expected, why);
    if (body === '') continue;
    begin(`Content-Length: ${body.length}`);
    assert.equal(decode(split(`${body}NEXT`, random)), { status: 1, body, consumed: body.length }, why);
  }
});

test('damaged chunks are decoded or refused the same, however they are cut', () => {
  const random = randomFrom(SEED + 1);
  const cases = process.env.FEATHERSTAR_FULL ? 1_000_000 : 50_000;
  let refusedCount = 0;
  for (let i = 0; i < cases; i++) {
    const encoded = encodeChunks(randomText(random, 20), random);
    const at = random(encoded.length);
    const damaged = encoded.slice(0, at) + String.fromCharCode(random(256)) + encoded.slice(at + random(3));
    const whole = decodeChunked([damaged]);
    const pieces = decodeChunked(split(damaged, random));
    const why = `FEATHERSTAR_SEED=${SEED}, case ${i}: ${JSON.stringify(damaged)}`;
    assert.equal([pieces.status, pieces.body], [whole.status, whole.body], why);
    if (whole.status < 0) refusedCount++;
  }
  assert.ok(refusedCount > cases / 10 && refusedCount < cases, `${refusedCount} of ${cases} refused`);
});

test.run();

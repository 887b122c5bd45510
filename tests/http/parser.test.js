// core: both
// The head of a request: tables of what is accepted and refused, every way to cut it, every byte in every place, every
// limit, and a million random requests against the naive parser in model.js.
//
// Next: body.test.js.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ACCEPTED, CORPUS, REFUSED } from './corpus.js';
import { model } from './model.js';
import { randomFrom, SEED } from './random.js';
import {
  CONN,
  CONNECTION_BYTES,
  core,
  DEFAULT_LIMITS,
  decode,
  METHODS,
  outcome,
  parse,
  place,
  setLimits,
  u8,
} from './wasm.js';

const TOKEN = /[!#$%&'*+\-.^_`|~0-9A-Za-z]/;
const show = (text) => JSON.stringify(text.length > 300 ? `${text.slice(0, 300)}...` : text);

function same(actual, expected) {
  const keys = Object.keys(expected);
  return keys.length === Object.keys(actual).length && keys.every((key) => actual[key] === expected[key]);
}

/** Fails unless `actual` and `expected` are the same outcome. Cheap when they are, which is a million times. */
function assertSame(actual, expected, why) {
  if (!same(actual, expected)) assert.equal(actual, expected, why());
}

test.before.each(() => setLimits());

test('http_reset() zeroes the connection and nothing else', () => {
  u8.fill(0xa5, CONN - 64, CONN + 128);
  core.http_reset(CONN);
  for (let at = CONN - 64; at < CONN + 128; at++) {
    assert.is(u8[at], at >= CONN && at < CONN + CONNECTION_BYTES ? 0 : 0xa5, `byte ${at - CONN}`);
  }
});

test('what is accepted', () => {
  for (const [request, expected, why] of ACCEPTED) {
    const actual = parse(`${request}body`);
    assert.is(actual.result, request.length, `${why}: ${show(request)}`);
    for (const [field, value] of Object.entries(expected)) {
      assert.is(actual[field], value, `${field} of ${show(request)}: ${why}`);
    }
  }
});

test('what is refused', () => {
  for (const [request, status, why] of REFUSED) {
    assert.equal(parse(request), { result: status }, `${why}: ${show(request)}`);
  }
});

test('the model agrees with the tables', () => {
  for (const [request, , why] of CORPUS) {
    assert.equal(model(request, DEFAULT_LIMITS), parse(request), `${why}: ${show(request)}`);
  }
});

test('a request in two pieces is the same request, wherever it is cut', () => {
  for (const [request, , why] of CORPUS) {
    const whole = parse(request);
    for (let cut = 0; cut <= request.length; cut++) {
      assertSame(parse(request, [cut, request.length]), whole, () => `${why}: cut at ${cut}: ${show(request)}`);
    }
  }
});

test('a request that arrives byte by byte is refused at the first byte that is wrong', () => {
  for (const [request, , why] of CORPUS) {
    const whole = parse(request);
    core.http_reset(CONN);
    for (let end = 1; end <= request.length; end++) {
      const prefix = request.slice(0, end);
      const actual = outcome(core.http_parse(CONN, place(prefix), end));
      assertSame(actual, model(prefix, DEFAULT_LIMITS), () => `${why}: ${end} bytes of ${show(request)}`);
      if (actual.result === 0) continue;
      assertSame(actual, whole, () => `${why}: byte by byte: ${show(request)}`);
      break;
    }
  }
});

test('every byte in every place of a method, target, name, value and host', () => {
  const places = {
    method: [(run) => `${run} / HTTP/1.0\r\n\r\n`, (byte) => TOKEN.test(byte), 24],
    target: [(run) => `GET /${run} HTTP/1.0\r\n\r\n`, (byte) => /[!-"$-~]/.test(byte), 36],
    'target that is not plain': [(run) => `GET /"${run} HTTP/1.0\r\n\r\n`, (byte) => /[!-"$-~]/.test(byte), 36],
    name: [(run) => `GET / HTTP/1.0\r\n${run}: a\r\n\r\n`, (byte) => TOKEN.test(byte), 36],
    value: [(run) => `GET / HTTP/1.0\r\nX:${run}\r\n\r\n`, (byte) => /[\t -~\x80-\xff]/.test(byte), 36],
    host: [(run) => `GET / HTTP/1.0\r\nHost:b${run}b\r\n\r\n`, (byte) => /[\w\-.~!$&'()*+,;=%]/.test(byte), 36],
  };
  for (const [name, [build, belongs, bytesMax]] of Object.entries(places)) {
    for (let at = 0; at < bytesMax; at++) {
      for (let code = 0; code < 256; code++) {
        const byte = String.fromCharCode(code);
        if ((byte === ' ' || byte === '?') && name.startsWith('target')) continue; // they end the target and the path
        if (byte === ' ' && name === 'method') continue;
        if (byte === ':' && name === 'name') continue; // ends the name: legal but for an empty one
        const run = 'a'.repeat(at) + byte + 'a'.repeat(bytesMax - 1 - at);
        const request = build(run);
        const expected = belongs(byte) ? request.length : -400;
        const { result } = parse(request);
        if (result !== expected) assert.is(result, expected, `0x${code.toString(16)} at ${at} of a ${name}`);
      }
    }
  }
});

/** `word` with any one bit changed, if it is still a token. */
function withOneBitChanged(word) {
  const others = Array.from({ length: 8 * word.length }, (_, bit) => {
    const at = bit >> 3;
    return word.slice(0, at) + String.fromCharCode(word.charCodeAt(at) ^ (1 << (bit & 7))) + word.slice(at + 1);
  });
  return others.filter((other) => [...other].every((byte) => TOKEN.test(byte)));
}

test('a method that differs from a known one in any bit is another method', () => {
  for (const method of METHODS.slice(1)) {
    for (const other of withOneBitChanged(method)) {
      assert.is(parse(`${other} / HTTP/1.0\r\n\r\n`).methodId, 0, other);
    }
  }
});

test('a word that differs from a known one in any bit is another word', () => {
  const words = {
    field: [['Host', 'Expect', 'Connection', 'Content-Length', 'Transfer-Encoding'], (word) => `${word}: close,x y`],
    option: [['keep-alive', 'close', 'upgrade'], (word) => `Connection: ${word}`],
    expectation: [['100-continue'], (word) => `Expect: ${word}`],
    coding: [['chunked'], (word) => `Transfer-Encoding: ${word}`],
  };
  const outcomeOf = (line, version) => {
    const { result, flags } = parse(`GET / HTTP/1.${version}\r\n${version ? 'Host: a\r\n' : ''}${line}\r\n\r\n`);
    return result > 0 ? flags : result;
  };
  for (const [kind, [known, build]] of Object.entries(words)) {
    for (const version of [0, 1]) {
      const unknown = outcomeOf(build('xyz'), version);
      for (const word of known) {
        for (const other of withOneBitChanged(word)) {
          const expected = other.toLowerCase() === word.toLowerCase() ? outcomeOf(build(word), version) : unknown;
          assert.is(outcomeOf(build(other), version), expected, `${kind} ${other}`);
        }
      }
    }
  }
});

test('nothing is read beyond 16 bytes behind the input', () => {
  for (const [request, , why] of CORPUS) {
    const whole = parse(request);
    for (let end = 1; end <= request.length; end++) {
      const at = u8.length - 16 - end; // a load further on would trap
      u8.fill(0x78, at + end); // what would go on, if it counted
      for (let i = 0; i < end; i++) u8[at + i] = request.charCodeAt(i);
      core.http_reset(CONN);
      const { result } = outcome(core.http_parse(CONN, at, end));
      if (result !== 0) assert.is(result, whole.result, `${why}: ${end} bytes of ${show(request)}`);
    }
  }
});

test('lines that are done are not looked at again', () => {
  for (const lines of ['\r\n\r\n', 'GET / HTTP/1.0\r\n', 'GET / HTTP/1.0\r\nX: y\r\n']) {
    const start = `${lines}${lines[0] === 'G' ? 'Name' : 'GET'}`;
    const rest = lines[0] === 'G' ? ': value\r\n\r\n' : ' / HTTP/1.0\r\n\r\n';
    const whole = parse(start + rest);
    core.http_reset(CONN);
    assert.is(core.http_parse(CONN, place(start), start.length), 0);
    const spoilt = '\0'.repeat(lines.length) + start.slice(lines.length) + rest;
    assert.equal(outcome(core.http_parse(CONN, place(spoilt), spoilt.length)), whole, show(start));
  }
});

test('the connection serves its next request after a reset', () => {
  const pipeline = ACCEPTED.map(([request]) => request);
  const stream = pipeline.join('');
  let at = 0;
  for (const request of pipeline) {
    const { result } = parse(stream.slice(at, at + 3000));
    assert.is(result, request.length, show(request));
    at += result;
  }
  assert.is(at, stream.length);
});

// --- limits ---------------------------------------------------------------------------------------------------------

test('the head may have headBytes bytes, blank lines and all', () => {
  for (const headBytes of [64, 1000, 16384]) {
    setLimits({ ...DEFAULT_LIMITS, headBytes });
    const start = '\r\nGET / HTTP/1.0\r\nX: ';
    const fill = 'a'.repeat(headBytes - start.length - 4);
    const exact = `${start}${fill}\r\n\r\n`;
    assert.is(exact.length, headBytes);
    assert.is(parse(exact).result, headBytes);
    assert.is(parse(`${exact}more`).result, headBytes);
    assert.is(parse(`${start}${fill}a\r\n\r\n`).result, -431);
    assert.is(parse(`${start}${fill}aa\r\n`).result, -431, 'trips while incomplete');
    assert.is(parse(exact.slice(0, -1)).result, 0);
    assert.is(parse('\r\n'.repeat(headBytes / 2)).result, -431, 'empty lines alone');
    assert.is(parse(exact.replace('X: ', 'X\0 ')).result, -400, 'an earlier fault comes first');
    assert.is(parse(`${start}${fill}aaaaaa\0\r\n\r\n`).result, -431, 'a later fault is not looked at');
  }
});

test('a head of headBytes bytes is parsed byte by byte', () => {
  setLimits({ ...DEFAULT_LIMITS, headBytes: 1000 });
  const lines = 'Name: value\r\n'.repeat(74);
  const exact = `GET /${'a'.repeat(1000 - lines.length - 18)} HTTP/1.0\r\n${lines}\r\n`;
  assert.is(exact.length, 1000);
  const ends = Array.from(exact, (_, index) => index + 1);
  assert.equal(parse(exact, ends), parse(exact));
  assert.is(parse(`${exact.slice(0, -2)}aa`, ends).result, -431);
});

test('there may be headerCount header fields', () => {
  for (const headerCount of [0, 1, 100]) {
    setLimits({ ...DEFAULT_LIMITS, headerCount });
    const head = `GET / HTTP/1.0\r\n${'X: a\r\n'.repeat(headerCount)}`;
    assert.is(parse(`${head}\r\n`).headerCount, headerCount);
    assert.is(parse(`${head}X: a\r\n\r\n`).result, -431);
    assert.is(parse(`${head}X`).result, -431, 'trips at the first byte of the field');
  }
});

test('a target may have targetBytes bytes', () => {
  for (const targetBytes of [1, 15, 16, 17, 8192]) {
    setLimits({ ...DEFAULT_LIMITS, targetBytes });
    const target = `/${'a'.repeat(targetBytes - 1)}`;
    assert.is(parse(`GET ${target} HTTP/1.0\r\n\r\n`).targetEnd, 4 + targetBytes);
    assert.is(parse(`GET ${target}a HTTP/1.0\r\n\r\n`).result, -414);
    assert.is(parse(`GET ${target}a`).result, -414, 'trips while incomplete');
    assert.is(parse(`GET ${target}`).result, 0);
    assert.is(parse(`GET ${target}\0`).result, -400, 'an earlier fault comes first');
  }
});

test('a method may have 24 bytes', () => {
  assert.is(parse('M'.repeat(24)).result, 0);
  assert.is(parse('M'.repeat(25)).result, -501, 'trips while incomplete');
  assert.is(parse(`${'M'.repeat(40)} / HTTP/1.0\r\n\r\n`).result, -501);
});

test('a body of Content-Length bytes follows, and then the next request', () => {
  const { result, contentLength } = parse('POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\nhelloGET');
  assert.equal([result, contentLength], [38, 5]);
  assert.equal(decode(['helloGET']), { status: 1, body: 'hello', consumed: 5 });
});

// --- chance ---------------------------------------------------------------------------------------------------------

// biome-ignore format: a list of words
const PIECES = [
  '\r\n', '\r', '\n', ' ', '\t', ':', ',', '/', '?', '#', '*', '\0', '\x7f', '\x80', '\xff', '0', '9', '[::1]', 'a:80',
  'GET ', 'HTTP/1.0', 'HTTP/1.1', 'HTTP/1.2', 'http://a', 'Host: a\r\n', 'Host: a b\r\n', 'Content-Length: 5\r\n',
  'Transfer-Encoding: chunked\r\n', 'Transfer-Encoding: gzip\r\n', 'Connection: close\r\n',
  'Connection: upgrade,keep-alive\r\n', 'Expect: 100-continue\r\n', 'Expect: x\r\n', 'X: y\r\n',
  ' folded\r\n', 'CONNECT a:1', 'OPTIONS * ', 'aaaaaaaaaaaaaaaaaaaaaaaaa',
];

function mutate(text, random) {
  let mutant = text;
  for (let changes = random(4); changes > 0; changes--) {
    const at = random(mutant.length + 1);
    const piece = random(4) === 0 ? String.fromCharCode(random(256)) : PIECES[random(PIECES.length)];
    const lines = mutant.split('\r\n');
    const line = random(lines.length);
    switch (random(6)) {
      case 0: // overwrite
        mutant = mutant.slice(0, at) + piece + mutant.slice(at + piece.length);
        break;
      case 1: // insert
        mutant = mutant.slice(0, at) + piece + mutant.slice(at);
        break;
      case 2: // delete
        mutant = mutant.slice(0, at) + mutant.slice(at + 1 + random(4));
        break;
      case 3: // a line twice
        lines.splice(line, 0, lines[random(lines.length)]);
        mutant = lines.join('\r\n');
        break;
      case 4: // a line of its own
        lines.splice(line, 0, piece.replace('\r\n', ''));
        mutant = lines.join('\r\n');
        break;
      default: // cut off
        if (random(4) === 0) mutant = mutant.slice(0, at);
    }
  }
  return mutant;
}

test('a million random requests, whole and in two pieces, are what the model says', () => {
  const limits = { headBytes: 120, headerCount: 4, targetBytes: 30 };
  setLimits(limits);
  const cases = process.env.FEATHERSTAR_FULL ? 10_000_000 : 1_000_000;
  const random = randomFrom(SEED);
  const seeds = CORPUS.map(([request]) => request).filter((request) => request.length <= limits.headBytes);
  const seen = new Map();
  for (let i = 0; i < cases; i++) {
    const request = mutate(seeds[random(seeds.length)], random);
    const expected = model(request, limits);
    const cut = random(request.length + 1);
    const why = () => `FEATHERSTAR_SEED=${SEED}, case ${i}: ${JSON.stringify(request)}, cut at ${cut}`;
    assertSame(parse(request), expected, why);
    assertSame(parse(request, [cut, request.length]), expected, why);
    const answer = Math.min(expected.result, 1);
    seen.set(answer, (seen.get(answer) ?? 0) + 1);
  }
  // Chance must reach every answer often, or it proves little.
  for (const answer of [1, 0, -400, -414, -417, -431, -501, -505]) {
    assert.ok(seen.get(answer) > cases / 5000, `only ${seen.get(answer)} of ${cases} answered ${answer}`);
  }
});

test.run();

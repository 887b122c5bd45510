// core: both
// What the parser calls plain, a URL parser must leave as it is: then `request.url` and `request.path` are cut out of
// the head, and no URL is made. Here all of them are made, by the platform's URL, and compared.
//
// Next: body.test.js.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { HOSTS_ODD, HOSTS_PLAIN, TARGETS_ODD, TARGETS_PLAIN } from './corpus.js';
import { randomFrom, SEED } from './random.js';
import { ODD_HOST, ODD_TARGET, parse, setLimits } from './wasm.js';

const HOST_PIECES = [
  '.',
  '-',
  '_',
  '--',
  'xn--',
  'xn-',
  'a',
  'A',
  'f',
  '0',
  '1',
  '08',
  '255',
  '256',
  '0x',
  ':',
  ':80',
  '~',
  '%41',
];
const TARGET_PIECES = [
  '/',
  '.',
  '..',
  '/..',
  '/.',
  '%2e',
  '%',
  '?',
  '\\',
  "'",
  '"',
  '^',
  '[',
  ']',
  '|',
  ':',
  '@',
  '{',
  '~',
  'a',
];

/** The parser's flags, and where it found things; undefined if it refuses. */
function flagsOf(target, host) {
  const { result, flags, targetStart, pathEnd } = parse(`GET ${target} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
  return result > 0 ? { flags, path: target.slice(0, pathEnd - targetStart) } : undefined;
}

/** Fails if the host is plain to the parser, and not to the platform. Returns whether it is plain. */
function checkHost(host, why) {
  const seen = flagsOf('/', host);
  if (seen === undefined || (seen.flags & ODD_HOST) !== 0) return false;
  const href = URL.canParse(`http://${host}`) ? new URL(`http://${host}`).href : 'no URL';
  if (href !== `http://${host}/`) assert.is(href, `http://${host}/`, why);
  return true;
}

function checkTarget(target, why) {
  const seen = flagsOf(target, 'a');
  if (seen === undefined || (seen.flags & ODD_TARGET) !== 0) return false;
  const { href, pathname } = new URL(`http://a${target}`);
  if (href !== `http://a${target}` || pathname !== seen.path) assert.equal([href, pathname], [target, seen.path], why);
  return true;
}

test.before.each(() => setLimits());

test('what is plain in the tables is plain to the platform', () => {
  for (const host of HOSTS_PLAIN) assert.ok(checkHost(host, host), host);
  for (const host of HOSTS_ODD) assert.not(checkHost(host, host), host);
  for (const target of TARGETS_PLAIN) assert.ok(checkTarget(target, target), target);
  for (const target of TARGETS_ODD) assert.not(checkTarget(target, target), target);
});

test('every byte in every place of a host and of a target', () => {
  for (let at = 0; at < 36; at++) {
    for (let code = 0x21; code < 0x7f; code++) {
      const byte = String.fromCharCode(code);
      for (const others of ['a', '1']) {
        const text = others.repeat(at) + byte + others.repeat(36 - at);
        checkHost(text, text);
        for (const start of ['/', '/?', '//']) checkTarget(start + text, text);
      }
    }
  }
});

test('all addresses of four small numbers, and names that look like them', () => {
  const numbers = ['0', '9', '10', '99', '100', '199', '255', '256', '300', '00', '01', '1e', '0x1', ''];
  let plain = 0;
  for (const a of numbers) {
    for (const b of numbers) {
      for (const c of numbers) {
        for (const d of numbers) plain += checkHost(`${a}.${b}.${c}.${d}`, 'address');
        plain += checkHost(`${a}.${b}.${c}`, 'address');
      }
    }
  }
  assert.is(plain, 7 ** 4);
});

test('random hosts and targets', () => {
  const random = randomFrom(SEED);
  const cases = process.env.FEATHERSTAR_FULL ? 1_000_000 : 50_000;
  const pick = (pieces) => (random(8) === 0 ? String.fromCharCode(0x21 + random(0x5e)) : pieces[random(pieces.length)]);
  const join = (pieces) => Array.from({ length: 1 + random(8) }, () => pick(pieces)).join('');
  let hosts = 0;
  let targets = 0;
  for (let i = 0; i < cases; i++) {
    const why = `FEATHERSTAR_SEED=${SEED}, case ${i}`;
    hosts += checkHost(join(HOST_PIECES), why);
    targets += checkTarget(`/${join(TARGET_PIECES)}`, why);
  }
  assert.ok(hosts > cases / 50 && targets > cases / 50, `${hosts} hosts and ${targets} targets of ${cases} were plain`);
});

test.run();

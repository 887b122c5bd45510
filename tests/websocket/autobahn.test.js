// The cases of the Autobahn test suite for servers, by their numbers. Each says what a client sends to an echo server,
// and what has to come back. Written from its public list of cases. Sections 9, 12 and 13 have fewer messages.
//
//   send     frames, as one piece or in pieces of so many bytes
//   expect   [opcode, text or bytes]: what comes back, in order
//   fails    the codes with which the server may close; without them, the client closes with 1000 and gets 1000 back
//
// Next: deflate.test.js.

import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { Runtime } from 'featherstar';
import { serve } from 'featherstar/http';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { hosts } from '../support/hosts.js';
import { WebSocketClient } from './client.js';
import { frame } from './frame.js';

const TEXT = 1;
const BINARY = 2;
const CLOSE = 8;
const PING = 9;
const PONG = 10;
const PROTOCOL = [1002];
const DATA = [1007];

const text = (payload, more) => ({ opcode: TEXT, payload, ...more });
const binary = (payload, more) => ({ opcode: BINARY, payload, ...more });
const ping = (payload = '', more) => ({ opcode: PING, payload, ...more });
const pong = (payload = '', more) => ({ opcode: PONG, payload, ...more });
const more = (payload, rest) => ({ opcode: 0, payload, ...rest });
const start = (payload, rest) => text(payload, { fin: 0, ...rest });
const middle = (payload) => more(payload, { fin: 0 });
const closing = (code, reason = '') => ({
  opcode: CLOSE,
  payload: Buffer.concat([Buffer.from(code === undefined ? [] : [code >> 8, code & 255]), Buffer.from(reason)]),
});
const hex = (digits) => Buffer.from(digits, 'hex');

const CASES = [];
function add(id, send, expect, rest = {}) {
  CASES.push({ id, send, expect, ...rest });
}

// 1: messages of every size
[0, 125, 126, 127, 128, 65_535, 65_536].forEach((size, i) => {
  add(`1.1.${i + 1}`, [text('*'.repeat(size))], [[TEXT, '*'.repeat(size)]]);
  add(`1.2.${i + 1}`, [binary(Buffer.alloc(size, 0xfe))], [[BINARY, Buffer.alloc(size, 0xfe)]]);
});
add('1.1.8', [text('*'.repeat(65_536))], [[TEXT, '*'.repeat(65_536)]], { pieceBytes: 997 });
add('1.2.8', [binary(Buffer.alloc(65_536, 0xfe))], [[BINARY, Buffer.alloc(65_536, 0xfe)]], { pieceBytes: 997 });

// 2: pings and pongs
const odd = hex('00fffefdfcfb00ff');
add('2.1', [ping()], [[PONG, '']]);
add('2.2', [ping('Hello, world!')], [[PONG, 'Hello, world!']]);
add('2.3', [ping(odd)], [[PONG, odd]]);
add('2.4', [ping(Buffer.alloc(125, 0xfe))], [[PONG, Buffer.alloc(125, 0xfe)]]);
add('2.5', [ping(Buffer.alloc(126, 0xfe))], [], { fails: PROTOCOL });
add('2.6', [ping(Buffer.alloc(125, 0xfe))], [[PONG, Buffer.alloc(125, 0xfe)]], { pieceBytes: 1 });
add('2.7', [pong()], []);
add('2.8', [pong('unsolicited')], []);
add('2.9', [pong('unsolicited'), ping('payload')], [[PONG, 'payload']]);
const ten = Array.from({ length: 10 }, (_, i) => `payload-${i}`);
const tenPings = ten.map((each) => ping(each));
const tenPongs = ten.map((each) => [PONG, each]);
add('2.10', tenPings, tenPongs);
add('2.11', tenPings, tenPongs, { pieceBytes: 1 });

// 3: reserved bits
add('3.1', [text('Hello', { rsv: 1 })], [], { fails: PROTOCOL });
add('3.2', [text('ok'), text('Hello', { rsv: 2 }), ping()], [[TEXT, 'ok']], { fails: PROTOCOL });
add('3.3', [text('ok'), text('Hello', { rsv: 3 }), ping()], [[TEXT, 'ok']], { fails: PROTOCOL });
add('3.4', [text('ok'), text('Hello', { rsv: 4 }), ping()], [[TEXT, 'ok']], { fails: PROTOCOL, pieceBytes: 1 });
add('3.5', [binary(odd, { rsv: 5 })], [], { fails: PROTOCOL });
add('3.6', [ping('x', { rsv: 6 })], [], { fails: PROTOCOL });
add('3.7', [{ ...closing(1000), rsv: 7 }], [], { fails: PROTOCOL });

// 4: reserved opcodes
[3, 4, 5, 6, 7].forEach((opcode, i) => {
  const before = i < 2 ? [] : [text('ok')];
  const rest = { fails: PROTOCOL };
  const answers = before.map(() => [TEXT, 'ok']);
  add(`4.1.${i + 1}`, [...before, { opcode, payload: i % 2 ? 'x' : '' }, ping()], answers, rest);
  add(`4.2.${i + 1}`, [...before, { opcode: opcode + 8, payload: i % 2 ? 'x' : '' }, ping()], answers, rest);
});

// 5: fragments
const both = [[TEXT, 'fragment1fragment2']];
add('5.1', [ping('fragment1', { fin: 0 }), more('fragment2')], [], { fails: PROTOCOL });
add('5.2', [pong('fragment1', { fin: 0 }), more('fragment2')], [], { fails: PROTOCOL });
add('5.3', [start('fragment1'), more('fragment2')], both);
add('5.4', [start('fragment1'), more('fragment2')], both, { pauses: true });
add('5.5', [start('fragment1'), more('fragment2')], both, { pieceBytes: 1 });
const pinged = [start('fragment1'), ping('ping'), more('fragment2')];
add('5.6', pinged, [[PONG, 'ping'], ...both]);
add('5.7', pinged, [[PONG, 'ping'], ...both], { pauses: true });
add('5.8', pinged, [[PONG, 'ping'], ...both], { pieceBytes: 1 });
const orphan = [more('none'), text('Hello')];
add('5.9', orphan, [], { fails: PROTOCOL });
add('5.10', orphan, [], { fails: PROTOCOL, pauses: true });
add('5.11', orphan, [], { fails: PROTOCOL, pieceBytes: 1 });
const orphans = [middle('none'), text('Hello')];
add('5.12', orphans, [], { fails: PROTOCOL });
add('5.13', orphans, [], { fails: PROTOCOL, pauses: true });
add('5.14', orphans, [], { fails: PROTOCOL, pieceBytes: 1 });
add('5.15', [start('fragment1'), more('fragment2'), middle('fragment3'), text('x')], both, { fails: PROTOCOL });
const loose = [middle('fragment1'), start('fragment2'), more('fragment3')];
add('5.16', [...loose, ...loose], [], { fails: PROTOCOL });
add('5.17', [more('fragment1'), start('fragment2'), more('fragment3')], [], { fails: PROTOCOL });
add('5.18', [start('fragment1'), text('fragment2')], [], { fails: PROTOCOL });
const five = ['fragment1', 'fragment2', 'fragment3', 'fragment4', 'fragment5'];
const manyParts = [
  start(five[0]),
  middle(five[1]),
  ping('1'),
  middle(five[2]),
  middle(five[3]),
  ping('2'),
  more(five[4]),
];
const manyAnswers = [[PONG, '1'], [PONG, '2'], [TEXT, five.join('')]]; // biome-ignore format: one line
add('5.19', manyParts, manyAnswers, { pauses: true });
add('5.20', manyParts, manyAnswers);

// 6: UTF-8
const greeting = 'Hello-µ@ßöäüàá-UTF-8!!';
const greeted = Buffer.from(greeting);
add('6.1.1', [text('')], [[TEXT, '']]);
add('6.1.2', [start(''), middle(''), more('')], [[TEXT, '']]);
add('6.1.3', [start(''), middle('middle'), more('')], [[TEXT, 'middle']]);
add('6.2.1', [text(greeting)], [[TEXT, greeting]]);
add('6.2.2', [start(greeted.subarray(0, 12)), more(greeted.subarray(12))], [[TEXT, greeting]]);
const letters = [...greeted].map((byte, i) => (i === 0 ? start([byte]) : middle([byte])));
add('6.2.3', [...letters, more('')], [[TEXT, greeting]]);
const kosme = Buffer.from('κόσμε');
const greek = [...kosme].map((byte, i) => (i === 0 ? start([byte]) : middle([byte])));
add('6.2.4', [...greek, more('')], [[TEXT, 'κόσμε']]);
const bad = Buffer.concat([kosme, hex('eda080'), Buffer.from('edited')]);
add('6.3.1', [text(bad)], [], { fails: DATA });
const badLetters = [...bad].map((byte, i) => (i === 0 ? start([byte]) : middle([byte])));
add('6.3.2', [...badLetters, more('')], [], { fails: DATA });
const beyond = [kosme, hex('f4908080'), Buffer.from('edited')];
// Its list calls it not strict, and right, that text is checked when its message is complete.
add('6.4.1', [start(beyond[0]), middle(beyond[1]), more(beyond[2])], [], { fails: DATA });
add('6.4.2', [start(Buffer.concat([kosme, hex('f4')])), middle(hex('90')), more('')], [], { fails: DATA });
add('6.4.3', [text(Buffer.concat(beyond))], [], { fails: DATA });
add('6.4.4', [text(Buffer.concat(beyond))], [], { fails: DATA, pieceBytes: 1 });
const VALID = [
  // 6.5: single characters; 6.7, 6.9: the edges of each length; 6.11: around the surrogates; 6.23: noncharacters
  ...[
    '68656c6c6f24776f726c64',
    '68656c6c6fc2a2776f726c64',
    '68656c6c6fe282ac776f726c64',
    '68656c6c6ff0a4ada2776f726c64',
  ],
  ...['cebae1bdb9cf83cebcceb5', '00', 'c280', 'e0a080', 'f0908080'],
  ...['7f', 'dfbf', 'efbfbf', 'f48fbfbf'],
  ...['ed9fbf', 'ee8080', 'efbfbd', 'f48fbfbf'],
  ...[
    'efbfbe',
    'efbfbf',
    'f09fbfbe',
    'f09fbfbf',
    'f0afbfbe',
    'f0afbfbf',
    'f3bfbfbe',
    'f3bfbfbf',
    'f48fbfbe',
    'f48fbfbf',
  ],
  ...['efbfbc', 'efbfbd'],
];
VALID.forEach((digits, i) => {
  add(`6.5 to 6.23, valid ${i + 1}`, [text(hex(digits))], [[TEXT, hex(digits)]]);
});
const INVALID = [
  // 6.6: characters that stop too early; 6.8: five and six bytes; 6.10: beyond U+10FFFF; 6.12: continuation bytes alone
  ...['ce', 'cebae1', 'cebae1bd', 'cebae1bdb9cf', 'cebae1bdb9cf83ce', 'cebae1bdb9cf83cebcce'],
  ...['f888808080', 'fc8480808080', 'f7bfbfbf', 'fbbfbfbfbf', 'fdbfbfbfbfbf'],
  ...['f4908080', '80', 'bf', '80bf', '80bf80', '80bf80bf', '80bf80bf80', '80bf80bf80bf'],
  // 6.13: first bytes alone; 6.14: the last byte is missing; 6.15: all of these; 6.16: bytes that are never there
  ...['c020c120', 'e020e120ef20', 'f020f420', 'f820', 'fc20', 'c0', 'e080', 'f08080', 'f8808080', 'fc80808080'],
  ...['df', 'efbf', 'f7bfbf', 'fbbfbfbf', 'fdbfbfbfbf', 'c0e080f08080f8808080fc80808080dfefbff7bfbf'],
  ...['fe', 'ff', 'fefeffff'],
  // 6.17 to 6.19: longer than they must be; 6.20 to 6.22: surrogates, alone and in pairs
  ...['c0af', 'e080af', 'f08080af', 'f8808080af', 'fc80808080af', 'c1bf', 'e09fbf', 'f08fbfbf', 'f887bfbfbf'],
  ...['fc83bfbfbfbf', 'c080', 'e08080', 'f0808080', 'f880808080', 'fc8080808080'],
  ...['eda080', 'edadbf', 'edae80', 'edafbf', 'edb080', 'edbe80', 'edbfbf'],
  ...['eda080edb080', 'eda080edbfbf', 'edadbfedb080', 'edadbfedbfbf', 'edae80edb080', 'edafbfedbfbf'],
];
INVALID.forEach((digits, i) => {
  add(`6.6 to 6.21, invalid ${i + 1}`, [text(hex(digits))], [], { fails: DATA });
});

// 7: closing
add('7.1.1', [text('Hello World!')], [[TEXT, 'Hello World!']]);
add('7.1.2', [closing(1000), closing(1000)], [], { fails: [1000] });
add('7.1.3', [closing(1000), ping()], [], { fails: [1000] });
add('7.1.4', [closing(1000), text('late')], [], { fails: [1000] });
add('7.1.5', [start('fragment1'), closing(1000), more('fragment2')], [], { fails: [1000] });
const long = Buffer.alloc(262_144, 'BAsd7&jh23');
add('7.1.6', [text(long), closing(1000), ping()], [[TEXT, long]], { fails: [1000] });
add('7.3.1', [closing()], [], { fails: [1005] });
add('7.3.2', [{ opcode: CLOSE, payload: 'a' }], [], { fails: PROTOCOL });
add('7.3.3', [closing(1000)], [], { fails: [1000] });
add('7.3.4', [closing(1000, 'Hello World!')], [], { fails: [1000] });
add('7.3.5', [closing(1000, '*'.repeat(123))], [], { fails: [1000] });
add('7.3.6', [closing(1000, '*'.repeat(124))], [], { fails: PROTOCOL });
add('7.5.1', [closing(1000, bad)], [], { fails: DATA });
[1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999].forEach((code, i) => {
  add(`7.7.${i + 1}`, [closing(code)], [], { fails: [code] });
});
[0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999].forEach((code, i) => {
  add(`7.9.${i + 1}`, [closing(code)], [], { fails: PROTOCOL });
});
add('7.13.1', [closing(5000)], [], { fails: PROTOCOL });
add('7.13.2', [closing(65_535)], [], { fails: PROTOCOL });

// 9: large messages, in fragments, in pieces, and many of them
const MEBIBYTE = 1_048_576;
[65_536, 262_144, MEBIBYTE, 4 * MEBIBYTE, 8 * MEBIBYTE, 16 * MEBIBYTE].forEach((size, i) => {
  add(`9.1.${i + 1}`, [text('*'.repeat(size))], [[TEXT, '*'.repeat(size)]]);
  add(`9.2.${i + 1}`, [binary(Buffer.alloc(size, 0xfe))], [[BINARY, Buffer.alloc(size, 0xfe)]]);
});
const four = Buffer.alloc(MEBIBYTE, '0123456789');
[64, 256, 1024, 4096, 16_384, 65_536, 262_144, MEBIBYTE].forEach((size, i) => {
  for (const [section, opcode] of [
    [3, TEXT],
    [4, BINARY],
  ]) {
    const parts = [];
    for (let at = 0; at < four.length; at += size) {
      const isLast = at + size >= four.length;
      parts.push({ opcode: at === 0 ? opcode : 0, fin: isLast ? 1 : 0, payload: four.subarray(at, at + size) });
    }
    add(`9.${section}.${i + 1}`, parts, [[opcode, four]]);
  }
});
[64, 128, 256, 512, 1024, 2048].forEach((pieceBytes, i) => {
  add(`9.5.${i + 1}`, [text(four)], [[TEXT, four]], { pieceBytes });
  add(`9.6.${i + 1}`, [binary(four)], [[BINARY, four]], { pieceBytes });
});
[0, 16, 64, 256, 1024, 4096].forEach((size, i) => {
  const messages = (opcode) => Array.from({ length: 200 }, () => ({ opcode, payload: Buffer.alloc(size, '*') }));
  const answers = (opcode) => messages(opcode).map(({ payload }) => [opcode, payload]);
  add(`9.7.${i + 1}`, messages(TEXT), answers(TEXT));
  add(`9.8.${i + 1}`, messages(BINARY), answers(BINARY));
});

// 10: the server may send in fragments, as it likes
add('10.1.1', [text('*'.repeat(65_536))], [[TEXT, '*'.repeat(65_536)]], { pieceBytes: 1300 });

// 12, 13: compressed messages, after each of these offers
const OFFERS = [
  'permessage-deflate',
  'permessage-deflate; client_max_window_bits',
  'permessage-deflate; server_no_context_takeover',
  'permessage-deflate; client_no_context_takeover; server_no_context_takeover',
  'permessage-deflate; client_max_window_bits; server_max_window_bits=9',
  'permessage-deflate; client_max_window_bits=9; server_max_window_bits=15',
  'permessage-deflate; server_no_context_takeover; client_max_window_bits; server_max_window_bits=9',
  'permessage-deflate; server_no_context_takeover; client_max_window_bits=15; server_max_window_bits=15',
];
const compress = (data) => deflateRawSync(data, { finishFlush: 2, windowBits: 9 }).subarray(0, -4);
[16, 64, 256, 1024, 4096, 8192, 16_384, 32_768, 65_536, 131_072].forEach((size, i) => {
  const payload = Buffer.alloc(size, JSON.stringify({ text: 'Autobahn', list: [1, 2, 3], ü: 'ß' }));
  const whole = Buffer.from(payload.toString().replace(/\ufffd+$/, ''));
  for (const [at, extensions] of OFFERS.entries()) {
    const send = Array.from({ length: 5 }, () => text(compress(whole), { rsv: 4 }));
    add(
      `${at === 0 ? 12 : 13}.${Math.max(1, at)}.${i + 1}`,
      send,
      send.map(() => [TEXT, whole]),
      { extensions },
    );
  }
});

/** A frame's payload, inflated if it is compressed. */
function plain({ rsv, payload }) {
  if (rsv !== 4) return payload;
  return inflateRawSync(Buffer.concat([payload, hex('0000ffff')]), { finishFlush: 2 });
}

async function sendAll(client, { send, pieceBytes, pauses }) {
  const frames = send.map((each) => frame(each));
  if (pauses) {
    for (const bytes of frames) {
      await client.raw.write(bytes);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    return;
  }
  const bytes = Buffer.concat(frames);
  const step = pieceBytes ?? bytes.length;
  for (let at = 0; at < bytes.length; at += step) await client.raw.write(bytes.subarray(at, at + step)).catch(() => {});
}

async function runCase(port, each) {
  const { expect, fails, extensions } = each;
  const fields = extensions === undefined ? {} : { 'Sec-WebSocket-Extensions': extensions };
  const client = await WebSocketClient.open(port, { fields });
  const sending = sendAll(client, each);
  for (const [opcode, payload] of expect) {
    const got = await client.next();
    assert.is(got.opcode, opcode);
    if (!plain(got).equals(Buffer.from(payload))) throw new Error(`another payload of ${got.payload.length} bytes`);
  }
  await sending;
  if (fails === undefined) await client.close(1000);
  const [code] = await client.nextClose();
  assert.ok((fails ?? [1000]).includes(code), `closed with ${code}`);
  await client.ended();
  client.destroy();
}

for (const host of hosts()) {
  const test = suite(`Autobahn (${host})`);
  let runtime;
  let server;
  test.before(async () => {
    runtime = await Runtime.start({ shards: 1, host });
    server = await serve({
      hostname: '127.0.0.1',
      fetch: (_request, info) => info.upgrade(),
      websocket: { message: (ws, data) => ws.send(data), perMessageDeflate: { thresholdBytes: 0 } },
    });
  });
  test.after(() => runtime.close());
  for (const each of CASES) test(`case ${each.id}`, () => runCase(server.port, each));
  test.run();
}

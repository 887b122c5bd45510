// The programs whose traffic with the core becomes vectors: one simulation for each seed, on small tables.
//
//   seed --> shards, limits, faults --> one of six programs: calls, timers and tasks, HTTP, shards that die; parsers,
//                                       and tables, call exports themselves, with what a host would rarely have
//
// Next: record.js.

import { runtime, spawn, timeout } from 'featherstar';
import { simulate } from 'featherstar/testing';
import { currentShard } from '../../dist/host/shard/shard.js';
import { CORPUS } from '../http/corpus.js';
import { frame } from '../websocket/frame.js';

const module = new URL('./module.js', import.meta.url);

const LIMITS = {
  ringSlots: 8,
  creditCount: 4,
  sqeSlots: 16,
  cqeSlots: 16,
  readySlots: 32,
  opSlots: 64,
  timerSlots: 64,
  taskSlots: 64,
  connectionSlots: 32,
  recvBufferCount: 4,
  recvBufferBytes: 256,
  largeRecvBufferCount: 1,
  largeRecvBufferBytes: 1024,
  sendBufferCount: 4,
  sendBufferBytes: 512,
  arenaBytes: 2048,
};
const SCRATCH_BYTES = 4096;
const HTTP_SCRATCH_BYTES = 262_144; // what serve() asks for, at least
/** So small that most of what is refused sometimes is refused. */
const TIGHT = { ringSlots: 1, creditCount: 1, sqeSlots: 4, cqeSlots: 4, readySlots: 8, arenaBytes: 512 };

const draw = (count) => Math.floor(Math.random() * count); // of the world's seed

/** Waits for all, whatever becomes of each. */
const settled = (promises) => Promise.allSettled(promises);

async function calls() {
  const rt = runtime();
  await settled(Array.from({ length: 6 + draw(12) }, (_, i) => rt.on(i % rt.shardCount).add(i, draw(1e6))));
  const sizes = Array.from({ length: 4 }, () => 1 + draw(700));
  await settled(sizes.map((bytes, i) => rt.on(i % rt.shardCount).giveBack(new Uint8Array(bytes).fill(bytes))));
  await settled([rt.on(1).around(3 + draw(9)), ...[1, 2, 3].map(() => rt.on(1).held(rt.self))]);
  const [small, large] = [1, 100].map((bytes) => new Uint8Array(bytes)); // replies at once: they fill the ring
  await settled(Array.from({ length: 12 }, (_, i) => rt.on(1).bytesLater(i % 2 === 0 ? small : large, 3)));
}

async function timersAndTasks() {
  const rt = runtime();
  const waits = Array.from({ length: 4 + draw(8) }, () => rt.on(draw(rt.shardCount)).later(2 ** draw(18)));
  await settled([...waits, timeout(1 + draw(5), rt.on(0).later(50)), rt.onAll().work(1 + draw(6))]);
}

const CHUNKS = '5\r\nhello\r\na;b="c"\r\n0123456789\r\n0\r\n\r\n';
const HEADS = [
  'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
  'GET /a?b HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
  'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 600\r\nConnection: close\r\n\r\n'.padEnd(700, 'x'),
  `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n${CHUNKS}`,
  'GET / HTTP/1.0\r\n\r\n',
  `GET /${'l'.repeat(250)} HTTP/1.1\r\nHost: a\r\n\r\n`,
  'GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n',
  'GET / HTTP/1.1\nHost: a\n\n',
];

async function http() {
  const rt = runtime();
  const port = await rt.on(0).startServer(0);
  for (let shard = 1; shard < rt.shardCount; shard++) await rt.on(shard).startServer(port);
  const texts = Array.from({ length: 2 + draw(3) }, () => HEADS[draw(HEADS.length)]);
  await settled(texts.map((text, i) => rt.on(i % rt.shardCount).ask(port, text)));
}

async function deaths(world) {
  const rt = runtime();
  const asked = settled(Array.from({ length: 6 }, (_, i) => rt.on(1).later(i)));
  world.kill(1);
  await asked;
  const { core } = currentShard();
  core.mayPost(1, 2);
  core.post(1); // what is posted does not matter: it is refused
  await world.restart(1);
  await calls();
}

// --- programs that call exports themselves --------------------------------------------------------------------------

const HEAD_BYTES_MAX = 2000;
const REQUESTS = CORPUS.map(([request]) => request).filter((request) => request.length <= HEAD_BYTES_MAX);
const CHUNKED_HEAD = 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n';
const CHUNKED = [
  '3\r\nabc\r\n',
  '0a;b=c\r\n0123456789\r\n',
  '1;q="\\"x"\r\n!\r\n',
  '0\r\nA: b\r\n\r\n',
  '0\r\n\r\n',
  'x',
];
const DONE = 256; // HttpFlag
const CHUNK = 2;

/** Requests of the parser's corpus, some of them spoilt, in pieces of any size; heads and dates of responses. */
function requests() {
  const { core, bytes, words, base, header } = currentShard();
  const at = base + header.scratchOffset;
  const connection = base + header.connectionsOffset;
  const flags = () => words[(connection >>> 2) + 1];
  core.http_limits(1000 + draw(1000), 5 + draw(30), 100 + draw(900));
  for (let i = 0; i < 12; i++) {
    const request = draw(4) === 0 ? CHUNKED_HEAD : REQUESTS[draw(REQUESTS.length)];
    const text = Buffer.from(request, 'latin1');
    if (draw(4) === 0) text[draw(text.length)] = draw(256);
    bytes.set(text, at);
    core.http_reset(connection);
    if (i === 0) core.http_body(connection, at, 1); // too early
    let parsed = 0;
    for (let given = draw(text.length + 1); parsed === 0; given += 1 + draw(text.length - given)) {
      parsed = core.http_parse(connection, at, given);
      if (given === text.length) break;
    }
    for (let pieces = 0; parsed > 0 && (flags() & DONE) === 0 && pieces < 6; pieces++) {
      const isChunked = (flags() & CHUNK) !== 0;
      const piece = Buffer.from(
        isChunked ? CHUNKED[draw(CHUNKED.length)] + CHUNKED[draw(2)] : 'x'.repeat(1 + draw(90)),
      );
      bytes.set(piece, at);
      if (core.http_body(connection, at, piece.length) < 0) break;
    }
  }
  bytes.set(Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: '), at);
  for (let i = 0; i < 8; i++) core.http_head(at + 128, at, 33, draw(10 ** (1 + draw(9))));
  for (let i = 0; i < 8; i++) core.http_date(at + 128, (draw(2) === 0 ? -1 : 1) * draw(10 ** (9 + draw(4))));
  core.http_reset(connection);
}

const OPCODES = [0, 1, 1, 2, 2, 8, 9, 10, 3];
const TEXTS = ['hello', 'h\u00e9llo', '\u20ac'.repeat(30), '\u{1f600}', ''].map((text) => Buffer.from(text));

/** Frames of WebSocket, some of them spoilt, in pieces of any size. */
function frames() {
  const { core, bytes, base, header } = currentShard();
  const at = base + header.scratchOffset;
  const connection = base + header.connectionsOffset;
  for (let i = 0; i < 6; i++) {
    core.ws_reset(connection, draw(4), 100 + draw(1000));
    const some = Array.from({ length: 4 }, () => {
      const payload = draw(3) === 0 ? Buffer.alloc(draw(300), draw(256)) : TEXTS[draw(TEXTS.length)];
      const mask = [draw(256), draw(256), draw(256), draw(256)];
      return frame({ opcode: OPCODES[draw(OPCODES.length)], payload, fin: draw(4) === 0 ? 0 : 1, mask });
    });
    const all = Buffer.concat(some);
    if (draw(3) === 0) all[draw(all.length)] = draw(256);
    bytes.set(all, at);
    let begin = 0;
    let end = draw(all.length + 1);
    for (;;) {
      const taken = core.ws_parse(connection, at + begin, end - begin);
      if (taken < 0) break;
      begin += taken;
      if (taken !== 0 && begin < end) continue;
      if (end === all.length) break;
      end += 1 + draw(all.length - end);
    }
  }
  core.http_reset(connection);
}

function parsers() {
  requests();
  frames();
}

const TIMER_BYTES = 32;

/** Fills the table of timers, with deadlines of all levels, and empties it; asks with handles that are over. */
function timers() {
  const { core, words, base, header } = currentShard();
  const generationOf = (slot) => words[(base + header.timersOffset + slot * TIMER_BYTES) >>> 2];
  const slots = [];
  for (let i = 0; i < 100; i++) {
    const slot = core.armTimer(4e18 / 2 ** draw(40), 1, 1); // years to half a minute: longer than this program runs
    if (slot > 0) slots.push(slot);
    if (draw(5) !== 0 || slots.length === 0) continue;
    const [ended] = slots.splice(draw(slots.length), 1);
    const generation = generationOf(ended);
    core.cancelTimer(ended, generation);
    core.cancelTimer(ended, generation);
  }
  for (const slot of slots) core.cancelTimer(slot, generationOf(slot));
  for (const deadline of [Number.NaN, Number.POSITIVE_INFINITY, 2 ** 60, 2 ** 61]) core.armTimer(deadline, 1, 1);
}

const NOP = 0;
const OP_BYTES = 64;

/** Fills the table of operations, with some that do nothing and have no owner, and cancels some. */
function operations() {
  const { core, words, base, header } = currentShard();
  const generationOf = (slot) => words[(base + header.opsOffset + slot * OP_BYTES) >>> 2];
  for (let i = 0; i < 70; i++) {
    const slot = core.submit(NOP, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    if (slot > 0 && draw(8) === 0) core.cancelOp(slot, generationOf(slot));
  }
  core.openOps();
  core.closeFile(header.connectionSlots - 1); // which is not open
  core.cancelOp(draw(80), draw(4));
  core.extend(1 + draw(60), 2, 1); // no generation is even
}

/** Asks for what is not there, or is too much. */
async function tables() {
  timers();
  operations();
  const { core } = currentShard();
  core.setShares(draw(20), draw(1200));
  core.spawnHost(16 + draw(99), 1);
  for (const peer of [draw(5), 70]) {
    core.mayPost(peer, 2);
    if (peer > 2) core.post(peer); // what is posted does not matter: it is refused
  }
  const address = core.payloadTake(100);
  core.arenaUsed();
  if (address !== 0) core.arenaRelease(address);
  core.arenaUsed();
  await settled(Array.from({ length: 70 }, () => spawn(() => undefined)));
}

const PROGRAMS = [calls, timersAndTasks, http, deaths, parsers, tables];

/** Runs the simulation of a seed. */
export function runSeed(seed) {
  const has = (bit, share) => (((seed >>> 3) & bit) === 0 ? 0 : share);
  const program = PROGRAMS[seed % PROGRAMS.length];
  const scratch = program === http ? HTTP_SCRATCH_BYTES : SCRATCH_BYTES;
  return simulate(
    {
      seed,
      shards: seed % 5 < 2 ? 3 : 2,
      module,
      limits: { ...LIMITS, ...(seed % 3 === 0 ? TIGHT : {}), scratchBytes: scratch },
      faults: { freeze: has(1, 0.02), spurious: has(2, 0.05), partial: has(4, 0.3), noBuffers: has(8, 0.1) },
      maxTurns: 100_000,
    },
    program,
  );
}

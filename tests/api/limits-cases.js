// Every numeric option that docs/limits.md lists, at its least and its highest value, and one beyond each. Then the
// program works, or an error with a code says which option is wrong. Nothing hangs, and nothing fails without a code.
//
// Next: limits-uring.test.js and limits-portable.test.js, which run these on one host each.

import { readFileSync } from 'node:fs';
import { FeatherstarError, Runtime } from 'featherstar';
import { Response, serve } from 'featherstar/http';
import { listen, UdpSocket } from 'featherstar/net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { hosts, oneShardSuite, rejection } from '../support/hosts.js';
import { ask, get, within } from '../support/http.js';
import { useParts } from '../support/parts.js';
import { cert, key } from '../support/tls.js';

const MODULE = new URL('../support/parts-module.js', import.meta.url);
const PAGE = readFileSync(new URL('../../docs/limits.md', import.meta.url), 'utf8');
const HERE = '127.0.0.1';

const numberOf = (text) => Number(text.replaceAll(',', ''));

/** The rows of the first table below a heading: arrays of cells. */
function tableUnder(heading) {
  const [, section] = PAGE.split(`\n## ${heading}\n`);
  const rows = section
    .split('\n## ')[0]
    .split('\n\n')
    .find((part) => part.startsWith('| '));
  return rows
    .split('\n')
    .slice(2)
    .filter((row) => row !== '')
    .map((row) =>
      row
        .split('|')
        .map((cell) => cell.trim())
        .slice(1, -1),
    );
}

/** The option that an error is about, which begins its text. */
async function refused(promise, name) {
  const error = await rejection(promise);
  assert.ok(FeatherstarError.is(error), `${name}: ${error?.stack}`);
  assert.is(error.code, 'FEATHERSTAR_OPTION', `${name}: ${error.stack}`);
  assert.ok(error.message.includes(name.split('.').at(-1)), `${name}: ${error.message}`);
}

// --- limits of Runtime.start() ---------------------------------------------------------------------------------------

const MEMORY = tableUnder('Memory of a shard').map(([name]) => name.slice(1, -1));
const LIMIT_MAX = 33_554_432;
/** Least values that docs/limits.md gives beside the table. */
const LEAST = { connectionSlots: 18, arenaBytes: 16, readySlots: 2048 }; // 18: both ends of a connection are here
const HIGHEST = {
  sqeSlots: 32_768,
  cqeSlots: 65_536,
  recvBufferCount: 32_768,
  recvBufferBytes: 16_777_216,
  largeRecvBufferCount: 16_384,
  largeRecvBufferBytes: 16_777_216,
  connectionSlots: 1_048_576,
  arenaBytes: 2 ** 31,
  scratchBytes: 2 ** 31,
};
/** Parts that cannot work with the least value. */
const EXPECTED = {
  opSlots: { http: 'FEATHERSTAR_OPTION', tcp: 'FEATHERSTAR_FULL', udp: 'FEATHERSTAR_FULL', file: 'FEATHERSTAR_FULL' },
  recvBufferBytes: { udp: 'FEATHERSTAR_OPTION' },
  sendBufferBytes: { udp: 'FEATHERSTAR_OPTION' },
  scratchBytes: { http: 'FEATHERSTAR_OPTION' },
  arenaBytes: { longCall: 'FEATHERSTAR_CODEC' },
  connectionSlots: { file: 'FEATHERSTAR_SYSTEM' },
};

for (const host of hosts()) {
  const test = suite(`limits (${host})`);
  const start = (limits) => Runtime.start({ shards: 2, host, module: MODULE, stallMs: 0, limits });

  for (const name of MEMORY) {
    test(`limits.${name}: the least value works, or says what it is too small for`, async () => {
      const runtime = await start({ [name]: LEAST[name] ?? 1 });
      const outcomes = await useParts(runtime);
      await within(runtime.close(), 'close()');
      for (const [part, outcome] of Object.entries(outcomes)) {
        assert.is(outcome, EXPECTED[name]?.[part] ?? 'works', part);
      }
    });

    test(`limits.${name}: the highest value works, or does not fit into memory; one beyond is refused`, async () => {
      const highest = HIGHEST[name] ?? LIMIT_MAX;
      for (const wrong of [0, -1, 1.5, highest + 1, NaN, Infinity, '1', null]) {
        await refused(start({ [name]: wrong }), `limits.${name}`);
      }
      const limits = { [name]: highest };
      if (name === 'cqeSlots') limits.readySlots = 2 * highest;
      const runtime = await start(limits).catch((error) => error);
      if (runtime instanceof Runtime) {
        const outcomes = [await useParts(runtime), await runtime.on(1).use()]; // shard 1 may lie beyond 2 GiB
        await within(runtime.close(), 'close()');
        for (const each of outcomes) for (const [part, what] of Object.entries(each)) assert.is(what, 'works', part);
      } else {
        assert.ok(FeatherstarError.is(runtime), String(runtime?.stack));
        assert.ok(
          ['FEATHERSTAR_OPTION', 'FEATHERSTAR_MEMORY', 'FEATHERSTAR_SYSTEM'].includes(runtime.code),
          runtime.stack,
        );
      }
    });
  }

  test('the other options of Runtime.start()', async () => {
    for (const [cell, , range] of tableUnder('Runtime')) {
      const name = cell.slice(1, -1);
      const [least, most] = range.match(/[\d,]+/g).map(numberOf);
      const highest = range.includes('to that part') ? 2 ** 32 : most;
      for (const wrong of [least - 1, highest + 1])
        await refused(Runtime.start({ shards: 1, host, [name]: wrong }), name);
      if (name === 'shards') continue; // 64 of them: tests/api/runtime.test.js
      for (const value of name === 'sharedBytes' ? [least] : [least, highest]) {
        const runtime = await Runtime.start({ shards: 2, host, module: MODULE, [name]: value });
        assert.is(await within(runtime.on(1).echo(name), `${name}: ${value}`), name);
        await within(runtime.close({ timeoutMs: 100 }), `${name}: ${value}: close()`);
      }
    }
  });

  test.run();
}

const LEAST_OF_SERVERS = {
  'HTTP maxBodyBytes': 0,
  'HTTP handlerTimeoutMs': 0,
  'TLS sessionTimeoutMs': 1000,
  'WebSocket maxBacklogBytes': 0,
  'WebSocket idleTimeoutMs': 0,
};
/** The status of a request under a limit of 1 or 2, as docs/limits.md has it. */
const OUTCOMES = {
  'HTTP headerBytes': { 1: /^431$/, 2: /^431$/ },
  'HTTP headerCount': { 1: /^200$/ },
  'HTTP targetBytes': { 1: /^200$/ },
};
/** Limits that another one depends on. */
const WITH = { maxBodyBytes: (value) => (value === 1 ? { bodyBytes: 1 } : {}) };

// --- limits of serve(), listen(), UdpSocket.bind() -------------------------------------------------------------------

for (const host of hosts()) {
  const { check, test, run } = oneShardSuite('limits of servers', host);
  const fetch = () => new Response('here');

  /** Each limit of a table, as `optionsOf` passes it. */
  const eachOf = (heading, optionsOf) => {
    for (const [cell, , highestCell] of tableUnder(heading)) {
      const name = cell.slice(1, -1);
      const highest = numberOf(highestCell);
      check(`${heading}: ${name}`, async () => {
        const least = LEAST_OF_SERVERS[`${heading} ${name}`] ?? 1;
        const serveWith = (value) => serve({ hostname: HERE, fetch, ...optionsOf(name, value) });
        for (const wrong of [least - 1, highest + 1, '1', NaN]) await refused(serveWith(wrong), name);
        for (const value of [least, least + 1, highest]) {
          const server = await serveWith(value);
          const outcome = await requestTo(server).catch((error) => error.message);
          await server.close({ timeoutMs: 100 });
          assert.match(String(outcome), OUTCOMES[`${heading} ${name}`]?.[value] ?? /^200$/, `${name}: ${value}`);
        }
      });
    }
  };
  const requestTo = async ({ port, url }) => (url.startsWith('https') ? 200 : (await ask(port, get())).status);

  eachOf('HTTP', (name, value) => ({ limits: { [name]: value, ...WITH[name]?.(value) } }));
  eachOf('TLS', (name, value) => ({ tls: { key, cert, [name]: value } }));
  eachOf('WebSocket', (name, value) => ({ websocket: { [name]: value } }));

  test('backlog, capacity and ports', async () => {
    for (const backlog of [1, 65_535]) {
      const listener = await listen({ hostname: HERE, backlog });
      listener.close();
    }
    for (const backlog of [0, -1, 1.5, 2 ** 31]) await refused(listen({ hostname: HERE, backlog }), 'backlog');
    for (const capacity of [1, 65_536]) (await UdpSocket.bind({ hostname: HERE, capacity })).close();
    for (const capacity of [0, 65_537]) await refused(UdpSocket.bind({ hostname: HERE, capacity }), 'capacity');
    for (const port of [-1, 65_536]) {
      await refused(UdpSocket.bind({ hostname: HERE, port }), 'port');
      await refused(listen({ hostname: HERE, port }), 'port');
      await refused(serve({ hostname: HERE, port, fetch }), 'port');
    }
  });

  run();
}

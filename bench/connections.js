// The benchmark of short connections: a connection for each request, `--connections` at any time. The C server beside
// the others shows the kernel's share. The client (baseline/client.c) connects, asks, and reads the response.
//
// Each unit is a contest of its own: in one the client closes first, in the other the server does, because the request
// says `Connection: close`. The side that closes first keeps the connection's state for a minute (TIME_WAIT).
//
// Next: contest.js, which runs it; baseline/http-uring.c.

import { parseArgs } from 'node:util';
import {
  CONTEST_OPTIONS,
  CONTEST_RANGES,
  checkFiles,
  checkMachine,
  conclude,
  interleave,
  measureServer,
  printUnits,
  REFERENCE,
  readNumbers,
  runClient,
} from './contest.js';
import { baseline, chooseContenders, contendersOf, findPeers, PEER_OPTIONS } from './peers.js';
import { choose } from './rounds.js';
import { answersRightly } from './server.js';
import { compile } from './tools.js';

const OPTIONS = {
  connections: { type: 'string', default: '32' },
  rows: { type: 'string' },
  ...CONTEST_OPTIONS,
  ...PEER_OPTIONS,
};

const BODY_BYTES = 13; // Hello, World!

/** `close` is who closes first; `flags` tell the C server, which reads no headers. */
const ROWS = [
  { name: 'client-closes', close: 'client', flags: [] },
  { name: 'server-closes', close: 'server', flags: ['--close', '1'] },
];

function specsFor(row) {
  const featherstar = [baseline('featherstar.mjs')];
  return [
    { name: REFERENCE, on: 'c', source: 'http-uring', args: row.flags },
    { name: 'c-epoll', on: 'c', source: 'http-epoll', args: row.flags },
    { name: 'featherstar', on: 'node', args: featherstar, env: { FEATHERSTAR_HOST: 'uring' } },
    { name: 'featherstar-portable', on: 'node', args: featherstar, env: { FEATHERSTAR_HOST: 'portable' } },
    { name: 'node-http', on: 'node', args: [baseline('node-http.mjs')] },
    { name: 'bun-serve', on: 'bun', args: [baseline('bun-serve.mjs')] },
    { name: 'deno-serve', on: 'deno', args: [baseline('deno-serve.mjs')] },
    { name: 'nginx', on: 'nginx' },
    { name: 'hyper', on: 'rust', args: [] },
  ];
}

export async function main(args) {
  const { values: options } = parseArgs({ args, options: OPTIONS });
  readNumbers(options, CONTEST_RANGES);
  const rows = choose(ROWS, options.rows, 'rows');
  checkMachine({});
  checkFiles(options.connections);
  const versions = findPeers(options);
  const client = await compile('client');
  const units = [];
  for (const row of rows) {
    const contenders = await contendersOf(specsFor(row), options, versions);
    units.push({ name: row.name, row, contenders: chooseContenders(contenders, options.only) });
  }
  await interleave(units, options.rounds, (contender, { row }) => {
    const load = (port, seconds) => {
      const common = {
        port,
        connections: options.connections,
        seconds,
        close: row.close,
        get: '/',
        expect: BODY_BYTES,
      };
      const clientArgs = Object.entries(common).flatMap(([name, value]) => [`--${name}`, String(value)]);
      return runClient(client, clientArgs, seconds);
    };
    return measureServer(contender, answersRightly, load, options.seconds);
  });
  printUnits(units, options.rounds, 'connection');
  return conclude('connections', units, options, versions, OPTIONS);
}

// The benchmark of large bodies: responses, streams, files, uploads and echoes of 64 KiB and 1 MiB. The reference is a
// server in C on io_uring that sends large. The client is ours (baseline/client.c): wrk reads 8 KiB at a time.
//
// Each row is a contest of its own, with servers started for it. Before the measurement every byte of a response is
// compared with the payload, and a hash shows that an upload arrived as it was sent.
//
// Next: contest.js, which runs it; baseline/bulk-uring.c.

import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { hash } from './baseline/bulk-fetch.mjs';
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
  temporaryFolder,
} from './contest.js';
import { baseline, chooseContenders, contendersOf, findPeers, PEER_OPTIONS } from './peers.js';
import { choose } from './rounds.js';
import { ContenderError } from './server.js';
import { compile } from './tools.js';

const OPTIONS = {
  connections: { type: 'string', default: '16' },
  rows: { type: 'string' },
  ...CONTEST_OPTIONS,
  ...PEER_OPTIONS,
  seconds: { type: 'string', default: '2' },
  rounds: { type: 'string', default: '3' },
};

const SMALL = 64 * 1024;
const LARGE = 1024 * 1024;
const ANSWER_TIMEOUT_MS = 5000;

const HAVE_BYOB = [REFERENCE, 'featherstar', 'featherstar-portable', 'deno'];

/**
 * `get`, `post` (with the path of its check) or `echo` (`by`: how); `bytes` is the size of the body. `for`: those that
 * take part, if not all.
 */
const ROWS = [
  { name: 'whole-64k', get: '/64k', bytes: SMALL },
  { name: 'whole-1m', get: '/1m', bytes: LARGE },
  { name: 'stream-1m', get: '/stream', bytes: LARGE },
  { name: 'file-1m', get: '/file', bytes: LARGE },
  { name: 'post-64k', post: '/read', check: '/sum', bytes: SMALL },
  { name: 'post-1m', post: '/read', check: '/sum', bytes: LARGE },
  { name: 'post-64k-stream', post: '/read-stream', check: '/sum-stream', bytes: SMALL },
  { name: 'post-1m-stream', post: '/read-stream', check: '/sum-stream', bytes: LARGE },
  { name: 'post-64k-byob', post: '/read-byob', check: '/sum-byob', bytes: SMALL, for: HAVE_BYOB },
  { name: 'post-1m-byob', post: '/read-byob', check: '/sum-byob', bytes: LARGE, for: HAVE_BYOB },
  { name: 'echo-64k', echo: true, bytes: SMALL },
  { name: 'pipe-64k', echo: true, by: 'pipe', bytes: SMALL },
  { name: 'into-64k', echo: true, by: 'into', bytes: SMALL },
];

/** Everyone who takes part; `rows` says in which, if not in all. */
function specs(files) {
  const featherstar = baseline('bulk-featherstar.mjs');
  return [
    { name: REFERENCE, on: 'c', source: 'bulk-uring', args: [] },
    { name: 'featherstar', on: 'node', args: [featherstar], env: { FEATHERSTAR_HOST: 'uring' } },
    { name: 'featherstar-portable', on: 'node', args: [featherstar], env: { FEATHERSTAR_HOST: 'portable' } },
    { name: 'node', on: 'node', args: [baseline('bulk-node.mjs')] },
    { name: 'bun', on: 'bun', args: [baseline('bulk-bun.mjs')] },
    { name: 'deno', on: 'deno', args: [baseline('bulk-deno.mjs')] },
    { name: 'nginx', on: 'nginx', files, rows: ['whole-64k', 'whole-1m', 'file-1m'] },
    { name: 'rust', on: 'rust', args: [], rows: ROWS.map(({ name }) => name).filter((name) => name !== 'file-1m') },
  ];
}

/** The contender in a row: with the payload, or as an echo. */
function inRow(contender, row, payload) {
  if (typeof contender.args === 'function') return { ...contender }; // nginx has its files
  const args = [...contender.args, ...(row.echo ? ['--echo'] : ['--payload', payload])];
  if (row.by && contender.name.startsWith('featherstar')) args.push('--by', row.by); // the others have one echo
  return { ...contender, args };
}

// --- is every byte right? -------------------------------------------------------------------------------------------

/** One request: { status, bytes, headers }, or undefined while no server listens. */
function ask(port, method, path, body) {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { 'Content-Length': body.length };
    const request = httpRequest({ port, host: '127.0.0.1', method, path, headers, timeout: ANSWER_TIMEOUT_MS });
    const fail = (error) => reject(new ContenderError(`${method} ${path}: ${error.message}`));
    request.once('error', (error) => (error.code === 'ECONNREFUSED' ? resolve(undefined) : fail(error)));
    request.once('timeout', () => request.destroy(new Error('no answer')));
    request.once('response', (response) => {
      const parts = [];
      response.on('data', (part) => parts.push(part)).once('error', fail);
      response.once('end', () => {
        resolve({ status: response.statusCode, bytes: Buffer.concat(parts), headers: response.headers });
      });
    });
    request.end(body);
  });
}

/** Sends `body`, and resolves with as many bytes as come back; with undefined while no server listens. */
function askEcho(port, body) {
  return new Promise((resolve, reject) => {
    const parts = [];
    let count = 0;
    const socket = connect({ port, host: '127.0.0.1' }, () => socket.write(body)).setTimeout(ANSWER_TIMEOUT_MS);
    socket.on('data', (part) => {
      parts.push(part);
      count += part.length;
      if (count < body.length) return;
      socket.destroy();
      resolve({ status: 200, bytes: Buffer.concat(parts) });
    });
    socket.once('error', (error) => {
      if (error.code === 'ECONNREFUSED') resolve(undefined);
      else reject(new ContenderError(`echo: ${error.message}`));
    });
    socket.once('timeout', () => socket.destroy(new Error(`${count} bytes came back`)));
    socket.once('end', () => reject(new ContenderError('echo: closed the connection')));
  });
}

/** Whether the server listens; throws if a byte of its answer is wrong. */
async function answersRow(port, row, payload) {
  const body = payload.subarray(0, row.bytes);
  const expect = (what, answer, bytes) => {
    if (answer.status !== 200) throw new ContenderError(`${what}: status ${answer.status}`);
    if (!answer.bytes.equals(bytes)) throw new ContenderError(`${what}: a wrong body of ${answer.bytes.length} bytes`);
  };
  const first = row.echo
    ? await askEcho(port, body)
    : await ask(port, row.get ? 'GET' : 'POST', row.get ?? row.post, row.get ? undefined : body);
  if (first === undefined) return false;
  expect(row.name, first, row.post ? Buffer.from(String(row.bytes)) : body);
  if (row.name === 'stream-1m' && first.headers['transfer-encoding'] !== 'chunked') {
    throw new ContenderError('the stream is not chunked');
  }
  if (row.post) expect(row.check, await ask(port, 'POST', row.check, body), Buffer.from(String(hash(body))));
  return true;
}

// --- the run --------------------------------------------------------------------------------------------------------

function clientArgs(row) {
  if (row.echo) return ['--echo', String(row.bytes)];
  return row.get
    ? ['--get', row.get, '--expect', String(row.bytes)]
    : ['--post', row.post, '--body', String(row.bytes)];
}

export async function main(args) {
  const { values: options } = parseArgs({ args, options: OPTIONS });
  readNumbers(options, CONTEST_RANGES);
  const rows = choose(ROWS, options.rows, 'rows');
  checkMachine({});
  checkFiles(options.connections);
  const folder = temporaryFolder();
  const payload = randomBytes(LARGE);
  const files = { file: join(folder, 'file'), '1m': join(folder, 'file'), '64k': join(folder, '64k') };
  writeFileSync(files.file, payload);
  writeFileSync(files['64k'], payload.subarray(0, SMALL));

  const versions = findPeers(options);
  const client = await compile('client');
  const contenders = chooseContenders(await contendersOf(specs(files), options, versions), options.only);
  const units = rows.map((row) => ({
    name: row.name,
    row,
    contenders: contenders
      .filter(({ name, rows: own }) => (own?.includes(row.name) ?? true) && (row.for?.includes(name) ?? true))
      .map((contender) => inRow(contender, row, files.file)),
  }));
  await interleave(units, options.rounds, (contender, { row }) => {
    const load = (port, seconds) => {
      const common = ['--port', port, '--connections', options.connections, '--seconds', seconds].map(String);
      return runClient(client, [...common, ...clientArgs(row)], seconds);
    };
    return measureServer(contender, (port) => answersRow(port, row, payload), load, options.seconds);
  });
  printUnits(units, options.rounds, 'op');
  return conclude('bulk', units, options, versions, OPTIONS);
}

// The benchmark of slow downloads: `--connections` clients download 10 MiB each, slowly, all at once. The figure is the
// memory of the server over time, which must not grow with what the clients have not read yet. The kernel's socket
// buffers are shown beside it: they belong to no process.
//
// Next: baseline/slow-client.c.

import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { CONTEST_RANGES, checkFiles, checkMachine, runClient, SERVER_CORE, temporaryFolder } from './contest.js';
import { baseline, chooseContenders, contendersOf, findPeers, PEER_OPTIONS } from './peers.js';
import { choose, count } from './rounds.js';
import { ContenderError, cpuBetween, cpuTime, startServer } from './server.js';
import { compile, machineLine, table } from './tools.js';

const OPTIONS = {
  connections: { type: 'string', default: '1000' },
  'download-seconds': { type: 'string', default: '15' },
  rows: { type: 'string' },
  only: { type: 'string' },
  json: { type: 'string' },
  ...PEER_OPTIONS,
};

const MIB = 1 << 20;
const DOWNLOAD_BYTES = 10 * MIB;
const SAMPLE_MS = 250;
const LATEST = 4; // a download may take so many times as long as it should

const ROWS = [
  { name: 'whole-10m', path: '/10m' },
  { name: 'stream-10m', path: '/10m-stream' },
];

function specs(files) {
  const args = (name) => [baseline(name), '--payload', files.file];
  return [
    { name: 'featherstar', on: 'node', args: args('bulk-featherstar.mjs'), env: { FEATHERSTAR_HOST: 'uring' } },
    {
      name: 'featherstar-portable',
      on: 'node',
      args: args('bulk-featherstar.mjs'),
      env: { FEATHERSTAR_HOST: 'portable' },
    },
    { name: 'node', on: 'node', args: args('bulk-node.mjs') },
    { name: 'bun', on: 'bun', args: args('bulk-bun.mjs') },
    { name: 'deno', on: 'deno', args: args('bulk-deno.mjs') },
    { name: 'nginx', on: 'nginx', files, rows: ['whole-10m'] },
  ];
}

/** Resident memory of a process in MiB. */
function residentMib(pid) {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) / 1024;
}

/** Memory of all TCP sockets of the machine in MiB. */
function socketsMib() {
  return (Number(/^TCP:.* mem (\d+)$/m.exec(readFileSync('/proc/net/sockstat', 'utf8'))[1]) * 4096) / MIB;
}

/** Resolves with whether the server listens: it responds with 10 MiB. */
async function answersLarge(port, path) {
  try {
    const response = await fetch(`http://127.0.0.1:${port}${path}`);
    const { byteLength } = await response.arrayBuffer();
    if (response.status === 200 && byteLength === DOWNLOAD_BYTES) return true;
    throw new ContenderError(`${path}: status ${response.status}, ${byteLength} bytes`);
  } catch (error) {
    if (error.cause?.code === 'ECONNREFUSED') return false;
    throw error;
  }
}

async function measure(contender, row, client, options) {
  const server = await startServer(contender, SERVER_CORE, (port) => answersLarge(port, row.path));
  try {
    const seconds = options['download-seconds'];
    const rate = Math.ceil(DOWNLOAD_BYTES / seconds);
    const named = { port: server.port, connections: options.connections, get: row.path, expect: DOWNLOAD_BYTES, rate };
    const limit = { seconds: seconds * LATEST };
    const args = Object.entries({ ...named, ...limit }).flatMap(([name, value]) => [`--${name}`, String(value)]);
    const [beforeCpu, beforeMib, samples] = [cpuTime(server.pid), residentMib(server.pid), []];
    let running = true;
    const load = runClient(client, args, limit.seconds).finally(() => {
      running = false;
    });
    while (running && server.failure() === undefined) {
      samples.push({ mib: residentMib(server.pid), kernelMib: socketsMib() });
      await Promise.race([sleep(SAMPLE_MS), load]);
    }
    if (server.failure() !== undefined) throw new ContenderError(server.failure());
    const cpuMs = cpuBetween(beforeCpu, cpuTime(server.pid)) / 1e6;
    return { ...(await load), beforeMib, samples, cpuMs };
  } finally {
    await server.stop();
  }
}

function resultRow({ name, result }, connections) {
  const { beforeMib, samples, cpuMs, whole, failed, durationMs } = result;
  const mib = samples.map((sample) => sample.mib);
  const at = (share) => mib[Math.min(Math.floor(mib.length * share), mib.length - 1)];
  const peak = Math.max(...mib);
  const figures = [beforeMib, at(0.25), at(0.5), at(0.75), peak].map((value) => value.toFixed(0));
  const each = (((peak - beforeMib) * 1024) / connections).toFixed(0);
  const kernel = Math.max(...samples.map(({ kernelMib }) => kernelMib)).toFixed(0);
  const seconds = (durationMs / 1000).toFixed(1);
  return [name, ...figures, each, kernel, (cpuMs / 1000).toFixed(1), seconds, String(whole), String(failed)];
}

function report(units, options, versions) {
  const head = [
    'RSS in MiB',
    'before',
    '1/4',
    '1/2',
    '3/4',
    'most',
    'KiB each',
    'kernel MiB',
    'CPU s',
    's',
    'whole',
    'failed',
  ];
  for (const { name, contenders } of units) {
    const rows = contenders.filter(({ result }) => result !== undefined);
    console.log(`\n${name}\n${table([head, ...rows.map((each) => resultRow(each, options.connections))])}`);
  }
  const all = units.flatMap(({ name: unit, contenders }) => contenders.map((each) => ({ unit, ...each })));
  console.log();
  for (const { unit, name, unavailable, failure } of all) {
    if (unavailable !== undefined) console.log(`${unit} ${name} not run: ${unavailable}`);
    if (failure !== undefined) console.log(`${unit} ${name} FAILED: ${failure}`);
  }
  const given = Object.entries(options).map(([name, value]) => `--${name} ${value}`);
  const { otherNode, ...named } = versions;
  const runtimes = Object.entries({ ...named, 'other node': otherNode }).filter(([, version]) => version !== undefined);
  console.log(
    `command: npm run bench -- slow ${given.join(' ')}\nmachine: ${machineLine(Object.fromEntries(runtimes))}`,
  );
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify({ options, all }, null, 2)}\n`);
  return all.some(({ failure }) => failure !== undefined) ? 1 : 0;
}

export async function main(args) {
  const { values: options } = parseArgs({ args, options: OPTIONS });
  options.connections = count('connections', options.connections, CONTEST_RANGES.connections);
  options['download-seconds'] = count('download-seconds', options['download-seconds'], 100);
  const rows = choose(ROWS, options.rows, 'rows');
  checkMachine({});
  checkFiles(options.connections);
  const payload = Buffer.alloc(MIB, 'featherstar');
  const folder = temporaryFolder();
  const files = { file: `${folder}/file`, '10m': `${folder}/10m` };
  writeFileSync(files.file, payload);
  writeFileSync(files['10m'], Buffer.concat(Array(10).fill(payload)));
  const versions = findPeers(options);
  const client = await compile('slow-client');
  const contenders = chooseContenders(await contendersOf(specs(files), options, versions), options.only);
  const units = rows.map((row) => ({
    name: row.name,
    row,
    contenders: contenders.filter((each) => each.rows?.includes(row.name) ?? true).map((each) => ({ ...each })),
  }));
  for (const { name, row, contenders: each } of units) {
    for (const contender of each.filter(({ unavailable }) => unavailable === undefined)) {
      process.stderr.write(`${name} ${contender.name}\n`);
      try {
        contender.result = await measure(contender, row, client, options);
      } catch (error) {
        if (!(error instanceof ContenderError)) throw error;
        contender.failure = error.message;
      }
    }
  }
  return report(units, options, versions);
}

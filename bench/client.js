// The CPU time of a request in its client: undici with a pool of featherstar/client, undici on Node's own sockets, and
// Bun's fetch. The C server of http.js responds to all of them.
//
// Next: baseline/client.mjs, which sends the requests.

import { parseArgs } from 'node:util';
import { CONTEST_RANGES, checkMachine, readNumbers, runClient, SERVER_CORE } from './contest.js';
import { baseline, findPeers, PEER_OPTIONS } from './peers.js';
import { answersRightly, startServer } from './server.js';
import { compile, machineLine, median, table } from './tools.js';

const DECLARED = {
  connections: { type: 'string', default: '64' },
  seconds: { type: 'string', default: '2' },
  rounds: { type: 'string', default: '5' },
  ...PEER_OPTIONS,
};

function clients(options, versions) {
  const node = options.node ?? process.execPath;
  const uring = { FEATHERSTAR_HOST: 'uring' };
  const portable = { FEATHERSTAR_HOST: 'portable' };
  const all = [
    { name: 'request, featherstar', with: 'shard', command: node, env: uring },
    { name: 'request, featherstar portable', with: 'shard', command: node, env: portable },
    { name: 'request, undici alone', with: 'node', command: node },
    { name: 'fetch, featherstar', with: 'shard-fetch', command: node, env: uring },
    { name: 'fetch, undici alone', with: 'fetch', command: node },
  ];
  if (versions.bun !== undefined) all.push({ name: 'fetch, Bun', with: 'bun', command: options.bun });
  else console.log(`Bun takes no part: no ${options.bun} (--bun PATH names one)`);
  return all;
}

export async function main(args) {
  const { values: options } = parseArgs({ args, options: DECLARED });
  readNumbers(options, CONTEST_RANGES);
  checkMachine({});
  const versions = findPeers(options);
  const contender = { name: 'c-uring', command: await compile('http-uring'), args: [] };
  const server = await startServer(contender, SERVER_CORE, answersRightly);
  const all = clients(options, versions).map((client) => ({ ...client, cpuUs: [] }));
  try {
    for (let round = 0; round < options.rounds; round++) {
      for (const client of all) {
        const flags = ['--port', server.port, '--with', client.with, '--connections', options.connections];
        const program = [...flags, '--seconds', options.seconds].map(String);
        const env = Object.entries(client.env ?? {}).map(([name, value]) => `${name}=${value}`);
        const command = [...env, client.command, baseline('client.mjs'), ...program];
        client.cpuUs.push((await runClient('env', command, options.seconds)).cpuUs);
      }
    }
  } finally {
    await server.stop();
  }
  const rows = all.map(({ name, cpuUs }) => [name, median(cpuUs).toFixed(1), Math.min(...cpuUs).toFixed(1)]);
  console.log(`\nCPU of a request, ${options.connections} at once, ${options.rounds} rounds`);
  console.log(table([['client', 'us, median', 'us, least'], ...rows]));
  console.log(machineLine(versions));
  return 0;
}

// The CPU time of a call between two processes over a nats-server: by featherstar/nats, and by nats.js alone with JSON.
//
// Next: baseline/nats.mjs, which is either side.

import { once } from 'node:events';
import { connect } from 'node:net';
import { parseArgs } from 'node:util';
import { checkMachine, readNumbers } from './contest.js';
import { baseline } from './peers.js';
import { startServer } from './server.js';
import { BenchError, hasCommand, machineLine, median, startPinned, stop, table, versionOf } from './tools.js';

const DECLARED = {
  open: { type: 'string', default: '64' },
  calls: { type: 'string', default: '50000' },
  rounds: { type: 'string', default: '5' },
  node: { type: 'string', default: process.execPath },
};
const RANGES = { open: 1000, calls: 10_000_000, rounds: 1000 };
const CORES = { service: 0, caller: 1 };
const WITH = { 'featherstar/nats': 'shard', 'nats.js alone': 'nats' };

const NATS = { command: 'nats-server', args: (port) => ['-a', '127.0.0.1', '-p', String(port)] };

/** Whether a server listens there. */
async function listens(port) {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch (error) {
    if (error.code === 'ECONNREFUSED') return false;
    throw error;
  } finally {
    socket.destroy();
  }
}

async function startSide(side, options, port, name) {
  const args = ['--side', side, '--with', name, '--port', String(port), '--open', String(options.open)];
  const stdio = ['ignore', 'inherit', 'inherit', 'ipc'];
  const child = startPinned(CORES[side], options.node, [baseline('nats.mjs'), ...args], { stdio });
  const ended = once(child, 'exit').then(([code]) => {
    throw new BenchError(`${side} with ${name} ended with ${code}`);
  });
  ended.catch(() => undefined); // also after it was stopped
  const reply = async () => (await Promise.race([once(child, 'message'), ended]))[0];
  await reply();
  const ask = (question) => {
    child.send(question);
    return reply();
  };
  return { ask, stop: () => stop(child) };
}

/** One round with new processes: µs of a call in the caller and in the service. */
async function measure(options, port, name) {
  const sides = [];
  try {
    sides.push(await startSide('service', options, port, name), await startSide('caller', options, port, name));
    const [service, caller] = sides;
    await caller.ask({ calls: Math.ceil(options.calls / 2) }); // V8 compiles
    const before = await service.ask('cpu');
    const inCaller = await caller.ask({ calls: options.calls });
    const inService = (await service.ask('cpu')) - before;
    return [inCaller / options.calls, inService / options.calls];
  } finally {
    await Promise.all(sides.map((side) => side.stop()));
  }
}

export async function main(args) {
  const { values: options } = parseArgs({ args, options: DECLARED });
  readNumbers(options, RANGES);
  if (versionOf(options.node) === undefined) throw new BenchError(`--node ${options.node} cannot be run`);
  checkMachine({});
  if (!hasCommand('nats-server')) throw new BenchError('no nats-server in PATH (apt-get install nats-server)');
  const { port, stop: stopServer } = await startServer(NATS, CORES.caller, listens);
  const found = Object.fromEntries(Object.keys(WITH).map((name) => [name, []]));
  try {
    for (let round = 0; round < options.rounds; round++) {
      for (const [name, how] of Object.entries(WITH)) found[name].push(await measure(options, port, how));
    }
  } finally {
    await stopServer();
  }
  const figure = (rounds, side) => median(rounds.map((round) => round[side])).toFixed(1);
  const rows = Object.entries(found).map(([name, rounds]) => [name, figure(rounds, 0), figure(rounds, 1)]);
  console.log(`\nCPU of a call, ${options.open} open at a time, ${options.rounds} rounds`);
  console.log(table([['calls by', 'us in the caller', 'us in the service'], ...rows]));
  console.log(machineLine({ node: versionOf(options.node) }));
  return 0;
}

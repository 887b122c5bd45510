// The load of wrk on hello-world servers: options, one measurement, and the whole contest, for http.js and hono.js.
//
// Next: contest.js.

import { fileURLToPath } from 'node:url';
import {
  aboutRounds,
  CONTEST_OPTIONS,
  CONTEST_RANGES,
  checkFiles,
  checkMachine,
  conclude,
  interleave,
  measureServer,
  readNumbers,
  runClient,
  unitTable,
} from './contest.js';
import { chooseContenders, contendersOf, findPeers, PEER_OPTIONS } from './peers.js';
import { answersRightly, reconnects } from './server.js';

/** Options that every benchmark with wrk has. */
export const WRK_OPTIONS = {
  connections: { type: 'string', default: '64' },
  ...CONTEST_OPTIONS,
  ...PEER_OPTIONS,
};

/** Replaces texts by numbers, as readNumbers() does. Throws if this machine cannot run wrk with these options. */
export function checkWrkOptions(options, ranges = {}, least = {}) {
  readNumbers(options, { ...CONTEST_RANGES, ...ranges }, least);
  checkMachine({ wrk: 'apt-get install wrk' });
  checkFiles(options.connections);
}

async function measure(contender, options) {
  let runs = 0;
  const load = async (port, seconds) => {
    const script = fileURLToPath(new URL('wrk.lua', import.meta.url));
    const args = ['-t1', `-c${options.connections}`, `-d${seconds}s`, '--latency', '-s', script];
    const scheme = contender.isSecure ? 'https' : 'http';
    const request = [`${scheme}://127.0.0.1:${port}/`, '--', String(options.pipeline ?? 1), options.headers ?? 'few'];
    const result = await runClient('wrk', [...args, ...request], seconds);
    runs++;
    const expected = 1 + runs * (options.connections + 1); // the check; and wrk tries the host before each run
    result.errors.reconnects = reconnects(port, expected);
    if (options.pipeline > 1) result.p50Us = result.p99Us = null; // wrk's own arithmetic is wrong there, see README.md
    return result;
  };
  return measureServer(contender, answersRightly, load, options.seconds);
}

/**
 * Measures all contenders, and prints a table for each of `cases`: { name, specs }. `declared` has the options of the
 * benchmark `bench`, `packages` more versions to print. Resolves with the exit code: 1 if a contender failed.
 */
export async function wrkContest(bench, declared, options, cases, packages = {}) {
  const versions = findPeers(options);
  const units = [];
  for (const { name, specs } of cases) {
    units.push({ name, contenders: chooseContenders(await contendersOf(specs, options, versions), options.only) });
  }
  await interleave(units, options.rounds, (contender) => measure(contender, options));
  console.log(`\n${aboutRounds(options.rounds)}`);
  for (const { name, contenders } of units) {
    console.log(`${name === '' ? '' : `\n${name}`}\n${unitTable(contenders, 'req')}`);
  }
  console.log();
  return conclude(bench, units, options, { ...versions, ...packages }, declared);
}

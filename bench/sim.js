// How fast the simulator is: turns of its shards per second, and the world's time by ours. A turn is one turn of one
// shard's core with the JavaScript in it. In the first three programs that is almost nothing, so they show the
// simulator itself. The last one, of `npm run sim`, what a program costs that does something.

import { parseArgs } from 'node:util';
import { sleep } from 'featherstar';
import { simulate } from 'featherstar/testing';
import { runSeed } from '../tests/sim/program.js';

const SHARDS = 4;
const LIMITS = { shards: SHARDS, maxTurns: 1e9, maxMs: 8e9 };
const everywhere = (world, run) => Promise.all(Array.from({ length: SHARDS }, (_, shard) => world.on(shard, run)));

async function repeat(count, wait) {
  for (let i = 0; i < count; i++) await wait();
}

const simulated = (program) => (seed) => simulate({ seed, ...LIMITS }, program);

const PROGRAMS = {
  'busy: setImmediate() on 4 shards': simulated((world) =>
    everywhere(world, () => repeat(50_000, () => new Promise((resolve) => setImmediate(resolve)))),
  ),
  'timers: sleep(1) on 4 shards': simulated((world) => everywhere(world, () => repeat(50_000, () => sleep(1)))),
  'idle: sleep(60_000) on 4 shards': simulated((world) => everywhere(world, () => repeat(2000, () => sleep(60_000)))),
  'npm run sim: 100 seeds': async (seed) => {
    const sum = { turns: 0, virtualMs: 0 };
    for (let i = 0; i < 100; i++) {
      const { turns, virtualMs } = await runSeed(seed + i);
      sum.turns += turns;
      sum.virtualMs += virtualMs;
    }
    return sum;
  },
};

const median = (numbers) => [...numbers].sort((a, b) => a - b)[numbers.length >> 1];

export async function main(args) {
  const { values } = parseArgs({ args, options: { rounds: { type: 'string', default: '5' } } });
  const results = Object.fromEntries(Object.keys(PROGRAMS).map((name) => [name, []]));
  for (let round = 1; round <= Number(values.rounds); round++) {
    for (const [name, run] of Object.entries(PROGRAMS)) {
      const start = process.cpuUsage();
      const { turns, virtualMs } = await run(round);
      const { user, system } = process.cpuUsage(start);
      const seconds = (user + system) / 1e6;
      results[name].push({ turns: turns / seconds, times: virtualMs / 1000 / seconds });
    }
  }
  console.log(`\nmedian of ${values.rounds} rounds, by CPU time`);
  for (const [name, rounds] of Object.entries(results)) {
    const turns = Math.round(median(rounds.map((round) => round.turns)));
    const times = Math.round(median(rounds.map((round) => round.times)));
    console.log(`${name.padEnd(34)} ${String(turns).padStart(9)} turns/s ${String(times).padStart(10)} x real time`);
  }
  console.log(`\ncommand: npm run bench -- sim --rounds ${values.rounds} (node ${process.version})`);
  return 0;
}

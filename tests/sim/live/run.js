// Many live seeds over several processes, which are new every CHUNK seeds: what a world leaves behind goes with them.
//
//   seeds --> chunks --> workers (worker.js), perhaps of a mutant (mutants.js) --> lines --> the first failure, or sums

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const CHUNK = 100;

/** Runs a chunk. `onSeed` gets each line; resolves with how often each state was reached. */
function runChunk(root, from, count, only, onSeed, children) {
  return new Promise((resolve, reject) => {
    const args = [join(root, 'tests/sim/live/worker.js'), String(from), String(count)];
    if (only !== undefined) args.push(only.join());
    const child = spawn(process.execPath, args, {
      env: { ...process.env, NODE_NO_WARNINGS: '1' },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    children.add(child);
    let counts;
    createInterface({ input: child.stdout }).on('line', (line) => {
      const message = JSON.parse(line);
      if (message.counts === undefined) onSeed(message);
      else counts = message.counts;
    });
    child.on('error', reject);
    child.on('close', (code, signal) => {
      children.delete(child);
      if (counts !== undefined) resolve(counts);
      else reject(new Error(`the worker of seeds ${from} to ${from + count - 1} ended with ${signal ?? code}`));
    });
  });
}

/**
 * Runs seeds `from` to `from + count - 1`. Returns what failed (the first failure ends it, unless `all`), sums, and how
 * often each state was reached.
 */
export async function runSeeds({ root = ROOT, from = 1, count, jobs = 1, only, all = false }) {
  const children = new Set();
  const result = { failures: [], done: 0, turns: 0, virtualMs: 0, counts: new Map() };
  let next = from;
  const isOver = () => next >= from + count || (!all && result.failures.length !== 0);
  const onSeed = (message) => {
    if (!all && result.failures.length !== 0) return;
    result.done++;
    if (message.failure === undefined) {
      result.turns += message.turns;
      result.virtualMs += message.virtualMs;
      return;
    }
    result.failures.push(message);
    if (!all) for (const child of children) child.kill('SIGKILL');
  };
  const job = async () => {
    while (!isOver()) {
      const start = next;
      next += CHUNK;
      const seeds = Math.min(CHUNK, from + count - start);
      try {
        const counts = await runChunk(root, start, seeds, only, onSeed, children);
        for (const [state, times] of counts) result.counts.set(state, (result.counts.get(state) ?? 0) + times);
      } catch (error) {
        if (all || result.failures.length === 0) throw error; // else we have ended it
      }
    }
  };
  await Promise.all(Array.from({ length: jobs }, job));
  return result;
}

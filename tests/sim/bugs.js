// npm run sim -- --bugs     finds, shrinks and locates each planted bug of the sample, and prints a table

import { fileURLToPath } from 'node:url';
import { simulate } from 'featherstar/testing';

export const BUGS = [
  'lost wake-up',
  'double reply',
  'stale handle',
  'missing backpressure',
  'forgotten abort',
  'reply after reset',
  'locks in a circle',
  'non-atomic replace',
];

/** Searches for one bug, in `jobs` processes. Resolves with the report of its first failure. */
export async function findBug(bug, { jobs, directory, shrinkSeconds }) {
  const program = new URL('./sample-program.js', import.meta.url);
  program.searchParams.set('bug', bug);
  const startMs = performance.now();
  const { failures, done } = await simulate.search(program, {
    seeds: 2000,
    jobs,
    failures: 1,
    directory,
    shrinkSeconds,
  });
  return { ...failures[0], done, seconds: (performance.now() - startMs) / 1000 };
}

/**
 * Prints a row for each bug. Resolves with whether each was found, shrunk to 5 %, and located within 1 % of the run.
 */
export async function tellBugs(jobs, directory, shrinkSeconds) {
  let isFine = true;
  console.log('| bug | seed | choices | matter | inevitable between | s |\n| --- | --- | --- | --- | --- | --- |');
  for (const bug of BUGS) {
    const { seed, choices, mattering, inevitable, seconds, file } = await findBug(bug, {
      jobs,
      directory,
      shrinkSeconds,
    });
    const [from, to] = inevitable ?? [];
    const share = ((100 * mattering) / choices).toFixed(1);
    console.log(
      `| ${bug} | ${seed} | ${choices} | ${mattering} (${share} %) | ${from} and ${to} | ${seconds.toFixed(0)} |`,
    );
    isFine &&= file !== undefined && mattering <= 0.05 * choices && to - from <= 0.01 * choices && seconds < 60;
  }
  console.log(`seed files: ${fileURLToPath(new URL(`file:${directory}/`))}`);
  return isFine;
}

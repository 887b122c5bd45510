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
  const options = { seeds: 2000, jobs, failures: 1, directory, shrinkSeconds };
  let [from, found] = [1, undefined];
  do {
    const { failures } = await simulate.search(program, { ...options, from });
    found = failures[0];
    if (found?.file === undefined) console.error(found?.explanation ?? `no seed from ${from} on fails`);
    from = (found?.seed ?? 0) + 1;
  } while (found !== undefined && found.file === undefined); // the seed has ended its process only once
  return { ...found, seconds: (performance.now() - startMs) / 1000 };
}

/**
 * Prints a row for each bug. Resolves with whether each was found, shrunk to 5 %, and located within 1 % of the run. A
 * row that ran out of time says so, and is not judged: the machine was busy.
 */
export async function tellBugs(jobs, directory, shrinkSeconds) {
  let isFine = true;
  console.log('| bug | seed | choices | matter | inevitable between | s |\n| --- | --- | --- | --- | --- | --- |');
  for (const bug of BUGS) {
    const found = await findBug(bug, { jobs, directory, shrinkSeconds });
    const { seed, choices, mattering, inevitable, isOutOfTime, seconds, file } = found;
    const [from, to] = inevitable ?? [];
    const share = ((100 * mattering) / choices).toFixed(1);
    const late = isOutOfTime ? ', out of time' : '';
    const matters = `${mattering} (${share} %)`;
    console.log(`| ${bug} | ${seed} | ${choices} | ${matters} | ${from} and ${to} | ${seconds.toFixed(0)}${late} |`);
    const isClose = choices > 0 && mattering <= 0.05 * choices && to - from <= 0.01 * choices;
    isFine &&= file !== undefined && (isOutOfTime || isClose);
  }
  console.log(`seed files: ${fileURLToPath(new URL(`file:${directory}/`))}`);
  return isFine;
}

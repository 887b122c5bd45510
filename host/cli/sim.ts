// The command `featherstar sim`: searches a program for seeds that fail, and runs one of them again.
//
// Exit codes: 0 when all passed, 1 when something failed or cannot run, 2 when the command line is wrong.

import { writeFileSync } from 'node:fs';
import inspector from 'node:inspector';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { BENIGN } from '../sim/draw.js';
import { loadProgram, type RunRequest, runProgram } from '../sim/runs.js';
import { type SearchProgress, type SearchReport, search } from '../sim/search.js';
import { decideBy, readSeedFile } from '../sim/seed-file.js';
import { timelineOf } from '../sim/timeline.js';
import { INNER, lineOf } from '../sim/trace.js';

export const SIM_HELP = `Usage: featherstar sim <program> [options]
       featherstar sim --replay FILE [options]

Runs a program with many seeds. It is a module:
  export default (seed) => simulate({ seed, shards: 2 }, async (world) => { ... })

Options:
  --seeds N                   how many seeds (default 1000)
  --from N                    the first seed (default 1)
  --minutes M                 begin no seed after this time
  --jobs J                    how many processes (default: one for each core)
  --seeds-per-process N       a process is replaced after so many seeds; 1: each seed has its own (default 200)
  --swarm                     each seed also draws delays, freezes and partial reads, in a mix and strength of its own
  --shrink-seconds S          how long a failure may be shrunk (default 30)
  --directory DIR             where seed files are written (default sim-failures)
  --seed N                    only this seed, in this process
  --replay FILE               only what a seed file says
  --timeline FILE             with --seed or --replay: writes the run as an HTML page
  --stop-at N                 with --seed or --replay: waits for a debugger, and stops it before event N
  --trace N                   with --seed or --replay: how many of the last events are printed (default 40)`;

const OPTIONS = {
  seeds: { type: 'string' },
  from: { type: 'string' },
  minutes: { type: 'string' },
  jobs: { type: 'string' },
  'seeds-per-process': { type: 'string' },
  swarm: { type: 'boolean' },
  'shrink-seconds': { type: 'string' },
  directory: { type: 'string' },
  seed: { type: 'string' },
  replay: { type: 'string' },
  timeline: { type: 'string' },
  'stop-at': { type: 'string' },
  trace: { type: 'string' },
} as const;

const TRACE_SHOWN = 40;
const TRACE_KEPT = 200_000;

function printLine(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Thrown for a command line that is wrong. */
export class SimUsageError extends Error {}

type Values = ReturnType<typeof parseSimFlags>['values'];

function parseSimFlags(args: string[]) {
  try {
    return parseArgs({ args, options: OPTIONS, allowPositionals: true });
  } catch (error) {
    throw new SimUsageError((error as Error).message);
  }
}

function numberFlag(values: Values, name: keyof Values): number | undefined {
  const text = values[name];
  if (text === undefined) return undefined;
  if (typeof text === 'string' && /^\d+(\.\d+)?$/.test(text)) return Number(text);
  throw new SimUsageError(`--${name} must be a number, not ${JSON.stringify(text)}`);
}

/** The module's URL; a query after the path stays one. */
function programUrl(path: string): URL {
  const [file, query] = path.split(/\?(.*)/s) as [string, string | undefined];
  const url = pathToFileURL(resolve(file));
  if (query !== undefined) url.search = query;
  return url;
}

/** Runs the command. Resolves with the exit code. */
export async function runSim(args: string[]): Promise<number> {
  const { values, positionals } = parseSimFlags(args);
  const [path, ...more] = positionals;
  const isAlone = values.replay !== undefined;
  if (more.length > 0 || isAlone === (path !== undefined)) {
    throw new SimUsageError('the command is: featherstar sim <program>, or featherstar sim --replay FILE');
  }
  if (values.replay !== undefined) {
    const { program, file } = readSeedFile(values.replay);
    const { seed, swarm } = file;
    return runOnce(program, { seed, swarm, decide: decideBy(file) }, values, file.explanation);
  }
  const program = programUrl(path as string);
  const swarm = values.swarm ? { faults: BENIGN } : undefined;
  const seed = numberFlag(values, 'seed');
  if (seed !== undefined) return runOnce(program, { seed, swarm }, values, undefined);
  const report = await search(program, {
    seeds: numberFlag(values, 'seeds'),
    from: numberFlag(values, 'from'),
    minutes: numberFlag(values, 'minutes'),
    jobs: numberFlag(values, 'jobs'),
    seedsPerProcess: numberFlag(values, 'seeds-per-process'),
    shrinkSeconds: numberFlag(values, 'shrink-seconds'),
    directory: values.directory,
    swarm,
    onProgress: tellProgress,
  });
  return tellReport(report);
}

function tellProgress({ done, seeds, failures, elapsedMs, leftMs }: SearchProgress): void {
  const left = Number.isFinite(leftMs) ? `about ${Math.ceil(leftMs / 1000)} s left` : 'no estimate yet';
  const rate = ((1000 * done) / Math.max(1, elapsedMs)).toFixed(1);
  const text = `${done} of ${seeds} seeds, ${rate} a second, ${failures} distinct failures, ${left}`;
  process.stderr.write(process.stderr.isTTY ? `\r\x1b[K${text}` : `${text}\n`);
}

function tellReport({ done, failures, sometimes, never, elapsedMs }: SearchReport): number {
  if (process.stderr.isTTY) process.stderr.write('\n');
  for (const { seed, count, explanation, file } of failures) {
    printLine(`\n=== seed ${seed}${count > 1 ? `, and ${count - 1} more that fail so` : ''}\n${explanation}`);
    printLine(file === undefined ? 'no seed file: see above' : `repeat it: npx featherstar sim --replay ${file}`);
  }
  const names = Object.keys(sometimes);
  if (names.length > 0) printLine(`\nsometimes: ${names.length - never.length} of ${names.length} held in some seed`);
  for (const name of never) printLine(`  never: ${name}`);
  const failed = failures.reduce((sum, { count }) => sum + count, 0);
  const seconds = (elapsedMs / 1000).toFixed(1);
  printLine(`${done} seeds in ${seconds} s: ${done - failed} passed, ${failures.length} distinct failures`);
  return failures.length === 0 ? 0 : 1;
}

async function runOnce(url: URL, request: RunRequest, values: Values, known: string | undefined): Promise<number> {
  const program = await loadProgram(url.href);
  const stopAt = numberFlag(values, 'stop-at');
  if (stopAt !== undefined) inspector.open(undefined, undefined, true);
  const { failure, worlds } = await runProgram(program, { ...request, stopAt, traceEvents: TRACE_KEPT });
  const lines: string[] = [];
  let before = 0; // events of earlier worlds
  for (const { trace } of worlds) {
    for (const event of trace.events()) {
      const number = String(before + event.index).padStart(7);
      if (!INNER.has(event.kind)) lines.push(`${number} ${lineOf(event, trace.nameOf)}`);
    }
    before += trace.count;
  }
  for (const line of lines.slice(-(numberFlag(values, 'trace') ?? TRACE_SHOWN))) printLine(line);
  const hashes = worlds.map(({ trace }) => trace.hash).join(' ');
  printLine(`\nseed ${request.seed} trace ${hashes} (${before} events)`);
  if (values.timeline !== undefined) {
    writeFileSync(values.timeline, timelineOf(failure?.message ?? 'passed', worlds));
    printLine(`the timeline is in ${values.timeline}`);
  }
  if (known !== undefined) printLine(`\nfrom the seed file:\n${known}`);
  printLine(failure === undefined ? 'passed' : `failed: ${failure.message}\n${failure.stack}`);
  return failure === undefined ? 0 : 1;
}

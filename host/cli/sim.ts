// The command `featherstar sim`: searches a program for seeds that fail, and runs one of them again.
//
// Exit codes: 0 when all passed, 1 when something failed or cannot run, 2 when the command line is wrong. After SIGINT
// the search reports what it has found so far, with 130 if that is nothing.

import { existsSync, writeFileSync } from 'node:fs';
import inspector from 'node:inspector';
import { relative, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { FeatherstarError } from '../base/errors.js';
import type { UnreachedCode } from '../sim/coverage.js';
import { BENIGN, HARSH, type SimSwarm } from '../sim/draw.js';
import type { Branch } from '../sim/guide.js';
import { loadProgram, type RunRequest, runProgram } from '../sim/runs.js';
import {
  LOAD_MAX_MS,
  makeSearch,
  RUN_MAX_MS,
  type SearchOptions,
  type SearchProgress,
  type SearchReport,
} from '../sim/search.js';
import { decideBy, readSeedFile, type SeedFile } from '../sim/seed-file.js';
import { timelineOf } from '../sim/timeline.js';
import { INNER, lineOf } from '../sim/trace.js';
import { loadInTime } from '../sim/watchdog.js';

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
  --harsh                     as --swarm, and also errors, resets, losses, bit rot, misdirected writes, tight limits
  --guided                    up to half of the runs continue runs that reached new states of sometimes()
  --coverage                  also lists the code of the program that no seed has reached (Node only)
  --shrink-seconds S          how long a failure may be shrunk (default 30)
  --directory DIR             where seed files are written (default sim-failures)
  --seed N                    only this seed, in this process
  --branches A:S,...          with --seed: from choice A on choices come from stream S, as a guided search has printed
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
  harsh: { type: 'boolean' },
  guided: { type: 'boolean' },
  coverage: { type: 'boolean' },
  branches: { type: 'string' },
  'shrink-seconds': { type: 'string' },
  directory: { type: 'string' },
  seed: { type: 'string' },
  replay: { type: 'string' },
  timeline: { type: 'string' },
  'stop-at': { type: 'string' },
  trace: { type: 'string' },
} as const;

const OF_ONE = ['timeline', 'stop-at', 'trace', 'branches'] as const;
const OF_MANY = [
  'seeds',
  'from',
  'minutes',
  'jobs',
  'seeds-per-process',
  'shrink-seconds',
  'directory',
  'guided',
  'coverage',
] as const;
const DECIMALS: readonly string[] = ['minutes', 'shrink-seconds'];

const TRACE_SHOWN = 40;
const SOMETIMES_SHOWN = 12; // the rarest
const TRACE_KEPT = 200_000;
const INTERRUPTED = 130;

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
  const isDecimal = DECIMALS.includes(name);
  const isNumber = (isDecimal ? /^\d+(\.\d+)?$/ : /^\d+$/).test(String(text)) && Number(text) < 2 ** 53;
  if (isNumber) return Number(text);
  throw new SimUsageError(`--${name} must be ${isDecimal ? 'a number' : 'an integer'}, not ${JSON.stringify(text)}`);
}

/** The branches of --branches: `370:17,900:3`. */
function branchesFlag({ branches }: Values): Branch[] {
  if (branches === undefined) return [];
  if (!/^\d+:\d+(,\d+:\d+)*$/.test(branches)) {
    throw new SimUsageError(`--branches must be like 370:17,900:3, not ${JSON.stringify(branches)}`);
  }
  return branches.split(',').map((pair) => pair.split(':').map(Number) as [number, number]);
}

function branchesText(branches: readonly Branch[]): string {
  return branches.length === 0 ? '' : ` --branches ${branches.map((branch) => branch.join(':')).join()}`;
}

/** Refuses options that would do nothing. */
function checkModes(values: Values): void {
  const { seed, replay } = values;
  const isOne = seed !== undefined || replay !== undefined;
  const mode = replay !== undefined ? '--replay' : isOne ? '--seed' : 'a search';
  const idle: readonly (keyof Values)[] =
    replay !== undefined ? [...OF_MANY, 'seed', 'swarm', 'harsh', 'branches'] : isOne ? OF_MANY : OF_ONE;
  for (const name of idle) {
    if (values[name] === undefined) continue;
    const remedy = isOne ? 'leave it out' : 'add --seed N or --replay FILE';
    throw new SimUsageError(`--${name} does nothing with ${mode}: ${remedy}`);
  }
}

function swarmOf({ swarm, harsh }: Values): SimSwarm | undefined {
  if (harsh) return HARSH;
  return swarm ? { faults: BENIGN } : undefined;
}

function swarmFlag(swarm: SimSwarm | undefined): string {
  if (swarm === undefined) return '';
  return swarm === HARSH ? ' --harsh' : ' --swarm';
}

/** The module's URL; a query after the path stays one. */
function programUrl(path: string): URL {
  const [file, query] = path.split(/\?(.*)/s) as [string, string | undefined];
  const url = pathToFileURL(resolve(file));
  if (query !== undefined) url.search = query;
  return url;
}

function checkExists(url: URL): void {
  const path = fileURLToPath(url);
  if (!existsSync(path)) throw new FeatherstarError('FEATHERSTAR_MODULE', `there is no file ${path}`);
}

/** Runs the command. Resolves with the exit code. `loadMaxMs`: how long the program may take to load. */
export async function runSim(args: string[], loadMaxMs = LOAD_MAX_MS): Promise<number> {
  const { values, positionals } = parseSimFlags(args);
  const [path, ...more] = positionals;
  const isAlone = values.replay !== undefined;
  if (more.length > 0 || isAlone === (path !== undefined)) {
    throw new SimUsageError('the command is: featherstar sim <program>, or featherstar sim --replay FILE');
  }
  checkModes(values);
  if (values.replay !== undefined) {
    const { program, file } = readSeedFile(values.replay);
    const { seed, swarm } = file;
    return runOnce(program, { seed, swarm, decide: decideBy(file) }, values, file, loadMaxMs);
  }
  const program = programUrl(path as string);
  const swarm = swarmOf(values);
  const seed = numberFlag(values, 'seed');
  if (seed !== undefined) {
    const decide = decideBy({ seed, branches: branchesFlag(values) });
    return runOnce(program, { seed, swarm, decide }, values, undefined, loadMaxMs);
  }
  return runMany(program, {
    seeds: numberFlag(values, 'seeds'),
    from: numberFlag(values, 'from'),
    minutes: numberFlag(values, 'minutes'),
    jobs: numberFlag(values, 'jobs'),
    seedsPerProcess: numberFlag(values, 'seeds-per-process'),
    shrinkSeconds: numberFlag(values, 'shrink-seconds'),
    directory: values.directory,
    guided: values.guided,
    coverage: values.coverage,
    swarm,
    onProgress: tellProgress,
  });
}

async function runMany(program: URL, options: SearchOptions): Promise<number> {
  checkExists(program);
  let isStopped = false;
  const search = madeSearch(program, options);
  const stop = () => {
    isStopped = true;
    search.stop();
  };
  process.once('SIGINT', stop); // a second one ends this process at once
  const code = tellReport(program, options, await search.run());
  return isStopped && code === 0 ? INTERRUPTED : code;
}

function madeSearch(program: URL, options: SearchOptions): ReturnType<typeof makeSearch> {
  try {
    return makeSearch(program, options);
  } catch (error) {
    if (FeatherstarError.is(error) && error.code === 'FEATHERSTAR_OPTION') throw new SimUsageError(error.message);
    throw error;
  }
}

function tellProgress({ done, seeds, failures, elapsedMs, leftMs }: SearchProgress): void {
  const left = Number.isFinite(leftMs) ? `about ${Math.ceil(leftMs / 1000)} s left` : 'no estimate yet';
  const rate = ((1000 * done) / Math.max(1, elapsedMs)).toFixed(1);
  const text = `${done} of ${seeds} seeds, ${rate} a second, ${failures} distinct failures, ${left}`;
  process.stderr.write(process.stderr.isTTY ? `\r\x1b[K${text}` : `${text}\n`);
}

function tellReport(
  program: URL,
  options: SearchOptions,
  { done, failures, sometimes, never, unreached, elapsedMs }: SearchReport,
): number {
  if (process.stderr.isTTY) process.stderr.write('\n');
  for (const { seed, branches, count, explanation, file } of failures) {
    printLine(`\n=== seed ${seed}${count > 1 ? `, and ${count - 1} more that fail so` : ''}\n${explanation}`);
    const flags = `--seed ${seed}${swarmFlag(options.swarm)}${branchesText(branches)}`;
    const again = file === undefined ? `${fileURLToPath(program)}${program.search} ${flags}` : `--replay ${file}`;
    printLine(`repeat it: npx featherstar sim ${again}`);
  }
  const names = Object.keys(sometimes);
  const countOf = (name: string) => sometimes[name] as number;
  if (names.length > 0) printLine(`\nsometimes: ${names.length - never.length} of ${names.length} held in some seed`);
  for (const name of never) printLine(`  never: ${name}`);
  const held = names.filter((name) => !never.includes(name)).sort((a, b) => countOf(a) - countOf(b));
  for (const name of held.slice(0, SOMETIMES_SHOWN)) printLine(`  ${countOf(name)} times: ${name}`);
  if (unreached !== undefined) tellUnreached(unreached);
  const failed = failures.reduce((sum, { count }) => sum + count, 0);
  const seconds = (elapsedMs / 1000).toFixed(1);
  printLine(`${done} seeds in ${seconds} s: ${done - failed} passed, ${failures.length} distinct failures`);
  return failures.length === 0 ? 0 : 1;
}

function tellUnreached(unreached: readonly UnreachedCode[]): void {
  const places = unreached.length === 1 ? 'place' : 'places';
  printLine(`\ncoverage: no seed has reached ${unreached.length} ${places} of the program's files`);
  for (const { file, line, endLine, text } of unreached) {
    const lines = endLine > line ? `${line}-${endLine}` : line;
    printLine(`  ${relative(process.cwd(), file)}:${lines}  ${text}`);
  }
}

async function runOnce(
  url: URL,
  request: RunRequest,
  values: Values,
  known: SeedFile | undefined,
  loadMaxMs: number,
): Promise<number> {
  checkExists(url);
  process.on('exit', onEarlyExit);
  // Node ends such a run sooner, as nothing is left to happen.
  if (values['stop-at'] === undefined) setTimeout(() => process.exit(1), RUN_MAX_MS).unref();
  const program = await loadInTime(url.href, loadMaxMs, () => loadProgram(url.href)).catch((error) => {
    process.off('exit', onEarlyExit); // the error says more
    throw error;
  });
  const stopAt = numberFlag(values, 'stop-at');
  if (stopAt !== undefined) inspector.open(undefined, undefined, true);
  const { failure, worlds } = await runProgram(program, { ...request, stopAt, traceEvents: TRACE_KEPT });
  process.off('exit', onEarlyExit);
  const lines: string[] = [];
  let before = 0; // events of earlier worlds
  for (const [index, { trace }] of worlds.entries()) {
    const world = worlds.length === 1 ? '' : `  world ${index + 1}`;
    for (const event of trace.events()) {
      const number = String(before + event.index).padStart(7);
      if (!INNER.has(event.kind)) lines.push(`${number}${world} ${lineOf(event, trace.nameOf)}`);
    }
    before += trace.count;
  }
  const shown = numberFlag(values, 'trace') ?? TRACE_SHOWN;
  for (const line of lines.slice(Math.max(0, lines.length - shown))) printLine(line);
  const hashes = worlds.map(({ trace }) => trace.hash).join(' ');
  printLine(`\nseed ${request.seed} trace ${hashes} (${before} events)`);
  if (known !== undefined) printLine(`\nfrom the seed file:\n${known.explanation}`);
  printLine(failure === undefined ? 'passed' : `failed: ${failure.message}\n${failure.stack}`);
  if (known !== undefined && failure !== undefined && failure.signature !== known.signature) {
    printLine(`this is another failure than that of the seed file: ${known.signature}`);
  }
  if (values.timeline !== undefined) writeTimeline(values.timeline, timelineOf(failure?.message ?? 'passed', worlds));
  return failure === undefined ? 0 : 1;
}

function writeTimeline(path: string, html: string): void {
  try {
    writeFileSync(path, html);
  } catch (error) {
    throw new FeatherstarError('FEATHERSTAR_OPTION', `the timeline cannot be written: ${(error as Error).message}`);
  }
  printLine(`the timeline is in ${path}`);
}

/** A run that has not told its result has failed, whatever the program says. */
function onEarlyExit(): void {
  const why = 'It has called process.exit(), or waits for something outside of a simulation';
  process.stderr.write(`failed: the process ends before the run does. ${why}\n`);
  process.exitCode = 1;
}

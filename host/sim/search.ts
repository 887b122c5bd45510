// simulate.search(): many seeds of a program, on all cores, in processes that are replaced now and then. Each distinct
// failure is run again in a fresh process, shrunk, located, explained and written to a file that replays.
//
//   seeds --> child process --> passed
//                           --> failed, in a new way --> a fresh child: analyse() --> seed file
//
// A process is replaced because no engine forgets a module, and each world has instances of its own. State that
// imported libraries keep goes with it. So a seed that fails only behind other seeds is noticed: the fresh child does
// not see the failure.
//
// Next: search-child.ts.

import { type ChildProcess, fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { pathToFileURL } from 'node:url';
import { FeatherstarError, optionError } from '../base/errors.js';
import { type Checks, checkBoolean, checkedLater, checkOptions, checkUrl, integer, number } from '../base/options.js';
import { Coverage, type UnreachedCode } from './coverage.js';
import { checkSwarm, type SimSwarm } from './draw.js';
import { Guide, type RunPlan } from './guide.js';
import { isOtherRuntime } from './replace.js';
import type { FromSearcher, ToSearcher } from './search-child.js';
import { type SeedFile, writeSeedFile } from './seed-file.js';
import { LOCATE_MS } from './shrink.js';

/** Options of `simulate.search()`. */
export interface SearchOptions {
  /** How many seeds. Default 1000. */
  seeds?: number | undefined;
  /** The first seed. Default 1. */
  from?: number | undefined;
  /** No seed is begun after this time. Default: no bound. */
  minutes?: number | undefined;
  /** How many processes. Default: one for each core. */
  jobs?: number | undefined;
  /** How many runs a process makes before it is replaced; 1: each seed has a process of its own. Default 200. */
  seedsPerProcess?: number | undefined;
  /** Each seed draws its faults, their strength and tight limits from this. Default: nothing. */
  swarm?: SimSwarm | undefined;
  /** Continues earlier runs that reached new states of `sometimes()`, in up to half of the runs. Default false. */
  guided?: boolean | undefined;
  /** Where seed files are written. Default: `sim-failures` in the current directory. */
  directory?: string | undefined;
  /** How long one failure may be shrunk, s. Default 30. */
  shrinkSeconds?: number | undefined;
  /** The search ends after so many distinct failures. Default 10. */
  failures?: number | undefined;
  /** Also looks which code of the program no seed has reached. On Node only. Default false. */
  coverage?: boolean | undefined;
  /** Names of `sometimes()` and `reachable()` that some seed should see. */
  expected?: readonly string[] | undefined;
  /** Is called about once a second. */
  onProgress?: ((progress: SearchProgress) => void) | undefined;
}

/** How far a search is. */
export interface SearchProgress {
  readonly done: number;
  readonly seeds: number;
  readonly failures: number;
  readonly elapsedMs: number;
  /** The estimated time until all seeds are done. */
  readonly leftMs: number;
}

/** One bug that a search has found. */
export interface SearchFailure {
  /** The seed that showed it first. */
  readonly seed: number;
  /** Where the run branches off from the choices of its seed; none if the search is not guided. */
  readonly branches: readonly (readonly [at: number, stream: number])[];
  /** How many seeds failed like this. */
  readonly count: number;
  readonly message: string;
  /** Everything that is known, in words. */
  readonly explanation: string;
  /** The seed file; undefined if the failure does not repeat in a process of its own. */
  readonly file: string | undefined;
  /** How many choices the run has, and how many of them matter. */
  readonly choices: number;
  readonly mattering: number;
  /** The failure became inevitable between these two choices. */
  readonly inevitable: readonly [from: number, to: number];
  /** The time for these numbers was over: fewer choices may matter, and these two may be too far apart. */
  readonly isOutOfTime: boolean;
}

/** The report of a search. */
export interface SearchReport {
  /** How many seeds were run. */
  readonly done: number;
  readonly failures: readonly SearchFailure[];
  /** How often each `sometimes()` held, over all seeds. */
  readonly sometimes: Readonly<Record<string, number>>;
  /** Names that were asked for or expected, and never held. */
  readonly never: readonly string[];
  /** The code of the program that no seed has reached; undefined without `coverage`. */
  readonly unreached: readonly UnreachedCode[] | undefined;
  readonly elapsedMs: number;
}

const CHECKS: Checks<SearchOptions> = {
  seeds: integer(1, 2 ** 53 - 1),
  from: integer(0, 2 ** 53 - 1),
  minutes: number(0.001, 1e6),
  jobs: integer(1, 1024),
  seedsPerProcess: integer(1, 1_000_000),
  swarm: checkedLater,
  guided: checkBoolean,
  coverage: checkBoolean,
  directory: checkedLater,
  shrinkSeconds: number(0, 86_400),
  failures: integer(1, 10_000),
  expected: checkedLater,
  onProgress: checkedLater,
};

const SEEDS = 1000;
const SEEDS_PER_PROCESS = 200;
const RSS_MAX_BYTES = 700_000_000;
const SHRINK_SECONDS = 30;
const FAILURES = 10;
const PROGRESS_MS = 1000;
const ENDED = 'the process has ended'; // a signature
const ENDED_ONCE =
  'It does not end a process of its own. The machine was perhaps too busy, or had too little memory for so many jobs.';
const FAILED_ONCE =
  'It does not fail in a process of its own: a library keeps state from one world to the next. ' +
  'Run each seed in a process of its own: seedsPerProcess: 1, or --seeds-per-process 1';
const STDERR_CHARS = 4000;
/** In real time. On Node a turn without an end is noticed sooner, and by its place. */
export const RUN_MAX_MS = 300_000;
/** In real time, for the program's module and all that it imports. */
export const LOAD_MAX_MS = 60_000;

interface Known {
  readonly plan: RunPlan;
  count: number;
  isAnalysed: boolean;
  result: SearchFailure;
}

const LOADERS = /^(--import|--require|-r|--(?:experimental-)?loader|--conditions|-C)$/;
const LOADER_FLAG = /^--(import|require|(experimental-)?loader|conditions)=|^--experimental-(strip|transform)-types$/;

/** The flags of Node by which this process reads modules, such as `--import tsx`. */
export function loaderFlags(given: readonly string[]): string[] {
  return given.filter((flag, i) => LOADER_FLAG.test(flag) || LOADERS.test(flag) || LOADERS.test(given[i - 1] ?? ''));
}

/** A process that runs seeds. */
class Searcher {
  readonly #child: ChildProcess;
  #stderr = '';
  #runs = 0;
  #settle: ((message: FromSearcher) => void) | undefined;
  #broken: Extract<FromSearcher, { type: 'broken' }> | undefined;
  readonly #loading: NodeJS.Timeout;

  constructor(program: URL, loadMaxMs: number, isCovered = false) {
    this.#loading = setTimeout(() => {
      const why = 'its top level waits for something that does not come, or has a loop without an end';
      this.#end({ type: 'broken', text: `${program.href} is not loaded after ${loadMaxMs / 1000} s: ${why}` });
      this.close();
    }, loadMaxMs);
    const url = new URL('./search-child.js', import.meta.url);
    const execArgv = loaderFlags(process.execArgv);
    this.#child = fork(url, [program.href, ...(isCovered ? ['coverage'] : [])], {
      execArgv,
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    this.#child.stderr?.on('data', (part: Buffer) => {
      this.#stderr = (this.#stderr + part).slice(-STDERR_CHARS);
    });
    this.#child.on('message', (message: FromSearcher) => {
      if (message.type === 'broken') this.#broken = message;
      else if (message.type === 'loaded') clearTimeout(this.#loading);
      else this.#end(message);
    });
    this.#child.on('error', (error) => this.#end({ type: 'ended', text: error.message }));
    this.#child.on('close', (code, signal) => {
      const text = this.#stderr.trim();
      if (this.#broken !== undefined) this.#end({ ...this.#broken, text: this.#broken.text || text });
      else this.#end({ type: 'ended', text: text || `its process ended with ${signal ?? `exit code ${code}`}` });
    });
  }

  get runs(): number {
    return this.#runs;
  }

  #end(message: FromSearcher): void {
    this.#settle?.(message);
    this.#settle = undefined;
  }

  ask(message: ToSearcher): Promise<FromSearcher> {
    this.#runs++;
    return new Promise((resolve) => {
      const maxMs = RUN_MAX_MS + (message.type === 'analyse' ? LOCATE_MS + message.shrinkMs : 0);
      const what = message.type === 'cover' ? 'its coverage' : `seed ${message.seed}`;
      const onLate = () => {
        this.#end({ type: 'ended', text: `${what} has not ended within ${maxMs / 1000} s` });
        this.close();
      };
      const late = setTimeout(onLate, maxMs);
      this.#settle = (reply) => {
        clearTimeout(late);
        resolve(reply);
      };
      if (this.#child.connected) this.#child.send(message);
      else this.#end({ type: 'ended', text: this.#stderr.trim() || 'its process has ended' });
    });
  }

  close(): void {
    clearTimeout(this.#loading);
    this.#child.kill('SIGKILL');
  }
}

class Search {
  readonly #program: URL;
  readonly #loadMaxMs: number;
  readonly #options: SearchOptions;
  readonly #known = new Map<string, Known>();
  readonly #sometimes = new Map<string, number>();
  readonly #queue: string[] = [];
  readonly #searchers = new Set<Searcher>();
  readonly #guide: Guide | undefined;
  readonly #coverage: Coverage | undefined;
  readonly #waiting: (() => void)[] = [];
  readonly #seeds: number;
  readonly #startMs = performance.now();
  #next: number;
  #done = 0;
  #isStopped = false;

  constructor(program: URL, options: SearchOptions, loadMaxMs: number) {
    this.#program = program;
    this.#loadMaxMs = loadMaxMs;
    this.#options = options;
    this.#seeds = options.seeds ?? SEEDS;
    this.#next = options.from ?? 1;
    this.#coverage = options.coverage ? new Coverage() : undefined;
    this.#guide = options.guided ? new Guide(this.#next) : undefined;
  }

  get #elapsedMs(): number {
    return performance.now() - this.#startMs;
  }

  get #isOver(): boolean {
    const { from = 1, minutes = Number.POSITIVE_INFINITY, failures = FAILURES } = this.#options;
    return this.#next >= from + this.#seeds || this.#elapsedMs > minutes * 60_000 || this.#known.size >= failures;
  }

  async run(): Promise<SearchReport> {
    const { jobs = availableParallelism(), onProgress, expected = [] } = this.#options;
    const timer = setInterval(() => onProgress?.(this.#progress()), PROGRESS_MS);
    const works = Array.from({ length: Math.min(jobs, this.#seeds) }, () => this.#work());
    try {
      await Promise.all(works);
    } finally {
      this.stop(); // if one has failed, the others would go on
      clearInterval(timer);
    }
    onProgress?.(this.#progress());
    for (const name of expected) if (!this.#sometimes.has(name)) this.#sometimes.set(name, 0);
    const sometimes = Object.fromEntries([...this.#sometimes].sort(([a], [b]) => (a < b ? -1 : 1)));
    return {
      done: this.#done,
      failures: [...this.#known.values()].map(({ result, count }) => ({ ...result, count })),
      sometimes,
      never: Object.keys(sometimes).filter((name) => sometimes[name] === 0),
      unreached: this.#coverage?.places(),
      elapsedMs: this.#elapsedMs,
    };
  }

  /** Ends all processes. run() resolves with what is known so far. */
  stop(): void {
    this.#isStopped = true;
    this.#wake();
    for (const searcher of this.#searchers) searcher.close();
  }

  #progress(): SearchProgress {
    const elapsedMs = this.#elapsedMs;
    const { minutes = Number.POSITIVE_INFINITY } = this.#options;
    const seedsMs = this.#done === 0 ? Number.POSITIVE_INFINITY : (elapsedMs / this.#done) * (this.#seeds - this.#done);
    const leftMs = Math.min(seedsMs, Math.max(0, minutes * 60_000 - elapsedMs));
    return { done: this.#done, seeds: this.#seeds, failures: this.#known.size, elapsedMs, leftMs };
  }

  /** One job: seeds one by one, and failures that wait to be analysed before them. */
  async #work(): Promise<void> {
    let searcher: Searcher | undefined;
    try {
      while (!this.#isStopped) {
        const signature = this.#queue.shift();
        if (signature !== undefined) await this.#analyse(signature);
        else if (this.#isOver) return;
        else {
          if (this.#guide?.isReady === false) {
            await new Promise<void>((resolve) => void this.#waiting.push(resolve));
            continue;
          }
          searcher ??= this.#start(this.#coverage !== undefined);
          const { seedsPerProcess = SEEDS_PER_PROCESS, swarm } = this.#options;
          const number = this.#next++;
          const plan = this.#guide?.next() ?? { seed: number, branches: [] };
          const reply = await searcher.ask({ type: 'run', swarm, ...plan });
          const isSpent = reply.type === 'ended' || searcher.runs >= seedsPerProcess;
          if (isSpent || (reply.type === 'ran' && reply.rssBytes > RSS_MAX_BYTES)) {
            await this.#retire(searcher);
            searcher = undefined;
          }
          if (!this.#isStopped) this.#onRun(number, plan, reply);
        }
      }
    } finally {
      if (searcher !== undefined) await this.#retire(searcher);
    }
  }

  #start(isCovered = false): Searcher {
    const searcher = new Searcher(this.#program, this.#loadMaxMs, isCovered);
    this.#searchers.add(searcher);
    return searcher;
  }

  /** Ends a process that has run seeds. Its coverage is lost if it has ended itself, or if the search is stopped. */
  async #retire(searcher: Searcher): Promise<void> {
    const reply = this.#coverage === undefined ? undefined : await searcher.ask({ type: 'cover' });
    if (reply?.type === 'covered') this.#coverage?.add(reply.files);
    this.#end(searcher);
  }

  #end(searcher: Searcher): void {
    searcher.close();
    this.#searchers.delete(searcher);
  }

  /** A plan of the guide may be possible now. */
  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #onRun(number: number, plan: RunPlan, reply: FromSearcher): void {
    if (reply.type === 'broken') throw new FeatherstarError('FEATHERSTAR_MODULE', reply.text);
    this.#done++;
    const { from = 1 } = this.#options;
    this.#guide?.add(number - from, reply.type === 'ran' ? reply : { sometimes: [], choices: 0 });
    this.#wake();
    if (reply.type === 'ended') this.#note(plan, ENDED, reply.text);
    if (reply.type !== 'ran') return;
    for (const [name, count] of reply.sometimes) this.#sometimes.set(name, (this.#sometimes.get(name) ?? 0) + count);
    if (reply.failure !== undefined) this.#note(plan, reply.failure.signature, reply.failure.message);
  }

  #note(plan: RunPlan, signature: string, message: string): void {
    const known = this.#known.get(signature);
    if (known !== undefined) {
      known.count++;
      return;
    }
    const result: SearchFailure = {
      ...plan,
      count: 1,
      message,
      explanation: message,
      file: undefined,
      choices: 0,
      mattering: 0,
      inevitable: [0, 0],
      isOutOfTime: false,
    };
    this.#known.set(signature, { plan, count: 1, isAnalysed: false, result });
    this.#queue.push(signature);
  }

  /** In a fresh process: does it fail alone, and why? */
  async #analyse(signature: string): Promise<void> {
    const known = this.#known.get(signature) as Known;
    const { plan, result } = known;
    const { swarm, shrinkSeconds = SHRINK_SECONDS } = this.#options;
    const searcher = this.#start();
    const reply = await searcher.ask({ type: 'analyse', swarm, shrinkMs: shrinkSeconds * 1000, ...plan });
    this.#end(searcher);
    if (this.#isStopped) return;
    if (reply.type === 'analysed') {
      const { message, explanation, kept, total, located, isOutOfTime } = reply;
      const saved = this.#save({ ...plan, swarm, kept, signature: reply.signature, explanation });
      const inevitable = [located.from, located.to] as const;
      const figures = { choices: total, mattering: kept.length, inevitable, isOutOfTime };
      known.result = { ...result, message, ...figures, ...saved };
    } else if (reply.type === 'ended' || reply.type === 'broken') {
      // It ends its process each time: a loop without an end, as a rule. There is nothing to shrink.
      const isSame = signature === ENDED;
      const explanation = isSame ? reply.text : `${result.message}\n\nIt could not be explained: ${reply.text}`;
      known.result = { ...result, ...this.#save({ ...plan, swarm, signature, explanation }) };
    } else {
      const text = signature === ENDED ? ENDED_ONCE : FAILED_ONCE;
      known.result = { ...result, explanation: `${result.message}\n\n${text}` };
    }
  }

  /** Writes the seed file. If it cannot be written, the explanation says so. */
  #save(plan: Omit<SeedFile, 'version' | 'program'>): Pick<SearchFailure, 'explanation' | 'file'> {
    const { explanation } = plan;
    try {
      return { explanation, file: writeSeedFile(this.#options.directory ?? 'sim-failures', this.#program, plan) };
    } catch (error) {
      const text = `The seed file cannot be written: ${(error as Error).message}`;
      return { explanation: `${explanation}\n\n${text}`, file: undefined };
    }
  }
}

/**
 * Runs many seeds of a program, in several processes. Resolves when all are done, with what failed. `program`: a module
 * whose default export is a function that takes a seed, calls `simulate()` with it, and rejects if it finds a bug.
 * Rejects with FEATHERSTAR_MODULE if the module cannot be loaded.
 */
export async function search(program: URL | string, options: SearchOptions = {}): Promise<SearchReport> {
  return makeSearch(program, options).run();
}

/** A search that its caller can stop. `loadMaxMs`: how long a process may load the program. */
export function makeSearch(program: URL | string, options: SearchOptions, loadMaxMs = LOAD_MAX_MS): Search {
  const { ...checked } = checkOptions(options, CHECKS);
  if (checked.swarm !== undefined) checkSwarm(checked.swarm);
  if (checked.coverage && isOtherRuntime)
    throw optionError('coverage', true, 'false: only Node counts which code runs');
  const url = new URL(String(checkUrl('program', program)), pathToFileURL(`${process.cwd()}/`));
  return new Search(url, checked, loadMaxMs);
}

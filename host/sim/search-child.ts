// A process of simulate.search(): runs seeds of the program that it was started with, and analyses failures.
//
// Next: runs.ts.

import { type FileCoverage, startCoverage, takeCoverage } from './coverage.js';
import type { SimSwarm } from './draw.js';
import { explain } from './explain.js';
import { branchBy, type RunPlan } from './guide.js';
import { loadProgram, type RunFailure, type RunRequest, runProgram, type SimProgram } from './runs.js';
import { keepOnly, LOCATE_MS, type Located, locate, type RunWith, shrink } from './shrink.js';

export type ToSearcher =
  | ({ readonly type: 'run'; readonly swarm: SimSwarm | undefined } & RunPlan)
  | ({ readonly type: 'analyse'; readonly swarm: SimSwarm | undefined; readonly shrinkMs: number } & RunPlan)
  | { readonly type: 'cover' };

export type FromSearcher =
  | {
      readonly type: 'ran';
      readonly failure: RunFailure | undefined;
      readonly sometimes: readonly (readonly [string, number])[];
      readonly choices: number;
      readonly rssBytes: number;
    }
  | {
      readonly type: 'analysed';
      readonly signature: string;
      readonly message: string;
      readonly explanation: string;
      readonly total: number;
      readonly kept: readonly (readonly [string, number])[];
      readonly located: Located;
      readonly isOutOfTime: boolean;
    }
  | { readonly type: 'passed' }
  | { readonly type: 'covered'; readonly files: readonly FileCoverage[] }
  /** The module is loaded. */
  | { readonly type: 'loaded' }
  /** The module cannot be used, and the process ends. Without a text, what it prints says why. */
  | { readonly type: 'broken'; readonly text: string }
  /** The process has ended. */
  | { readonly type: 'ended'; readonly text: string };

const ALL_EVENTS = 200_000;
const TURNS_MORE = 3; // times as many as the run that failed: other choices may take longer

async function analyse(
  program: SimProgram,
  { seed, branches }: RunPlan,
  swarm: SimSwarm | undefined,
  shrinkMs: number,
): Promise<FromSearcher> {
  const first = await runProgram(program, { seed, swarm, decide: branchBy(branches) });
  const { failure } = first;
  if (failure === undefined) return { type: 'passed' };
  const turns = Math.max(0, ...first.worlds.map((world) => world.turns));
  const request: RunRequest = { seed, swarm, maxTurns: TURNS_MORE * turns + 1000 };
  const run: RunWith = (decide) => {
    const own = branchBy(branches); // of each run anew
    return runProgram(program, { ...request, decide: (index, word, key) => decide(index, own(index, word, key), key) });
  };
  const total = first.choices.count;
  const located = await locate(run, failure.signature, total, LOCATE_MS);
  const recorded = { ...request, isRecorded: true, traceEvents: ALL_EVENTS };
  const original = await runProgram(program, { ...recorded, decide: branchBy(branches) });
  const { kept, isOutOfTime } = await shrink(run, failure.signature, original.choices.records, located, shrinkMs);
  const shrunk = await runProgram(program, { ...recorded, decide: keepOnly(kept) });
  const { message, stack } = shrunk.failure ?? failure;
  const explanation = explain({ message, stack, total, located, kept, isOutOfTime, original, shrunk });
  return {
    type: 'analysed',
    signature: failure.signature,
    message,
    explanation,
    total,
    kept: [...kept],
    located,
    isOutOfTime: isOutOfTime || located.isOutOfTime,
  };
}

async function reply(program: SimProgram, message: ToSearcher): Promise<FromSearcher> {
  if (message.type === 'cover') return { type: 'covered', files: takeCoverage() };
  const { seed, swarm, branches } = message;
  if (message.type === 'analyse') return analyse(program, message, swarm, message.shrinkMs);
  const { failure, sometimes, choices } = await runProgram(program, { seed, swarm, decide: branchBy(branches) });
  const rssBytes = process.memoryUsage.rss();
  return { type: 'ran', failure, sometimes: [...sometimes], choices: choices.count, rssBytes };
}

const [url, coverage] = process.argv.slice(2);
if (process.send !== undefined && url !== undefined) {
  const send = (message: FromSearcher) => void process.send?.(message);
  if (coverage !== undefined) startCoverage();
  let loading: Promise<SimProgram> | undefined;
  process.on('SIGINT', () => {}); // the searcher gets it too, and ends this process
  process.on('disconnect', () => process.exit(1)); // the searcher is gone
  process.on('message', (message: ToSearcher) => {
    loading ??= loadProgram(url).then((program) => {
      send({ type: 'loaded' });
      return program;
    });
    loading
      .then((program) => reply(program, message))
      .then(send, (error: Error) => {
        // Node tells the line of a syntax error only if the error ends the process.
        const isSyntax = error instanceof SyntaxError;
        const message: FromSearcher = { type: 'broken', text: isSyntax ? '' : (error.stack ?? error.message) };
        process.send?.(message, () => {
          setImmediate(() => {
            if (isSyntax) throw error;
            process.exit(1);
          });
        });
      });
  });
}

// One run of a program under a session: a seed, perhaps with other values for some choices. The result says how it
// failed, what it chose, and what happened in its worlds.
//
// Next: shrink.ts.

import { FeatherstarError } from '../base/errors.js';
import { importText } from '../runtime/node-platform.js';
import { Choices, type Decide } from './choices.js';
import { watchCopies } from './copies.js';
import { drawSwarm, type SimSwarm } from './draw.js';
import { realSoon } from './real.js';
import { activeWorld } from './replace.js';
import { inSession, type Session } from './session.js';
import { importName } from './sim-platform.js';
import { textOfThrown } from './thrown.js';
import type { World } from './world.js';

/** A program to search: it runs `simulate()` with the seed, once or several times, and rejects if it finds a bug. */
export type SimProgram = (seed: number) => unknown;

export interface RunRequest {
  readonly seed: number;
  readonly swarm?: SimSwarm | undefined;
  /** Default: each choice is the seed's own. */
  readonly decide?: Decide | undefined;
  /** Choices are kept in words. */
  readonly isRecorded?: boolean | undefined;
  readonly traceEvents?: number | undefined;
  readonly stopAt?: number | undefined;
  /** A world takes at most so many turns, if it would be allowed more. */
  readonly maxTurns?: number | undefined;
}

/** How a run has failed. */
export interface RunFailure {
  /** Failures that are the same bug have the same one. */
  readonly signature: string;
  readonly message: string;
  /** With the line of the program, as far as it is known. */
  readonly stack: string;
}

export interface RunResult {
  readonly failure: RunFailure | undefined;
  readonly choices: Choices;
  readonly worlds: readonly World[];
  readonly sometimes: ReadonlyMap<string, number>;
}

const SIGNATURE_CHARS = 120;
const PROPERTY = /^(?:always|unreachable)\("(?:[^"\\]|\\.)*"\) [a-z ]+/; // without its details
const OWN_FRAMES = new URL('.', import.meta.url).href;
const REMEDY = 'its default export must call simulate() and return or await the promise';

export async function runProgram(program: SimProgram, request: RunRequest): Promise<RunResult> {
  const { seed, swarm, decide, isRecorded, traceEvents, stopAt, maxTurns } = request;
  const drawn = swarm === undefined ? undefined : drawSwarm(seed, swarm);
  const session: Session = {
    choices: new Choices(decide, isRecorded),
    traceEvents,
    stopAt,
    worlds: [],
    sometimes: new Map(),
    open: 0,
    adjust: (options) => ({
      ...options,
      faults: { ...drawn?.faults, ...options.faults },
      limits: { ...drawn?.limits, ...options.limits },
      maxTurns: maxTurns === undefined ? options.maxTurns : Math.min(maxTurns, options.maxTurns ?? maxTurns),
    }),
  };
  const strays: unknown[] = [];
  // A simulation sees to those of its own.
  const onStray = (error: unknown) => void (activeWorld() === undefined && strays.push(error));
  process.on('unhandledRejection', onStray);
  process.on('uncaughtException', onStray);
  const otherCopy = watchCopies();
  const failure = await inSession(session, async () => {
    await program(seed);
    if (session.open > 0) {
      throw new FeatherstarError('FEATHERSTAR_STATE', `the program ends before its simulation does: ${REMEDY}`);
    }
    if (session.worlds.length === 0) {
      throw new FeatherstarError('FEATHERSTAR_STATE', `the program has run no simulation: ${REMEDY}`);
    }
    await realSoon(); // rejections without a handler are told by then
    if (strays.length > 0) throw strays[0];
  }).then(
    () => undefined,
    (error: unknown) => failureOf((session.worlds.length === 0 && otherCopy()) || error),
  );
  do await realSoon();
  while (session.open > 0);
  process.off('unhandledRejection', onStray);
  process.off('uncaughtException', onStray);
  return { failure, choices: session.choices, worlds: session.worlds, sometimes: session.sometimes };
}

/** The default export of a program's module. */
export async function loadProgram(url: string): Promise<SimProgram> {
  const { default: program } = await import(importName(new URL(url))).catch((cause) => {
    const text = importText(cause);
    if (text === cause?.message) throw cause; // its stack says most
    throw new FeatherstarError('FEATHERSTAR_MODULE', `${url} cannot be loaded: ${text}`);
  });
  if (typeof program === 'function') return program;
  throw new FeatherstarError(
    'FEATHERSTAR_MODULE',
    `${url} has no function as its default export: (seed) => simulate(...)`,
  );
}

function failureOf(error: unknown): RunFailure {
  const own = textOfThrown(error);
  const message = own.message.replace(/^seed \d+: /, '');
  const stack = textOfThrown(own.cause).stack || own.stack || message;
  const firstLine = message.split('\n', 1)[0] as string;
  const told = PROPERTY.exec(firstLine)?.[0] ?? firstLine;
  return { signature: told.replace(/\d+/g, 'N').slice(0, SIGNATURE_CHARS), message, stack: withoutOwnFrames(stack) };
}

/** A stack without the simulator's own lines, if others are left. */
function withoutOwnFrames(stack: string): string {
  const lines = stack.split('\n');
  const shown = lines.filter((line) => !(/^\s+at /.test(line) && line.includes(OWN_FRAMES)));
  return shown.some((line) => /^\s+at /.test(line)) ? shown.join('\n') : stack;
}

// Shard 0's side of the workers of shards 1, 2, and so on. It introduces them to each other, asks them to do something,
// and ends them.
//
//   start --> booted (its ring is there) --> peers (how to wake each other) --> running (its module is loaded)
//
// Next: worker-shard.ts, the other end.

import { unpackError } from '../base/error-parts.js';
import { FeatherstarError, textOf } from '../base/errors.js';
import { inTime } from '../base/in-time.js';
import type { DoorbellToken } from '../hosts/host.js';
import { doorbells, ports, setPeers, tokensOf } from '../shard/doorbells.js';
import type { Shard } from '../shard/shard.js';
import type { Checked } from './options.js';
import type { FromWorker, ShardData, ShardModule, ShardWorker, ToWorker } from './protocol.js';

const SLOW_IMPORT_MS = 5000;
const THREAD_END_MS = 1000;

/** The data that a worker needs to become a shard. `cpu`: the processor that it is kept on. */
export function shardData(
  shard: number,
  options: Checked,
  blocks: ArrayBufferLike,
  cpu: number | undefined,
): ShardData {
  return {
    shard,
    blocks,
    shardCount: options.shards,
    module: options.module,
    cpu,
    host: options.factory.name,
    network: options.network,
    idlePollNs: options.idlePollNs,
    quotaNs: options.quotaNs,
    stallMs: options.stallMs,
    unhandled: options.unhandled,
    checkMemory: options.checkMemory,
  };
}

type MessageOf<T extends FromWorker['type']> = Extract<FromWorker, { type: T }>;

/** The next message of a worker of this type; rejects when it fails or ends first. */
export function expect<T extends FromWorker['type']>(worker: ShardWorker, type: T): Promise<MessageOf<T>> {
  return new Promise((resolve, reject) => {
    const finish = (settle: () => void) => {
      for (const off of offs) off();
      settle();
    };
    const onExit = (code: number) => finish(() => reject(exitError(code)));
    const onMessage = (message: FromWorker) => {
      if (message.type === type) finish(() => resolve(message as MessageOf<T>));
      else if (message.type === 'failed') finish(() => reject(startError(message)));
    };
    const offs = [worker.onMessage(onMessage), worker.onError(reject), worker.onExit(onExit)];
  });
}

/**
 * Ends a worker's thread in the middle of whatever it does. False: it has not ended in time, because it waits for
 * something that cannot be interrupted. Then it ends by itself when that does.
 */
export async function terminate(worker: ShardWorker, timeoutMs: number): Promise<boolean> {
  const ending = worker.terminate().then(() => true);
  return (await inTime(ending, timeoutMs)) ?? false;
}

/** Like terminate(). A thread that has not ended keeps no program alive (but the process waits for its threads). */
export async function endThread(worker: ShardWorker): Promise<boolean> {
  const ended = await terminate(worker, THREAD_END_MS);
  if (!ended) worker.unref();
  return ended;
}

function exitError(code: number): FeatherstarError {
  return new FeatherstarError('FEATHERSTAR_MODULE', `a shard exited with code ${code} at start`);
}

/** The error of a thread that ended at start. Often it could not open a file of this package (EMFILE). */
function threadError(cause: unknown): FeatherstarError {
  if (FeatherstarError.is(cause)) return cause;
  const text = cause instanceof Error ? cause.message : textOf(cause);
  return new FeatherstarError('FEATHERSTAR_MODULE', `a shard ended at start: ${text}`, { cause });
}

/** Why a worker has not started. */
function startError({ error }: MessageOf<'failed'>): FeatherstarError {
  const cause = unpackError(error);
  if (FeatherstarError.is(cause)) return cause;
  return new FeatherstarError('FEATHERSTAR_MODULE', cause instanceof Error ? cause.message : textOf(cause), { cause });
}

/** The number of a message whose reply could be taken for the reply to an earlier one. */
function numberOf(message: FromWorker | ToWorker): number | undefined {
  return 'number' in message ? message.number : undefined;
}

/** Tells a worker to do something and waits for its word that it has; undefined if it ends first, or is too late. */
export function askWorker<T extends FromWorker['type']>(
  worker: ShardWorker,
  message: ToWorker,
  type: T,
  timeoutMs: number,
  transfer: readonly unknown[] = [],
): Promise<MessageOf<T> | undefined> {
  return new Promise((resolve) => {
    const finish = (answer?: MessageOf<T>) => {
      for (const off of offs) off();
      clearTimeout(timer);
      resolve(answer);
    };
    const onEnd = () => finish();
    const onMessage = (answer: FromWorker) => {
      if (answer.type === type && numberOf(answer) === numberOf(message)) finish(answer as MessageOf<T>);
    };
    const offs = [worker.onMessage(onMessage), worker.onExit(onEnd)];
    const timer = setTimeout(onEnd, timeoutMs);
    worker.tell(message, transfer);
  });
}

/**
 * Gives every shard what it needs to wake the others, then lets all load their module. Rejects as soon as a worker
 * ends, also if that one runs already and others do not.
 */
export async function introduce(
  own: Shard,
  workers: readonly ShardWorker[],
  options: Checked,
  importModule: (url: string | undefined) => Promise<ShardModule>,
): Promise<void> {
  const offs: (() => void)[] = [];
  const end = new Promise<never>((_, reject) => {
    for (const worker of workers)
      offs.push(
        worker.onExit((code) => reject(exitError(code))),
        worker.onError((error) => reject(threadError(error))),
      );
  });
  try {
    await Promise.race([end, bringUp(own, workers, options, importModule)]);
  } finally {
    for (const off of offs) off();
  }
}

async function bringUp(
  own: Shard,
  workers: readonly ShardWorker[],
  options: Checked,
  importModule: (url: string | undefined) => Promise<ShardModule>,
): Promise<void> {
  for (const worker of workers) worker.ref();
  const booted = await Promise.all(workers.map((worker) => expect(worker, 'booted')));
  const tokens: DoorbellToken[][] = [doorbells(own, options.shards), ...booted.map((message) => message.tokens)];
  setPeers(own, tokensOf(0, tokens));
  const running = workers.map((worker) => expect(worker, 'running'));
  workers.forEach((worker, i) => {
    const mine = tokensOf(i + 1, tokens);
    worker.tell({ type: 'peers', tokens: mine }, ports(mine));
  });
  const module = importModule(options.module).then((exports) => own.calls?.setModule(exports));
  await allLoaded([module, ...running], options.module);
}

/** Waits for all shards to load their module; says so when it takes long, because the usual reason lasts for ever. */
async function allLoaded(loads: readonly Promise<unknown>[], module: string | undefined): Promise<void> {
  const missing = new Set(loads.keys());
  loads.forEach((load, shard) => {
    load.then(
      () => missing.delete(shard),
      () => missing.delete(shard),
    );
  });
  const timer = setTimeout(() => {
    const text = `after ${SLOW_IMPORT_MS} ms shard ${[...missing].join(', ')} still loads ${module}`;
    process.emitWarning(`${text}: does it await Runtime.start() at its top level?`, 'Featherstar');
  }, SLOW_IMPORT_MS);
  timer.unref();
  try {
    await Promise.all(loads);
  } finally {
    clearTimeout(timer);
  }
}

// A shard that has died is started again: with the same number, in a new thread, with nothing of what it had. One that
// lives is killed first, and has died then like any other.
//
//   shard 0                        each peer that lives                     the new thread
//   kill, if it lives              'peerDown': its calls fail               (the old one ends)
//   bury          -->              its calls to the dead one have failed,
//                 <-- buried       both rings of the pair are empty
//   clearShard()
//   start         ------------------------------------------------------->  boots; calls that come wait
//                 <-------------------------------------------------------  booted
//   peerUp        -->              calls it again
//                 <-- welcomed
//   peers         ------------------------------------------------------->  loads its module
//                 <-------------------------------------------------------  running
//
// Each wait ends by a reply of a peer, its death, or PEER_TIMEOUT_MS; a message of the new thread, or its end. The new
// thread may take as long as its module does. When the runtime closes, the caller waits no longer (runtime.ts). It ends
// the new thread. If that has not ended after THREAD_END_MS, it stays the shard's worker until it has.
//
// Late messages of an earlier life, or to it, are recognised by numbers that are never given twice: they begin with
// Shard.numbersFrom.
//
// Next: worker-shard.ts.

import { FeatherstarError } from '../base/errors.js';
import { type Checks, checkBoolean, checkOptions } from '../base/options.js';
import { HEADER_STATES, type Header, HostControl, MESH, ShardState } from '../core/layout.js';
import type { DoorbellToken } from '../hosts/host.js';
import { ports } from '../shard/doorbells.js';
import type { Shard } from '../shard/shard.js';
import type { ShardWorker } from './protocol.js';
import { askWorker, expect, terminate } from './workers.js';

const PEER_TIMEOUT_MS = 5000;
const KILL_TIMEOUT_MS = 5000;

/** Options of `Runtime.restart()`. */
export interface RestartOptions {
  /** Kill the shard first if it lives. */
  force?: boolean | undefined;
}

const RESTART_CHECKS: Checks<RestartOptions> = { force: checkBoolean };

export function checkForce(options: RestartOptions): boolean {
  return checkOptions(options, RESTART_CHECKS).force ?? false;
}

/** Ends a thread in the middle of whatever it does. Resolves when it has ended, and its ring and listeners with it. */
export async function kill(shard: number, worker: ShardWorker): Promise<void> {
  if (await terminate(worker, KILL_TIMEOUT_MS)) return;
  const what = `the thread of shard ${shard}`;
  const text = `${what} has not ended ${KILL_TIMEOUT_MS} ms after it was killed: it is in a system call`;
  throw new FeatherstarError('FEATHERSTAR_TIMEOUT', text);
}

/** Clears the memory of a dead shard, which all peers have buried; the next one to boot there is its next life. */
export function clearShard(memory: WebAssembly.Memory, header: Header, shard: number): void {
  const { shardCount, ringBytes } = header;
  const bytes = new Uint8Array(memory.buffer);
  const words = new Uint32Array(memory.buffer);
  const base = header.shardsOffset + shard * header.shardBytes;
  const births = words[(base + HostControl.births) >>> 2] as number;
  bytes.fill(0, base, base + header.arenaOffset); // what lies behind is written before it is read
  words[(base + HostControl.births) >>> 2] = births + 1;
  for (let peer = 0; peer < shardCount; peer++) {
    const isDead = Atomics.load(words, (HEADER_STATES >>> 2) + peer) === ShardState.STOPPED;
    if (!isDead) continue; // who lives has cleared both rings of the pair
    for (const ring of [shard * shardCount + peer, peer * shardCount + shard]) {
      bytes.fill(0, MESH + ring * ringBytes, MESH + (ring + 1) * ringBytes);
    }
  }
}

export interface Restart {
  readonly own: Shard;
  /** In shard order; undefined: dead, and shard 0. */
  readonly workers: readonly (ShardWorker | undefined)[];
  /** Starts the thread. */
  start(shard: number): ShardWorker;
  /** Aborts when the runtime closes. */
  readonly signal: AbortSignal;
}

let asked = 0;

/** Tells a shard that a peer runs. Rejects if that peer has died just now, and its token with it. */
function introduceTo(worker: ShardWorker, peer: number, token: DoorbellToken): Promise<unknown> {
  const message = { type: 'peerUp', shard: peer, token, number: ++asked } as const;
  return askWorker(worker, message, 'welcomed', PEER_TIMEOUT_MS, ports([token]));
}

/**
 * Resolves with its worker when the shard runs and has loaded its module. If it rejects, the caller ends the worker, if
 * there is one. Behind an abort of `signal` it does nothing more but to wait for what it waits for at the moment.
 */
export async function restart(shard: number, { own, workers, start, signal }: Restart): Promise<ShardWorker> {
  const late = (peer: number, answer: unknown) => {
    signal.throwIfAborted();
    if (answer !== undefined || workers[peer] === undefined) return;
    const text = `shard ${peer} has not let go of shard ${shard} after ${PEER_TIMEOUT_MS} ms`;
    throw new FeatherstarError('FEATHERSTAR_TIMEOUT', text);
  };
  /** Asks each peer that lives. */
  const all = (run: (peer: number, worker: ShardWorker) => Promise<void>) =>
    Promise.all(workers.map((worker, peer) => worker && run(peer, worker)));

  const number = ++asked; // an answer that comes too late is not one to the next restart()
  const tokens: (DoorbellToken | undefined)[] = [];
  const burials = all(async (peer, worker) => {
    const answer = await askWorker(worker, { type: 'bury', shard, number }, 'buried', PEER_TIMEOUT_MS);
    late(peer, answer);
    tokens[peer] = answer?.token;
  });
  await Promise.all([own.calls?.peers.whenBuried(shard), burials]);
  signal.throwIfAborted();
  clearShard(own.memory, own.header, shard);
  const newborn = start(shard);
  const running = expect(newborn, 'running'); // rejects also if the thread ends before it gets that far
  running.catch(() => {});
  const booted = await expect(newborn, 'booted');
  signal.throwIfAborted();
  own.host.setPeer(shard, booted.tokens[0]);
  own.calls?.peers.up(shard);
  tokens[0] = own.host.doorbell(shard);
  const welcomes = all(async (peer, worker) =>
    late(peer, await introduceTo(worker, shard, booted.tokens[peer] as number).catch(() => running)),
  );
  await Promise.race([running, welcomes]); // it does not run before 'peers', but it may die
  for (const [peer, token] of tokens.entries()) {
    if (peer !== 0 && workers[peer] === undefined) continue; // it has died since: the newborn was told so already
    if (token !== undefined) await introduceTo(newborn, peer, token).catch(() => undefined); // 'peerDown' comes as well
  }
  newborn.tell({ type: 'peers', tokens: [] });
  await running;
  return newborn;
}

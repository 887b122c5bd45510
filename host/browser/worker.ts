// The entry of a shard's Web Worker. Order: the page sends module and memory, and the loop begins. The page hands over
// the peers' doorbells, and the shard module is imported. Then the shard serves calls, of its peers and of the page.

import './globals.js';
import { packError } from '../base/error-parts.js';
import { Calls, remoteError } from '../calls/call.js';
import { readHeader } from '../core/layout.js';
import { alignClock, type DoorbellToken } from '../hosts/host.js';
import { doorbells, losePeer, ports, setPeers } from '../shard/doorbells.js';
import { enterShard, Shard } from '../shard/shard.js';
import { BrowserHost } from './browser-host.js';
import { useModule } from './platform.js';
import type { FromShard, StartMessage, ToShard } from './protocol.js';
import { setShardCount } from './shard.js';

const scope = globalThis as unknown as {
  onmessage: (event: { data: ToShard }) => void;
  postMessage(message: FromShard, transfer?: unknown[]): void;
  close(): void;
};

let shard: Shard;
let started: StartMessage;

function say(message: FromShard, transfer: unknown[] = []): void {
  scope.postMessage(message, transfer);
}

/**
 * Takes a lock for as long as this worker lives. A page has no event for a worker's end. But then its locks come free,
 * in whatever way it ended, and not before its last step. False where the browser refuses locks.
 */
function holdLock(name: string): Promise<boolean> {
  return new Promise((resolve) => {
    const hold = () => {
      resolve(true);
      return new Promise(() => {});
    };
    navigator.locks.request(name, hold).catch(() => resolve(false));
  });
}

async function boot(message: StartMessage): Promise<void> {
  const holdsLock = await holdLock(message.lock);
  const { core, memory, blocks, shard: index, shardCount, quotaNs, originMs } = message;
  started = message;
  useModule(core);
  const readNs = () => (performance.timeOrigin - originMs + performance.now()) * 1e6;
  alignClock(readNs);
  shard = new Shard({
    module: core,
    memory,
    blocks,
    header: readHeader(memory),
    shard: index,
    factory: { name: 'browser', reason: 'a page', open: (windows) => new BrowserHost(windows) },
    idlePollNs: 0,
    quotaNs,
    stallMs: 0,
    unhandled: 'warn',
    checkMemory: false,
    threadSpawn: () => -1, // the page starts them all
  });
  shard.core.boot(index, readNs());
  shard.calls = new Calls(shard, shardCount); // they keep what peers that begin sooner ask for
  enterShard(shard);
  setShardCount(shardCount);
  shard.start();
  const tokens = doorbells(shard, shardCount);
  say({ type: 'booted', tokens, holdsLock }, ports(tokens));
}

async function loadAndRun(tokens: readonly (DoorbellToken | undefined)[]): Promise<void> {
  setPeers(shard, tokens);
  shard.calls?.setModule(started.module === undefined ? {} : await import(started.module));
  say({ type: 'running', functions: shard.calls?.functionNames ?? [] });
}

/** A call of the page's, as if this shard's own code had made it. */
async function call(id: number, name: string, args: unknown[]): Promise<void> {
  try {
    say({ type: 'answer', id, value: await shard.calls?.call(shard.index, name, args) });
  } catch (error) {
    say({ type: 'threw', id, error: packError(error instanceof Error ? error : remoteError(error)) });
  }
}

function stop(): void {
  shard.shutDownOwners();
  shard.close();
  say({ type: 'stopped' });
  scope.close();
}

scope.onmessage = ({ data }) => {
  const fail = (error: unknown) => say({ type: 'failed', error: packError(error) });
  try {
    if (data.type === 'start') boot(data).catch(fail);
    else if (data.type === 'peers') loadAndRun(data.tokens).catch(fail);
    else if (data.type === 'peerDown') losePeer(shard, data.shard);
    else if (data.type === 'call') void call(data.id, data.name, data.args);
    else stop();
  } catch (error) {
    fail(error);
  }
};

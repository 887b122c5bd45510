// A shard in its worker, on any platform: how it starts, and what it does when shard 0 tells it something.
//
//   booted --> peers (how to wake each of them) --> the module is loaded --> running --> drain, cancel, stop
//
// Its loop runs from the first moment on, so the shard keeps what peers that start sooner ask of it.
//
// Next: workers.ts, the other end; protocol.ts, the messages.

import { packError } from '../base/error-parts.js';
import { keepSecret } from '../base/secrets.js';
import { Calls } from '../calls/call.js';
import { offerParts } from '../calls/parts.js';
import type { Core } from '../core/core.js';
import { readHeader } from '../core/layout.js';
import type { DoorbellToken, HostFactory } from '../hosts/host.js';
import { doorbells, losePeer, ports, setPeers } from '../shard/doorbells.js';
import { holdersOn } from '../shard/holders.js';
import { enterShard, Shard } from '../shard/shard.js';
import type { ShardData, ToWorker, WorkerPort } from './protocol.js';
import { setRuntime, WorkerRuntime } from './runtime.js';
import { readHoldings } from './stats.js';
import { Watcher } from './watch.js';

const LOOK_MS = 50;

export class WorkerShard {
  readonly #data: ShardData;
  readonly #port: WorkerPort;
  readonly #shard: Shard;
  #runtime: WorkerRuntime | undefined;
  #watcher: Watcher | undefined;

  constructor(
    data: ShardData,
    factory: HostFactory,
    module: WebAssembly.Module,
    memory: WebAssembly.Memory,
    port: WorkerPort,
  ) {
    this.#data = data;
    this.#port = port;
    this.#shard = new Shard({
      ...data,
      module,
      memory,
      header: readHeader(memory),
      factory,
      threadSpawn: () => -1, // shards are started by shard 0
    });
  }

  get core(): Core {
    return this.#shard.core;
  }

  get base(): number {
    return this.#shard.base;
  }

  /** The core has begun, by wasi_thread_start(). */
  start(): void {
    const shard = this.#shard;
    offerParts();
    shard.calls = new Calls(shard, this.#data.shardCount);
    enterShard(shard);
    shard.start();
    const tokens = doorbells(shard, this.#data.shardCount);
    this.#port.say({ type: 'booted', tokens }, ports(tokens));
  }

  onMessage(message: ToWorker): void {
    if (message.type === 'peers') this.#begin(message.tokens).catch(this.#fail);
    else if (message.type === 'peerDown') losePeer(this.#shard, message.shard);
    else if (message.type === 'bury') this.#bury(message.shard, message.number).catch(this.#fail);
    else if (message.type === 'peerUp') this.#welcome(message.shard, message.number, message.token);
    else if (message.type === 'signal') this.#runtime?.signals.deliver(message.name).catch(this.#fail);
    else if (message.type === 'secret') keepSecret(message.name, message.value);
    else if (message.type === 'busy') this.#watcher?.begin(0);
    else if (message.type === 'watchHolders') this.#watchHolders(message.isOn);
    else if (message.type === 'drain') this.#drain(message.timeoutMs).catch(this.#fail);
    else if (message.type === 'cancel') this.#cancel(message.graceMs).catch(this.#fail);
    else this.#stop();
  }

  readonly #fail = (error: unknown): void => {
    this.#port.say({ type: 'failed', error: packError(error) });
  };

  async #begin(tokens: readonly (DoorbellToken | undefined)[]): Promise<void> {
    const { stallMs, shardCount, host, module } = this.#data;
    const [shard, port] = [this.#shard, this.#port];
    setPeers(shard, tokens);
    this.#runtime = new WorkerRuntime(shard, shardCount, host, {
      want: (name, isWanted) => port.say({ type: 'signalWanted', name, isWanted }),
      waited: (names) => port.say({ type: 'signalWaited', names }),
      done: (name) => port.say({ type: 'signalDone', name }),
    });
    setRuntime(this.#runtime);
    this.#watcher = new Watcher(shard, stallMs);
    const exports = await port.importModule(module);
    if (stallMs > 0) shard.stepMark.nudge = () => port.say({ type: 'busy' }); // loading may take its time
    shard.calls?.setModule(exports);
    port.say({ type: 'running' });
  }

  #watchHolders(isOn: boolean): void {
    const holders = holdersOn(this.#shard);
    const say = (holds: boolean) => this.#port.say({ type: 'holds', holds });
    holders.onChange = isOn ? say : undefined;
    if (isOn) say(holders.holds);
  }

  // --- peers that die and come back ----------------------------------------------------------------------------------

  async #bury(peer: number, number: number): Promise<void> {
    await this.#shard.calls?.peers.whenBuried(peer);
    const token = this.#shard.host.doorbell(peer);
    this.#port.say({ type: 'buried', number, token }, ports([token]));
  }

  #welcome(peer: number, number: number, token: DoorbellToken): void {
    if (this.#shard.closed) return;
    try {
      this.#shard.host.setPeer(peer, token);
    } catch {
      return; // it has died since: 'peerDown' is behind this message
    }
    this.#shard.calls?.peers.up(peer);
    this.#port.say({ type: 'welcomed', number });
  }

  // --- the end (shutdown.ts) -----------------------------------------------------------------------------------------

  async #drain(timeoutMs: number): Promise<void> {
    const failures = (await this.#runtime?.runOnClose(timeoutMs)) ?? [];
    this.#port.say({ type: 'drained', failures: failures.map(String) });
  }

  async #cancel(graceMs: number): Promise<void> {
    await this.#runtime?.cancel(graceMs);
    this.#port.say({ type: 'cancelled' });
  }

  #stop(): void {
    const shard = this.#shard;
    this.#watcher?.stop();
    const left = readHoldings(shard, shard.index);
    const waitsFor = shard.waitsFor();
    if (waitsFor.length === 0) shard.close();
    this.#port.say({ type: 'stopped', left, waitsFor });
    if (waitsFor.length === 0) this.#port.leave();
    else this.#closeWhenOver();
  }

  /** The thread may not end while the kernel works for it: its end would wait for that, and so would who joins it. */
  #closeWhenOver(): void {
    const timer = setInterval(() => {
      if (this.#shard.waitsFor().length !== 0) return;
      clearInterval(timer);
      this.#shard.close();
      this.#port.leave();
    }, LOOK_MS);
  }
}

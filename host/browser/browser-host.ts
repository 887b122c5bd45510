// The host of a shard in a page: a Web Worker. Doorbells are ports, deadlines timers. There is no kernel that would
// open a socket or a file. So only a doorbell and a cancellation have an effect; other operations get -EOPNOTSUPP.
//
// Next: worker.ts.

import { FeatherstarError } from '../base/errors.js';
import { Errno, OP_ASYNC_CANCEL, OP_MSG_RING, OP_NOP, SQE_CQE_SKIP_SUCCESS, SQE_WORDS } from '../core/kernel.js';
import type { DoorbellToken, MessagePortLike, Parking, ShardHost, Windows } from '../hosts/host.js';
import { NO_GROUP, Op, PortableWindow } from '../hosts/portable-window.js';
import { TurnLoop } from '../hosts/turn-loop.js';
import { runSoon } from './globals.js';

export class BrowserHost implements ShardHost {
  readonly name = 'browser';
  readonly sharesPorts = false;
  readonly movesFiles = false;
  readonly keepsLentBytes = false;
  readonly fileSlots = 0;
  readonly enter: () => void;
  readonly #words: Int32Array;
  readonly #sqeWord: number;
  readonly #shard: number;
  readonly #window: PortableWindow;
  readonly #loop: TurnLoop;
  readonly #doorbells: MessagePort[] = [];
  readonly #peers: (MessagePortLike | undefined)[] = [];

  constructor(windows: Windows) {
    const { memory, header, base, shard } = windows;
    this.#words = new Int32Array(memory.buffer);
    this.#sqeWord = (base + header.sqeOffset) >>> 2;
    this.#shard = shard;
    this.#window = new PortableWindow(windows, () => this.#loop.schedule());
    const platform = { soon: runSoon, afterMicrotasks: runSoon };
    this.#loop = new TurnLoop(windows, this.#window, (count) => this.#take(count), platform);
    this.enter = this.#loop.enter;
  }

  #take(count: number): void {
    for (let i = 0; i < count; i++) this.#answer(this.#sqeWord + i * SQE_WORDS);
  }

  #answer(at: number): void {
    const words = this.#words;
    const first = words[at] as number;
    const opcode = first & 0xff;
    const isQuiet = ((first >>> 8) & SQE_CQE_SKIP_SUCCESS) !== 0;
    const { bytes } = this.#window;
    const op = new Op(words[at + 8] as number, words[at + 9] as number, isQuiet, false, NO_GROUP, bytes, 0, 0);
    if (opcode === OP_NOP) this.#window.finish(op, 0);
    else if (opcode === OP_ASYNC_CANCEL)
      this.#window.finish(op, Errno.ENOENT); // nothing here is ever open
    else if (opcode === OP_MSG_RING) this.#window.finish(op, this.#ring(words[at + 1] as number));
    else this.#window.finish(op, Errno.EOPNOTSUPP);
  }

  #ring(peer: number): number {
    const port = this.#peers[peer];
    port?.postMessage(0);
    return port === undefined ? Errno.EBADF : 0;
  }

  start(turn: () => void, core: Parking): void {
    this.#loop.start(turn, core);
  }

  poke(): void {
    this.#loop.poke();
  }

  listen(): never {
    throw new FeatherstarError('FEATHERSTAR_HOST', 'the host browser has no sockets');
  }

  doorbell(peer: number): DoorbellToken {
    if (peer === this.#shard) return -1; // a shard does not ring its own doorbell
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = this.#loop.schedule;
    this.#doorbells.push(port1);
    return port2;
  }

  setPeer(peer: number, token: DoorbellToken | undefined): void {
    if (typeof token !== 'number') this.#peers[peer] = token;
  }

  /** A worker lives until it is closed. */
  ref(): void {}

  unref(): void {}

  close(): void {
    this.#loop.close();
    for (const port of this.#doorbells) port.close();
    this.#peers.length = 0;
  }
}

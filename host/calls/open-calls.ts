// The calls that a shard has open: made, and not yet settled. They are in the host's heap, which grows, and not in the
// core's memory, which does not. So a call that is in progress holds nothing that another call could wait for
// (assembly/mesh.ts). The number of them has a limit all the same, or a recursion without an end would fill the heap.
//
//   take() --> waiting in the outbox --> sent --> the reply has come --> free()
//
// A reply names slot and number of its call. A slot is used again, a number is not: so a late reply is found out.

import { HostControl } from '../core/layout.js';
import type { Shard } from '../shard/shard.js';
import type { Watch } from './call-signals.js';
import type { WaitingCall } from './outbox.js';

export type Resolve = (value: unknown) => void;
export type Reject = (reason: unknown) => void;

/** One call. The object is kept and used again with its slot. */
export class OpenCall {
  isOpen = false;
  peer = 0;
  /** Tells this call from earlier ones in the same slot; u32. */
  number = 0;
  method = 0;
  /** undefined: the caller has aborted, and the slot stays taken until the reply comes. */
  resolve: Resolve | undefined;
  reject: Reject | undefined;
  watch: Watch | undefined;
  /** Its arguments, while it waits to be sent. */
  waiting: WaitingCall | undefined;

  constructor(readonly slot: number) {}
}

export class OpenCalls {
  readonly #limit: number;
  readonly #slots: OpenCall[] = [];
  readonly #free: OpenCall[] = [];
  readonly #words: Int32Array;
  readonly #countWord: number;
  #number: number;

  constructor(shard: Shard) {
    this.#limit = shard.header.callSlots;
    this.#words = shard.words;
    this.#countWord = (shard.base + HostControl.openCalls) >>> 2;
    this.#number = Math.floor(shard.numbersFrom / 2 ** 32) << 20; // replies to an earlier life name lower numbers
  }

  /** undefined: `limits.callSlots` calls are open. */
  take(peer: number, method: number, resolve: Resolve, reject: Reject): OpenCall | undefined {
    if ((this.#words[this.#countWord] as number) >= this.#limit) return undefined;
    let call = this.#free.pop();
    if (call === undefined) {
      call = new OpenCall(this.#slots.length);
      this.#slots.push(call);
    }
    (this.#words[this.#countWord] as number)++;
    this.#number = (this.#number + 1) >>> 0;
    call.isOpen = true;
    call.peer = peer;
    call.number = this.#number;
    call.method = method;
    call.resolve = resolve;
    call.reject = reject;
    return call;
  }

  /** The call that a reply names, or undefined if it is over. */
  find(slot: number, number: number): OpenCall | undefined {
    const call = this.#slots[slot];
    return call?.isOpen && call.number === number >>> 0 ? call : undefined;
  }

  free(call: OpenCall): void {
    if (!call.isOpen) throw new Error(`call slot ${call.slot} is freed twice`);
    call.isOpen = false;
    call.resolve = undefined;
    call.reject = undefined;
    call.watch = undefined;
    call.waiting = undefined;
    (this.#words[this.#countWord] as number)--;
    this.#free.push(call);
  }

  /** Those at one peer, waiting or sent. */
  at(peer: number): OpenCall[] {
    return [...this].filter((call) => call.peer === peer);
  }

  *[Symbol.iterator](): Generator<OpenCall> {
    for (const call of this.#slots) if (call.isOpen) yield call;
  }

  get count(): number {
    return this.#words[this.#countWord] as number;
  }
}

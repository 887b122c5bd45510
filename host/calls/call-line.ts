// Calls that wait for credit or room, in order: a doubly linked list, because a call that is aborted leaves from the
// middle, and a hundred thousand may wait.

import type { Watch } from './call-signals.js';

export type Resolve = (value: unknown) => void;
export type Reject = (reason: unknown) => void;

export class WaitingCall {
  next: WaitingCall | undefined;
  prev: WaitingCall | undefined;

  /** `bytes`: the arguments as they were when it was called. */
  constructor(
    readonly method: number,
    readonly bytes: Uint8Array,
    readonly resolve: Resolve,
    readonly reject: Reject,
    readonly watch: Watch | undefined,
  ) {}
}

export class Line {
  first: WaitingCall | undefined;
  #last: WaitingCall | undefined;

  push(call: WaitingCall): void {
    call.prev = this.#last;
    if (this.#last === undefined) this.first = call;
    else this.#last.next = call;
    this.#last = call;
  }

  remove(call: WaitingCall): void {
    if (call.prev === undefined) this.first = call.next;
    else call.prev.next = call.next;
    if (call.next === undefined) this.#last = call.prev;
    else call.next.prev = call.prev;
  }
}

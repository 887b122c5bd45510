// An operation or a timer in flight: a slot of the core's table, and the generation that it had when it was taken.
//
//   idle --stage(), arm()--> in flight --last event--> idle ...
//                                |                       ^
//                                +--- Timer.disarm() ---+
//
// One object is used again and again, for one thing at a time. A connection has one Operation for receiving, one for
// sending, and so on. A slot is reused as soon as its operation is over, so slot and generation together name it. If a
// cancellation comes late, the core recognises it and does nothing.
//
// The owner's onEvent() calls ended() on the object that the event's tag stands for. A LoneTimer is its own owner.
//
// To begin what is in flight already, or to end what is not, is a defect of this library and throws in every build.
//
// Next: ops.ts, send-queue.ts.

import { Code, fullError, internalError } from '../base/errors.js';
import { CQE_MORE } from '../core/kernel.js';
import { OP_BYTES, Slab, TIMER_BYTES } from '../core/layout.js';
import type { Owner } from './owners.js';
import type { Shard } from './shard.js';

const IDLE = 0; // slots
const REFUSED = -1; // no slot was free: its event says so

/** A request to the kernel: the fields of a submission queue entry (SQE) that the core fills in. */
export interface Submission {
  opcode: number;
  flags: number;
  ioprio: number;
  file: number;
  off: number;
  ptr: number;
  len: number;
  opFlags: number;
  fileIndex: number;
  bufGroup: number;
}

// One for all: it is read before prepare() is called again, and so costs no allocation.
const submission: Submission = {
  opcode: 0,
  flags: 0,
  ioprio: 0,
  file: 0,
  off: 0,
  ptr: 0,
  len: 0,
  opFlags: 0,
  fileIndex: 0,
  bufGroup: 0,
};

/** A submission with all fields zero but these two. It is good until the next call. */
export function prepare(opcode: number, file: number): Submission {
  submission.opcode = opcode;
  submission.flags = 0;
  submission.ioprio = 0;
  submission.file = file;
  submission.off = 0;
  submission.ptr = 0;
  submission.len = 0;
  submission.opFlags = 0;
  submission.fileIndex = 0;
  submission.bufGroup = 0;
  return submission;
}

abstract class InFlight {
  protected readonly shard: Shard;
  protected owner: number;
  protected readonly tag: number;
  protected slot = IDLE;
  protected generation = 0;

  /** Its events go to `owner`, with `tag`. */
  constructor(shard: Shard, owner: number, tag: number) {
    this.shard = shard;
    this.owner = owner;
    this.tag = tag;
  }

  /** Whether its last event is still to come. */
  get isOpen(): boolean {
    return this.slot !== IDLE;
  }

  protected begin(slot: number, tableOffset: number, slotBytes: number): void {
    const { words, base } = this.shard;
    this.slot = slot;
    this.generation = words[(base + tableOffset + slot * slotBytes) >>> 2] as number;
  }

  protected checkIdle(): void {
    if (this.slot !== IDLE) throw internalError(`tag ${this.tag} of owner ${this.owner} is in flight already`);
  }

  /** An event has come. With CQE_MORE in `flags` others follow; else it was the last. */
  ended(flags = 0): void {
    if (this.slot === IDLE) throw internalError(`tag ${this.tag} of owner ${this.owner} was not in flight`);
    if ((flags & CQE_MORE) === 0) this.slot = IDLE;
  }
}

/** An operation of the kernel. ops.ts and fs/operations.ts have what can be asked, by name. */
export class Operation extends InFlight {
  /** Stages it. Throws FULL if all slots are in use; then nothing was staged. */
  stageOrThrow(what: Submission): void {
    if (!this.#take(what)) throw fullError('operations');
  }

  /**
   * Stages it. If all slots are in use, its event comes with the next turn and Code.FULL, as if the kernel had refused
   * it. In the middle of an event there is no caller to throw at.
   */
  stage(what: Submission): void {
    if (this.#take(what)) return;
    this.slot = REFUSED;
    this.shard.answerLater(this.owner, this.tag, Code.FULL);
  }

  #take(what: Submission): boolean {
    this.checkIdle();
    const { shard } = this;
    const slot = shard.submit(what, this.owner, this.tag);
    if (slot < 0) return false;
    this.begin(slot, shard.header.opsOffset, OP_BYTES);
    return true;
  }

  /** Asks the kernel to cancel it, if it is in flight. Its last event comes in any case. */
  cancel(): void {
    const { shard, slot } = this;
    if (slot <= IDLE || shard.closed) return;
    shard.poke();
    shard.core.cancelOp(slot, this.generation);
  }

  /** Makes a SEND `bytes` longer. False if the host has taken it already. */
  extend(bytes: number): boolean {
    return this.shard.core.extend(this.slot, this.generation, bytes) === Code.OK;
  }
}

/** A timer on the shard's wheel. */
export class Timer extends InFlight {
  /** Its event comes in `delayNs`, never earlier. Throws FULL. */
  arm(delayNs: number): void {
    const slot = this.#take(delayNs);
    if (slot < 0) throw slot === Code.FULL ? fullError('timers') : new RangeError(`timer of ${delayNs} ns`);
  }

  /** False if no timer is free. */
  tryArm(delayNs: number): boolean {
    return this.#take(delayNs) > 0;
  }

  #take(delayNs: number): number {
    this.checkIdle();
    const { shard } = this;
    const slot = shard.armTimer(delayNs, this.owner, this.tag);
    if (slot > 0) this.begin(slot, shard.header.timersOffset, TIMER_BYTES);
    return slot;
  }

  /** Takes it off the wheel. False if no event was prevented: it was idle, or it has fired and its event comes now. */
  disarm(): boolean {
    const { shard, slot } = this;
    if (slot === IDLE || shard.core.cancelTimer(slot, this.generation) !== Code.OK) return false;
    shard.owners.end(this.owner);
    this.slot = IDLE;
    return true;
  }
}

/** A timer that is its own owner: it is armed once, and its number is free when it is over. One object, no closure. */
export abstract class LoneTimer extends Timer implements Owner {
  /** Throws FULL. */
  constructor(shard: Shard, delayNs: number) {
    super(shard, 0, 0);
    this.owner = shard.register(this);
    try {
      this.arm(delayNs);
    } finally {
      shard.unregister(this.owner); // when it is over, or now
    }
  }

  /** It has fired. */
  abstract onTime(): void;

  onEvent(): void {
    this.ended();
    this.onTime();
  }
}

/** Words of a slot of the operations' table (class Op of assembly/op.ts). */
export const OP_OPCODE = 2;
export const OP_OWNER = 3;

/** The taken slots of a table of the core at `table`: for each the index of its first word. */
export function* takenSlots(words: Int32Array, table: number, slotBytes: number): Generator<number> {
  const fresh = words[(table + Slab.fresh) >>> 2] as number;
  for (let slot = 1; slot < fresh; slot++) {
    const at = (table + slot * slotBytes) >>> 2;
    if (((words[at] as number) & 1) !== 0) yield at; // the generation of a taken slot is odd
  }
}

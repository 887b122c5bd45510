// The owners of a shard, by number. The core keeps only the number of what an event is for.
//
//   register() --> number --> release() --> its last event --> the number is free again
//
// An operation in flight ends with exactly one last event; a timer ends with its event or its cancellation. The table
// counts what is in flight under each number. An owner releases its number as soon as it will begin nothing more. The
// number stays its own until the last event has come, so no event ever reaches the next owner of the number.
//
// A number that is released twice would get two owners, and an event that was not counted would free a number early.
// Both are defects of this library, and throw in every build.
//
// Next: operation.ts.

import { internalError } from '../base/errors.js';

export interface Owner {
  /** `tag`: what the owner gave when it asked. OP: result and CQE flags; TIMER: zeros. */
  onEvent(tag: number, result: number, extra: number): void;
  /** The runtime closes and has waited long enough: closes what this owns. Its last events still come. */
  onShutdown?(): void;
  /** Its operation, if that cannot be taken back from the kernel. */
  waitsFor?(): string;
}

const REGISTERED = 1; // bit of a count: the owner may begin more
const IN_FLIGHT = 2; // added for each operation and timer

export class Owners {
  readonly #owners: (Owner | undefined)[] = [undefined];
  readonly #counts: number[] = [0]; // of a number that was never registered: undefined, which counts as 0
  readonly #free: number[] = [];

  register(owner: Owner): number {
    const id = this.#free.pop() ?? this.#owners.length;
    this.#owners[id] = owner;
    this.#counts[id] = REGISTERED;
    return id;
  }

  /** The owner begins nothing more under this number. */
  release(id: number): void {
    const count = this.#counts[id] ?? 0;
    if ((count & REGISTERED) === 0) throw internalError(`owner ${id} was released before`);
    this.#counts[id] = count - REGISTERED;
    if (count === REGISTERED) this.#drop(id);
  }

  /** An operation or a timer is in flight. */
  begin(id: number): void {
    const count = this.#counts[id] ?? 0;
    if ((count & REGISTERED) === 0) throw internalError(`owner ${id} has been released`);
    this.#counts[id] = count + IN_FLIGHT;
  }

  /** An operation or a timer is over. */
  end(id: number): void {
    const count = this.#counts[id] ?? 0;
    if (count < IN_FLIGHT) throw internalError(`owner ${id} has nothing in flight`);
    this.#counts[id] = count - IN_FLIGHT;
    if (count === IN_FLIGHT) this.#drop(id);
  }

  /** Hands an event to its owner. */
  deliver(id: number, tag: number, result: number, extra: number, isLast: boolean): void {
    const owner = this.#owners[id] as Owner;
    if (isLast) this.end(id);
    owner.onEvent(tag, result, extra);
  }

  #drop(id: number): void {
    this.#owners[id] = undefined;
    this.#free.push(id);
  }

  find(id: number): Owner | undefined {
    return this.#owners[id];
  }

  all(): Owner[] {
    return this.#owners.filter((owner) => owner !== undefined);
  }
}

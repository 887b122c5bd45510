// The net under the calls: finds a peer that takes turns, or sleeps, and yet begins nothing of what waits for it. By
// the argument of assembly/mesh.ts that cannot be; if it is, the calls that wait fail instead of waiting for ever.
//
//   a call has to wait --> look() after LOOK_MS, and again while any waits
//   a look: has the peer moved head or begun since the last look? Does the same call wait first? Is the peer idle?
//   LOOKS looks in a row without a move --> a warning, and FEATHERSTAR_DEADLOCK for what waits
//
// A peer that is merely busy is left alone: it neither sleeps nor takes turns while a function of its own runs. So is
// one that still loads its module.
//
// Next: outbox.ts, which says what waits.

import { FeatherstarError } from '../base/errors.js';
import { Control, HostControl, MESH } from '../core/layout.js';
import type { Shard } from '../shard/shard.js';

const LOOK_MS = 1000;
const LOOKS = 3;
const TURNS = 2; // of the peer between two looks: one may have begun before the first
const HEAD = 128; // bytes, in a ring (assembly/spsc.ts)
const BEGUN = 132;

/** The state of one peer at the last look. */
interface Seen {
  first: object | undefined;
  head: number;
  begun: number;
  turns: number;
  looks: number;
}

/** The part of the outbox that the watch uses. */
export interface Queues {
  /**
   * The first message that waits for a peer because of the peer, not because of this shard's arena; undefined: there is
   * none.
   */
  first(peer: number): object | undefined;
  /** Fails all calls that wait for a peer. */
  fail(peer: number, error: FeatherstarError): void;
}

export class Standstill {
  readonly #shard: Shard;
  readonly #queues: Queues;
  readonly #seen: Seen[];
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(shard: Shard, shardCount: number, queues: Queues) {
    this.#shard = shard;
    this.#queues = queues;
    this.#seen = Array.from({ length: shardCount }, () => ({
      first: undefined,
      head: 0,
      begun: 0,
      turns: 0,
      looks: 0,
    }));
  }

  /** Something waits from now on. */
  begin(): void {
    if (this.#timer !== undefined) return;
    const timer = setTimeout(this.#look, LOOK_MS);
    this.#timer = timer;
    if (typeof timer === 'object') timer.unref();
  }

  readonly #look = (): void => {
    this.#timer = undefined;
    if (this.#shard.closed) return;
    let waits = false;
    this.#seen.forEach((seen, peer) => {
      const first = this.#queues.first(peer);
      if (first !== undefined) waits = true;
      if (this.#isStill(peer, seen, first) && seen.looks >= LOOKS) this.#fail(peer, seen);
    });
    if (waits) this.begin();
  };

  /** Whether nothing has moved since the last look, though it could. Counts the looks in a row for which this holds. */
  #isStill(peer: number, seen: Seen, first: object | undefined): boolean {
    const { words, header, index } = this.#shard;
    const base = header.shardsOffset + peer * header.shardBytes;
    const ring = MESH + (index * header.shardCount + peer) * header.ringBytes;
    const head = Atomics.load(words, (ring + HEAD) >>> 2);
    const begun = Atomics.load(words, (ring + BEGUN) >>> 2);
    const turns = words[(base + header.countersOffset) >>> 2] as number; // the low word of the first counter
    const isSame = first !== undefined && first === seen.first && head === seen.head && begun === seen.begun;
    const isIdle = words[(base + Control.sleeping) >>> 2] !== 0 || (turns - seen.turns) >>> 0 >= TURNS;
    const isLoaded = words[(base + HostControl.isLoaded) >>> 2] !== 0;
    const isStill = isSame && isIdle && isLoaded;
    const looks = isStill ? seen.looks + 1 : 0;
    Object.assign(seen, { first, head, begun, turns, looks });
    return isStill;
  }

  #fail(peer: number, seen: Seen): void {
    seen.looks = 0;
    const seconds = (LOOKS * LOOK_MS) / 1000;
    const text = `shard ${peer} has begun no call of shard ${this.#shard.index} for ${seconds} s, though it was idle`;
    const error = new FeatherstarError('FEATHERSTAR_DEADLOCK', `${text}: calls wait for each other`);
    process.emitWarning(`${text}: the calls that wait for it fail with FEATHERSTAR_DEADLOCK`, 'Featherstar');
    this.#queues.fail(peer, error);
  }
}

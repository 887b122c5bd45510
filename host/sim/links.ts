// The links between machines: how long something takes from one to another.
//
//   sent --> waits for the link (kilobyteUs) --> latency, seldom much more (slow) --> lost, sent again (retransmit)
//        --> held by hold(), until deliver() --> arrives
//
// Each direction between two machines is a link of its own. All that goes this way shares its bandwidth. The faults of
// a link are those of the world, unless setLink() gives it its own.
//
// Next: sim-socket.ts.

import { type Checks, checkBoolean } from '../base/options.js';
import { type Faults, faultChecks, type OwnFaults, type SimFaults } from './faults.js';
import { NOWHERE, way } from './sim-machines.js';
import type { World } from './world.js';

const RESENDS_MAX = 8; // of one packet; the last one arrives
const RESEND_MAX_US = 120_000_000; // TCP_RTO_MAX

/** Options of `world.setLink()`: faults that a link has of its own. */
export interface LinkOptions
  extends Pick<SimFaults, 'latencyUs' | 'slow' | 'slowUs' | 'kilobyteUs' | 'retransmit' | 'lose' | 'duplicate'> {
  /** Only the way from the first machine to the second. Default false. */
  oneWay?: boolean | undefined;
}

export const LINK_CHECKS: Checks<LinkOptions> = {
  ...faultChecks(['latencyUs', 'slow', 'slowUs', 'kilobyteUs', 'retransmit', 'lose', 'duplicate']),
  oneWay: checkBoolean,
};

/** Something that goes from one machine to another. */
export interface Trip {
  readonly from: number;
  readonly to: number;
  readonly bytes: number;
  /** The shard that sends it. */
  readonly shard: number;
  /** Both ends, for the trace. */
  readonly ends: string;
  /** The choice of its time, in words. */
  readonly what: string;
  /** After how long it is sent again if it is lost, µs; 0: it is not lost. */
  readonly resendUs: number;
}

export class Links {
  readonly #world: World;
  readonly #own: OwnFaults;
  /** When all that was sent before has left, by link. */
  readonly #freeNs = new Map<string, number>();

  constructor(world: World, own: OwnFaults) {
    this.#world = world;
    this.#own = own;
  }

  faults(from: number, to: number): Faults {
    return this.#own.of(way(from, to));
  }

  setFaults(from: number, to: number, faults: LinkOptions): void {
    this.#own.set(way(from, to), faults);
  }

  /** When something that is sent now arrives, if nothing cuts or holds it. From NOWHERE: on a path. */
  arrivalNs(trip: Trip): number {
    const { from, to, bytes, shard, ends, what, resendUs } = trip;
    const { random, nowNs } = this.#world;
    const { latencyUs, slow, slowUs, kilobyteUs, retransmit } = this.faults(from, to);
    let ns = random.below(latencyUs * 1000 + 1, what);
    if (from === NOWHERE) return nowNs + ns;
    if (random.chance(slow, 'fault: a packet is slow')) {
      const us = random.doubling(latencyUs, slowUs, 'time of a slow packet, µs');
      ns += us * 1000;
      this.#world.note('slow', shard, us, bytes, ends);
    }
    if (resendUs > 0) ns += this.#resendNs(trip, retransmit);
    return (kilobyteUs > 0 ? this.#leavesNs(trip, kilobyteUs) : nowNs) + ns;
  }

  /** How much later a packet arrives because it was lost, and sent again, perhaps several times. */
  #resendNs({ bytes, shard, ends, resendUs }: Trip, share: number): number {
    const { random } = this.#world;
    let lateUs = 0;
    let waitUs = resendUs;
    for (let i = 0; i < RESENDS_MAX && random.chance(share, 'fault: a packet is lost and sent again'); i++) {
      lateUs += waitUs;
      waitUs = Math.min(2 * waitUs, RESEND_MAX_US);
    }
    if (lateUs > 0) this.#world.note('resend', shard, lateUs, bytes, ends);
    return lateUs * 1000;
  }

  /** When the last of its bytes has left. */
  #leavesNs({ from, to, bytes }: Trip, kilobyteUs: number): number {
    const { nowNs } = this.#world;
    const link = way(from, to);
    const leavesNs = Math.max(nowNs, this.#freeNs.get(link) ?? 0) + Math.round(bytes * kilobyteUs);
    this.#freeNs.set(link, leavesNs);
    return leavesNs;
  }

  /** Calls `go` now, or, if the link is held, a little after that ends. */
  pass(trip: Trip, go: () => void): void {
    const { from, to, bytes, shard, ends } = trip;
    const { machines } = this.#world;
    if (!machines.isHeld(from, to)) {
      go();
      return;
    }
    this.#world.note('held', shard, bytes, 0, ends);
    machines.hold(from, to, () => {
      const { latencyUs } = this.faults(from, to);
      this.#world.after(latencyUs, () => this.pass(trip, go), 0, 'time of what was held, ns');
    });
  }
}

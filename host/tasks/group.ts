// Scheduling groups: who gets how much of the processor when there is not enough for all. The core keeps the accounts
// (assembly/group.ts); here groups have names. A group belongs to one shard.

import { FeatherstarError, optionError } from '../base/errors.js';
import { type Checks, checkInteger, checkOptions, integer } from '../base/options.js';
import { currentShard, type Shard } from '../shard/shard.js';

const GROUPS_MAX = 16;
const SHARES_MAX = 1000;
const SHARES_DEFAULT = 100;

const groupsOf = new WeakMap<Shard, SchedulingGroup[]>();

/** Options of a scheduling group. */
export interface GroupOptions {
  /** Share of the processor, 1 to 1000; default 100. Tasks without a group are in group 0, which has 100. */
  shares?: number | undefined;
}

const GROUP_CHECKS: Checks<GroupOptions> = { shares: integer(1, SHARES_MAX) };

/** A group of tasks of one shard that has a share of the processor. `schedulingGroup()` makes it. */
export class SchedulingGroup {
  /** Its number, 1 to 15. */
  readonly id: number;
  /** The name that was given to `schedulingGroup()`. */
  readonly name: string;
  readonly #shard: Shard;
  #shares = SHARES_DEFAULT;

  /** @internal */
  constructor(shard: Shard, id: number, name: string) {
    this.#shard = shard;
    this.id = id;
    this.name = name;
  }

  /** The group's share of the processor, 1 to 1000. */
  get shares(): number {
    return this.#shares;
  }

  /** From now on, groups that always have work get the processor in proportion to their shares. */
  set shares(shares: number) {
    checkInteger('shares', shares, 1, SHARES_MAX);
    this.#shard.core.setShares(this.id, shares);
    this.#shares = shares;
  }

  /** @internal The number that the core has for a group of this shard. */
  static idOn(shard: Shard, group: number | SchedulingGroup): number {
    if (group instanceof SchedulingGroup) {
      if (group.#shard === shard) return group.id;
      throw optionError('group', group.name, 'a group of this shard and runtime');
    }
    if (Number.isInteger(group) && group >= 0 && group < GROUPS_MAX) return group;
    throw optionError('group', group, `a scheduling group or an integer from 0 to ${GROUPS_MAX - 1}`);
  }
}

/**
 * The scheduling group of that name on this shard. It is made at the first call, and lasts as long as the shard. Throws
 * FEATHERSTAR_FULL if the shard has 15 already, and FEATHERSTAR_NO_SHARD outside a runtime.
 *
 * @example
 * const background = schedulingGroup('background', { shares: 10 });
 * spawn(() => sweep(), { group: background });
 */
export function schedulingGroup(name: string, options: GroupOptions = {}): SchedulingGroup {
  if (typeof name !== 'string' || name === '') throw optionError('name', name, 'a name');
  checkOptions(options, GROUP_CHECKS);
  const shard = currentShard();
  const groups = groupsOf.get(shard) ?? [];
  groupsOf.set(shard, groups);
  let group = groups.find((other) => other.name === name);
  if (group === undefined) {
    if (groups.length === GROUPS_MAX - 1) {
      throw new FeatherstarError('FEATHERSTAR_FULL', `all ${GROUPS_MAX - 1} scheduling groups are in use`);
    }
    group = new SchedulingGroup(shard, groups.length + 1, name);
    if (options.shares !== undefined) group.shares = options.shares; // before it counts: the shares may be refused
    groups.push(group);
  } else if (options.shares !== undefined) group.shares = options.shares;
  return group;
}

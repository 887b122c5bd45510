// Scheduling groups: who gets how much of the processor when there is not enough for all. The core keeps the accounts
// (assembly/group.ts); here groups have names. A group belongs to one shard.

import { FeatherstarError, optionError } from '../base/errors.js';
import { type Checks, checkInteger, checkOptions, integer } from '../base/options.js';
import { currentShard, type Shard } from '../shard/shard.js';

const GROUPS_MAX = 16;
const SHARES_MAX = 1000;
const SHARES_DEFAULT = 100;

const groupsOf = new WeakMap<Shard, SchedulingGroup[]>();

export interface GroupOptions {
  /** 1 to 1000; default 100, as group 0 has, where all tasks are that name no group. */
  shares?: number | undefined;
}

const GROUP_CHECKS: Checks<GroupOptions> = { shares: integer(1, SHARES_MAX) };

export class SchedulingGroup {
  /** 1 to 15. */
  readonly id: number;
  readonly name: string;
  readonly #shard: Shard;
  #shares = SHARES_DEFAULT;

  constructor(shard: Shard, id: number, name: string) {
    this.#shard = shard;
    this.id = id;
    this.name = name;
  }

  get shares(): number {
    return this.#shares;
  }

  /** Two groups that always have work get the processor in proportion to their shares, from now on. */
  set shares(shares: number) {
    checkInteger('shares', shares, 1, SHARES_MAX);
    this.#shard.core.setShares(this.id, shares);
    this.#shares = shares;
  }

  /** The number that the core has for it, if it is a group of this shard. */
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
 * The group of that name on this shard; made when it is new. Throws FEATHERSTAR_FULL where there are 15 already: they
 * last as long as the shard.
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

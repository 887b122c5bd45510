// The search: every interleaving up to equal states, one given schedule, or random ones by seed.
//
// The flow: a machine (machine.js) -> its states, each visited once, depth first -> a report, or a failure
// with the schedule that leads to it. A schedule is the choice of each step, run-length coded: `0*3,1*12`. Choices 0
// and 1 are the shards; the others are stores that become visible (store-buffers.js).
//
// Next: main.js.

import { HEADER_STATES } from '../../dist/host/core/layout.js';
import { randomFrom } from '../http/random.js';
import { MESH } from './machine.js';
import { Violation } from './scenario.js';
import { Access } from './transform.js';

/** `[0, 0, 1]` is `0*2,1*1`. */
export function encode(path) {
  return path
    .reduce((runs, choice) => {
      if (runs.at(-1)?.[0] === choice) runs.at(-1)[1]++;
      else runs.push([choice, 1]);
      return runs;
    }, [])
    .map(([choice, count]) => `${choice}*${count}`)
    .join(',');
}

export function decode(text) {
  return text.split(',').flatMap((run) => {
    const match = /^(\d+)\*(\d+)$/.exec(run);
    if (match === null) throw new TypeError(`${run}: a schedule looks like 0*3,1*12`);
    return Array.from({ length: Number(match[2]) }, () => Number(match[1]));
  });
}

/** Does a step; returns what it broke, or null. */
function tryStep(machine, choice) {
  try {
    machine.step(choice);
    if (machine.choices().length === 0) machine.scenario.end(machine);
    return null;
  } catch (error) {
    if (error instanceof Violation || error instanceof WebAssembly.RuntimeError) return error.message;
    throw error;
  }
}

/**
 * Visits every state that some interleaving leads to. Two ways to one state have one future, so the second is not
 * followed. Answers { states, steps, ends, depth, exhausted, failure, seen }; `seen` are the hashes of the states.
 */
export function exhaust(machine, { statesMax }) {
  const seen = new Set([machine.hash()]);
  const report = { states: 1, steps: 0, ends: 0, depth: 0, exhausted: true, failure: null, seen };
  const path = [];
  const open = [{ state: machine.save(), rest: machine.choices() }];
  while (open.length > 0) {
    const top = open.at(-1);
    const choice = top.rest.pop();
    if (choice === undefined) {
      open.pop();
      path.pop();
      continue;
    }
    if (top.used) machine.restore(top.state);
    top.used = true;
    path.push(choice);
    report.steps++;
    report.depth = Math.max(report.depth, path.length);
    const broken = tryStep(machine, choice);
    if (broken !== null) return { ...report, exhausted: false, failure: { broken, path } };
    const key = machine.hash();
    const next = machine.choices();
    if (seen.has(key)) {
      path.pop();
      continue;
    }
    if (seen.size >= statesMax) return { ...report, exhausted: false };
    seen.add(key);
    report.states++;
    if (next.length === 0) {
      report.ends++;
      path.pop();
      continue;
    }
    open.push({ state: next.length > 1 ? machine.save() : null, rest: next, used: false });
  }
  return report;
}

/** Follows one schedule, then any shard that can go on. `onStep` hears of each step. Returns { broken, path }. */
export function follow(machine, schedule, onStep = () => {}, stepsMax = 100_000) {
  const path = [];
  for (const choice of schedule) {
    if (!machine.choices().includes(choice)) throw new TypeError(`step ${path.length}: ${choice} is no choice`);
    onStep(machine, choice);
    path.push(choice);
    const broken = tryStep(machine, choice);
    if (broken !== null) return { broken, path };
  }
  while (path.length < stepsMax) {
    const [choice] = machine.choices();
    if (choice === undefined) break;
    path.push(choice);
    const broken = tryStep(machine, choice);
    if (broken !== null) return { broken, path };
  }
  return { broken: null, path };
}

/** One random schedule. A shard keeps the processor for a while, a long or a short one: both find things. */
export function wander(machine, seed, stepsMax) {
  const random = randomFrom(seed);
  const stay = 1 + random(24);
  const path = [];
  let choice = random(2);
  while (path.length < stepsMax) {
    const able = machine.choices();
    if (able.length === 0) return { broken: null, ended: true, path };
    if (!able.includes(choice) || random(stay) === 0) choice = able[random(able.length)];
    path.push(choice);
    const broken = tryStep(machine, choice);
    if (broken !== null) return { broken, ended: false, path };
  }
  return { broken: null, ended: false, path };
}

/** What a choice does, by name. */
export function describe(machine, choice) {
  if (choice > 1) {
    const { shard, at } = machine.buffers.describe(choice);
    return `shard ${shard}  its store to ${nameOf(machine, at)} becomes visible`;
  }
  const stop = machine.where[choice];
  if (stop === null) return `shard ${choice}  between two calls`;
  const kind = (stop.access & Access.ATOMIC) !== 0 ? 'atomic' : 'plain';
  return `shard ${choice}  ${machine.scenario.callOf(machine, choice)}: ${kind}, ${nameOf(machine, stop.at)}`;
}

function nameOf(machine, at) {
  const { ringBytes, shardBytes } = machine.header;
  if (at >= MESH && at < machine.slotsEnd) {
    const ring = Math.floor((at - MESH) / ringBytes);
    const offset = (at - MESH) % ringBytes;
    const name = { 0: 'tail', 128: 'head', 132: 'begun', 192: 'waiting' }[offset] ?? `slot byte ${offset - 512}`;
    return `ring ${ring >> 1}>${ring & 1} ${name}`;
  }
  for (const [owner, base] of machine.bases.entries()) {
    const offset = at - base;
    if (offset >= 0 && offset < shardBytes) {
      return `${{ 128: 'sleeping', 192: 'dirty' }[offset] ?? `+${offset}`} of shard ${owner}`;
    }
  }
  return `state of shard ${(at - HEADER_STATES) / 4}`;
}

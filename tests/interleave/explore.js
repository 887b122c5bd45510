// The search: every interleaving up to equal states, one given schedule, or random ones by seed.
//
// What flows through: a machine (machine.js) -> its states, each visited once, depth first -> a report, or a failure
// with the schedule that leads to it. A schedule is the shard of each step, run-length coded: `0*3,1*12`.
//
// Next: main.js.

import { randomFrom } from '../http/random.js';
import { MESH } from './machine.js';
import { Violation } from './scenario.js';
import { Kind } from './transform.js';

/** `[0, 0, 1]` is `0*2,1*1`. */
export function encode(path) {
  return path
    .reduce((runs, shard) => {
      if (runs.at(-1)?.[0] === shard) runs.at(-1)[1]++;
      else runs.push([shard, 1]);
      return runs;
    }, [])
    .map(([shard, count]) => `${shard}*${count}`)
    .join(',');
}

export function decode(text) {
  return text.split(',').flatMap((run) => {
    const match = /^([01])\*(\d+)$/.exec(run);
    if (match === null) throw new TypeError(`${run}: a schedule looks like 0*3,1*12`);
    return Array.from({ length: Number(match[2]) }, () => Number(match[1]));
  });
}

function choices(machine) {
  return [0, 1].filter((shard) => machine.enabled(shard));
}

/** Does a step; answers what it broke, or null. */
function tryStep(machine, shard) {
  try {
    machine.step(shard);
    if (choices(machine).length === 0) machine.scenario.end(machine);
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
  const open = [{ state: machine.save(), rest: choices(machine) }];
  while (open.length > 0) {
    const top = open.at(-1);
    const shard = top.rest.pop();
    if (shard === undefined) {
      open.pop();
      path.pop();
      continue;
    }
    if (top.used) machine.restore(top.state);
    top.used = true;
    path.push(shard);
    report.steps++;
    report.depth = Math.max(report.depth, path.length);
    const broken = tryStep(machine, shard);
    if (broken !== null) return { ...report, exhausted: false, failure: { broken, path } };
    const key = machine.hash();
    const next = choices(machine);
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

/** Follows one schedule, then whoever can go on. `onStep` hears of each step. Answers { broken, path }. */
export function follow(machine, schedule, onStep = () => {}, stepsMax = 100_000) {
  const path = [];
  for (const shard of schedule) {
    if (!machine.enabled(shard)) throw new TypeError(`step ${path.length}: shard ${shard} cannot go on`);
    onStep(machine, shard);
    path.push(shard);
    const broken = tryStep(machine, shard);
    if (broken !== null) return { broken, path };
  }
  while (path.length < stepsMax) {
    const [shard] = choices(machine);
    if (shard === undefined) break;
    path.push(shard);
    const broken = tryStep(machine, shard);
    if (broken !== null) return { broken, path };
  }
  return { broken: null, path };
}

/** One random schedule. A shard keeps the processor for a while, a long or a short one: both find things. */
export function wander(machine, seed, stepsMax) {
  const random = randomFrom(seed);
  const stay = 1 + random(24);
  const path = [];
  let shard = random(2);
  while (path.length < stepsMax) {
    const able = choices(machine);
    if (able.length === 0) return { broken: null, ended: true, path };
    if (!able.includes(shard) || random(stay) === 0) shard = able[random(able.length)];
    path.push(shard);
    const broken = tryStep(machine, shard);
    if (broken !== null) return { broken, ended: false, path };
  }
  return { broken: null, ended: false, path };
}

/** The access before which a shard stands, by name. */
export function describe(machine, shard) {
  const stop = machine.where[shard];
  if (stop === null) return 'between two calls';
  const kind = stop.kind === Kind.ATOMIC ? 'atomic' : 'plain';
  const call = machine.scenario.callOf(machine, shard);
  const { ringBytes } = machine.header;
  if (stop.at >= MESH && stop.at < machine.slotsEnd) {
    const ring = Math.floor((stop.at - MESH) / ringBytes);
    const offset = (stop.at - MESH) % ringBytes;
    const name = { 0: 'tail', 64: 'waiting', 128: 'head' }[offset] ?? `slot byte ${offset - 512}`;
    return `${call}: ${kind}, ring ${ring >> 1}>${ring & 1} ${name}`;
  }
  for (const [owner, base] of machine.bases.entries()) {
    const offset = stop.at - base;
    if (offset >= 0 && offset < machine.header.shardBytes) {
      const name = { 128: 'sleeping', 192: 'dirty' }[offset] ?? `+${offset}`;
      return `${call}: ${kind}, ${name} of shard ${owner}`;
    }
  }
  return `${call}: ${kind}, address ${stop.at}`;
}

// The live mode: is there any state of shards and clients in which one that behaves well waits for ever?
//
//   begin --> mayhem, until `healMs`
//         --> the world heals: faults end, hostile clients leave or fall silent, dead shards are started again
//         --> what is open settles, each request is answered --> silent clients leave --> nothing is left over
//
// Each step has a bound of virtual time, so a pending timer hides nothing. Which seed does what: plan.js.

import { runtime, Sharded } from 'featherstar';
import { SimulationError, simulate } from 'featherstar/testing';
import { callers } from './callers.js';
import { mustBeServed, visit } from './clients.js';
import { annoy, stall } from './hostile.js';
import { ledger, pause, sometimes } from './ledger.js';
import { ANSWER_MS, PARTS, PORT, planOf } from './plan.js';

const module = new URL('./module.js', import.meta.url);
const LOOK_MS = 10;

/** A promise, and what settles it. */
function gate() {
  let open;
  const promise = new Promise((resolve) => {
    open = resolve;
  });
  return { promise, open };
}

const forget = (error) => {
  if (error.code !== 'FEATHERSTAR_PEER_DOWN') throw error; // its shard has died, and what it did with it
};

/** Runs on a shard that may die meanwhile. */
const on = (world, shard, run) => world.on(shard, run).catch(forget);

class Run {
  constructor(world, plan) {
    this.world = world;
    this.plan = plan;
    this.healed = gate();
    this.over = gate();
    this.dead = new Set();
    /** Shards that are being started again. */
    this.rising = new Map();
  }

  get shards() {
    return Array.from({ length: this.plan.shards }, (_, i) => i);
  }

  serves() {
    return this.plan.parts.includes('http');
  }

  /** On one shard: what must be there before others ask for it. */
  async begin(shard) {
    await this.world.on(shard, () => runtime().on(shard).begin());
    if (!this.serves()) return;
    for (let tries = 0; ; tries++) {
      try {
        await this.world.on(shard, () => runtime().on(shard).serveHere(PORT));
        return;
      } catch (error) {
        if (tries === 3) throw error;
      }
    }
  }

  /** Everything at once. Resolves when all of it has ended, whichever way. */
  mayhem() {
    const { plan, world } = this;
    const parts = plan.parts.filter((part) => part in callers);
    const work = this.shards.flatMap((shard) => parts.map((part) => on(world, shard, callers[part])));
    if (this.serves()) {
      for (let i = 0; i < plan.clients; i++) work.push(visit(3));
      for (let i = 0; i < plan.hostile; i++) work.push(annoy(this.healed.promise));
      for (let i = 0; i < plan.silent; i++) void stall(this.over.promise);
    }
    for (const death of plan.deaths) work.push(this.die(death));
    return Promise.all(work);
  }

  async die({ shard, atMs, backMs }) {
    await pause(atMs);
    if (ledger.hasHealed || this.dead.has(shard) || this.rising.has(shard)) return;
    this.dead.add(shard);
    this.world.kill(shard);
    ledger.bury(shard);
    sometimes('a shard died');
    if (backMs === undefined) return;
    await pause(backMs);
    if (!ledger.hasHealed) await this.revive(shard);
  }

  revive(shard) {
    this.dead.delete(shard);
    const rising = this.world.restart(shard).then(() => this.begin(shard));
    this.rising.set(shard, rising);
    return rising.then(() => {
      this.rising.delete(shard);
      sometimes('a shard was started again');
    });
  }

  async heal() {
    const { world, plan } = this;
    world.setFaults({});
    if (plan.hosts !== undefined) world.heal('servers', 'clients');
    const settled = ledger.heal();
    this.healed.open();
    await Promise.all([...this.rising.values(), ...[...this.dead].map((shard) => this.revive(shard))]);
    return settled;
  }

  /** Every shard asks every other: an innocent call is answered soon, whatever the others do. */
  async echoes() {
    const { world } = this;
    const ask = (from, to) =>
      world.within(
        ANSWER_MS,
        `echo() from shard ${from} to shard ${to}`,
        world.on(from, () => runtime().on(to).echo(from)),
      );
    await Promise.all(this.shards.flatMap((from) => this.shards.map((to) => ask(from, to))));
  }

  async servesAgain() {
    if (!this.serves()) return;
    await Promise.all(Array.from({ length: 2 * this.plan.shards }, () => mustBeServed()));
  }

  /** All clients have left: no server has a connection after a while. */
  async emptied() {
    const { world, plan } = this;
    const isEmpty = async () => (await runtime().onAll().connections()).every((count) => count === 0);
    const waiting = (async () => {
      while (!(await isEmpty())) await pause(LOOK_MS);
    })();
    await world.within(plan.boundMs, 'the end of all connections, whose clients have left,', waiting);
  }
}

/** The things that an idle shard holds. */
const isIdle = ({ openOperations, pendingTimers, liveTasks, openCalls, sendBuffersUsed }) =>
  openOperations + pendingTimers + liveTasks + openCalls + sendBuffersUsed === 0;

async function program(world, plan) {
  const run = new Run(world, plan);
  ledger.begin(world, plan);
  world.setFaults({}); // nothing goes wrong before there is something
  for (const shard of run.shards) await run.begin(shard);
  const tally = plan.parts.includes('service') ? await Sharded.start('Tally') : undefined;
  world.setFaults(plan.faults);
  if (plan.hosts !== undefined)
    setTimeout(() => ledger.hasHealed || world.partition('servers', 'clients'), plan.healMs / 2);
  const ended = run.mayhem();
  await pause(plan.healMs);
  const settled = await run.heal();
  await Promise.all([settled, run.echoes(), run.servesAgain()]);
  await world.within(plan.boundMs, 'the end of all work', ended);
  run.over.open();
  await run.emptied();
  await run.echoes();
  await tally?.stop();
  await world.within(plan.boundMs, 'the end of all servers', runtime().onAll().end());
  const idle = (async () => {
    while (!runtime().stats().every(isIdle)) await pause(LOOK_MS);
  })();
  await world.within(ANSWER_MS, 'that nothing is left', idle);
}

const without = (object) =>
  JSON.stringify(object, (_, value) => (typeof value === 'number' ? +value.toFixed(4) : value));

/** Rejects with a SimulationError where something waits for ever, fails or is left over. */
export async function runLive(seed, { only = PARTS, stacks = false, ...more } = {}) {
  const plan = planOf(seed, only);
  const { shards, limits, hosts } = plan;
  const options = { seed, shards, limits, hosts, module, maxTurns: 100_000, shutdownTimeoutMs: plan.boundMs, ...more };
  const { prepareStackTrace } = Error;
  if (!stacks) Error.prepareStackTrace = String; // they cross shards, and every engine has its own
  try {
    const report = await simulate(options, (world) => program(world, plan));
    for (const limit of Object.keys(report.reached)) sometimes(`${limit} reached`);
    const left = report.left.flatMap((held, shard) =>
      Object.entries(held ?? {})
        .filter(([, number]) => number !== 0)
        .map(([what, number]) => `shard ${shard} still holds ${number} ${what}`),
    );
    if (!report.drained) left.push('something had to be cancelled when all closed');
    if (left.length !== 0) throw Object.assign(new Error(`seed ${seed}: ${left.join(', ')}`), { plan });
    return report;
  } catch (error) {
    error.message += `\ndrawn: ${without(plan)}`;
    throw error;
  } finally {
    Error.prepareStackTrace = prepareStackTrace;
    ledger.end();
  }
}

export { SimulationError };

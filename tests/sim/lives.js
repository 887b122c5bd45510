// A third program for the simulator: shards die, are killed and are started again, two at once too, and the runtime
// closes in the middle of it. It looks for a start, a restart() or a close() that never ends, or ends wrongly.

import assert from 'node:assert/strict';
import { runtime, Sharded, sleep } from 'featherstar';
import { simulate } from 'featherstar/testing';

const module = new URL('./lives-module.js', import.meta.url);
const PORT = 7000;
const SHUTDOWN_MS = 200;
/** The longest that close() may take: a restart() is given up, then the phases of host/runtime/shutdown.ts. */
const CLOSE_MS = 1000 + SHUTDOWN_MS + 500 + 250 + 250 + 1000 + 100;
const ENDS = ['stopped', 'terminated', 'died', 'stuck'];
const REFUSALS = ['OPTION', 'MODULE', 'TIMEOUT', 'CLOSED'].map((code) => `FEATHERSTAR_${code}`);
const LOSSES = ['PEER_DOWN', 'CLOSED', 'TIMEOUT'].map((code) => `FEATHERSTAR_${code}`);

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const draw = (count) => Math.floor(Math.random() * count);

/** The values that a seed draws. */
function worldOf(seed) {
  const has = (bit) => (seed & bit) !== 0;
  return {
    seed,
    shards: 2 + (seed % 3),
    module,
    shutdownTimeoutMs: SHUTDOWN_MS,
    maxMs: 120_000,
    maxTurns: 200_000,
    faults: { die: has(1) ? 0.03 : 0, stuck: has(2) ? 0.5 : 0, freeze: has(4) ? 0.01 : 0, spurious: 0.02 },
  };
}

class Lives {
  constructor(world) {
    this.world = world;
    /** How long an actor waits between two things, at most; in some worlds so long that restart() gives up. */
    this.paceMs = (world.seed & 8) !== 0 ? 1500 : 40;
    this.rt = world.runtime;
    this.restarts = new Set();
    this.isClosing = false;
    this.isOver = false;
    this.told = [];
  }

  worker() {
    return 1 + draw(this.rt.shardCount - 1);
  }

  /** Settles, and if it resolves, that shard serves calls. */
  async restart(shard, options) {
    const settled = this.rt.restart(shard, options).then(
      () => undefined,
      (error) => error,
    );
    this.restarts.add(settled);
    const error = await settled;
    this.restarts.delete(settled);
    this.told.push(error?.code ?? 'restarted');
    if (error !== undefined) assert.ok(REFUSALS.includes(error.code), error.stack);
    else await this.ask(shard);
  }

  async ask(shard) {
    if (this.isClosing) return;
    try {
      assert.equal(await this.rt.on(shard).with({ timeoutMs: 1000 }).slowAdd(1, 2, draw(5)), 3);
    } catch (error) {
      assert.ok(LOSSES.includes(error.code), error.stack);
    }
  }

  /** Starts a service, or one more, and asks one that is there. */
  async keep() {
    try {
      if (this.isClosing || (this.world.seed & 32) === 0) return; // its end often fails, and hides other ends
      this.keepers ??= await Sharded.start('Keeper');
      assert.equal(await this.keepers.on(this.worker()).with({ timeoutMs: 1000 }).add(1, 2), 3);
    } catch (error) {
      assert.ok([...LOSSES, 'FEATHERSTAR_SERVICE'].includes(error.code), error.stack);
    }
  }

  async actor(act) {
    while (!this.isOver) {
      await pause(draw(this.paceMs));
      if (!this.isOver) await act();
    }
  }

  actors() {
    const { world, rt } = this;
    const on = async (shard, run) =>
      this.isClosing ||
      world
        .on(shard, run)
        .catch((error) => assert.ok([...LOSSES, 'FEATHERSTAR_FULL'].includes(error.code), error.stack));
    return [
      () => this.ask(this.worker()),
      () => world.kill(this.worker()),
      () => this.restart(this.worker(), { force: draw(3) === 0 }),
      () => this.restart(this.worker()),
      () => on(this.worker(), () => runtime().on(draw(rt.shardCount)).with({ timeoutMs: 1000 }).around(2)),
      () => on(this.worker(), () => runtime().onClose(() => sleep(draw(300)))),
      () => this.keep(),
      () => draw(8) === 0 && world.freeze(this.worker(), draw(8000)),
    ].map((act) => this.actor(act));
  }
}

/** Nothing goes wrong any more, and no thread is stuck or frozen: each shard can be started, and serves all others. */
async function heal(world, lives, acting) {
  const { rt } = lives;
  world.setFaults({});
  lives.isOver = true;
  await world.within(90_000, 'the end of all actors', acting);
  await pause(11_000);
  const shards = Array.from({ length: rt.shardCount }, (_, i) => i);
  for (const shard of shards.slice(1)) await world.within(5000, `shard ${shard}`, rt.restart(shard, { force: true }));
  const ask = (from, to) => world.on(from, () => runtime().on(to).slowAdd(from, to, 1));
  const sums = shards.flatMap((from) => shards.map((to) => ask(from, to).then((sum) => assert.equal(sum, from + to))));
  await world.within(1000, 'a call between two shards', Promise.all(sums));
}

async function program(world) {
  const lives = new Lives(world);
  const { rt } = lives;
  rt.onShardDown((shard) => (draw(2) === 0 ? lives.restart(shard) : undefined));
  await rt.on(0).echo(PORT);
  const acting = Promise.all(lives.actors());
  acting.catch(() => {});
  await sleep(draw(10 * lives.paceMs));
  if ((world.seed & 16) !== 0) await heal(world, lives, acting);
  const fromMs = performance.now();
  lives.isClosing = true; // no calls any more, but deaths
  const closing = rt.close();
  const late = rt.restart(1).catch((error) => error.code);
  const report = await closing.catch((error) => ({ failure: error, shards: [] }));
  assert.ok(REFUSALS.includes(await late), 'a restart() behind close()');
  const tookMs = performance.now() - fromMs;
  assert.ok(tookMs <= CLOSE_MS, `close() took ${tookMs} ms`);
  assert.equal(lives.restarts.size, 0, 'a restart() is open behind close()');
  for (const { how, left } of report.shards) {
    assert.ok(ENDS.includes(how), how);
    if (how !== 'stopped') continue;
    assert.equal(left.openOperations, 0);
    if (report.drained) assert.equal(left.openCalls, 0);
  }
  lives.isOver = true;
  if (report.failure !== undefined) throw report.failure;
  return { ends: report.shards.map(({ how }) => how), told: lives.told };
}

/** What a world may end with: a shard has died before the program began, or a service did not stop in time. */
function outcomeOf(seed, { message, cause }) {
  if ((seed & 1) !== 0 && /exited with code/.test(message)) return 'died at start';
  if (cause?.code === 'FEATHERSTAR_SERVICE') return 'a service failed';
  return undefined;
}

/** Rejects with a SimulationError where something never ends or ends wrongly. Returns the report, and what was seen. */
export async function runLives(seed) {
  try {
    return await simulate(worldOf(seed), program);
  } catch (error) {
    const outcome = outcomeOf(seed, error);
    if (outcome === undefined) throw error;
    return { ...error, events: 0, turns: 0, virtualMs: 0, value: { ends: [outcome], told: [] } };
  }
}

// What shards do to each other in a live run: nested calls around rings of them, calls that are given up, bytes by
// reference, services, locks, files. Each runs as code of one shard.

import { allocate, runtime, Sharded } from 'featherstar';
import { chance, draw, drawn, GivenUp, ledger, pause, sometimes, tolerate, track } from './ledger.js';

const TOOTHLESS = 'k'.repeat(30);

/** An argument that goes inline, or through the arena. */
const payload = () => drawn(['', TOOTHLESS, 'p'.repeat(200), 'q'.repeat(1500)]);

const other = () => (runtime().self + 1 + draw(runtime().shardCount - 1)) % runtime().shardCount;

/** The shards that a nested call visits behind `next`. */
function routeFrom(next, depth) {
  const { self, shardCount } = runtime();
  const kinds = {
    ring: (i) => (next + 1 + i) % shardCount,
    back: (i) => (i % 2 === 0 ? self : next),
    any: () => draw(shardCount),
  };
  const step = kinds[drawn(Object.keys(kinds))];
  return Array.from({ length: depth }, (_, i) => step(i));
}

async function nested() {
  const { roots, depth } = ledger.plan;
  const root = async () => {
    if (chance(0.2)) await pause(draw(20));
    const next = other();
    const route = routeFrom(next, draw(depth) + 1);
    const width = route.length <= 3 && chance(0.2) ? 2 : 1;
    const what = `nest(${route.length} more) from shard ${runtime().self} to shard ${next}`;
    try {
      await track(what, runtime().on(next).nest(route, payload(), width));
      sometimes('nested calls ended');
    } catch (error) {
      tolerate(error);
    }
  };
  await Promise.all(Array.from({ length: roots }, root));
}

async function signals() {
  const one = async () => {
    const control = new AbortController();
    const timer = setTimeout(() => control.abort(new GivenUp('given up')), draw(25));
    const [peer, kind] = [other(), draw(4)];
    const handle = runtime().on(peer);
    const deeds = [
      () => handle.hold(control.signal),
      () => handle.with({ signal: control.signal }).slow(draw(60), TOOTHLESS),
      () => handle.with({ timeoutMs: 1 + draw(30) }).slow(draw(60), payload()),
      () => handle.with({ signal: control.signal }).nest(routeFrom(peer, 3), payload(), 1),
    ];
    try {
      await track(`a call with a way out from shard ${runtime().self} to shard ${peer}`, deeds[kind]());
    } catch (error) {
      tolerate(error);
    } finally {
      clearTimeout(timer);
    }
  };
  await Promise.all(Array.from({ length: 1 + draw(12) }, one));
}

async function blocks() {
  for (let i = draw(5); i >= 0; i--) {
    const peer = runtime().on(other());
    let shared;
    try {
      if (chance(0.3)) shared = await track('fresh()', peer.fresh(1 + draw(20_000)));
      else {
        const own = allocate(1 + draw(20_000));
        own.bytes.fill(i);
        shared = await track('bump()', peer.bump(own, chance(0.5)));
        if (own.isHere) own.dispose();
      }
      sometimes('a block came and went');
    } catch (error) {
      tolerate(error);
    } finally {
      shared?.dispose();
    }
  }
}

async function service() {
  const tally = Sharded.named('Tally');
  const one = async () => {
    try {
      await track(`add() from shard ${runtime().self}`, tally.on(other()).add(draw(5)));
      sometimes('a service answered');
    } catch (error) {
      tolerate(error);
    }
  };
  await Promise.all(Array.from({ length: 1 + draw(8) }, one));
}

async function locks() {
  const peer = runtime().on(other());
  const names = ['semaphore', 'mutex', 'read', 'write'];
  const deeds = Array.from({ length: 2 + draw(8) }, () => peer.locked(drawn(names), 1 + draw(40), draw(8)));
  if (chance(0.5))
    deeds.push(
      runtime()
        .on(runtime().self)
        .passOn(1 + draw(5)),
    );
  for (const deed of deeds) {
    try {
      await track('locked()', deed);
    } catch (error) {
      tolerate(error);
    }
  }
}

async function files() {
  try {
    await track(
      `files() on shard ${runtime().self}`,
      runtime()
        .on(runtime().self)
        .files(1 + draw(5)),
    );
  } catch (error) {
    tolerate(error);
  }
}

export const callers = { nested, signals, blocks, service, locks, files };

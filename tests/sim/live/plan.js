// What a seed of the live mode draws beside limits and faults (drawWorld()): the limits of the servers, how much of
// which work there is, who dies, and when the world heals.

import { drawWorld } from 'featherstar/testing';

export const PORT = 80;
export const SILENT_MAX = 3;
export const ANSWER_MS = 5000; // a request, or a call, of a client that behaves well, in a world that has healed

/** The parts of the work; a seed has some of them. */
export const PARTS = ['nested', 'signals', 'blocks', 'http', 'service', 'locks', 'files'];

/** A small generator of its own: what the program draws (Math.random) is another stream. */
function chooser(seed) {
  let state = ((seed % 2 ** 32) | 0) ^ 0x9e3779b9;
  const word = () => {
    state = (state + 0x6d2b79f5) | 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return (x ^ (x >>> 14)) >>> 0;
  };
  for (let i = 0; i < 4; i++) word();
  const below = (count) => word() % count;
  return { below, one: (values) => values[below(values.length)], chance: (share) => word() / 2 ** 32 < share };
}

export function planOf(seed, only = PARTS) {
  const world = drawWorld(seed);
  const { below, one, chance } = chooser(seed);
  const { shards, limits } = world;
  const http = {
    connections: one([6, 8, 16, 16_384]),
    headerTimeoutMs: one([50, 500, 10_000]),
    requestTimeoutMs: one([100, 1000, 300_000]),
    idleTimeoutMs: one([50, 500, 60_000]),
    bodyBytes: one([1000, 100_000, 8_388_608]),
    headerBytes: one([512, 16_384]),
  };
  const isCut = chance(0.2);
  const faults = { ...world.faults };
  if (isCut) delete faults.reset; // a reset is lost at a cut, and its connection stays for ever
  const parts = PARTS.filter(
    (part) => only.includes(part) && (part === 'http' || part === 'nested' ? chance(0.8) : chance(0.35)),
  );
  const deaths = chance(0.25) ? 1 + below(shards - 1) : 0;
  const credit = limits.creditCount ?? 32;
  const { headerTimeoutMs, requestTimeoutMs, idleTimeoutMs } = http;
  return {
    seed,
    shards,
    limits,
    faults,
    http,
    parts: parts.length === 0 ? only.slice(0, 1) : parts,
    healMs: 5 + below(one([20, 100, 300])),
    hosts: isCut ? { servers: Array.from({ length: shards }, (_, i) => i), clients: [] } : undefined,
    /** Which shard dies, when, and whether it is back before the world heals. */
    deaths: Array.from({ length: Math.min(deaths, 2) }, () => ({
      shard: 1 + below(shards - 1),
      atMs: below(60),
      backMs: chance(0.5) ? below(40) : undefined,
    })),
    /** Roots of nested calls that each shard begins. */
    roots: Math.min(one([1, 2, credit, credit + 1, 2 * credit]), 40),
    depth: 1 + below(6),
    clients: one([1, 3, 6, 12]),
    hostile: one([0, 3, 6, 12]),
    silent: one([0, 1, 2, SILENT_MAX]),
    /** Whether buffers are such that long bodies take few turns. */
    isRoomy: (limits.recvBufferBytes ?? 2048) >= 1024 && (limits.sendBufferBytes ?? 4096) >= 512,
    /** How long anything may take to settle in a world that has healed: every time limit of the servers, some times. */
    boundMs: 20_000 + 3 * (headerTimeoutMs + requestTimeoutMs + idleTimeoutMs),
  };
}

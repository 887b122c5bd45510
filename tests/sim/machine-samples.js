// Five small distributed programs. Each has a bug that needs a machine to fail: its power, its clock, its disk, or one
// direction of its network. Each program is correct if `isSound`.
//
// Next: machines.test.js, which finds each bug.

import { sleep } from 'featherstar';
import { openDirectory } from 'featherstar/fs';
import { UdpSocket } from 'featherstar/net';
import { simulate } from 'featherstar/testing';

/** A voter may vote for one candidate in a term. Two candidates ask, and the voter's machine loses power in between. */
const election = (seed, keep, recall) =>
  simulate({ seed, shards: 2, hosts: { candidates: [0], voter: [1] } }, async (world) => {
    let votes = new Map();
    const vote = async (term, candidate) => {
      const dir = await openDirectory('/');
      const before = await recall(dir, term, votes);
      if (before === undefined) await keep(dir, term, candidate, votes);
      return (before ?? candidate) === candidate;
    };
    const ask = (candidate) => world.on(1, () => vote(1, candidate)).catch(() => false);
    const first = ask('anna');
    await sleep(Math.random() * 12);
    world.host('voter').crash();
    votes = new Map();
    await world.host('voter').restart();
    const granted = [await first, await ask('bert')].filter(Boolean);
    if (granted.length > 1) throw new Error('two leaders in one term');
  });

const nameOf = (term) => `term-${term}`;
const recallFile = async (dir, term) => {
  const text = await dir.readText(nameOf(term)).catch(() => '');
  return text === '' ? undefined : text;
};

export const samples = {
  /** The vote is kept in memory only. */
  'vote not persisted': (seed, isSound) =>
    isSound
      ? election(seed, (dir, term, candidate) => dir.replaceFile(nameOf(term), candidate), recallFile)
      : election(
          seed,
          async (_dir, term, candidate, votes) => votes.set(term, candidate),
          async (_dir, term, votes) => votes.get(term),
        ),

  /** The vote is in a file, but the reply does not wait until the file is on the disk. */
  'unsynced vote lost in a power cut': (seed, isSound) =>
    election(
      seed,
      (dir, term, candidate) => dir[isSound ? 'replaceFile' : 'writeFile'](nameOf(term), candidate),
      recallFile,
    ),

  /**
   * A leader and its follower send each other heartbeats. The follower takes over when it hears none. The leader
   * believes that it leads as long as it hears some, and does not ask whether its own arrive.
   */
  'stale read after a one-way cut': (seed, isSound) =>
    simulate({ seed, shards: 3, hosts: { client: [0], leader: [1], follower: [2] } }, async (world) => {
      const node = { 1: { heardMs: 0, echoMs: 0 }, 2: { heardMs: 0, echoMs: 0 } };
      const run = async (self, hostname) => {
        const udp = await UdpSocket.bind({ port: 5000 });
        const beat = async () => {
          for (;;) {
            await udp.send(JSON.stringify({ sentMs: performance.now(), echoMs: self.lastMs ?? 0 }), {
              hostname,
              port: 5000,
            });
            await sleep(10);
          }
        };
        const hear = async () => {
          for await (const { bytes } of udp) {
            const { sentMs, echoMs } = JSON.parse(new TextDecoder().decode(bytes));
            Object.assign(self, { heardMs: performance.now(), lastMs: sentMs, echoMs });
          }
        };
        beat().catch(() => {});
        hear().catch(() => {});
      };
      await world.on(1, () => run(node[1], '10.0.0.3'));
      await world.on(2, () => run(node[2], '10.0.0.2'));
      await sleep(100);
      if (Math.random() < 0.5) world.partition('leader', 'follower', { oneWay: true });
      else world.partition('follower', 'leader', { oneWay: true });
      await sleep(Math.random() * 200);
      const isAlone = (self) => performance.now() - self.heardMs > 60;
      const written = await world.on(2, () => isAlone(node[2])); // if it is, the new leader writes 2
      const read = await world.on(1, () => {
        const isHeard = performance.now() - (isSound ? node[1].echoMs : node[1].heardMs) < 50;
        return isHeard ? 1 : undefined;
      });
      if (written && read === 1) throw new Error('a stale read');
    }),

  /** The holder of a lease compares its own date with the end that the server has named. */
  'lease trusting a skewed clock': (seed, isSound) =>
    simulate({ seed, shards: 2, hosts: { server: [0], holder: [1] } }, async (world) => {
      const LEASE_MS = 1000;
      world.host('holder').setClock({ offsetMs: (Math.random() - 0.5) * 4000, driftPpm: 50 });
      const askedMs = await world.on(1, () => performance.now());
      const endMs = Date.now() + LEASE_MS;
      const freeMs = performance.now() + LEASE_MS;
      await sleep(Math.random() * 2000);
      const isMine = await world.on(1, () => (isSound ? performance.now() < askedMs + LEASE_MS : Date.now() < endMs));
      if (isMine && performance.now() - 10 > freeMs) throw new Error('two holders of one lease');
    }),

  /** Two copies of each value. A read takes the first one, and does not check it. */
  'acknowledged write lost by bit rot': (seed, isSound) =>
    simulate({ seed, faults: { bitRot: 0.02 } }, async () => {
      const dir = await openDirectory('/');
      const sum = (text) => String([...text].reduce((total, char) => (total * 31 + char.charCodeAt(0)) % 65_521, 7));
      const values = ['apple', 'banana', 'cherry'];
      for (const text of values) {
        for (const copy of ['a', 'b']) await dir.replaceFile(`${text}.${copy}`, `${sum(text)} ${text}`);
      }
      for (const text of values) {
        const copies = await Promise.all(['a', 'b'].map((copy) => dir.readText(`${text}.${copy}`)));
        const [right] = isSound ? copies.filter((each) => isWhole(each, sum)) : copies;
        if (right !== undefined && right.split(' ')[1] !== text) throw new Error(`${text} has become ${right}`);
      }
    }),
};

function isWhole(copy, sum) {
  const [digits, text = ''] = copy.split(' ');
  return digits === sum(text);
}

// States that the live mode must reach, or it tests less than it says. A run of hundreds of seeds fails if one of these
// never occurred.

import { CONNECTION_STATES } from './hostile.js';

const WAYS = ['FIN', 'half a FIN', 'RST'];

/** Reached within some hundred seeds. */
const OFTEN = [
  ...['creditCount', 'ringSlots', 'recvBufferCount', 'sendBufferCount', 'arenaBytes', 'connectionSlots'].map(
    (limit) => `${limit} reached`,
  ),
  'nested calls ended',
  'given up',
  'a shard died',
  'a shard was started again',
  'error PEER_DOWN',
  'error TIMEOUT',
  'lock given up',
  'a block came and went',
  'a service answered',
  'file done',
  'answered',
  'pipelined',
  'one-byte chunks',
  'a flood cancelled',
  'an event stream cancelled',
  'a quiet stream cancelled',
  'poll told that its client left',
  'never told that its client left',
];

/** Reached within some thousand: each way to leave, in each state of a connection. */
const ALWAYS = [
  ...Object.keys(CONNECTION_STATES).flatMap((state) => WAYS.map((way) => `${way} ${state}`)),
  'opSlots reached',
  'timerSlots reached',
  'taskSlots reached',
  'status 408',
  'status 503',
];

const SEEDS_OFTEN = 200;
const SEEDS_ALWAYS = 2000;

/** Those that were not reached, though as many seeds reach them. */
export function missing(counts, seeds) {
  const expected = [...(seeds < SEEDS_OFTEN ? [] : OFTEN), ...(seeds < SEEDS_ALWAYS ? [] : ALWAYS)];
  return expected.filter((state) => !counts.has(state));
}

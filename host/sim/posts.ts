// Puts the calls between shards into the trace, by the name of the function, and their bytes into its hash. It wraps
// the core's `post`, which sends the message that stands ready in the shard's memory.
//
// An error is left out: its stack names files of this machine, and engines word it differently.
//
// Next: trace.ts.

import { Code } from '../base/errors.js';
import { Kind, Word } from '../calls/outbox.js';
import type { Core } from '../core/core-module.js';
import type { Place, World } from './world.js';

const VALUE = 0; // the outcome of a reply that is no error

/** Watches the core of a place that is about to start. */
export function watchPosts(world: World, place: Place, core: Core): void {
  const real = core.post;
  core.post = (peer: number): number => {
    const result = real(peer);
    if (result === Code.OK) notePost(world, place, peer);
    return result;
  };
}

function notePost(world: World, place: Place, peer: number): void {
  const { host } = place;
  if (host === undefined) return;
  const { words, bytes, outgoing: at } = host;
  const head = words[at + Word.HEAD] as number;
  const length = words[at + Word.BYTES] as number;
  const kind = head & 0xff;
  if (kind === Kind.ABORT) return;
  const outcome = (head >>> 8) & 0xff;
  const payload = (words[at + Word.PAYLOAD] as number) >>> 0;
  const from = payload === 0 ? (at + Word.INLINE) << 2 : payload;
  const isCall = kind === Kind.REQUEST;
  if (isCall || outcome === VALUE) world.trace.bytes(bytes.subarray(from, from + length));
  const shown = outcome === VALUE ? length : 0; // an error's length has its stack's
  const to = place.range.base + peer;
  if (isCall) world.note('call', place.index, to, length, `${place.functions[head >>> 16] ?? 'the library'}()`);
  else world.note('reply', place.index, to, shown, outcome === VALUE ? 'replies' : 'replies with an error');
}

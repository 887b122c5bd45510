// Requests between shards that may stay open for any time: until the peer of a socket sends, or a channel has room. A
// call would keep the runtime's close() waiting for that time, and one of limits.callSlots. So there are two calls
// here, and neither stays open: one carries the request and one the reply.
//
//   ask() --> begin() there: runs the function, answers nothing yet
//   settles <-- end() here, called by that shard when the function has ended
//
// Asked of a shard that dies, they reject with FEATHERSTAR_PEER_DOWN; when this shard closes, with FEATHERSTAR_CLOSED.

import { FeatherstarError } from '../base/errors.js';
import { type Calls, downError } from '../calls/call.js';
import { internalMethod, type Part, runInternal } from '../calls/internal.js';
import type { Owner } from '../shard/owners.js';
import { perShard } from '../shard/per-shard.js';
import { currentShard, type Shard } from '../shard/shard.js';

interface OpenAsk {
  peer: number;
  resolve: (value: unknown) => void;
  reject: (reason: unknown) => void;
}

class Asks implements Owner {
  readonly #open = new Map<number, OpenAsk>();
  #next: number;

  constructor(shard: Shard) {
    this.#next = shard.numbersFrom;
    shard.register(this);
    (shard.calls as Calls).peers.onDown((peer) => this.#rejectAll((open) => open.peer === peer, downError(peer)));
  }

  ask(calls: Calls, peer: number, self: number, part: Part, name: string, args: unknown[]): Promise<unknown> {
    const number = this.#next++;
    return new Promise((resolve, reject) => {
      this.#open.set(number, { peer, resolve, reject });
      calls.callInternal(peer, 'ask', 'begin', self, number, part, name, args).catch((error) => {
        this.end(number, false, error);
      });
    });
  }

  end(number: number, isValue: boolean, value: unknown): void {
    const open = this.#open.get(number);
    this.#open.delete(number);
    if (isValue) open?.resolve(value);
    else open?.reject(value);
  }

  #rejectAll(which: (open: OpenAsk) => boolean, error: FeatherstarError): void {
    for (const [number, open] of this.#open) if (which(open)) this.end(number, false, error);
  }

  onEvent(): void {}

  onShutdown(): void {
    this.#rejectAll(() => true, new FeatherstarError('FEATHERSTAR_CLOSED', 'the runtime closes'));
  }
}

const asks = perShard((shard) => new Asks(shard));

/** Runs a function of the library's own on a shard, however long it takes. */
export function ask(shard: Shard, peer: number, part: Part, name: string, ...args: unknown[]): Promise<unknown> {
  const calls = shard.calls as Calls;
  if (shard.closed) return Promise.reject(new FeatherstarError('FEATHERSTAR_CLOSED', 'the runtime is closed'));
  if (peer === shard.index) return calls.callInternal(peer, part, name, ...args);
  return asks(shard).ask(calls, peer, shard.index, part, name, args);
}

function begin(from: number, number: number, part: Part, name: string, args: unknown[]): void {
  const shard = currentShard();
  const calls = shard.calls as Calls;
  const answer = async (isValue: boolean, value: unknown) => {
    if (!shard.closed) await calls.callInternal(from, 'ask', 'end', number, isValue, value);
  };
  (async () => runInternal(internalMethod(part), [name, ...args]))()
    .then(
      (value) => answer(true, value),
      (error) => answer(false, error),
    )
    .catch((error) => {
      // It cannot be sent, or who asked is gone.
      if (!calls.peers.isDown(from)) answer(false, error).catch(() => {});
    });
}

function end(number: number, isValue: boolean, value: unknown): void {
  asks(currentShard()).end(number, isValue, value);
}

export const internal = { begin, end };

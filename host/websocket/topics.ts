// Topics: messages to all subscribers, on every shard.
//
//   publish(topic, message) --+--> the subscribers of this shard: one frame, made once
//                             +--one call a shard--> deliver() there: one frame, made once
//
// Servers of different shards that listen on the same URL share their topics. A message is for those that have
// subscribed when it arrives. Messages of one publisher arrive in order. A shard that does not keep up loses messages:
// no more than maxBacklogBytes are on their way to it.
//
// Next: connection.ts, whose connections subscribe.

import { FeatherstarError } from '../base/errors.js';
import type { Calls } from '../calls/call.js';
import { perShard } from '../shard/per-shard.js';
import { currentShard, type Shard } from '../shard/shard.js';
import { deflateMessage, unchangingBytes, WINDOW_BITS } from './deflate.js';
import { COMPRESSED_BIT, OPCODE_BINARY, OPCODE_TEXT, wholeFrame } from './frame-writer.js';
import type { DeflateSettings } from './message-connection.js';

const MESSAGE_BYTES = 256; // that a call costs beside its arguments, roughly: so empty messages are limited, too

/** A message for many: each of its two frames is made once. */
export class SharedMessage {
  readonly message: string | Uint8Array;
  /** Base 2 logarithm of the window of `compressed`. */
  readonly windowBits: number;
  readonly #level: number;
  #bytes: Uint8Array | undefined;
  #plain: Buffer | undefined;
  #compressed: Buffer | undefined;

  constructor(message: string | Uint8Array, deflate: DeflateSettings | undefined) {
    this.message = message;
    this.windowBits = deflate?.contextWindowBits || WINDOW_BITS;
    this.#level = deflate?.level ?? 0;
  }

  get bytes(): Uint8Array {
    this.#bytes ??= unchangingBytes(this.message);
    return this.#bytes;
  }

  get #opcode(): number {
    return typeof this.message === 'string' ? OPCODE_TEXT : OPCODE_BINARY;
  }

  get plain(): Buffer {
    this.#plain ??= wholeFrame(this.#opcode, this.message);
    return this.#plain;
  }

  /** For connections with the same window size. */
  get compressed(): Buffer {
    this.#compressed ??= wholeFrame(
      this.#opcode | COMPRESSED_BIT,
      deflateMessage(this.bytes, this.#level, this.windowBits),
    );
    return this.#compressed;
  }
}

/** A connection that can subscribe. */
export interface Subscriber {
  /** Queues a message, and drops it if too much waits: 0. */
  sendShared(message: SharedMessage): number;
}

interface TopicsHome {
  readonly shard: Shard;
  readonly settings: { readonly maxBacklogBytes: number; readonly deflate: DeflateSettings | undefined };
  report(error: unknown): void;
}

/** The topics of each URL on this shard. */
const topicsOf = perShard(() => new Map<string, Set<Topics>>());

export class Topics {
  readonly #home: TopicsHome;
  readonly #url: string;
  readonly #subscribers = new Map<string, Set<Subscriber>>();
  readonly #onTheirWay: number[]; // bytes, by shard

  constructor(home: TopicsHome, url: string) {
    this.#home = home;
    this.#url = url;
    this.#onTheirWay = new Array(home.shard.header.shardCount).fill(0);
    const all = topicsOf(home.shard);
    const same = all.get(url) ?? new Set();
    all.set(url, same.add(this));
  }

  /** The server is closed. */
  close(): void {
    const all = topicsOf(this.#home.shard);
    const same = all.get(this.#url);
    same?.delete(this);
    if (same?.size === 0) all.delete(this.#url);
  }

  subscribe(topic: string, subscriber: Subscriber): void {
    const all = this.#subscribers.get(topic) ?? new Set();
    this.#subscribers.set(topic, all.add(subscriber));
  }

  unsubscribe(topic: string, subscriber: Subscriber): void {
    const all = this.#subscribers.get(topic);
    all?.delete(subscriber);
    if (all?.size === 0) this.#subscribers.delete(topic);
  }

  /** How many of this shard have subscribed. */
  size(topic: string): number {
    return this.#subscribers.get(topic)?.size ?? 0;
  }

  /** Publishes on all shards. Returns how many subscribers of this shard it is queued for. */
  publish(topic: string, message: string | Uint8Array, except?: Subscriber): number {
    const { shard } = this.#home;
    for (let peer = 0; peer < this.#onTheirWay.length; peer++) {
      if (peer !== shard.index) this.#tell(peer, topic, message);
    }
    return this.deliver(topic, message, except);
  }

  #tell(peer: number, topic: string, message: string | Uint8Array): void {
    const { shard, settings } = this.#home;
    const calls = shard.calls as Calls;
    const ways = this.#onTheirWay;
    const bytes = MESSAGE_BYTES + topic.length + message.length;
    if (calls.peers.isDown(peer) || (ways[peer] as number) > settings.maxBacklogBytes) return;
    (ways[peer] as number) += bytes;
    const done = () => {
      (ways[peer] as number) -= bytes;
    };
    calls.callInternal(peer, 'websocket', 'deliver', this.#url, topic, message).then(done, (error) => {
      done();
      if (!isGone(error)) this.#home.report(error);
    });
  }

  /** Sends to the subscribers of this shard. */
  deliver(topic: string, message: string | Uint8Array, except?: Subscriber): number {
    const all = this.#subscribers.get(topic);
    if (all === undefined) return 0;
    const shared = new SharedMessage(message, this.#home.settings.deflate);
    let count = 0;
    for (const subscriber of all) {
      if (subscriber !== except && subscriber.sendShared(shared) !== 0) count++;
    }
    return count;
  }
}

/** The shard has died, or the runtime closes: it has no subscribers any more. */
function isGone(error: unknown): boolean {
  return FeatherstarError.is(error) && (error.code === 'FEATHERSTAR_PEER_DOWN' || error.code === 'FEATHERSTAR_CLOSED');
}

// --- called by other shards ------------------------------------------------------------------------------------------

function deliver(url: string, topic: string, message: string | Uint8Array): void {
  for (const topics of topicsOf(currentShard()).get(url) ?? []) topics.deliver(topic, message);
}

export const internal = { deliver };

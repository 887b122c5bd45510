// Channels between shards: one receiver on its home shard, senders on any. The name of a channel is a string, so it
// travels through a call. A send is a request to the home shard (ask.ts), answered when the value is accepted.
//
//   sender --send--> [ waiting, in order, when it is full ] --> [ buffer of `capacity` values ] --> receive()
//
// Invariants: values of one sender are received in the order in which they were sent. A value is accepted once: then it
// is received, unless the receiver closes. Nothing waits behind a full buffer but its own sender.

import type { AbortOptions } from '../base/abort.js';
import { abortable } from '../base/abortable.js';
import { FeatherstarError, optionError } from '../base/errors.js';
import { type Checks, checkOptions, checkSignal, integer } from '../base/options.js';
import { Queue } from '../base/queue.js';
import { type Calls, downError } from '../calls/call.js';
import type { Owner } from '../shard/owners.js';
import { currentShard, type Shard } from '../shard/shard.js';
import { ask } from './ask.js';

const CAPACITY = 64;
const CAPACITY_MAX = 1_048_576;
const SENDERS_MAX = 65_536;

export interface ShardChannelOptions {
  /** Values that are accepted and not received yet, 1 to 1048576; default 64. */
  capacity?: number | undefined;
  /** The channel has ended when so many senders have closed; default 1. */
  senders?: number | undefined;
}

/** Accepted: a value, or that a sender's shard has died. */
type Entry = { value: unknown } | { error: FeatherstarError };

interface WaitingSend {
  sender: string;
  ticket: number;
  value: unknown;
  resolve: () => void;
  reject: (reason: unknown) => void;
}

interface WaitingReceive {
  resolve: (entry: Entry | undefined) => void;
}

interface Homes {
  readonly channels: Map<number, ShardChannel<unknown>>;
  next: number;
}

const homesOf = new WeakMap<Shard, Homes>();

function homes(shard: Shard): Homes {
  let all = homesOf.get(shard);
  if (all === undefined) {
    const channels: Homes['channels'] = new Map();
    all = { channels, next: shard.numbersFrom };
    homesOf.set(shard, all);
    (shard.calls as Calls).peers.onDown((peer) => {
      for (const channel of channels.values()) channel.onPeerDown(peer);
    });
  }
  return all;
}

function closedError(): FeatherstarError {
  return new FeatherstarError('FEATHERSTAR_CLOSED', 'the channel is closed');
}

const CHANNEL_CHECKS: Checks<ShardChannelOptions> = {
  capacity: integer(1, CAPACITY_MAX),
  senders: integer(1, SENDERS_MAX),
};

/** The receiving end of a channel, on its home shard. */
export class ShardChannel<T> implements Owner {
  /** What openSender() wants, on any shard. */
  readonly name: string;
  readonly capacity: number;
  readonly #shard: Shard;
  readonly #number: number;
  readonly #owner: number;
  readonly #buffer = new Queue<Entry>();
  readonly #senders = new Map<string, number>(); // those that are open, and their shards
  readonly #sends = new Queue<WaitingSend>();
  readonly #receives = new Queue<WaitingReceive>();
  #toClose: number; // senders that have not closed yet, also those that have not come yet
  #closed = false;

  /** Opens a channel whose home is this shard. It closes with its runtime. */
  constructor(options: ShardChannelOptions = {}) {
    const { capacity = CAPACITY, senders = 1 } = checkOptions(options, CHANNEL_CHECKS);
    this.capacity = capacity;
    this.#toClose = senders;
    this.#shard = currentShard();
    const all = homes(this.#shard);
    this.#number = all.next++;
    this.name = `${this.#shard.index}:${this.#number}`;
    all.channels.set(this.#number, this as ShardChannel<unknown>);
    this.#owner = this.#shard.register(this);
  }

  /** Values that are accepted and not received yet. */
  get length(): number {
    return this.#buffer.length;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /**
   * The next value. Rejects with FEATHERSTAR_CLOSED when the channel has ended, and once with FEATHERSTAR_PEER_DOWN for
   * each shard that died with a sender open: behind what it had sent, and the other senders go on.
   */
  async receive({ signal }: AbortOptions = {}): Promise<T> {
    const entry = await this.#take(signal);
    if (entry === undefined) throw closedError();
    if ('error' in entry) throw entry.error;
    return entry.value as T;
  }

  async #take(signal: AbortSignal | undefined): Promise<Entry | undefined> {
    checkSignal(signal)?.throwIfAborted();
    const entry = this.#buffer.shift();
    if (entry !== undefined) {
      this.#accept();
      return entry;
    }
    if (this.#toClose === 0) this.close(); // all is received
    if (this.#closed) return undefined;
    return abortable<Entry | undefined>(
      (resolve) => {
        const receive = { resolve };
        this.#receives.push(receive);
        return () => this.#receives.takeWhere((other) => other === receive); // at once: no value may go to it
      },
      { signal },
    );
  }

  /** Moves what waits into the buffer, as far as there is room. */
  #accept(): void {
    while (this.#sends.length !== 0 && this.#buffer.length < this.capacity) {
      const { value, resolve } = this.#sends.shift() as WaitingSend;
      this.#buffer.push({ value });
      resolve();
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void> {
    for (;;) {
      const entry = await this.#take(undefined);
      if (entry === undefined) return;
      if ('error' in entry) throw entry.error;
      yield entry.value as T;
    }
  }

  /** Closes the receiving end: what was not received is dropped, and senders get FEATHERSTAR_CLOSED. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    homes(this.#shard).channels.delete(this.#number);
    this.#shard.unregister(this.#owner);
    this.#buffer.clear();
    for (const send of this.#sends.takeAll()) send.reject(closedError());
    for (const receive of this.#receives.takeAll()) receive.resolve(undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  onEvent(): void {}

  onShutdown(): void {
    this.close();
  }

  // --- what senders ask for ------------------------------------------------------------------------------------------

  /** @internal */
  attach(sender: string, from: number): void {
    if (this.#toClose === 0) throw closedError();
    this.#senders.set(sender, from);
  }

  /** @internal */
  send(sender: string, ticket: number, value: unknown): Promise<void> | undefined {
    if (!this.#senders.has(sender)) throw closedError();
    const receive = this.#receives.shift();
    if (receive !== undefined) receive.resolve({ value });
    else if (this.#buffer.length < this.capacity) this.#buffer.push({ value });
    else {
      return new Promise<void>((resolve, reject) => {
        this.#sends.push({ sender, ticket, value, resolve, reject });
      });
    }
    return undefined;
  }

  /** @internal */
  cancel(sender: string, ticket: number): void {
    const cancelled = this.#sends.takeWhere((send) => send.sender === sender && send.ticket === ticket);
    for (const send of cancelled) send.resolve(); // nobody waits, but the request has to end
  }

  /** @internal */
  detach(sender: string): void {
    if (this.#senders.delete(sender)) this.#oneLess(1);
  }

  #oneLess(closed: number): void {
    this.#toClose = Math.max(0, this.#toClose - closed);
    if (this.#toClose === 0 && this.#receives.length !== 0) this.close(); // who waits has received all
  }

  /** @internal */
  onPeerDown(peer: number): void {
    const lost = [...this.#senders].filter(([, shard]) => shard === peer).map(([sender]) => sender);
    if (lost.length === 0) return;
    for (const sender of lost) this.#senders.delete(sender);
    this.#sends.takeWhere((send) => lost.includes(send.sender)); // nobody knows whether it was accepted
    const entry = { error: downError(peer) };
    const receive = this.#receives.shift();
    if (receive !== undefined) receive.resolve(entry);
    else this.#buffer.push(entry);
    this.#oneLess(lost.length);
  }
}

let sendersMade = 0;

/** A sending end. Made by openSender(). */
export class ShardSender<T> {
  readonly #shard: Shard;
  readonly #home: number;
  readonly #channel: number;
  readonly #sender: string;
  #tickets = 0;
  #closing: Promise<void> | undefined;

  /** @internal */
  constructor(shard: Shard, home: number, channel: number, sender: string) {
    this.#shard = shard;
    this.#home = home;
    this.#channel = channel;
    this.#sender = sender;
  }

  get closed(): boolean {
    return this.#closing !== undefined;
  }

  /**
   * Resolves when the value is accepted; while the channel is full, that takes longer. It is copied, as the arguments
   * of a call. An abort takes it back if it was not accepted yet.
   */
  async send(value: T, { signal }: AbortOptions = {}): Promise<void> {
    checkSignal(signal)?.throwIfAborted();
    if (this.#closing !== undefined) throw closedError();
    const ticket = this.#tickets++;
    try {
      await abortable(this.#ask('send', ticket, value), { signal });
    } catch (error) {
      if (signal?.aborted) this.#ask('cancel', ticket).catch(() => {}); // a channel that is gone has nothing to cancel
      throw error;
    }
  }

  #ask(name: string, ...args: unknown[]): Promise<unknown> {
    return ask(this.#shard, this.#home, 'channel', name, this.#channel, this.#sender, ...args);
  }

  /** Nothing more will be sent; what was sent is still received. Resolves when the channel knows. */
  close(): Promise<void> {
    this.#closing ??= this.#ask('detach').then(
      () => {},
      (error) => {
        const isGone =
          FeatherstarError.is(error) && ['FEATHERSTAR_CLOSED', 'FEATHERSTAR_PEER_DOWN'].includes(error.code);
        if (!isGone) throw error; // else: there is nothing to close any more
      },
    );
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/**
 * Opens a sending end on this shard. Rejects with FEATHERSTAR_CLOSED if the channel has ended, with
 * FEATHERSTAR_PEER_DOWN if its home is dead.
 */
export async function openSender<T>(name: string): Promise<ShardSender<T>> {
  const shard = currentShard();
  const [, home, channel] = /^(\d+):(\d+)$/.exec(String(name)) ?? [];
  if (typeof name !== 'string' || home === undefined || Number(home) >= shard.header.shardCount) {
    throw optionError('name', name, 'the name of a ShardChannel');
  }
  const sender = `${shard.index}:${sendersMade++}`;
  await ask(shard, Number(home), 'channel', 'attach', Number(channel), sender, shard.index);
  return new ShardSender<T>(shard, Number(home), Number(channel), sender);
}

function channelOf(number: number): ShardChannel<unknown> {
  const channel = homes(currentShard()).channels.get(number);
  if (channel === undefined) throw closedError();
  return channel;
}

export const internal = {
  attach: (channel: number, sender: string, from: number) => channelOf(channel).attach(sender, from),
  send: (channel: number, sender: string, ticket: number, value: unknown) =>
    channelOf(channel).send(sender, ticket, value),
  cancel: (channel: number, sender: string, ticket: number) => channelOf(channel).cancel(sender, ticket),
  detach: (channel: number, sender: string) => channelOf(channel).detach(sender),
};

// Channels between shards: one receiver on its home shard, senders on any. The name of a channel is a string, so it
// travels through a call. A send is a request to the home shard (ask.ts), answered when the value is accepted.
//
//   sender --send--> [ waiting, in order, when it is full ] --> [ buffer of `capacity` values ] --> receive()
//
// Invariants: values of one sender are received in the order in which they were sent. A value is accepted once: then it
// is received, unless the receiver closes. Nothing waits behind a full buffer but its own sender.

import { abortable, type WaitOptions, withDeadline } from '../base/abortable.js';
import { FeatherstarError, optionError } from '../base/errors.js';
import { type Checks, checkOptions, checkWait, integer } from '../base/options.js';
import { Queue } from '../base/queue.js';
import { type Calls, downError } from '../calls/call.js';
import { perShard } from '../shard/per-shard.js';
import { currentShard, type Shard } from '../shard/shard.js';
import { ask } from './ask.js';

const CAPACITY = 64;
const CAPACITY_MAX = 1_048_576;
const SENDERS_MAX = 65_536;

/** Options of a ShardChannel. */
export interface ShardChannelOptions {
  /** How many values the channel holds, 1 to 1,048,576; default 64. */
  capacity?: number | undefined;
  /** After how many senders have closed the channel ends, 1 to 65,536; default 1. */
  senders?: number | undefined;
}

/** Accepted: a value, or that a sender's shard has died. */
type Received = { value: unknown } | { error: FeatherstarError };

interface WaitingSend {
  sender: string;
  ticket: number;
  value: unknown;
  resolve: () => void;
  reject: (reason: unknown) => void;
}

interface WaitingReceive {
  resolve: (entry: Received | undefined) => void;
}

interface Homes {
  readonly channels: Map<number, ShardChannel<unknown>>;
  next: number;
}

const channelsOf = perShard((shard): Homes => {
  const channels: Homes['channels'] = new Map();
  (shard.calls as Calls).peers.onDown((peer) => {
    for (const channel of channels.values()) channel.onPeerDown(peer);
  });
  return { channels, next: shard.numbersFrom };
});

function channelClosed(): FeatherstarError {
  return new FeatherstarError('FEATHERSTAR_CLOSED', 'the channel is closed');
}

const CHANNEL_CHECKS: Checks<ShardChannelOptions> = {
  capacity: integer(1, CAPACITY_MAX),
  senders: integer(1, SENDERS_MAX),
};

/**
 * A bounded queue of values from other shards: this is the receiving end, on its home shard. A loop over it gets the
 * values, until all senders have closed.
 *
 * @example
 * const channel = new ShardChannel<string>({ capacity: 16 });
 * runtime().on(1).produce(channel.name); // there: const sender = await openSender(name)
 * for await (const value of channel) store(value);
 */
export class ShardChannel<T> {
  /** The name for `openSender()`, on any shard. */
  readonly name: string;
  /** How many values the channel holds at most. */
  readonly capacity: number;
  readonly #shard: Shard;
  readonly #number: number;
  readonly #owner: number;
  readonly #buffer = new Queue<Received>();
  readonly #senders = new Map<string, number>(); // those that are open, and their shards
  readonly #sends = new Queue<WaitingSend>();
  readonly #receives = new Queue<WaitingReceive>();
  #toClose: number; // senders that have not closed yet, also those that have not come yet
  #closed = false;

  /**
   * Opens a channel whose home is this shard. It closes with the runtime. Throws FEATHERSTAR_OPTION, or
   * FEATHERSTAR_NO_SHARD outside a runtime.
   */
  constructor(options: ShardChannelOptions = {}) {
    const { capacity = CAPACITY, senders = 1 } = checkOptions(options, CHANNEL_CHECKS);
    this.capacity = capacity;
    this.#toClose = senders;
    this.#shard = currentShard();
    const all = channelsOf(this.#shard);
    this.#number = all.next++;
    this.name = `${this.#shard.index}:${this.#number}`;
    all.channels.set(this.#number, this as ShardChannel<unknown>);
    this.#owner = this.#shard.register(this);
  }

  /** How many values the channel holds now. */
  get size(): number {
    return this.#buffer.length;
  }

  /** Whether the channel has ended, or `close()` was called. */
  get isClosed(): boolean {
    return this.#closed;
  }

  /**
   * Resolves to the next value. Rejects with FEATHERSTAR_CLOSED when the channel has ended, FEATHERSTAR_TIMEOUT, or the
   * signal's reason. If a shard dies with a sender open, one call rejects with FEATHERSTAR_PEER_DOWN, after the values
   * of that sender; the other senders go on.
   */
  async receive(options: WaitOptions = {}): Promise<T> {
    const entry = await this.#take(checkWait(options));
    if (entry === undefined) throw channelClosed();
    if ('error' in entry) throw entry.error;
    return entry.value as T;
  }

  async #take(options: WaitOptions): Promise<Received | undefined> {
    const entry = this.#buffer.shift();
    if (entry !== undefined) {
      this.#accept();
      return entry;
    }
    if (this.#toClose === 0) this.close(); // all is received
    if (this.#closed) return undefined;
    return abortable<Received | undefined>((resolve) => {
      const receive = { resolve };
      this.#receives.push(receive);
      return () => this.#receives.takeWhere((other) => other === receive); // at once: no value may go to it
    }, options);
  }

  /** Moves what waits into the buffer, as far as there is room. */
  #accept(): void {
    while (this.#sends.length !== 0 && this.#buffer.length < this.capacity) {
      const { value, resolve } = this.#sends.shift() as WaitingSend;
      this.#buffer.push({ value });
      resolve();
    }
  }

  /** The values, until the channel has ended. Leaving the loop leaves the channel open. */
  async *[Symbol.asyncIterator](): AsyncGenerator<T, void> {
    for (;;) {
      const entry = await this.#take({});
      if (entry === undefined) return;
      if ('error' in entry) throw entry.error;
      yield entry.value as T;
    }
  }

  /** Closes the channel: values that it holds are dropped, and its senders get FEATHERSTAR_CLOSED. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    channelsOf(this.#shard).channels.delete(this.#number);
    this.#shard.unregister(this.#owner);
    this.#buffer.clear();
    for (const send of this.#sends.takeAll()) send.reject(channelClosed());
    for (const receive of this.#receives.takeAll()) receive.resolve(undefined);
  }

  /** Calls `close()`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  /** @internal */
  onEvent(): void {}

  /** @internal */
  onShutdown(): void {
    this.close();
  }

  // --- what senders ask for ------------------------------------------------------------------------------------------

  /** @internal */
  attach(sender: string, from: number): void {
    if (this.#toClose === 0) throw channelClosed();
    this.#senders.set(sender, from);
  }

  /** @internal */
  send(sender: string, ticket: number, value: unknown): Promise<void> | undefined {
    if (!this.#senders.has(sender)) throw channelClosed();
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
    for (const send of cancelled) send.resolve(); // no caller waits, but the request has to end
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
    this.#sends.takeWhere((send) => lost.includes(send.sender)); // it is unknown whether it was accepted
    const entry = { error: downError(peer) };
    const receive = this.#receives.shift();
    if (receive !== undefined) receive.resolve(entry);
    else this.#buffer.push(entry);
    this.#oneLess(lost.length);
  }
}

let sendersMade = 0;

/** The sending end of a ShardChannel. `openSender()` makes it. */
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

  /** Whether `close()` was called. */
  get isClosed(): boolean {
    return this.#closing !== undefined;
  }

  /**
   * Sends a value, which is copied like the arguments of a call. Resolves when the channel has taken it, and waits
   * while the channel is full. Rejects with FEATHERSTAR_CLOSED, FEATHERSTAR_PEER_DOWN, FEATHERSTAR_TIMEOUT, or the
   * signal's reason. After an abort the value is taken back if the channel has not taken it yet.
   */
  async send(value: T, options: WaitOptions = {}): Promise<void> {
    checkWait(options);
    if (this.#closing !== undefined) throw channelClosed();
    const ticket = this.#tickets++;
    await withDeadline(options, async (signal) => {
      try {
        await abortable(this.#ask('send', ticket, value), { signal });
      } catch (error) {
        if (signal?.aborted) this.#ask('cancel', ticket).catch(() => {}); // a channel that is gone has nothing
        throw error;
      }
    });
  }

  #ask(name: string, ...args: unknown[]): Promise<unknown> {
    return ask(this.#shard, this.#home, 'channel', name, this.#channel, this.#sender, ...args);
  }

  /** Closes the sender. Values that were sent are still received. Resolves when the channel knows of it. */
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

  /** Calls `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/**
 * Opens a sending end of a ShardChannel on this shard. `name`: the channel's `name`. Rejects with FEATHERSTAR_CLOSED if
 * the channel has ended, FEATHERSTAR_PEER_DOWN if its home is dead, FEATHERSTAR_TIMEOUT, or the signal's reason.
 *
 * @example
 * await using sender = await openSender<string>(name);
 * await sender.send('value');
 */
export async function openSender<T>(name: string, options: WaitOptions = {}): Promise<ShardSender<T>> {
  checkWait(options);
  const shard = currentShard();
  const [, home, channel] = /^(\d+):(\d+)$/.exec(String(name)) ?? [];
  if (typeof name !== 'string' || home === undefined || Number(home) >= shard.header.shardCount) {
    throw optionError('name', name, 'the name of a ShardChannel');
  }
  const sender = `${shard.index}:${sendersMade++}`;
  const opened = new ShardSender<T>(shard, Number(home), Number(channel), sender);
  const attached = ask(shard, Number(home), 'channel', 'attach', Number(channel), sender, shard.index);
  try {
    await abortable(attached, options);
  } catch (error) {
    attached.then(() => opened.close()).catch(() => {}); // it came too late, or failed
    throw error;
  }
  return opened;
}

function channelOf(number: number): ShardChannel<unknown> {
  const channel = channelsOf(currentShard()).channels.get(number);
  if (channel === undefined) throw channelClosed();
  return channel;
}

export const internal = {
  attach: (channel: number, sender: string, from: number) => channelOf(channel).attach(sender, from),
  send: (channel: number, sender: string, ticket: number, value: unknown) =>
    channelOf(channel).send(sender, ticket, value),
  cancel: (channel: number, sender: string, ticket: number) => channelOf(channel).cancel(sender, ticket),
  detach: (channel: number, sender: string) => channelOf(channel).detach(sender),
};

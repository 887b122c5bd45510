// The callers' side of a service in NATS: methods of instances in other processes, as calls between shards have them.
//
//   onAny().get(key) --> CallThroughNats, by a number --> request with the reply subject inbox.number --> NATS
//   settles <-- the inbox, one subscription for all calls <-- reply
//
// Every call ends: by a reply, by its time, by a signal, or because the connection was lost or closed. A call that
// begins while the connection is down waits for it.

import type { WaitOptions } from '../base/abortable.js';
import { FeatherstarError, fullError } from '../base/errors.js';
import { type Checks, checkInteger, checkOptions, integer, milliseconds, WAIT_CHECKS } from '../base/options.js';
import { Watch } from '../calls/call-signals.js';
import type { Remote } from '../calls/remote.js';
import { type Link, linkOf, type NatsConnection, type NatsMessage, type NatsSubscription } from './link.js';
import { isToken, subject, token } from './names.js';
import { transport } from './transport.js';
import { decodeReply, WireEncoder } from './wire.js';

const TIMEOUT_MS = 10_000;
const MAX_OPEN = 65_536;
const SHARD_MAX = 65_535;
const LOOK_MS = 500;
const NO_RESPONDERS = 503;

/** Options of `remote()`. */
export interface RemoteServiceOptions {
  /** The name of the service: its class, if it was published without another name. */
  name: string;
  /** The beginning of its subjects; default: its name. */
  subject?: string | undefined;
  /** How long a call may take if it does not say so; default 10,000. */
  timeoutMs?: number | undefined;
  /** How many calls may be open at once, 1 to 1,048,576; default 65,536. One more rejects with FEATHERSTAR_FULL. */
  maxOpen?: number | undefined;
}

/** Options of `RemoteService.instances()`. */
export interface InstancesOptions {
  /** How long replies are collected; default 500. */
  timeoutMs?: number | undefined;
}

/** An instance of a service that has replied to `instances()`. */
export interface ServiceInstance {
  /** The name that NATS knows this instance by. */
  id: string;
  /** The version that it was published with. */
  version: string;
  /** The shard that it runs on, in its process. */
  shard: number;
  /** How many shards its process has: `homeOf(key, shardCount)`. */
  shardCount: number;
}

const CHECKS: Checks<RemoteServiceOptions> = {
  name: token,
  subject,
  timeoutMs: milliseconds,
  maxOpen: integer(1, 1_048_576),
};

/** The instances behind a class or their own type. */
type InstanceOf<S> = S extends abstract new (...args: never[]) => infer I ? I : S;

type Methods<T> = Remote<Omit<T, 'start' | 'stop'> & object>;

interface CallThroughNats {
  readonly subject: string;
  readonly payload: Uint8Array;
  readonly watch: Watch;
  readonly resolve: (value: unknown) => void;
  readonly reject: (reason: unknown) => void;
  /** Whether it was given to NATS. */
  isSent: boolean;
  /** Takes it back from those that wait for the connection. */
  forget: (() => void) | undefined;
}

/** A service that other processes have published. `remote()` makes it. */
export class RemoteService<T> {
  readonly #connection: NatsConnection;
  readonly #link: Link;
  readonly #name: string;
  readonly #prefix: string;
  readonly #timeoutMs: number;
  readonly #maxOpen: number;
  readonly #encoder: WireEncoder;
  readonly #open = new Map<number, CallThroughNats>();
  readonly #inbox = `${transport.createInbox()}.`;
  readonly #subscription: NatsSubscription;
  readonly #user = {
    onDown: () => this.#onDown(),
    onClosed: (error: unknown) => this.#end(remoteClosed('the connection to NATS is closed', error)),
  };
  #next = 1;
  #closedBy: FeatherstarError | undefined;

  /** @internal */
  constructor(connection: NatsConnection, options: RemoteServiceOptions) {
    const { name, subject: prefix = name, timeoutMs = TIMEOUT_MS, maxOpen = MAX_OPEN } = options;
    this.#connection = connection;
    this.#link = linkOf(connection);
    this.#name = name;
    this.#prefix = prefix;
    this.#timeoutMs = timeoutMs;
    this.#maxOpen = maxOpen;
    this.#encoder = new WireEncoder(connection.info?.max_payload);
    this.#link.users.add(this.#user);
    this.#subscription = connection.subscribe(`${this.#inbox}*`, {
      callback: (error, message) => {
        if (error === null) this.#onReply(message);
        else this.#end(noReplies(error));
      },
    });
  }

  /** How many calls are open. */
  get openCount(): number {
    return this.#open.size;
  }

  /** The methods of any instance: NATS chooses one, in any process and on any shard. */
  onAny(): Methods<T> {
    return this.#methods(`${this.#prefix}.any`, {});
  }

  /** The methods of an instance on this shard. If several processes have one, NATS chooses among them. */
  on(shard: number): Methods<T> {
    checkInteger('shard', shard, 0, SHARD_MAX);
    return this.#methods(`${this.#prefix}.on.${shard}`, {});
  }

  /**
   * The instances that reply within the time. An empty array means that none has. Rejects with FEATHERSTAR_CLOSED after
   * the end of the connection, and if this user of NATS may not receive replies.
   */
  async instances(options: InstancesOptions = {}): Promise<ServiceInstance[]> {
    const { timeoutMs = LOOK_MS } = checkOptions(options, { timeoutMs: milliseconds });
    if (this.#closedBy !== undefined) throw this.#closedBy;
    const found: ServiceInstance[] = [];
    const inbox = transport.createInbox();
    let failure: FeatherstarError | undefined;
    const subscription = this.#connection.subscribe(inbox, {
      callback: (error, { data, headers }) => {
        if (error !== null) failure = noReplies(error);
        else if (data.length > 0 && headers?.code !== NO_RESPONDERS) found.push(...instanceIn(data));
      },
    });
    const ask = () => this.#connection.publish(`$SRV.INFO.${this.#name}`, '', { reply: inbox });
    let forget: (() => void) | undefined;
    try {
      forget = this.#link.whenUp(ask);
      await new Promise((resolve) => setTimeout(resolve, timeoutMs));
    } finally {
      forget?.();
      subscription.unsubscribe();
    }
    if (failure !== undefined) throw failure;
    return found.sort((one, other) => one.shard - other.shard);
  }

  /** Rejects the open calls and later ones with FEATHERSTAR_CLOSED. The connection to NATS stays open. */
  close(): void {
    this.#link.users.delete(this.#user);
    if (!this.#connection.isClosed()) this.#subscription.unsubscribe();
    this.#end(remoteClosed('the remote service is closed', undefined));
  }

  /** Calls `close()`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  /** No name is known before a service replies, so any name is a method here. */
  #methods(prefix: string, options: WaitOptions): Methods<T> {
    const get = (_: object, name: string | symbol) => {
      if (name === 'with') {
        return (more: WaitOptions) => this.#methods(prefix, { ...options, ...checkOptions(more, WAIT_CHECKS) });
      }
      if (!isToken(name) || name === 'then' || name in Object.prototype) return undefined;
      return (...args: unknown[]) => this.#call(`${prefix}.${name}`, args, options);
    };
    return new Proxy({}, { get }) as Methods<T>;
  }

  async #call(to: string, args: unknown[], options: WaitOptions): Promise<unknown> {
    if (this.#closedBy !== undefined) throw this.#closedBy;
    if (this.#open.size >= this.#maxOpen) throw fullError(`${this.#maxOpen} calls of the service ${this.#name}`);
    const { signal, timeoutMs = this.#timeoutMs } = options;
    const payload = this.#encoder.request(args, timeoutMs);
    const { signals, firstSignal } = this.#encoder;
    const watch = new Watch(signals, firstSignal, signal);
    const { aborted } = watch;
    if (aborted !== undefined) throw aborted.reason;
    return new Promise((resolve, reject) => {
      const call: CallThroughNats = { subject: to, payload, watch, resolve, reject, isSent: false, forget: undefined };
      const number = this.#next++;
      watch.start(timeoutMs);
      watch.end = (reason, told) => this.#onEnded(number, reason, told);
      this.#open.set(number, call);
      call.forget = this.#link.whenUp(() => this.#send(number, call));
    });
  }

  #send(number: number, call: CallThroughNats): void {
    try {
      this.#connection.publish(call.subject, call.payload, { reply: this.#inbox + number });
      call.isSent = true;
    } catch (error) {
      this.#take(number)?.reject(remoteClosed(`${call.subject}: NATS does not take it`, error));
    }
  }

  /** The call is over, and gone from the table; undefined if it was over before. */
  #take(number: number): CallThroughNats | undefined {
    const call = this.#open.get(number);
    this.#open.delete(number);
    call?.watch.stop();
    call?.forget?.();
    return call;
  }

  /** A signal has aborted, or the time is over. The service ends calls by their time itself. */
  #onEnded(number: number, reason: unknown, told: readonly number[]): void {
    const call = this.#take(number);
    call?.reject(reason);
    if (call?.isSent !== true || told.length === 0) return;
    try {
      this.#connection.publish(`${this.#prefix}.abort`, this.#abortPayload(this.#inbox + number, told, reason));
    } catch (error) {
      if (!this.#connection.isDraining() && !this.#connection.isClosed()) throw error;
    }
  }

  #abortPayload(inbox: string, told: readonly number[], reason: unknown): Uint8Array {
    try {
      return this.#encoder.abort(inbox, told, reason);
    } catch {
      const text = 'the caller aborted, with a reason that cannot be sent';
      return this.#encoder.abort(inbox, told, new FeatherstarError('FEATHERSTAR_ABORTED', text));
    }
  }

  #onReply({ subject: to, data, headers }: NatsMessage): void {
    const call = this.#take(Number(to.slice(this.#inbox.length)));
    if (call === undefined) return; // it has ended before
    if (data.length === 0 && headers?.code === NO_RESPONDERS) {
      const text = `no instance of the service ${this.#name} listens on ${call.subject}`;
      call.reject(new FeatherstarError('FEATHERSTAR_PEER_DOWN', text));
      return;
    }
    try {
      const { isResult, value } = decodeReply(data);
      if (isResult) call.resolve(value);
      else call.reject(value);
    } catch (error) {
      call.reject(error);
    }
  }

  /** Replies to calls that were sent are lost. Calls that wait to be sent stay. */
  #onDown(): void {
    for (const [number, { isSent }] of [...this.#open]) {
      if (!isSent) continue;
      const text = 'the connection to NATS was lost; the call may have run';
      this.#take(number)?.reject(new FeatherstarError('FEATHERSTAR_PEER_DOWN', text));
    }
  }

  #end(error: FeatherstarError): void {
    this.#closedBy ??= error;
    for (const number of [...this.#open.keys()]) this.#take(number)?.reject(error);
  }
}

function remoteClosed(text: string, cause: unknown): FeatherstarError {
  return new FeatherstarError('FEATHERSTAR_CLOSED', text, { cause });
}

function noReplies(error: Error): FeatherstarError {
  return remoteClosed('NATS refuses replies: allow this user to subscribe to _INBOX.> or its inboxPrefix', error);
}

/** The instance in a reply to $SRV.INFO; none if it is a service that this library has not published. */
function instanceIn(data: Uint8Array): ServiceInstance[] {
  try {
    const { id, version, metadata } = JSON.parse(new TextDecoder().decode(data)) as Record<string, unknown>;
    const { shard, shards } = metadata as Record<string, string>;
    if (shard === undefined || shards === undefined) return [];
    return [{ id: String(id), version: String(version), shard: Number(shard), shardCount: Number(shards) }];
  } catch {
    return []; // another program's reply, which is no JSON
  }
}

/**
 * A service that other processes have published with `publishService()`. `S` is its class, or its instances: then calls
 * are typed. It works in threads that are no shards, too.
 */
export function remote<S>(connection: NatsConnection, options: RemoteServiceOptions): RemoteService<InstanceOf<S>> {
  return new RemoteService(connection, checkOptions(options, CHECKS));
}

// The service's side: an instance of a sharded service listens on subjects of NATS, with a connection of its own shard.
// So a request that arrives is on the right core already, and no shard serves for the others.
//
//   prefix.any.get, prefix.on.1.get --> onRequest --> instance.get(...) --> reply to the caller's inbox
//   prefix.abort --> the signals that a running function was given
//   $SRV.* --> endpoint.ts
//
// Invariant: each request with a reply subject is replied to once, while the connection is up. After a reconnect,
// replies that waited go out. At most `maxOpen` functions run; one more request gets FEATHERSTAR_FULL.

import type { MsgHdrs } from '@nats-io/transport-node';
import { Abortable } from '../base/abortable.js';
import { FeatherstarError, optionError, textOf } from '../base/errors.js';
import { inTime } from '../base/in-time.js';
import { type Check, type Checks, checkObject, checkOptions, checkString, integer } from '../base/options.js';
import { monotonicNs } from '../hosts/host.js';
import { CLOSE_CHECKS, type CloseOptions, runtime } from '../runtime/runtime.js';
import { methodNames, Sharded } from '../services/sharded.js';
import { Endpoint, monitorReplies } from './endpoint.js';
import { type Link, linkOf, type NatsConnection, type NatsMessage, type NatsSubscription } from './link.js';
import { isToken, QUEUE, subject, token, version } from './names.js';
import { transport } from './transport.js';
import { decodeAbort, decodeRequest, isWire, WireEncoder } from './wire.js';

const MAX_OPEN = 4096;
const CLOSE_TIMEOUT_MS = 1000; // the instances of a service stop one after the other, and have 4 s together
const ERROR_CHARS = 200;

type Method = (...args: unknown[]) => unknown;

/** Options of `publishService()`. */
export interface PublishOptions {
  /** The connection of this shard to NATS. */
  connection: NatsConnection;
  /** The name of the service in NATS; default: its class. */
  name?: string | undefined;
  /** The beginning of its subjects; default: the name. */
  subject?: string | undefined;
  /** The version of the service, which discovery shows; default '0.0.0'. */
  version?: string | undefined;
  /** A sentence about the service, which discovery shows. */
  description?: string | undefined;
  /** The methods that can be called from other processes; default: all but `start` and `stop`. */
  methods?: readonly string[] | undefined;
  /** How many calls may run at once, 1 to 1,048,576; default 4,096. One more gets FEATHERSTAR_FULL. */
  maxOpen?: number | undefined;
}

const methodList: Check = (name, value) => {
  if (!Array.isArray(value) || !value.every(isToken)) throw optionError(name, value, 'an array of names');
};

const CHECKS: Checks<PublishOptions> = {
  connection: checkObject,
  name: token,
  subject,
  version,
  description: checkString,
  methods: methodList,
  maxOpen: integer(1, 1_048_576),
};

/** The signals of a running function, and its time. */
class Guests extends Abortable {
  readonly #controllers = new Map<number, AbortController>();

  open(id: number): AbortSignal {
    const controller = new AbortController();
    this.#controllers.set(id, controller);
    return controller.signal;
  }

  abortSome(ids: readonly number[], reason: unknown): void {
    for (const id of ids) this.#controllers.get(id)?.abort(reason);
  }

  onAbort(reason: unknown): void {
    this.abortSome([...this.#controllers.keys()], reason);
  }
}

/** An instance of a service that NATS knows. `publishService()` makes it. */
export class PublishedService {
  /** The name that NATS knows this instance by. */
  readonly id: string = transport.nuid.next();
  readonly #instance: Record<string, Method>;
  readonly #connection: NatsConnection;
  readonly #link: Link;
  readonly #maxOpen: number;
  readonly #encoder: WireEncoder;
  readonly #guests = new Map<string, Guests>();
  readonly #subscriptions: NatsSubscription[] = [];
  readonly #endpoints: Endpoint[] = [];
  #openCount = 0;
  #refused: FeatherstarError | undefined;
  #onIdle: (() => void) | undefined;
  #ending: Promise<void> | undefined;

  /** @internal */
  constructor(instance: object, options: PublishOptions & { name: string }, names: readonly string[]) {
    const { connection, name, subject: prefix = name, maxOpen = MAX_OPEN, description = '' } = options;
    this.#instance = instance as Record<string, Method>;
    this.#connection = connection;
    this.#link = linkOf(connection);
    this.#maxOpen = maxOpen;
    this.#encoder = new WireEncoder(connection.info?.max_payload);
    const { self, shardCount } = runtime();
    for (const method of names) {
      this.#serve(new Endpoint(method, `${prefix}.any.${method}`, QUEUE), method);
      this.#serve(new Endpoint(`${method}-on-${self}`, `${prefix}.on.${self}.${method}`, QUEUE), method);
    }
    this.#subscribe(`${prefix}.abort`, ({ data }) => this.#onAbort(data));
    const metadata = { shard: `${self}`, shards: `${shardCount}`, runtime: 'featherstar' };
    const identity = { name, id: this.id, version: options.version ?? '0.0.0', metadata };
    for (const [verb, reply] of Object.entries(monitorReplies(identity, description, this.#endpoints))) {
      for (const to of [`$SRV.${verb}`, `$SRV.${verb}.${name}`, `$SRV.${verb}.${name}.${this.id}`]) {
        this.#subscribe(to, (message) => this.#reply(message.reply, () => reply()));
      }
    }
  }

  /** How many calls run. */
  get openCount(): number {
    return this.#openCount;
  }

  /**
   * Takes no more requests, and waits until those that run have ended, at most `timeoutMs` (1,000). Then signals that
   * they were given abort with FEATHERSTAR_CLOSED. The connection to NATS stays open.
   */
  close(options: CloseOptions = {}): Promise<void> {
    const { timeoutMs = CLOSE_TIMEOUT_MS } = checkOptions(options, CLOSE_CHECKS);
    this.#ending ??= this.#close(timeoutMs);
    return this.#ending;
  }

  /** Calls `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(timeoutMs: number): Promise<void> {
    const idle = new Promise<void>((resolve) => {
      this.#onIdle = resolve;
    });
    if (this.#connection.isClosed()) return;
    const canDrain = !this.#link.isDown;
    const ends = this.#subscriptions.map((each) => (canDrain ? each.drain() : each.unsubscribe()));
    const drained = Promise.allSettled(ends).then(() => (this.#openCount === 0 ? undefined : idle));
    const isIdle = await inTime(
      drained.then(() => true),
      timeoutMs,
    );
    if (isIdle !== true) {
      const closed = new FeatherstarError('FEATHERSTAR_CLOSED', 'the service is closed');
      for (const guests of [...this.#guests.values()]) guests.abort(closed);
    }
  }

  // --- requests ------------------------------------------------------------------------------------------------------

  #subscribe(to: string, onMessage: (message: NatsMessage) => void, queue?: string): void {
    const callback = (error: Error | null, message: NatsMessage) => {
      if (error === null) onMessage(message);
      else this.#refused ??= refused(to, error);
    };
    this.#subscriptions.push(this.#connection.subscribe(to, queue === undefined ? { callback } : { queue, callback }));
  }

  /** @internal Resolves when the server knows the subscriptions. Rejects if it refuses one. */
  async whenKnown(): Promise<void> {
    await this.#connection.flush();
    if (this.#refused === undefined) return;
    await this.close({ timeoutMs: 0 });
    throw this.#refused;
  }

  #serve(endpoint: Endpoint, method: string): void {
    this.#endpoints.push(endpoint);
    this.#subscribe(endpoint.subject, (message) => void this.#onRequest(endpoint, method, message), endpoint.queue);
  }

  async #onRequest(endpoint: Endpoint, method: string, { reply, data }: NatsMessage): Promise<void> {
    const startNs = monotonicNs();
    const guests = new Guests();
    const isOurs = isWire(data);
    this.#openCount++;
    try {
      if (this.#openCount > this.#maxOpen) throw full(this.#maxOpen);
      const request = decodeRequest(data, (id) => guests.open(id));
      if (request.signals.length > 0 && reply !== undefined) {
        this.#guests.set(reply, guests);
        guests.arm({ timeoutMs: request.timeoutMs });
      }
      const value = await (this.#instance[method] as Method).apply(this.#instance, request.args);
      const payload = isOurs ? this.#encoder.reply(true, value) : this.#encoder.jsonReply(value);
      endpoint.count(startNs);
      this.#reply(reply, () => payload);
    } catch (error) {
      endpoint.count(startNs, textOf(error).slice(0, ERROR_CHARS));
      this.#replyError(reply, isOurs, error);
    } finally {
      guests.disarm();
      if (reply !== undefined) this.#guests.delete(reply);
      this.#openCount--;
      if (this.#openCount === 0) this.#onIdle?.();
    }
  }

  #replyError(to: string | undefined, isOurs: boolean, thrown: unknown): void {
    const replyOf = (error: Error) => ({
      payload: isOurs ? this.#encoder.reply(false, error) : this.#jsonError(error),
      about: errorHeaders(error),
    });
    let reply: ReturnType<typeof replyOf>;
    try {
      reply = replyOf(thrown instanceof Error ? thrown : notAnError(thrown));
    } catch (cause) {
      reply = replyOf(unsendable(cause));
    }
    this.#reply(to, () => reply.payload, reply.about);
  }

  #jsonError({ name, message, code }: NodeJS.ErrnoException): string {
    return this.#encoder.jsonReply({ name, message, code });
  }

  /** Never throws: an error in a callback of a subscription would end the connection's reader for good. */
  #reply(to: string | undefined, payload: () => Uint8Array | string, about?: MsgHdrs): void {
    if (!to) return; // the caller does not want one
    this.#link.whenUp(() => {
      if (this.#connection.isClosed()) return;
      try {
        this.#connection.publish(to, payload(), about === undefined ? {} : { headers: about });
      } catch (error) {
        if (this.#connection.isDraining()) return;
        process.emitWarning(`NATS does not take a reply of the service: ${textOf(error)}`, 'Featherstar');
      }
    });
  }

  #onAbort(data: Uint8Array): void {
    let message: ReturnType<typeof decodeAbort>;
    try {
      message = decodeAbort(data);
    } catch {
      return; // not of this library: there is no caller to tell
    }
    this.#guests.get(message.inbox)?.abortSome(message.signals, message.reason);
  }
}

function full(maxOpen: number): FeatherstarError {
  return new FeatherstarError('FEATHERSTAR_FULL', `all ${maxOpen} calls of this instance are in use`);
}

function notAnError(thrown: unknown): FeatherstarError {
  const text = `the function threw something that is no Error: ${textOf(thrown)}`;
  return new FeatherstarError('FEATHERSTAR_REMOTE', text, { cause: thrown });
}

function refused(to: string, cause: Error): FeatherstarError {
  const text = `NATS refuses the subject ${to}: allow this user to subscribe to it`;
  return new FeatherstarError('FEATHERSTAR_SERVICE', text, { cause });
}

/** Takes the place of an error that is too large, or whose properties throw. It is short: it fits every message. */
function unsendable(cause: unknown): FeatherstarError {
  const text = `an error cannot be sent: ${textOf(cause).slice(0, ERROR_CHARS)}`;
  return Object.assign(new FeatherstarError('FEATHERSTAR_CODEC', text), { stack: text });
}

/** The headers that clients and monitors of NATS know an error by. */
function errorHeaders(error: Error): MsgHdrs {
  const about = transport.headers();
  const isUsage = FeatherstarError.is(error) && error.kind === 'usage';
  about.set('Nats-Service-Error-Code', isUsage ? '400' : '500');
  about.set(
    'Nats-Service-Error',
    textOf(error.message)
      .replace(/[^\x20-\x7e]+/g, ' ')
      .slice(0, ERROR_CHARS),
  );
  return about;
}

/**
 * Publishes an instance of a sharded service, on its own shard: call it in `start()` of the class, and `close()` in
 * `stop()`. Rejects with FEATHERSTAR_OPTION if `methods` names one that the instance does not have. Rejects with
 * FEATHERSTAR_SERVICE if NATS refuses a subject to the user of the connection.
 */
export async function publishService(instance: object, options: PublishOptions): Promise<PublishedService> {
  const { name = Sharded.of(instance).name, methods } = checkOptions(options, CHECKS);
  const there = methodNames(instance).filter((each) => isToken(each) && each !== 'then' && each !== 'with');
  for (const each of methods ?? []) {
    if (!there.includes(each)) throw optionError('methods', each, `methods of ${name}: ${there.join(', ')}`);
  }
  const published = new PublishedService(instance, { ...options, name }, methods ?? there);
  await published.whenKnown();
  return published;
}

// Calls from threads that are no shards ("aliens", as Seastar has it): Node's own workers, pools, anything that can
// hold a MessagePort. A shard makes a port; the other thread connects to it and calls shards as they call each other.
//
//   foreign thread                      the port's shard                    any shard
//   on(1).get() --request, cloned--> MessagePort --> on(1).get() --mesh--> function
//   settles <----------answer, cloned---------- its result    <---------
//
// A call costs two messages of a port, each with a structured clone and a wake-up of libuv, beside what it costs
// between shards. So it is for what comes now and then; who calls all the time should be a shard.
//
// Invariant: each request that a port has taken is answered once, or the port is closed. At most `maxOpen` are taken
// and not answered; others wait on the foreign side. When either side closes or dies, what is open there is rejected.

import { MessageChannel, type MessagePort } from 'node:worker_threads';
import type { AbortOptions } from '../base/abort.js';
import { abortable, type WaitOptions } from '../base/abortable.js';
import { type PackedError, packError, unpackError } from '../base/error-parts.js';
import { FeatherstarError, optionError } from '../base/errors.js';
import { homeOf } from '../base/home-of.js';
import { type Checks, checkOptions, checkShard, checkSignal, integer } from '../base/options.js';
import { Queue } from '../base/queue.js';
import type { Calls } from '../calls/call.js';
import { everyShard, sendToAll } from '../calls/call-all.js';
import { type Remote, type RemoteAll, type RemoteClass, remoteClass, type UntypedModule } from '../calls/remote.js';
import { runtime } from '../runtime/runtime.js';
import type { Owner } from '../shard/owners.js';
import { perShard } from '../shard/per-shard.js';
import { currentShard, type Shard } from '../shard/shard.js';

const MAX_OPEN = 256;
const MAX_OPEN_MAX = 65_536;

/** Options of `foreignPort()`. */
export interface ForeignPortOptions {
  /** How many calls of the port may be open at once, 1 to 65,536; default 256. More calls wait in their own thread. */
  maxOpen?: number | undefined;
}

const PORT_CHECKS: Checks<ForeignPortOptions> = { maxOpen: integer(1, MAX_OPEN_MAX) };

interface Hello {
  type: 'hello';
  shardCount: number;
  maxOpen: number;
  /** Names of what can be called. */
  functions: readonly string[];
}

interface Request {
  type: 'call';
  id: number;
  shard: number;
  name: string;
  args: unknown[];
}

type FromForeign = Request | { type: 'abort'; id: number };
type Reply = { type: 'value'; id: number; value: unknown } | { type: 'error'; id: number; error: PackedError };

function cloneError(cause: unknown): FeatherstarError {
  const text = `a value cannot be sent to a shard: ${cause instanceof Error ? cause.message : String(cause)}`;
  return new FeatherstarError('FEATHERSTAR_CODEC', text, { cause });
}

// --- the shard's side ------------------------------------------------------------------------------------------------

class Gateway {
  readonly #port: MessagePort;
  readonly #maxOpen: number;
  readonly #onGone: () => void;
  readonly #open = new Map<number, AbortController>();
  #isClosing = false;
  #onIdle: (() => void) | undefined;

  constructor(port: MessagePort, maxOpen: number, onGone: () => void) {
    this.#port = port;
    this.#maxOpen = maxOpen;
    this.#onGone = onGone;
    const calls = currentShard().calls as Calls;
    const { shardCount } = runtime();
    void calls.whenLoaded.then(() => {
      port.postMessage({ type: 'hello', shardCount, maxOpen, functions: calls.functionNames } satisfies Hello);
    });
    port.on('message', (message: FromForeign) => {
      if (message.type === 'call') this.#onRequest(message);
      else this.#open.get(message.id)?.abort();
    });
    port.on('close', () => this.#onClosed());
    port.unref(); // what keeps the thread alive is the shard
  }

  #onRequest(request: Request): void {
    const { id } = request;
    if (this.#open.size === this.#maxOpen || this.#isClosing) {
      const full = new FeatherstarError('FEATHERSTAR_FULL', `all ${this.#maxOpen} calls of this port are in use`);
      const closed = new FeatherstarError('FEATHERSTAR_CLOSED', 'the runtime closes');
      this.#answer({ type: 'error', id, error: packError(this.#isClosing ? closed : full) });
      return;
    }
    const controller = new AbortController();
    this.#open.set(id, controller);
    this.#run(request, controller.signal).then(
      (value) => this.#end({ type: 'value', id, value }),
      (error) => this.#end({ type: 'error', id, error: packError(error) }),
    );
  }

  async #run({ shard, name, args }: Request, signal: AbortSignal): Promise<unknown> {
    return (currentShard().calls as Calls).call(checkShard(shard, runtime().shardCount), name, args, { signal });
  }

  #end(answer: Reply): void {
    this.#open.delete(answer.id);
    this.#answer(answer);
    if (this.#open.size === 0) this.#onIdle?.();
  }

  /** To a port that has closed meanwhile this does nothing. */
  #answer(answer: Reply): void {
    try {
      this.#port.postMessage(answer);
    } catch (cause) {
      this.#port.postMessage({ type: 'error', id: answer.id, error: packError(cloneError(cause)) } satisfies Reply);
    }
  }

  #onClosed(): void {
    this.#isClosing = true;
    this.#onGone();
    for (const controller of this.#open.values()) controller.abort(connectionClosed()); // no thread waits
    this.#onIdle?.();
  }

  /** Takes no more calls, replies to the open ones, and closes. */
  async drain(): Promise<void> {
    this.#isClosing = true;
    if (this.#open.size !== 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve;
      });
    }
    this.close();
  }

  close(): void {
    this.#port.close();
  }
}

/** The ports of one shard. */
class Gateways implements Owner {
  readonly all = new Set<Gateway>();

  constructor(shard: Shard) {
    shard.register(this);
    runtime().onClose(async () => {
      await Promise.all([...this.all].map((gateway) => gateway.drain()));
    });
  }

  onEvent(): void {}

  onShutdown(): void {
    for (const gateway of this.all) gateway.close();
  }
}

const gatewaysOf = perShard((shard) => new Gateways(shard));

/**
 * Makes a port for one thread that is no shard. Give it to that thread, by `workerData` or `postMessage()`, in the
 * transfer list too; there it is the argument of `connectRuntime()`. This shard forwards the calls. Throws
 * FEATHERSTAR_OPTION, or FEATHERSTAR_NO_SHARD outside a runtime.
 *
 * @example
 * const port = foreignPort();
 * new Worker(url, { workerData: port, transferList: [port] });
 */
export function foreignPort(options: ForeignPortOptions = {}): MessagePort {
  const { maxOpen = MAX_OPEN } = checkOptions(options, PORT_CHECKS);
  const { all } = gatewaysOf(currentShard());
  const { port1, port2 } = new MessageChannel();
  const gateway: Gateway = new Gateway(port1, maxOpen, () => all.delete(gateway));
  all.add(gateway);
  return port2;
}

// --- the foreign side ------------------------------------------------------------------------------------------------

interface Waiting {
  request: Request;
  resolve: (value: unknown) => void;
  reject: (reason: unknown) => void;
}

/** A connection to a runtime, from a thread that is no shard. `connectRuntime()` makes it. */
export class ForeignRuntime<M extends object = UntypedModule> {
  /** How many shards the runtime has. */
  readonly shardCount: number;
  readonly #port: MessagePort;
  readonly #maxOpen: number;
  readonly #Remote: RemoteClass<string>;
  readonly #open = new Map<number, Waiting>();
  readonly #waiting = new Queue<Waiting>();
  #next = 1;
  #closed = false;

  /** @internal */
  constructor(port: MessagePort, hello: Hello) {
    this.shardCount = hello.shardCount;
    this.#Remote = remoteClass(hello.functions.map((name) => [name, name]));
    this.#port = port;
    this.#maxOpen = hello.maxOpen;
    port.on('message', (answer: Reply) => this.#onAnswer(answer));
    port.on('close', () => this.#onClosed());
    port.unref(); // open calls keep the thread alive, the connection does not
  }

  /** Whether the connection has ended. */
  get isClosed(): boolean {
    return this.#closed;
  }

  /**
   * The functions of the shard module, as they run on one shard: `on(1).get('key')`. Each returns a promise.
   * `on(1).with({ signal, timeoutMs })` ends the wait. Throws FEATHERSTAR_OPTION if there is no such shard.
   */
  on(shard: number): Remote<M> {
    checkShard(shard, this.shardCount);
    return new this.#Remote((name, args, options) => this.#call(shard, name, args, options)) as object as Remote<M>;
  }

  /**
   * The functions of the shard module, as they run on every shard at once: `onAll().size()` resolves to an array, in
   * shard order. Rejects with the first error; the other calls go on.
   */
  onAll(): RemoteAll<M> {
    const shards = everyShard(this.shardCount);
    const send = sendToAll<string>(shards, (shard, name, args, options) => this.#call(shard, name, args, options));
    return new this.#Remote(send) as object as RemoteAll<M>;
  }

  /** The shard that a key lives on, as `runtime().homeOf(key)` has it on a shard. */
  homeOf(key: string | Uint8Array): number {
    return homeOf(key, this.shardCount);
  }

  async #call(shard: number, name: string, args: unknown[], { signal, timeoutMs }: WaitOptions = {}): Promise<unknown> {
    checkSignal(signal)?.throwIfAborted();
    if (this.#closed) throw connectionClosed();
    return abortable(
      (resolve, reject) => {
        const id = this.#next++;
        const waiting = { request: { type: 'call', id, shard, name, args } as const, resolve, reject };
        if (this.#open.size < this.#maxOpen) this.#send(waiting);
        else this.#waiting.push({ ...waiting, request: cloned(waiting.request) });
        return () => {
          this.#waiting.takeWhere((other) => other.request.id === id);
          const isSent = this.#open.has(id); // then a reply comes, and the call counts as open until it does
          if (isSent) this.#port.postMessage({ type: 'abort', id } satisfies FromForeign);
        };
      },
      { signal, timeoutMs },
    );
  }

  #send(waiting: Waiting): void {
    try {
      this.#port.postMessage(waiting.request);
    } catch (cause) {
      throw cloneError(cause);
    }
    this.#open.set(waiting.request.id, waiting);
    if (this.#open.size === 1) this.#port.ref();
  }

  #onAnswer(answer: Reply): void {
    const waiting = this.#open.get(answer.id);
    this.#open.delete(answer.id);
    if (answer.type === 'value') waiting?.resolve(answer.value);
    else waiting?.reject(unpackError(answer.error));
    const next = this.#waiting.shift();
    if (next !== undefined) this.#send(next);
    else if (this.#open.size === 0) this.#port.unref();
  }

  #onClosed(): void {
    this.#closed = true;
    for (const waiting of [...this.#open.values(), ...this.#waiting.takeAll()]) waiting.reject(connectionClosed());
    this.#open.clear();
  }

  /** Ends the connection. Open calls reject with FEATHERSTAR_CLOSED; their functions may have run. */
  close(): void {
    this.#onClosed();
    this.#port.close();
  }

  /** Calls `close()`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}

function connectionClosed(): FeatherstarError {
  return new FeatherstarError('FEATHERSTAR_CLOSED', 'the connection to the runtime is closed');
}

/** A call that waits is sent with the values that it had when it was made. */
function cloned(request: Request): Request {
  try {
    return structuredClone(request);
  } catch (cause) {
    throw cloneError(cause);
  }
}

/**
 * Connects a thread that is no shard to the runtime, by a port that `foreignPort()` has made. Rejects with
 * FEATHERSTAR_CLOSED if the runtime is gone, or with the signal's reason.
 *
 * @example
 * await using runtime = await connectRuntime<typeof import('./shard.js')>(workerData);
 */
export async function connectRuntime<M extends object = UntypedModule>(
  port: MessagePort,
  { signal }: AbortOptions = {},
): Promise<ForeignRuntime<M>> {
  if (typeof port?.postMessage !== 'function') throw optionError('port', port, 'a MessagePort of foreignPort()');
  checkSignal(signal)?.throwIfAborted();
  return abortable<ForeignRuntime<M>>(
    (resolve, reject) => {
      const stopListening = () => {
        port.off('message', onHello);
        port.off('close', onClose);
      };
      const onHello = (hello: Hello) => {
        stopListening();
        resolve(new ForeignRuntime<M>(port, hello)); // listens before the next message
      };
      const onClose = () => {
        stopListening();
        reject(connectionClosed());
      };
      port.on('message', onHello);
      port.on('close', onClose);
      return () => {
        stopListening();
        port.close();
      };
    },
    { signal },
  );
}

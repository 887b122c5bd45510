// A server on every core. serve({ module }) starts a runtime; each shard loads the module and listens on the same port.
//
//   serveModule()            Runtime.start() --> listen() on shard 0, which picks the port --> listen() on the others
//   a shard dies             Runtime.restart() --> listen() there: at once, or after a pause if it had just begun
//   server.close()           Runtime.close(): every shard stops accepting, answers what runs, ends
//
// The kernel spreads connections over the shards. Where shards cannot share a port (Runtime.sharesPorts) or a
// descriptor that was given, shard 0 listens alone, and the others only run what it calls.
//
// Process signals are the program's: like node:http, serve() leaves them alone. The command line (host/cli) does not.

import { FeatherstarError, optionError } from '../base/errors.js';
import { type Checks, checkBoolean, checkedLater, checkObject, checkOptions, checkUrl } from '../base/options.js';
import { takeSecret } from '../base/secrets.js';
import type { Calls } from '../calls/call.js';
import type { UntypedModule } from '../calls/remote.js';
import { type RuntimeOptions, SHUTDOWN_TIMEOUT_MS } from '../runtime/options.js';
import { Runtime } from '../runtime/runtime.js';
import { perShard } from '../shard/per-shard.js';
import { currentShard, type Shard } from '../shard/shard.js';
import { sleep } from '../tasks/timer.js';
import { checkTlsHost, checkTlsServer, noTlsError, type TlsServerOptions } from '../tls/options.js';
import type { ConnectionServer } from './connection-server.js';
import type { ProxyOptions } from './proxies.js';
import {
  type AnyResponse,
  type HttpLimits,
  SERVE_CHECKS,
  type ServeOptions,
  type Server,
  serveHere,
} from './server.js';

/** Options of `serve()` with a module, which serves on every shard. */
export interface ServeModuleOptions {
  /**
   * The module that every shard loads. It has `export default { fetch(request) { ... } }`, or exports `fetch`.
   * `websocket` beside it has the handlers of WebSockets.
   */
  module: URL | string;
  /** The number of shards, or 'auto': one for each processor that this process may use. Default 'auto'. */
  shards?: number | 'auto' | undefined;
  /** The port to listen on, from 0 to 65,535. 0: any free one. Default 0. */
  port?: number | undefined;
  /** The address or name to listen on. Default 0.0.0.0. */
  hostname?: string | undefined;
  /** How many connections may wait in the kernel until a shard accepts them. Default 1024. */
  backlog?: number | undefined;
  /** Whether other processes of this user may listen on the port too, if they say so as well. Default false. */
  sharePort?: boolean | undefined;
  /** A descriptor that listens already, instead of an address: see `ServeOptions.fd`. All shards accept from it. */
  fd?: number | undefined;
  /** How long every shard still takes requests after `close()` was called: see `ServeOptions.drainMs`. Default 0. */
  drainMs?: number | undefined;
  /** Whether each shard replaces its global Response, Request, Headers and fetch by ours. Default true. */
  replaceGlobals?: boolean | undefined;
  /** The proxies in front of the server, if their word is to be taken for the client's address. Default: none. */
  proxy?: ProxyOptions | undefined;
  /** Serves HTTPS on every shard: see `ServeOptions.tls`. No function can be sent to shards, so `sni` is an object. */
  tls?: TlsServerOptions | undefined;
  /** Whether clients may speak HTTP/2: see `ServeOptions.http2`. */
  http2?: boolean | undefined;
  /** Sizes and times of each shard's server (docs/limits.md). */
  limits?: HttpLimits | undefined;
  /** Whether a shard that dies is started again. Default true. */
  restart?: boolean | undefined;
  /** Further options of Runtime.start(). */
  runtime?: Omit<RuntimeOptions, 'module' | 'shards'> | undefined;
}

/** A server on every shard of a runtime of its own. */
export interface ModuleServer<M extends object = UntypedModule> {
  /** The port that all shards listen on. */
  readonly port: number;
  /** The address or name that they listen on. */
  readonly hostname: string;
  /** `http://...`, with the port. */
  readonly url: string;
  /** The runtime, whose shards can be called: `server.runtime.onAll().size()`. */
  readonly runtime: Runtime<M>;
  /**
   * Stops accepting on every shard after `drainMs`, lets what runs be answered, and ends the runtime. Work that has not
   * ended after `timeoutMs` (default: 4500 and 9/8 of `drainMs`) is broken off.
   */
  close(options?: { timeoutMs?: number | undefined }): Promise<void>;
  /**
   * Changes keys and certificates on every shard: see `Server.setSecureContext()`. Resolves when all shards have them.
   */
  setSecureContext(options: TlsServerOptions): Promise<void>;
  /** Calls `close()`. */
  [Symbol.asyncDispose](): Promise<void>;
}

const CHECKS: Checks<ServeModuleOptions> = {
  module: checkUrl,
  shards: checkedLater,
  port: SERVE_CHECKS.port,
  hostname: SERVE_CHECKS.hostname,
  backlog: SERVE_CHECKS.backlog,
  sharePort: SERVE_CHECKS.sharePort,
  fd: SERVE_CHECKS.fd,
  drainMs: SERVE_CHECKS.drainMs,
  replaceGlobals: checkBoolean,
  limits: SERVE_CHECKS.limits,
  proxy: SERVE_CHECKS.proxy,
  tls: checkModuleTls,
  http2: checkBoolean,
  restart: checkBoolean,
  runtime: checkObject,
};

const STEADY_MS = 10_000; // a shard that lived so long is started again at once
const PAUSE_MS = 100; // doubled with each time that it did not
const PAUSE_MAX_MS = 10_000;

function checkModuleTls(name: string, tls: unknown): TlsServerOptions {
  const checked = checkTlsServer(name, tls);
  if (typeof checked.sni !== 'function') return checked;
  throw optionError(`${name}.sni`, checked.sni, 'an object: a function cannot be sent to shards');
}

export async function serveModule<M extends object>(options: ServeModuleOptions): Promise<ModuleServer<M>> {
  checkOptions(options, CHECKS);
  checkUrl('module', options.module);
  if (options.tls !== undefined) checkTlsHost();
  const { module, shards, port, hostname, backlog, sharePort, fd, drainMs, limits, proxy, restart = true } = options;
  const shutdownTimeoutMs = SHUTDOWN_TIMEOUT_MS + ((drainMs ?? 0) * 9) / 8; // servers get 8/9 of it
  const runtime = await Runtime.start<M>({ shutdownTimeoutMs, ...options.runtime, module, shards });
  const own = currentShard();
  const { replaceGlobals, http2 } = options;
  const secure = options.tls && new ModuleTls(runtime, options.tls);
  const listening = { port, hostname, backlog, sharePort, fd, drainMs, limits, proxy, replaceGlobals, http2 };
  const isShared = fd === undefined ? runtime.sharesPorts : own.host.movesFiles;
  let first: ListeningPlace;
  try {
    // Shard 0 first: it finds out whether the port is free, and which one 0 stands for.
    first = await listenOn(own, 0, listening, secure);
    if (fd === undefined) listening.port = first.port;
    const others = isShared ? runtime.shardCount : 1;
    for (let shard = 1; shard < others; shard++) await listenOn(own, shard, listening, secure);
  } catch (error) {
    await runtime.close();
    throw error;
  }
  if (restart) {
    const again = new Restarts(runtime, (shard) => isShared && listenOn(own, shard, listening, secure));
    runtime.onShardDown((shard, { how }) => again.onDown(shard, how));
  }
  const close = async (closing?: { timeoutMs?: number | undefined }): Promise<void> => {
    await runtime.close(closing);
  };
  const setSecureContext = async (tls: TlsServerOptions): Promise<void> => {
    checkModuleTls('tls', tls);
    if (secure === undefined) throw noTlsError('serve()');
    await secure.change(own, isShared ? runtime.shardCount : 1, tls);
  };
  return { ...first, runtime, close, setSecureContext, [Symbol.asyncDispose]: () => close() };
}

/** The keys and certificates of all shards. They go to the others without a call, which would put them into memory. */
class ModuleTls {
  readonly #runtime: Pick<Runtime, 'sendSecret'>;
  #options: TlsServerOptions;
  #sent = 0;

  constructor(runtime: Pick<Runtime, 'sendSecret'>, options: TlsServerOptions) {
    this.#runtime = runtime;
    this.#options = options;
  }

  /** A shard gets them for its listener. Returns the name under which they come, perhaps behind the next call. */
  send(shard: number): string {
    const name = `tls ${this.#sent++}`;
    this.#runtime.sendSecret(shard, name, this.#options);
    return name;
  }

  /** The first `shards` shards get others. A shard that is dead or dies now gets them when it is started again. */
  async change(own: Shard, shards: number, options: TlsServerOptions): Promise<void> {
    this.#options = options;
    const calls = own.calls as Calls;
    const changing: Promise<unknown>[] = [];
    for (let shard = 0; shard < shards; shard++) {
      if (calls.peers.isDown(shard)) continue;
      changing.push(calls.callInternal(shard, 'http', 'changeTls', this.send(shard)).catch(unlessDown));
    }
    await Promise.all(changing);
  }
}

/** Starts shards again that have died. */
class Restarts {
  readonly #runtime: Pick<Runtime, 'restart' | 'signal'>;
  readonly #listen: (shard: number) => unknown;
  readonly #startedMs: number[] = []; // by shard; none: with the runtime
  readonly #pauseMs: number[] = []; // by shard: before the last start
  readonly #beganMs = performance.now();

  constructor(runtime: Pick<Runtime, 'restart' | 'signal'>, listen: (shard: number) => unknown) {
    this.#runtime = runtime;
    this.#listen = listen;
  }

  async onDown(shard: number, how: string): Promise<void> {
    const livedMs = performance.now() - (this.#startedMs[shard] ?? this.#beganMs);
    if (livedMs >= STEADY_MS) this.#pauseMs[shard] = 0;
    let why = `shard ${shard} has died (${how})`;
    for (;;) {
      const pauseMs = this.#pauseMs[shard] ?? 0;
      this.#pauseMs[shard] = Math.min(Math.max(2 * pauseMs, PAUSE_MS), PAUSE_MAX_MS);
      process.emitWarning(`${why}; it is started again ${pauseMs === 0 ? 'now' : `in ${pauseMs} ms`}`, 'Featherstar');
      try {
        await sleep(pauseMs, { signal: this.#runtime.signal });
        await this.#runtime.restart(shard).catch(unlessAlive);
        this.#startedMs[shard] = performance.now();
        await this.#listen(shard);
        return;
      } catch (error) {
        if (isOver(error)) return;
        why = `shard ${shard} could not be started again: ${error instanceof Error ? error.message : String(error)}`;
        if (FeatherstarError.is(error) && error.code === 'FEATHERSTAR_PEER_DOWN') return; // onDown() runs once more
      }
    }
  }
}

/** A shard that the program has restarted itself only has to listen again. */
function unlessAlive(error: unknown): void {
  if (!FeatherstarError.is(error) || error.code !== 'FEATHERSTAR_OPTION') throw error;
}

/** The shard has died. */
function unlessDown(error: unknown): void {
  if (!FeatherstarError.is(error) || error.code !== 'FEATHERSTAR_PEER_DOWN') throw error;
}

/** The runtime closes. */
function isOver(error: unknown): boolean {
  return FeatherstarError.is(error) && error.code === 'FEATHERSTAR_CLOSED';
}

type ModuleListenOptions = Pick<
  ServeOptions,
  'port' | 'hostname' | 'backlog' | 'sharePort' | 'fd' | 'drainMs' | 'limits' | 'proxy' | 'replaceGlobals' | 'http2'
>;
type ListeningPlace = Pick<Server, 'port' | 'hostname' | 'url'>;

async function listenOn(
  own: Shard,
  shard: number,
  options: ModuleListenOptions,
  secure: ModuleTls | undefined,
): Promise<ListeningPlace> {
  return (await (own.calls as Calls).callInternal(
    shard,
    'http',
    'listen',
    options,
    secure?.send(shard),
  )) as ListeningPlace;
}

// --- what shards ask of each other -----------------------------------------------------------------------------------

type Fetch = ServeOptions['fetch'];

/** The handler of a shard module: `export default { fetch }`, or `export function fetch`. */
function handlerOf(exports: Readonly<Record<string, unknown>>): Fetch {
  const app = exports.default as { fetch?: unknown } | null | undefined;
  if (typeof app?.fetch === 'function')
    return (request, info) => (app as { fetch: ConnectionServer['fetch'] }).fetch(request, info, info) as AnyResponse;
  if (typeof exports.fetch === 'function') return exports.fetch as Fetch;
  const text = 'the module has no fetch(): write "export default { fetch(request) { return new Response(...) } }"';
  throw new FeatherstarError('FEATHERSTAR_MODULE', text);
}

/** `export function onResponse`. Not of the default export: there it may be a framework's method of that name. */
function hookOf({ onResponse }: Readonly<Record<string, unknown>>): ServeOptions['onResponse'] {
  return typeof onResponse === 'function' ? (onResponse as ServeOptions['onResponse']) : undefined;
}

/** The WebSockets of a shard module, beside its fetch: `export default { fetch, websocket }`, or exported by name. */
function webSocketsOf(exports: Readonly<Record<string, unknown>>): ServeOptions['websocket'] {
  const app = exports.default as { fetch?: unknown; websocket?: unknown } | null | undefined;
  const websocket = typeof app?.fetch === 'function' ? (app.websocket ?? exports.websocket) : exports.websocket;
  return websocket as ServeOptions['websocket'];
}

/** Listens on this shard. Returns where. */
async function listen(options: ModuleListenOptions, secret: string | undefined): Promise<ListeningPlace> {
  const { moduleExports } = currentShard().calls as Calls;
  const hooks = {
    fetch: handlerOf(moduleExports),
    onResponse: hookOf(moduleExports),
    websocket: webSocketsOf(moduleExports),
  };
  const start = async () => {
    const tls = secret === undefined ? undefined : ((await takeSecret(secret)) as TlsServerOptions);
    return serveHere({ ...options, ...hooks, tls });
  };
  const server = start();
  servedOn(currentShard()).server = server;
  const { port, hostname, url } = await server;
  return { port, hostname, url };
}

/** The server that listen() makes on this shard. */
const servedOn = perShard((): { server: Promise<Server> | undefined } => ({ server: undefined }));

/** The server of this shard has other keys from now on. */
async function changeTls(secret: string): Promise<void> {
  const tls = (await takeSecret(secret)) as TlsServerOptions;
  const server = await servedOn(currentShard()).server; // it may still be about to listen, with the ones before
  server?.setSecureContext(tls);
}

export const internal = { listen, changeTls };

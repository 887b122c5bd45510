// A client for HTTP: undici, over connections of this shard, with a pool of its own.
//
//   client.fetch()   --\
//   client.request() ---> retries --> proxy or not --> a pool for each origin --> connector.ts --> the shard
//
// Parsing, pools, redirects, decompression and proxies are undici's. This file puts them together, gives them bounds,
// and ends them with the runtime.

import type { ConnectionOptions } from 'node:tls';
import type { Dispatcher, Pool as PoolType, request as requestType } from 'undici';
import { abortable } from '../base/abortable.js';
import { optionError } from '../base/errors.js';
import { inTime } from '../base/in-time.js';
import {
  type Checks,
  checkBoolean,
  checkObject,
  checkOptions,
  definedOnly,
  integer,
  milliseconds,
  oneOf,
} from '../base/options.js';
import { CLOSE_CHECKS, type CloseOptions, runtime } from '../runtime/runtime.js';
import { perShard } from '../shard/per-shard.js';
import { currentShard } from '../shard/shard.js';
import { connector } from './connector.js';
import { ownArguments, ownBody } from './platform-values.js';
import { undici } from './undici.js';

const { Agent, EnvHttpProxyAgent, interceptors, Pool, request, fetch: undiciFetch } = undici;

/** Options of `createClient()`. */
export interface HttpClientOptions {
  /** Connections for each origin, 1 to 65,536; default 128. More requests wait. */
  maxConnections?: number | undefined;
  /** How long it may take to connect; default 10,000. */
  connectTimeoutMs?: number | undefined;
  /** How long the head of a response may take; default 300,000. */
  headersTimeoutMs?: number | undefined;
  /** How long the next piece of a body may take; default 300,000. */
  bodyTimeoutMs?: number | undefined;
  /** How long an unused connection stays open; default 4,000. The server may ask for less. */
  keepAliveTimeoutMs?: number | undefined;
  /** The longest body of a response, in bytes as they are sent, before decompression; default: no limit. */
  maxBodyBytes?: number | undefined;
  /** How often a request with an idempotent method is repeated if its connection fails; default 0. */
  maxRetries?: number | undefined;
  /** How many redirects `request()` follows; default 0. `fetch()` follows them by its option `redirect`. */
  maxRedirections?: number | undefined;
  /** Whether `request()` decompresses bodies; default false. `fetch()` always does. */
  decompress?: boolean | undefined;
  /** Whether HTTP_PROXY, HTTPS_PROXY and NO_PROXY of the environment count; default 'environment'. */
  proxy?: 'environment' | 'none' | undefined;
  /** Options of TLS, as `tls.connect()` has them: `ca`, `cert`, `key`, and so on. */
  tls?: ConnectionOptions | undefined;
  /** Uses HTTP/2 where a server with TLS offers it; default false. */
  http2?: boolean | undefined;
}

const CHECKS: Checks<HttpClientOptions> = {
  maxConnections: integer(1, 65_536),
  connectTimeoutMs: milliseconds,
  headersTimeoutMs: milliseconds,
  bodyTimeoutMs: milliseconds,
  keepAliveTimeoutMs: milliseconds,
  maxBodyBytes: integer(0, Number.MAX_SAFE_INTEGER),
  maxRetries: integer(0, 100),
  maxRedirections: integer(0, 100),
  decompress: checkBoolean,
  proxy: oneOf('environment', 'none'),
  tls: checkObject,
  http2: checkBoolean,
};

const DEFAULT_CONNECTIONS = 128; // for each origin
const DEFAULTS = {
  maxConnections: DEFAULT_CONNECTIONS,
  connectTimeoutMs: 10_000,
  headersTimeoutMs: 300_000,
  bodyTimeoutMs: 300_000,
  keepAliveTimeoutMs: 4000,
  maxRetries: 0,
  maxRedirections: 0,
};
const RETRY_FIRST_MS = 50;
const RETRY_LAST_MS = 1000;
const CLOSE_TIMEOUT_MS = 10_000;
const PROXY_VARIABLES = ['http_proxy', 'HTTP_PROXY', 'https_proxy', 'HTTPS_PROXY'];

type RequestParameters = Parameters<typeof requestType>;

/** A client with a pool of connections on one shard. `createClient()` makes it. */
export class HttpClient {
  /** undici's dispatcher with this pool and its retries, for everything else that undici has. */
  readonly dispatcher: Dispatcher;
  readonly #agent: Dispatcher;
  readonly #pools = new Set<PoolType>(); // undici's agents forget theirs when they begin to close
  readonly #requests: Dispatcher;
  readonly #forgetHook: () => void;
  #ending: Promise<void> | undefined;

  /** @internal */
  constructor(options: HttpClientOptions) {
    const { maxRetries, maxRedirections, decompress, ...limits } = { ...DEFAULTS, ...definedOnly(options) };
    this.#agent = agentFor(limits, (origin, more) => this.#pool(origin, more));
    const retry = interceptors.retry({
      maxRetries,
      minTimeout: RETRY_FIRST_MS,
      maxTimeout: RETRY_LAST_MS,
      statusCodes: [], // a response is a response; only a connection that fails is tried again
    });
    this.dispatcher = maxRetries === 0 ? this.#agent : this.#agent.compose(retry);
    const more = [
      ...(maxRedirections === 0 ? [] : [interceptors.redirect({ maxRedirections })]),
      ...(decompress === true ? [interceptors.decompress()] : []),
    ];
    this.#requests = more.length === 0 ? this.dispatcher : this.dispatcher.compose(more);
    this.#forgetHook = runtime().onClose(({ timeoutMs }) => this.close({ timeoutMs }));
  }

  /** The standard's `fetch()`, through this pool. */
  fetch: typeof globalThis.fetch = (input, init) => {
    const [to, own] = ownArguments(input, init);
    return undiciFetch(to, { dispatcher: this.dispatcher, ...own }) as unknown as Promise<Response>;
  };

  /**
   * undici's `request()`, through this pool: a status, headers and a body to read, without the objects of the standard.
   * It costs a fraction of `fetch()`.
   */
  request(url: RequestParameters[0], options?: RequestParameters[1]): ReturnType<typeof requestType> {
    const own = options?.body instanceof globalThis.FormData ? { ...options, body: ownBody(options.body) } : options;
    const response = request(url, { dispatcher: this.#requests, ...own });
    // undici looks at the signal only when a connection is free for the request. A caller does not wait so long.
    return own?.signal instanceof AbortSignal ? abortable(response, { signal: own.signal }) : response;
  }

  /** Waits until open requests have ended, at most `timeoutMs` (10,000). Then they reject. New ones reject at once. */
  close(options: CloseOptions = {}): Promise<void> {
    const { timeoutMs = CLOSE_TIMEOUT_MS } = checkOptions(options, CLOSE_CHECKS);
    this.#ending ??= this.#close(timeoutMs);
    return this.#ending;
  }

  /** Calls `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #pool(origin: string | URL, options: object): PoolType {
    const pool = new Pool(origin, options);
    this.#pools.add(pool);
    const forget = () => this.#pools.delete(pool);
    const onUnused = () => {
      queueMicrotask(() => {
        if (pool.closed) void pool.close().then(forget, forget); // the agent has begun to close it: this waits for it
      });
    };
    pool.on('disconnect', onUnused).on('connectionError', onUnused);
    return pool;
  }

  async #close(timeoutMs: number): Promise<void> {
    this.#forgetHook();
    const isClosed = await inTime(
      this.#agent.close().then(() => true),
      timeoutMs,
    );
    if (isClosed !== true) await Promise.all([...this.#pools].map((pool) => pool.destroy()));
  }
}

type Bounds = Omit<HttpClientOptions, keyof typeof DEFAULTS> & { [K in keyof typeof DEFAULTS]: number };

type MakePool = (origin: string | URL, options: object) => PoolType;

function agentFor(
  limits: Omit<Bounds, 'maxRetries' | 'maxRedirections' | 'decompress'>,
  factory: MakePool,
): Dispatcher {
  const { connectTimeoutMs: timeoutMs, tls, http2 = false, maxBodyBytes, proxy = 'environment' } = limits;
  const connect = connector({ timeoutMs, tls, offerHttp2: http2 });
  const options = {
    connect,
    factory,
    connections: limits.maxConnections,
    headersTimeout: limits.headersTimeoutMs,
    bodyTimeout: limits.bodyTimeoutMs,
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    maxResponseSize: maxBodyBytes ?? -1,
    allowH2: http2,
  };
  if (proxy === 'none' || PROXY_VARIABLES.every((name) => !process.env[name])) return new Agent(options);
  checkProxies();
  const clientFactory = (origin: URL, more: object) => factory(origin, { ...more, connect });
  const proxied = { ...options, clientFactory, proxyTunnel: true }; // without tunnels, undici 8 connects by itself
  return new EnvHttpProxyAgent({ ...proxied, ...(tls === undefined ? {} : { requestTls: tls }) });
}

/** For SOCKS undici makes sockets of its own, which the shard's rules for addresses do not see. */
function checkProxies(): void {
  for (const name of PROXY_VARIABLES) {
    const value = process.env[name];
    if (/^socks/i.test(value ?? '')) throw optionError(name, value, "a proxy for HTTP; proxy: 'none' ignores it");
  }
}

/**
 * Makes a client on this shard. It closes with the runtime, or by `close()`. Throws FEATHERSTAR_OPTION,
 * FEATHERSTAR_NO_SHARD in a thread that is no shard, and FEATHERSTAR_HOST on Bun.
 *
 * @example
 * const client = createClient({ maxConnections: 16 });
 * const { statusCode, body } = await client.request('http://127.0.0.1:8080/');
 */
export function createClient(options: HttpClientOptions = {}): HttpClient {
  currentShard();
  return new HttpClient(checkOptions(options, CHECKS));
}

const clientOf = perShard(() => new HttpClient({}));

/** The standard's `fetch()`, through a pool of this shard that all its callers share. */
export const fetch: typeof globalThis.fetch = (input, init) => clientOf(currentShard()).fetch(input, init);

// The HTTP server of one shard: its listener, its connections, its limits. With several shards each has its own
// listener on the same port, and the kernel spreads connections over them (SO_REUSEPORT).

import { setMaxListeners } from 'node:events';
import { optionError } from '../base/errors.js';
import { inTime } from '../base/in-time.js';
import {
  type Checks,
  checkBoolean,
  checkFunction,
  checkOptions,
  definedOnly,
  integer,
  number,
} from '../base/options.js';
import { CONNECTION_BYTES, type Header } from '../core/layout.js';
import { type Bound, monotonicNs } from '../hosts/host.js';
import { BIND_CHECKS, bindStream, checkBind } from '../net/bind.js';
import { CLOSE_CHECKS, type CloseOptions, Runtime, runtime } from '../runtime/runtime.js';
import { currentShard, findShard, type Shard } from '../shard/shard.js';
import { type Pace, StreamTransport } from '../shard/stream-transport.js';
import type { TransportUser } from '../shard/transport.js';
import { checkTlsHost, checkTlsServer, noTlsError, type TlsServerOptions } from '../tls/options.js';
import { NO_RAW_USER, TransportStream } from '../tls/transport-stream.js';
import { checkWebSocket, type WebSocketOptions } from '../websocket/options.js';
import type { WebSocketBytes } from '../websocket/server-socket.js';
import { publishOn, WebSockets } from '../websocket/websockets.js';
import { Acceptor, type AcceptorUser } from './acceptor.js';
import { Background } from './background.js';
import { closingError } from './closed-errors.js';
import { HttpConnection } from './connection.js';
import type { ConnectionServer, ServedConnection } from './connection-server.js';
import { beginReplaced, endReplaced } from './globals.js';
import { type ClientAddress, clientAddress, type HandlerInfo } from './handler-info.js';
import { Heads } from './heads.js';
import { Http2Connection, Http2Sessions } from './http2-connection.js';
import { Http2Preface } from './http2-preface.js';
import { checkProxy, type Proxies, type ProxyOptions } from './proxies.js';
import { ProxiedTransport } from './proxy-protocol.js';
import { FeatherRequest } from './request.js';
import type { FeatherResponse } from './response.js';
import type { ResponseEntry } from './response-log.js';
import { SecureConnections } from './secure-connections.js';
import { Writer } from './writer.js';

/** A response of this library, or of the platform. */
export type AnyResponse = FeatherResponse | Response;

/** The limits of a server. A client that goes beyond one gets the status that stands behind it. */
export interface HttpLimits {
  /** Bytes of a request's head, up to 65,536. 431 beyond. */
  headerBytes?: number | undefined;
  /** Header lines. 431 beyond. */
  headerCount?: number | undefined;
  /** Bytes of a request's target. 414 beyond. */
  targetBytes?: number | undefined;
  /** Requests of one HTTP/2 connection at the same time. The client waits. */
  streams?: number | undefined;
  /** Bytes of a request's body. 413 beyond. */
  bodyBytes?: number | undefined;
  /** How far a handler may raise bodyBytes for its request, by `info.limit()`. 413 beyond. Default 0: not at all. */
  maxBodyBytes?: number | undefined;
  /** Open connections per shard. 503 beyond. */
  connections?: number | undefined;
  /** From a head's first byte to its last, and from accept to a head. 408 beyond. */
  headerTimeoutMs?: number | undefined;
  /** From a head to the last byte of its body. 408 beyond. */
  requestTimeoutMs?: number | undefined;
  /** From a head until there is a response. 503 beyond, and `request.signal` aborts. 0: any time. */
  handlerTimeoutMs?: number | undefined;
  /** A connection between requests: closed. */
  idleTimeoutMs?: number | undefined;
  /** From a client's end (FIN) to the answer that it may still get. Closed. */
  halfCloseTimeoutMs?: number | undefined;
  /** A client whose system confirms nothing, no byte and no probe, or has no room for bytes. Closed. */
  unreachableTimeoutMs?: number | undefined;
  /**
   * How many bytes a client must take while a response waits for it, on average over each idleTimeoutMs. Otherwise:
   * closed.
   */
  minSendBytesPerSecond?: number | undefined;
}

/** Options of `serve()`. */
export interface ServeOptions {
  /** Handlers of the web's Request will do. They may return a promise. */
  fetch: (request: FeatherRequest & Request, info: HandlerInfo) => AnyResponse | Promise<AnyResponse>;
  /** 0: any free one. Default 0. */
  port?: number | undefined;
  /** Address or name to listen on. Default 0.0.0.0. */
  hostname?: string | undefined;
  /** A Unix socket, instead of port and hostname; of one shard, as a path cannot be shared. */
  path?: string | undefined;
  /** The limits for clients. */
  limits?: HttpLimits | undefined;
  /** Gets what a handler threw. Default: prints it to stderr. */
  onError?: ((error: unknown) => void) | undefined;
  /** Gets each request with what became of it, for an access log. Without it no request pays for it. */
  onResponse?: ((entry: ResponseEntry) => void) | undefined;
  /** Handlers and limits of WebSockets. Then `info.upgrade()` accepts one. Default: the server has none. */
  websocket?: WebSocketOptions | undefined;
  /** The proxies in front of the server, if their word is to be taken for the client's address. Default: none. */
  proxy?: ProxyOptions | undefined;
  /** Serves HTTPS: keys, certificates and what TLS needs (docs/tls.md). Default: plain HTTP. */
  tls?: TlsServerOptions | undefined;
  /**
   * Whether clients may speak HTTP/2. With TLS they choose (ALPN), without TLS they have to know (h2c). Default: true
   * with TLS, and false without.
   */
  http2?: boolean | undefined;
  /** Length of the kernel's queue of connections that are not accepted yet. */
  backlog?: number | undefined;
  /**
   * How long the server still takes requests after it was told to close, 0 to 600,000 milliseconds. Each response says
   * `Connection: close` then, so that clients go elsewhere and lose no request. Default 0.
   */
  drainMs?: number | undefined;
  /**
   * Whether the global Response, Request, Headers and fetch of this thread are replaced by ours, as long as the server
   * is open (docs/http.md). Default true.
   */
  replaceGlobals?: boolean | undefined;
  /** Several shards listen on this port. Default: if the runtime has more than one shard. */
  reusePort?: boolean | undefined;
  /** Whether other processes of this user may listen on the port too, if they say so as well. Default false. */
  sharePort?: boolean | undefined;
  /**
   * A descriptor that listens already, instead of an address: a service manager or another process has opened it. It
   * stays open when the server closes, except on the portable host.
   */
  fd?: number | undefined;
}

const DEFAULTS = {
  headerBytes: 16_384,
  headerCount: 100,
  targetBytes: 8192,
  streams: 100,
  bodyBytes: 8_388_608,
  maxBodyBytes: 0, // bodyBytes
  connections: 16_384,
  headerTimeoutMs: 10_000,
  requestTimeoutMs: 300_000,
  handlerTimeoutMs: 0,
  idleTimeoutMs: 60_000,
  halfCloseTimeoutMs: 2000,
  unreachableTimeoutMs: 60_000,
  minSendBytesPerSecond: 256,
};

const HIGHEST: Record<keyof HttpLimits, number> = {
  headerBytes: 65_536,
  headerCount: 10_000,
  targetBytes: 65_536,
  streams: 10_000,
  bodyBytes: Number.MAX_SAFE_INTEGER,
  maxBodyBytes: Number.MAX_SAFE_INTEGER,
  connections: 1_048_576,
  headerTimeoutMs: 86_400_000,
  requestTimeoutMs: 86_400_000,
  handlerTimeoutMs: 86_400_000,
  idleTimeoutMs: 86_400_000,
  halfCloseTimeoutMs: 86_400_000,
  unreachableTimeoutMs: 86_400_000,
  minSendBytesPerSecond: 1_073_741_824,
};

// shard scratch memory (header.scratchBytes = 262,144)
const HEAD_SCRATCH = 0; // 128 KiB: a head's beginning and the buffer that goes on with it
export const PIECE_SCRATCH = 131_072; // 64 KiB: received bytes that had to wait
const TEMPLATES = 196_608; // 64 KiB
const TEMPLATES_BYTES = 65_536;

const LEAST_OPERATIONS = 4; // one to accept, three of a connection
const CLOSE_MS = 4000; // how long close() waits, behind drainMs
const DRAIN_MAX_MS = 600_000;
const HAS_HTTP2 = !('Bun' in globalThis) && !('Deno' in globalThis); // node:http2 over a stream of ours
const SETTLE_MS = 200; // for handshakes that are under way when a server stops accepting: the longest way to a client
const SETTLE_LEAST_MS = 1;
const ROUNDS_MS = 1000; // for a queue out of which the portable host takes one connection at a time

interface ServerLimits {
  bodyBytes: number;
  maxBodyBytes: number;
  connections: number;
  headerTimeoutNs: number;
  requestTimeoutNs: number;
  idleTimeoutNs: number;
  halfCloseTimeoutNs: number;
  handlerTimeoutNs: number;
  pace: Pace;
}

export class ServerShard implements AcceptorUser, ConnectionServer {
  readonly shard: Shard;
  readonly writer: Writer;
  readonly limits: ServerLimits;
  readonly fetch: ConnectionServer['fetch'];
  /** Its own address: the host of a request that names none (HTTP/1.0). */
  readonly authority: string;
  readonly onResponse: ConnectionServer['onResponse'];
  readonly proxies: Proxies | undefined;
  readonly websockets: WebSockets | undefined;
  readonly http2: Http2Sessions | undefined;
  readonly headScratch: number;
  readonly pieceScratch: number;
  /** No new requests: connections close after their answer. */
  draining = false;
  /** It accepts no more. */
  isLast = false;
  /** The object that `serve()` resolves to. */
  handle!: Server;
  requests = 0;
  refused = 0;
  private readonly onError: (error: unknown) => void;
  private readonly acceptor: Acceptor;
  private readonly drainMs: number;
  private readonly connections = new Set<ServedConnection>();
  private readonly secure: SecureConnections | undefined;
  private readonly leavers = new Set<ServedConnection>(); // of these: their clients have left, in this order
  private readonly aborter = new AbortController();
  private holders: ServedConnection[] = [];
  private readonly background = new Background((error) => this.report(error));
  private closing: Promise<void> | undefined;
  private onEmpty: (() => void) | undefined;

  constructor(shard: Shard, bound: Bound, url: string, options: ServeOptions) {
    const limits = { ...DEFAULTS, ...definedOnly(options.limits ?? {}) };
    const scratch = shard.base + shard.header.scratchOffset;
    this.shard = shard;
    this.authority = authorityOf(url);
    this.drainMs = options.drainMs ?? 0;
    this.fetch = options.fetch as ConnectionServer['fetch']; // it is given what Request has, too
    this.proxies = options.proxy && checkProxy('proxy', options.proxy);
    this.onResponse = options.onResponse && this.guarded(options.onResponse);
    this.onError = options.onError ?? ((error) => console.error(error));
    this.headScratch = scratch + HEAD_SCRATCH;
    this.pieceScratch = scratch + PIECE_SCRATCH;
    this.websockets = options.websocket && new WebSockets(this, options.websocket, url);
    this.writer = new Writer(shard, Heads.of(shard, scratch + TEMPLATES, TEMPLATES_BYTES));
    this.limits = {
      bodyBytes: limits.bodyBytes,
      maxBodyBytes: limits.maxBodyBytes || limits.bodyBytes,
      connections: limits.connections,
      headerTimeoutNs: limits.headerTimeoutMs * 1e6,
      requestTimeoutNs: limits.requestTimeoutMs * 1e6,
      idleTimeoutNs: limits.idleTimeoutMs * 1e6,
      halfCloseTimeoutNs: limits.halfCloseTimeoutMs * 1e6,
      handlerTimeoutNs: limits.handlerTimeoutMs * 1e6,
      pace: {
        ns: limits.idleTimeoutMs * 1e6,
        bytes: Math.ceil((limits.minSendBytesPerSecond * limits.idleTimeoutMs) / 1000),
      },
    };
    shard.core.http_limits(limits.headerBytes, limits.headerCount, limits.targetBytes);
    setMaxListeners(0, this.signal); // each request may listen
    const http2 = options.http2 ?? (options.tls !== undefined && HAS_HTTP2);
    this.http2 = http2 ? new Http2Sessions(limits) : undefined;
    this.secure = options.tls && new SecureConnections(this, options.tls);
    this.acceptor = new Acceptor(shard, bound, this);
    if (options.replaceGlobals ?? true) beginReplaced(this);
  }

  /** Aborts when the server begins to close. */
  get signal(): AbortSignal {
    return this.aborter.signal;
  }

  get connectionCount(): number {
    return this.connections.size;
  }

  onConnection(file: number): void {
    if (this.connections.size >= this.limits.connections) this.onShortage();
    if (this.connections.size < this.limits.connections) this.connections.add(this.open(file));
    else this.turnAway(file);
  }

  /** One connection too many. */
  private turnAway(file: number): void {
    if (this.secure === undefined) this.openPlain(file).turnAway();
    else {
      this.refused++; // a handshake costs more than the refusal is worth
      this.shard.closeFile(file);
    }
  }

  private open(file: number): ServedConnection {
    if (this.secure === undefined) return this.openPlain(file);
    return this.secure.open(this.parserOf(file), (user) => this.transportOf(file, user));
  }

  private parserOf(file: number): number {
    return this.shard.base + this.shard.header.connectionsOffset + file * CONNECTION_BYTES;
  }

  private openPlain(file: number): HttpConnection {
    const { http2 } = this;
    if (http2 !== undefined) return this.openEither(file, http2);
    return new HttpConnection(this, this.parserOf(file), (user) => this.transportOf(file, user));
  }

  /** HTTP/1.1, or HTTP/2 without TLS. */
  private openEither(file: number, http2: Http2Sessions): HttpConnection {
    const { shard } = this;
    const connection = new HttpConnection(this, this.parserOf(file), (user) => {
      const preface = new Http2Preface(shard, user, (first, use) => {
        const stream = new TransportStream(shard, NO_RAW_USER, use);
        const session = new Http2Connection(this, http2, stream, stream);
        this.replace(connection, session);
        stream.onBytes(first);
        if (this.draining) session.drain();
      });
      preface.transport = this.transportOf(file, preface);
      return preface.transport;
    });
    return connection;
  }

  private transportOf(file: number, user: TransportUser): StreamTransport {
    const { shard, proxies } = this;
    const { pace } = this.limits;
    if (proxies === undefined) return new StreamTransport(shard, file, pace, user);
    const server = { shard, proxies, report: (error: unknown) => this.report(error) };
    const transport = proxies.expectProtocol
      ? new ProxiedTransport(server, file, pace, user)
      : new StreamTransport(shard, file, pace, user);
    this.askAddress(transport);
    return transport;
  }

  /** The address decides whom to believe, so it is asked while the connection is open. */
  private askAddress(transport: StreamTransport): void {
    try {
      void transport.remote;
    } catch (error) {
      this.report(error);
      this.shard.beforeNextTurn(() => transport.destroy());
    }
  }

  /** Its client has left while its request is handled. If places are short, this one is free. */
  departed(connection: ServedConnection): void {
    this.leavers.add(connection);
  }

  /** Ends the connection of a client that has left, if there is one. */
  onShortage(): void {
    const [oldest] = this.leavers;
    oldest?.destroy();
  }

  forget(connection: ServedConnection): void {
    this.connections.delete(connection);
    this.leavers.delete(connection);
    this.acceptor.again();
    if (this.connections.size === 0) this.onEmpty?.();
  }

  replace(connection: ServedConnection, successor: ServedConnection): void {
    this.connections.delete(connection);
    this.connections.add(successor);
  }

  /** New connections have these certificates and keys. */
  setSecureContext(options: TlsServerOptions): void {
    if (this.secure === undefined) throw noTlsError('serve()');
    this.secure.setSecureContext(options);
  }

  /** This connection has bytes in a receive buffer that it has to give back when the next turn begins. */
  holding(connection: ServedConnection): void {
    if (this.holders.push(connection) !== 1) return;
    this.shard.beforeNextTurn(() => {
      const holders = this.holders;
      this.holders = [];
      for (const holder of holders) holder.unhold();
    });
  }

  /** The hook of the log, whose errors are reported. */
  private guarded(hook: (entry: ResponseEntry) => void): (entry: ResponseEntry) => void {
    return (entry) => {
      try {
        hook(entry);
      } catch (error) {
        this.report(error);
      }
    };
  }

  waitUntil(promise: PromiseLike<unknown>): void {
    this.background.add(promise);
  }

  report(error: unknown): void {
    try {
      this.onError(error);
    } catch (second) {
      process.emitWarning(`onError failed: ${second}`, 'Featherstar');
    }
  }

  /**
   * Tells handlers and streams. For drainMs it still accepts, and responds to what comes, with `Connection: close`.
   * Then it stops accepting, lets requests that run be answered, and after the deadline closes what is left.
   */
  close(timeoutMs: number): Promise<void> {
    this.closing ??= this.drain(timeoutMs).finally(() => {
      endReplaced(this);
      this.websockets?.topics.close();
    });
    return this.closing;
  }

  private async drain(timeoutMs: number): Promise<void> {
    const dueNs = monotonicNs() + timeoutMs * 1e6;
    const leftMs = () => Math.max(0, dueNs - monotonicNs()) / 1e6;
    const mayDrainMs = Math.max(timeoutMs - CLOSE_MS, timeoutMs / 2); // the last requests need time
    const drainMs = Math.min(this.drainMs, mayDrainMs);
    const settleMs = Math.min(Math.max(drainMs, SETTLE_LEAST_MS), SETTLE_MS, timeoutMs);
    this.draining = true;
    this.aborter.abort(closingError());
    for (const connection of this.connections) connection.drain();
    const acceptNs = Math.round(Math.max(0, drainMs - settleMs) * 1e6);
    await this.acceptor.close(acceptNs, Math.round(settleMs * 1e6), Math.min(ROUNDS_MS, timeoutMs / 4) * 1e6);
    this.isLast = true;
    for (const connection of this.connections) connection.closeIdle();
    if (this.connections.size !== 0) await this.emptied(leftMs());
    await inTime(this.background.settled(), leftMs());
  }

  private async emptied(timeoutMs: number): Promise<void> {
    const empty = new Promise<void>((resolve) => {
      this.onEmpty = resolve;
    });
    await inTime(empty, timeoutMs);
    for (const connection of [...this.connections]) connection.destroy();
  }
}

export function serverUrl(hostname: string, port: number, scheme = 'http'): string {
  if (hostname.startsWith('unix:')) return hostname;
  return `${scheme}://${hostname.includes(':') ? `[${hostname}]` : hostname}:${port}/`;
}

/** Host and port of a server's own URL. A Unix socket has none, and a name that resolves need be none in a URL. */
function authorityOf(url: string): string {
  const withoutZone = url.replace(/%[^\]]*/, '');
  return !url.startsWith('unix:') && URL.canParse(withoutZone) ? new URL(withoutZone).host : 'localhost';
}

/** A server of this shard, as `serve()` resolves to it. */
export interface Server {
  /** The port that it listens on; 0 for a Unix socket. */
  readonly port: number;
  /** The address or name that it was told to listen on. */
  readonly hostname: string;
  /** `http://...` or `https://...`, or `unix:/path`. */
  readonly url: string;
  /** Aborts when the server begins to close: what would never end by itself listens to it. */
  readonly signal: AbortSignal;
  /** Of this shard. */
  readonly stats: { connections: number; requests: number; refused: number };
  /**
   * Closes the server: after `drainMs` it accepts no more connections. Requests that run may end within `timeoutMs`
   * milliseconds (0 to 3,600,000, default 4000 and `drainMs`). Then the rest is closed, and this resolves.
   */
  close(options?: CloseOptions): Promise<void>;
  /**
   * Sends a message to all WebSockets that have subscribed to `topic`, on every shard. Returns how many of this shard
   * it is queued for. Throws FEATHERSTAR_OPTION, also on a server without the option `websocket`.
   */
  publish(topic: string, data: string | WebSocketBytes): number;
  /** How many WebSockets of this shard have subscribed to `topic`. */
  subscriberCount(topic: string): number;
  /** The client's address, in Bun's form. Null for a clone, a Unix socket, or a connection closed by then. */
  requestIP(request: FeatherRequest | Request): ClientAddress | null;
  /**
   * Changes keys and certificates without a restart: connections that come from now on have them, and those that are
   * open go on. Throws FEATHERSTAR_OPTION, FEATHERSTAR_TLS if they cannot be used, and FEATHERSTAR_STATE without TLS.
   * Then the old ones stay.
   */
  setSecureContext(options: TlsServerOptions): void;
  /** Calls `close()`. */
  [Symbol.asyncDispose](): Promise<void>;
}

const LIMIT_CHECKS = Object.fromEntries(
  Object.entries(HIGHEST).map(([name, highest]) => [
    name,
    integer(DEFAULTS[name as keyof HttpLimits] === 0 ? 0 : 1, highest),
  ]),
) as Checks<HttpLimits>;

function checkHttpLimits(name: string, limits: unknown): void {
  const { bodyBytes = DEFAULTS.bodyBytes, maxBodyBytes = 0 } = checkOptions(
    limits as Partial<HttpLimits>,
    LIMIT_CHECKS,
    name,
  );
  if (maxBodyBytes !== 0 && maxBodyBytes < bodyBytes)
    throw optionError(`${name}.maxBodyBytes`, maxBodyBytes, `at least ${name}.bodyBytes, which is ${bodyBytes}`);
}

/** Checks of the options of `serve()`. */
export const SERVE_CHECKS: Checks<ServeOptions> = {
  ...BIND_CHECKS,
  fetch: checkFunction,
  limits: checkHttpLimits,
  onError: checkFunction,
  drainMs: number(0, DRAIN_MAX_MS, 'milliseconds'),
  onResponse: checkFunction,
  replaceGlobals: checkBoolean,
  proxy: checkProxy,
  tls: checkTlsServer,
  websocket: checkWebSocket,
  http2: checkBoolean,
};

/** The runtime's limits, as far as this server builds on them. */
export function checkHeader({ scratchBytes }: Header): void {
  const scratchWanted = TEMPLATES + TEMPLATES_BYTES;
  if (scratchBytes < scratchWanted) throw optionError('limits.scratchBytes', scratchBytes, `at least ${scratchWanted}`);
}

/** Fewer operations than one connection needs would close each client that comes. */
function checkOperations({ opSlots }: Header): void {
  if (opSlots < LEAST_OPERATIONS) throw optionError('limits.opSlots', opSlots, `at least ${LEAST_OPERATIONS} to serve`);
}

/** Serves HTTP on this shard; serve.ts says how. */
export async function serveHere(options: ServeOptions): Promise<Server> {
  checkOptions(options, SERVE_CHECKS);
  checkFunction('fetch', options.fetch);
  const place = checkBind(options);
  const scheme = options.tls === undefined ? 'http' : 'https';
  if (options.tls !== undefined) checkTlsHost();
  const own = findShard() === undefined ? await Runtime.start({ shards: 1 }) : undefined;
  const shard = currentShard();
  checkHeader(shard.header);
  checkOperations(shard.header);
  let server: ServerShard;
  let bound: Bound;
  let hostname: string;
  try {
    const unreachableMs = options.limits?.unreachableTimeoutMs ?? DEFAULTS.unreachableTimeoutMs;
    ({ bound, hostname } = await bindStream(shard, place, unreachableMs));
    server = new ServerShard(shard, bound, serverUrl(hostname, bound.port, scheme), options);
  } catch (error) {
    await own?.close();
    throw error;
  }
  const url = serverUrl(hostname, bound.port, scheme);
  const close = async (closeOptions: CloseOptions = {}): Promise<void> => {
    const { timeoutMs = CLOSE_MS + (options.drainMs ?? 0) } = checkOptions(closeOptions, CLOSE_CHECKS);
    if (!shard.closed) await server.close(timeoutMs);
    forgetHook();
    await own?.close();
  };
  // The rest of the time is for what waits for this.
  const forgetHook = runtime().onClose(({ timeoutMs }) =>
    shard.closed ? undefined : server.close((timeoutMs * 8) / 9),
  );
  server.handle = {
    port: bound.port,
    hostname,
    url,
    signal: server.signal,
    get stats() {
      return { connections: server.connectionCount, requests: server.requests, refused: server.refused };
    },
    publish: (topic, data) => publishOn(server.websockets, topic, data),
    subscriberCount: (topic) => server.websockets?.topics.size(topic) ?? 0,
    requestIP: (request) => clientAddress(FeatherRequest.remoteOf(request)),
    close,
    setSecureContext: (tls) => server.setSecureContext(tls),
    [Symbol.asyncDispose]: () => close(),
  };
  return server.handle;
}

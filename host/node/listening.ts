// The listening side of a NetServer and of an HttpServer: from the arguments of `listen()` to connections, and to the
// end.
//
//   IDLE --listen()--> BINDING --'listening'--> OPEN --close()--> CLOSING --the last connection has ended--> IDLE
//                          \--'error'--> IDLE
//
// A numeric address is bound within listen(), on hosts that can, because programs ask for address() right behind it. A
// name takes longer, and so does a port that several shards share: shard 0 is asked (port-claims.ts).
//
// Next: servers.ts.

import type { EventEmitter } from 'node:events';
import { type AddressInfo, isIP, type ListenOptions as NetListenOptions } from 'node:net';
import { addAbortListener } from '../base/abort-listeners.js';
import { FeatherstarError, optionError } from '../base/errors.js';
import { platform } from '../base/platform-timers.js';
import { type Bound, monotonicNs } from '../hosts/host.js';
import { Acceptor, type AcceptorUser } from '../http/acceptor.js';
import { resolveAddress } from '../net/address.js';
import { Connection } from '../net/connection.js';
import { checkReach } from '../net/network-rules.js';
import { runtime } from '../runtime/runtime.js';
import { type Holders, holdersOn } from '../shard/holders.js';
import { perShard } from '../shard/per-shard.js';
import { currentShard, type Shard } from '../shard/shard.js';
import { noTlsError, type TlsServerOptions } from '../tls/options.js';
import { lastingOptions, renewedOptions } from '../tls/terminators.js';
import { checkedPort } from './dial.js';
import { StreamHandle } from './handle.js';
import { codedError, type ErrorPlace, nodeError } from './node-errors.js';
import { familyOf, NodeSocket, type NodeSocketOptions } from './node-socket.js';
import { addClaim, claimPort, releasePort } from './port-claims.js';
import { SecureAcceptor } from './secure-acceptor.js';
import { SecureSocket } from './secure-socket.js';

const BACKLOG = 511; // Node's default
const SETTLE_NS = 1e6;
const ROUNDS_NS = 1e8;
const LOOK_MS = 20;
const leavingOn = perShard(() => new Map<number, Promise<void>>()); // ports of servers that close
const WITHOUT_IPV6 = ['EAFNOSUPPORT', 'EADDRNOTAVAIL', 'EINVAL'];

/** Where a server listens. */
interface WantedPlace {
  address: string;
  port: number;
  backlog: number;
  /** `address` stands for all addresses, of both families if there are two. */
  isAny: boolean;
}

/** The server that listens. */
export interface ListeningUser extends EventEmitter {
  maxConnections?: number;
  /** Libraries take a server that has one for one that listens, and so does `http.Server`. */
  _handle?: object | null;
  close(): unknown;
}

/** The server at its end. */
export interface ListeningEnd {
  /** It has been closed, and all connections have ended. */
  onEnd(): void;
  /** Ends connections that wait for a request. Without it, they end with the runtime. */
  closeIdle?(): void;
}

/** The options of the sockets of a server. */
export interface AcceptOptions extends NodeSocketOptions {
  pauseOnConnect?: boolean | undefined;
  /** Checked already. */
  tls?: TlsServerOptions | undefined;
}

export class Listening implements AcceptorUser {
  /** Sockets that are open. */
  readonly sockets = new Set<NodeSocket>();

  readonly #server: ListeningUser;
  readonly #options: AcceptOptions;
  #tls: TlsServerOptions | undefined; // for new connections
  #secure: SecureAcceptor | undefined; // with #shard
  readonly #end: ListeningEnd;
  #shard: Shard | undefined; // while it listens or begins to
  #bound: Bound | undefined;
  #acceptor: Acceptor | undefined;
  #place: WantedPlace | undefined;
  #isClaimed = false;
  #isClosing = false;
  #isRef = true;
  #holder: Holders | undefined; // counts it among what keeps the process alive
  #forgetHook: (() => void) | undefined;

  constructor(server: ListeningUser, options: AcceptOptions, end: ListeningEnd) {
    this.#server = server;
    this.#options = options;
    this.#tls = options.tls;
    this.#end = end;
  }

  get isListening(): boolean {
    return this.#acceptor !== undefined && !this.#isClosing;
  }

  /** Connections that are open, also those whose handshake is under way. */
  get connectionCount(): number {
    return this.sockets.size + (this.#secure?.openHandshakes ?? 0);
  }

  address(): AddressInfo | string | null {
    const { isListening } = this;
    if (!isListening || this.#place === undefined || this.#bound === undefined) return null;
    const { address } = this.#place;
    if (address.startsWith('unix:')) return address.slice('unix:'.length);
    return { address, family: isIP(address) === 6 ? 'IPv6' : 'IPv4', port: this.#bound.port };
  }

  // --- beginning -----------------------------------------------------------------------------------------------------

  listen(args: unknown[]): void {
    const [options, onListening] = listenArguments(args);
    if (this.#shard !== undefined) {
      throw codedError('ERR_SERVER_ALREADY_LISTEN', 'Listen method has been called more than once without closing.');
    }
    const { place, host } = wantedPlace(options);
    const shard = currentShard();
    if (onListening !== undefined) this.#server.once('listening', onListening);
    if (this.#tls !== undefined) this.#secure = this.#secureAcceptor(shard, this.#tls);
    addAbortListener(options.signal, () => this.close());
    this.#shard = shard;
    this.#place = place;
    this.#hold();
    const isShared = shard.header.shardCount > 1 && options.exclusive !== true && !place.address.startsWith('unix:');
    if (host !== undefined) this.#resolve(shard, place, host, isShared);
    else this.#claim(shard, place, isShared);
  }

  #resolve(shard: Shard, place: WantedPlace, host: string, isShared: boolean): void {
    resolveAddress(host).then(
      (address) => {
        place.address = address;
        this.#claim(shard, place, isShared);
      },
      (error) => this.#onFailure(nodeError(error, 'getaddrinfo', { hostname: host })),
    );
  }

  #claim(shard: Shard, place: WantedPlace, isShared: boolean): void {
    const { address, port } = place;
    this.#isClaimed = isShared && port !== 0;
    if (!this.#isClaimed) this.#bind(shard, place, isShared, shard.index === 0);
    else if (shard.index === 0) this.#bind(shard, place, true, addClaim(shard, address, port));
    else {
      claimPort(shard, address, port).then(
        () => this.#bind(shard, place, true, false),
        (error) => {
          this.#isClaimed = false;
          this.#onBindFailure(error, shard, place, isShared, true);
        },
      );
    }
  }

  #bind(shard: Shard, place: WantedPlace, reusePort: boolean, isFirst: boolean): void {
    const { address, port, backlog } = place;
    const onFailure = (error: unknown) => this.#onBindFailure(error, shard, place, reusePort, isFirst);
    try {
      checkReach(shard.network, 'listen', address, port);
      const bound = shard.host.listen({ address, port, backlog, reusePort, isFirst });
      if (bound instanceof Promise) bound.then((late) => this.#onBound(shard, late)).catch(onFailure);
      else this.#onBound(shard, bound);
    } catch (error) {
      onFailure(error);
    }
  }

  #onBindFailure(error: unknown, shard: Shard, place: WantedPlace, reusePort: boolean, isFirst: boolean): void {
    this.#release();
    const errnoName = FeatherstarError.is(error) ? error.errnoName : undefined;
    if (place.isAny && place.address === '::' && WITHOUT_IPV6.includes(errnoName ?? '')) {
      place.address = '0.0.0.0';
      this.#bind(shard, place, reusePort, isFirst);
      return;
    }
    const left = errnoName === 'EADDRINUSE' ? leavingOn(shard).get(place.port) : undefined;
    if (left !== undefined) {
      void left.then(() => this.#claim(shard, place, reusePort)); // as in Node, where a port is free after close()
      return;
    }
    this.#onFailure(nodeError(error, 'listen', errorPlace(place)));
  }

  #onFailure(error: Error): void {
    this.#shard = undefined;
    this.#secure = undefined;
    this.#place = undefined;
    this.#isClosing = false;
    this.#hold();
    process.nextTick(() => this.#server.emit('error', error));
  }

  #onBound(shard: Shard, bound: Bound): void {
    this.#acceptor = new Acceptor(shard, bound, this);
    this.#bound = bound;
    if (!this.#isClosing) this.#server._handle = { fd: -1 };
    this.#forgetHook = runtime().onClose(({ timeoutMs }) => this.#onRuntimeClose((timeoutMs * 8) / 9));
    if (this.#isClosing) this.#leave(shard);
    else {
      process.nextTick(() => {
        if (this.isListening) this.#server.emit('listening');
      });
    }
  }

  // --- connections ---------------------------------------------------------------------------------------------------

  onConnection(file: number): void {
    const shard = this.#shard as Shard;
    const { maxConnections = Number.POSITIVE_INFINITY } = this.#server;
    if (this.connectionCount >= maxConnections) this.#drop(shard, file);
    else if (this.#secure !== undefined) this.#secure.addFile(file);
    else {
      const socket = new NodeSocket(this.#options);
      this.#add(socket);
      socket.attach(new StreamHandle(shard, file, socket));
      this.#server.emit('connection', socket);
    }
  }

  #drop(shard: Shard, file: number): void {
    const connection = new Connection(shard, file);
    const { remote, local } = connection;
    connection.close();
    this.#server.emit('drop', {
      localAddress: local?.hostname,
      localPort: local?.port,
      localFamily: familyOf(local?.hostname),
      remoteAddress: remote?.hostname,
      remotePort: remote?.port,
      remoteFamily: familyOf(remote?.hostname),
    });
  }

  #add(socket: NodeSocket): void {
    this.sockets.add(socket);
    socket.once('close', () => this.#forget(socket));
    const { keepAlive, keepAliveInitialDelay, pauseOnConnect } = this.#options;
    if (pauseOnConnect) socket.pause();
    if (keepAlive) socket.setKeepAlive(true, keepAliveInitialDelay);
    Object.assign(socket, { server: this.#server, _server: this.#server });
  }

  #secureAcceptor(shard: Shard, options: TlsServerOptions): SecureAcceptor {
    return new SecureAcceptor(shard, options, {
      onSecure: (info, handleFor) => {
        const socket = new SecureSocket(this.#options, info);
        this.#add(socket);
        socket.attach(handleFor(socket));
        this.#server.emit('secureConnection', socket);
      },
      onFailed: (error, handleFor) => {
        const socket = new NodeSocket();
        socket.destroy();
        socket.attach(handleFor(socket));
        this.#server.emit('tlsClientError', nodeError(error, 'read'), socket);
        this.#acceptor?.again();
        this.#endIfLast();
      },
    });
  }

  /** The options of TLS; undefined: there is none. */
  get tls(): TlsServerOptions | undefined {
    return this.#tls;
  }

  /** Certificates of connections that come from now on. Throws OPTION, TLS and STATE; then the old ones stay. */
  setSecureContext(options: TlsServerOptions): void {
    if (this.#tls === undefined) throw noTlsError('createServer()');
    this.#secure?.setSecureContext(options);
    this.#tls = renewedOptions(options, lastingOptions(this.#tls));
  }

  /** The acceptor tries again by itself. */
  onShortage(): void {}

  #forget(socket: NodeSocket): void {
    this.sockets.delete(socket);
    this.#acceptor?.again();
    this.#endIfLast();
  }

  // --- the end -------------------------------------------------------------------------------------------------------

  /** False if it does not listen. */
  close(): boolean {
    if (this.#shard === undefined || this.#isClosing) return false;
    this.#isClosing = true;
    this.#hold();
    this.#server._handle = null;
    if (this.#acceptor !== undefined) this.#leave(this.#shard);
    return true;
  }

  /** While the runtime is unref'd, a server that listens keeps the process alive, unless it is unref'd itself. */
  setRef(isRef: boolean): void {
    this.#isRef = isRef;
    this.#hold();
  }

  #hold(): void {
    const holds = this.#isRef && this.#shard !== undefined && !this.#isClosing;
    if (holds === (this.#holder !== undefined)) return;
    this.#holder?.remove();
    this.#holder = holds ? holdersOn(this.#shard as Shard) : undefined;
    this.#holder?.add();
  }

  #leave(shard: Shard): void {
    const { port } = this.#bound as Bound;
    const leaving = leavingOn(shard);
    const stopped = this.#stop(shard).then(() => {
      if (leaving.get(port) === stopped) leaving.delete(port);
    });
    leaving.set(port, stopped);
  }

  async #stop(shard: Shard): Promise<void> {
    await this.#acceptor?.close(0, SETTLE_NS, ROUNDS_NS);
    if (!shard.closed) await new Promise<void>((resolve) => shard.whenSubmitted(resolve)); // now the port is free
    this.#release();
    this.#forgetHook?.();
    this.#acceptor = undefined;
    this.#bound = undefined;
    this.#endIfLast();
  }

  #release(): void {
    if (this.#isClaimed && this.#place !== undefined) {
      releasePort(this.#shard as Shard, this.#place.address, this.#place.port);
    }
    this.#isClaimed = false;
  }

  #endIfLast(): void {
    if (!this.#isClosing || this.#acceptor !== undefined) return;
    if (this.connectionCount !== 0) return; // clients whose handshake is under way are served, too
    this.#isClosing = false;
    this.#shard = undefined;
    this.#secure = undefined;
    this.#place = undefined;
    this.#end.onEnd();
  }

  /** Requests that run may end. */
  async #onRuntimeClose(timeoutMs: number): Promise<void> {
    if (!this.isListening) return;
    const dueNs = monotonicNs() + timeoutMs * 1e6;
    this.#server.close();
    const { closeIdle } = this.#end;
    while (closeIdle !== undefined && this.sockets.size !== 0 && monotonicNs() < dueNs) {
      closeIdle();
      await new Promise((resolve) => platform.setTimeout(resolve, LOOK_MS));
    }
  }
}

function errorPlace({ address, port }: WantedPlace): ErrorPlace {
  return address.startsWith('unix:') ? { address: address.slice('unix:'.length) } : { address, port };
}

/** Where to listen; `host`: a name, whose address is not known yet. */
function wantedPlace(options: NetListenOptions): { place: WantedPlace; host?: string } {
  const { port = 0, host, path, backlog = BACKLOG } = options;
  if ((options as { fd?: unknown }).fd !== undefined) {
    throw optionError(
      'fd',
      (options as { fd?: unknown }).fd,
      'left out: listen() of featherstar/net takes descriptors',
    );
  }
  if (!path && !('port' in options)) {
    const text = 'The argument \'options\' must have the property "port" or "path"';
    throw codedError('ERR_INVALID_ARG_VALUE', text, TypeError);
  }
  if (path) return { place: { address: `unix:${path}`, port: 0, backlog, isAny: false } };
  const place = { port: checkedPort(port ?? 0), backlog, isAny: !host };
  if (!host) return { place: { ...place, address: '::' } };
  if (isIP(host) !== 0) return { place: { ...place, address: host } };
  return { place: { ...place, address: host }, host };
}

/** The forms of arguments that listen() has. */
export function listenArguments(args: unknown[]): [NetListenOptions, (() => void) | undefined] {
  const last = args.at(-1);
  const onListening = typeof last === 'function' ? (last as () => void) : undefined;
  const [first, second, third] = args.filter((arg) => typeof arg !== 'function');
  if (typeof first === 'object' && first !== null) return [first as NetListenOptions, onListening];
  const backlog = [second, third].find((arg) => typeof arg === 'number') as number | undefined;
  const given = backlog === undefined ? {} : { backlog };
  if (typeof first === 'string' && !(Number(first) >= 0)) return [{ path: first, ...given }, onListening];
  if (typeof first === 'boolean') return [{}, onListening];
  const host = typeof second === 'string' ? { host: second } : {};
  return [{ port: (first ?? 0) as number, ...host, ...given }, onListening];
}

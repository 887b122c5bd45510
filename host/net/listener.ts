// Listening on this shard.

import type { AbortOptions } from '../base/abort.js';
import { abortable, type WaitOptions } from '../base/abortable.js';
import { FeatherstarError, optionError } from '../base/errors.js';
import { type Checks, checkOptions, checkWait } from '../base/options.js';
import { Queue } from '../base/queue.js';
import type { Calls } from '../calls/call.js';
import { Errno } from '../core/kernel.js';
import type { Bound } from '../hosts/host.js';
import { runtime } from '../runtime/runtime.js';
import { Operation } from '../shard/operation.js';
import { accept, operationError } from '../shard/ops.js';
import { currentShard, type Shard } from '../shard/shard.js';
import { checkTlsHost, checkTlsServer, noTlsError, type TlsServerOptions } from '../tls/options.js';
import { BIND_CHECKS, bindStream, checkBind } from './bind.js';
import { Connection } from './connection.js';
import { checkListenProxy, type ListenProxyOptions, ProxiedConnections } from './proxied.js';
import { Socket, type SocketTransport } from './socket.js';
import { TlsAcceptor } from './tls-connect.js';
import type { TrustedPeers } from './trusted-peers.js';

interface AcceptWaiter {
  resolve: (socket: Socket | null) => void;
  reject: (reason: unknown) => void;
}

/** The layers between a connection and its user. */
interface Wrapping {
  readonly trusted: TrustedPeers | undefined;
  readonly tls: TlsServerOptions | undefined;
}

/** Options of `listen()`. */
export interface ListenOptions {
  /** The port, 0 to 65,535. Default 0: any free one. */
  port?: number | undefined;
  /** An own address, a name, which is resolved, or `unix:/path`. Default '0.0.0.0'. */
  hostname?: string | undefined;
  /** A Unix socket, instead of port and hostname: a path of at most 107 bytes. */
  path?: string | undefined;
  /** How many connections may wait in the kernel to be accepted, at least 1; default 1024. */
  backlog?: number | undefined;
  /** Whether other shards may listen on the port too. Default: true if the runtime has more than one shard. */
  reusePort?: boolean | undefined;
  /** Whether other processes of this user may listen on the port too, if they say so as well. Default false. */
  sharePort?: boolean | undefined;
  /**
   * A descriptor that listens already, instead of an address: a service manager or another process has opened it. It
   * stays open when the listener closes, except on the portable host.
   */
  fd?: number | undefined;
  /** The proxies in front of the listener, which tell the addresses of their clients. Default: there are none. */
  proxy?: ListenProxyOptions | undefined;
  /** Encrypts the connections: keys, certificates and what TLS needs (docs/tls.md). Default: they are plain. */
  tls?: TlsServerOptions | undefined;
}

/** A listening socket of this shard. A loop over it gets the connections. `listen()` makes it. */
export class Listener {
  /** The port that it listens on; 0 for a Unix socket. */
  readonly port: number;
  /** The path of a Unix socket, or undefined. */
  readonly path: string | undefined;
  readonly #unlink: (() => void) | undefined;
  readonly #shard: Shard;
  readonly #file: number;
  readonly #isShared: boolean;
  readonly #id: number;
  readonly #accepting: Operation;
  readonly #proxied: ProxiedConnections | undefined;
  readonly #secure: TlsAcceptor<Connection> | undefined;
  readonly #arrived = new Queue<Socket>();
  readonly #waiting = new Queue<AcceptWaiter>();
  readonly #forgetHook: () => void;
  #closed = false;

  /** @internal */
  constructor(shard: Shard, bound: Bound, path: string | undefined, { trusted, tls }: Wrapping) {
    this.#shard = shard;
    this.#file = bound.slot;
    this.#isShared = bound.isShared === true;
    this.#unlink = bound.unlink;
    this.port = bound.port;
    this.path = path;
    this.#secure = tls && new TlsAcceptor(shard, tls, { onSecure: (connection) => this.#arrive(connection) });
    this.#proxied = trusted && new ProxiedConnections(trusted, (connection) => this.#open(connection));
    this.#id = shard.register(this);
    this.#accepting = new Operation(shard, this.#id, 0);
    this.#accept();
    this.#forgetHook = runtime().onClose(() => this.close());
  }

  #accept(): void {
    accept(this.#accepting, this.#file, !this.#isShared);
  }

  /** @internal */
  onEvent(_tag: number, result: number, flags: number): void {
    this.#accepting.ended(flags);
    if (result >= 0) {
      if (this.#closed) this.#shard.closeFile(result);
      else {
        const connection = new Connection(this.#shard, result);
        if (this.#proxied === undefined) this.#open(connection);
        else this.#proxied.add(connection);
      }
    } else if (result !== Errno.ECANCELED) this.#waiting.shift()?.reject(operationError('accept', result));
    if (this.#accepting.isOpen || this.#closed) return;
    if (result >= 0 || this.#waiting.length !== 0) this.#accept();
  }

  #open(connection: Connection): void {
    if (this.#secure === undefined) this.#arrive(connection);
    else this.#secure.add(connection);
  }

  #arrive(connection: SocketTransport): void {
    const socket = new Socket(connection);
    const waiter = this.#waiting.shift();
    if (waiter !== undefined) waiter.resolve(socket);
    else if (this.#closed) socket.close();
    else this.#arrived.push(socket);
  }

  /** Whether the listener is closed. */
  get isClosed(): boolean {
    return this.#closed;
  }

  /**
   * Resolves to the next connection, or to null when the listener is closed. Rejects with FEATHERSTAR_SYSTEM,
   * FEATHERSTAR_TIMEOUT, or the signal's reason.
   */
  async accept(options: WaitOptions = {}): Promise<Socket | null> {
    checkWait(options);
    const socket = this.#arrived.shift();
    if (socket !== undefined) return socket;
    if (this.#closed) return null;
    if (!this.#accepting.isOpen) this.#accept(); // it had failed: file slots may be free again
    return abortable<Socket | null>((resolve, reject) => {
      const waiter = { resolve, reject };
      this.#waiting.push(waiter);
      return () => this.#waiting.takeWhere((other) => other === waiter);
    }, options);
  }

  /**
   * Gives the connections to the shards in turn. On the other shard, the shard module's function `name` runs as a task,
   * with a Socket and then `args` as its arguments (see `Socket.handOver()`). Dead shards are left out. Resolves when
   * the listener is closed. A connection that cannot be given away is closed, with a warning.
   */
  async spread(name: string, args: readonly unknown[] = [], { signal }: AbortOptions = {}): Promise<void> {
    const calls = this.#shard.calls as Calls | undefined;
    const { shardCount } = runtime();
    if (typeof name !== 'string' || calls?.exported(name) === undefined) {
      throw new FeatherstarError('FEATHERSTAR_MODULE', `the shard module exports no function ${JSON.stringify(name)}`);
    }
    if (!Array.isArray(args)) throw optionError('args', args, 'an array');
    let next = 0;
    for (let socket = await this.accept({ signal }); socket !== null; socket = await this.accept({ signal })) {
      while (calls.peers.isDown(next)) next = (next + 1) % shardCount; // this one lives, so it ends
      const shard = next;
      next = (next + 1) % shardCount;
      socket.handOver(shard, name, ...args).catch((error) => {
        process.emitWarning(`a connection could not be given to shard ${shard}: ${error}`, 'Featherstar');
      });
    }
  }

  /** The connections, until the listener is closed. Leaving the loop leaves it open. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Socket, void> {
    for (let socket = await this.accept(); socket !== null; socket = await this.accept()) yield socket;
  }

  /**
   * Stops listening. Connections that `accept()` has not returned yet are closed, and callers of `accept()` get null.
   */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#forgetHook();
    this.#accepting.cancel();
    this.#unlink?.();
    this.#shard.closeFile(this.#file);
    this.#shard.unregister(this.#id);
    for (const socket of this.#arrived.takeAll()) socket.close();
    this.#proxied?.close();
    this.#secure?.close();
    for (const waiter of this.#waiting.takeAll()) waiter.resolve(null);
  }

  /**
   * Changes keys and certificates: see `setSecureContext()` of a server. Throws FEATHERSTAR_OPTION, FEATHERSTAR_TLS,
   * and FEATHERSTAR_STATE if the listener has no TLS.
   */
  setSecureContext(options: TlsServerOptions): void {
    if (this.#secure === undefined) throw noTlsError('listen()');
    this.#secure.setSecureContext(options);
  }

  /** @internal */
  onShutdown(): void {
    this.close();
  }

  /** Calls `close()`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}

const LISTEN_CHECKS: Checks<ListenOptions> = { ...BIND_CHECKS, proxy: checkListenProxy, tls: checkTlsServer };

/**
 * Listens for TCP connections, or those of a Unix socket, on this shard. Rejects with FEATHERSTAR_SYSTEM
 * (`error.errnoName`: EADDRINUSE, EACCES, ...), FEATHERSTAR_DNS or FEATHERSTAR_NETWORK, and with FEATHERSTAR_HOST if
 * `sharePort` is true where ports cannot be shared. The listener closes with the runtime.
 *
 * @example
 * await using listener = await listen({ port: 7000 });
 * for await (const socket of listener) spawn(() => echo(socket));
 */
export async function listen(options: ListenOptions = {}): Promise<Listener> {
  checkOptions(options, LISTEN_CHECKS);
  const place = checkBind(options);
  const { tls } = options;
  if (tls !== undefined) checkTlsHost();
  const trusted = options.proxy && checkListenProxy('proxy', options.proxy);
  const shard = currentShard();
  const { bound, hostname } = await bindStream(shard, place);
  const path = hostname.startsWith('unix:') ? hostname.slice('unix:'.length) : undefined;
  return new Listener(shard, bound, path, { trusted, tls });
}

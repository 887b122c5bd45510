// Connecting from this shard: name -> address -> SOCKET -> CONNECT. An abort at any stage rejects at once; what the
// kernel still brings is closed when it comes.

import { abortable, type WaitOptions, withDeadline } from '../base/abortable.js';
import { FeatherstarError, systemError } from '../base/errors.js';
import { type Checks, checkedLater, checkOptions, integer, WAIT_CHECKS } from '../base/options.js';
import { AF_UNIX } from '../core/kernel.js';
import { Operation } from '../shard/operation.js';
import { connectFileOrThrow, openSocketOrThrow, sendAtOnceOrThrow } from '../shard/ops.js';
import type { Owner } from '../shard/owners.js';
import { currentShard, type Shard } from '../shard/shard.js';
import { checkTlsClient, TlsClient } from '../tls/client-context.js';
import type { TlsClientOptions } from '../tls/options.js';
import { recordEngine } from '../tls/record-engine.js';
import { checkHostname, checkTarget, encodeAddress, PORT_MAX, resolveAddress } from './address.js';
import { Connection } from './connection.js';
import { checkReach } from './network-rules.js';
import { Socket } from './socket.js';
import { socketPathsOf } from './socket-paths.js';
import { secure } from './tls-connect.js';

/** Where `connect()` connects to, and what can end the attempt. */
export interface ConnectOptions extends WaitOptions {
  /** The peer's port, 1 to 65,535. Not for a Unix socket. */
  port?: number | undefined;
  /** The peer's IPv4 or IPv6 address, a name, which is resolved, or `unix:/path`. Default '127.0.0.1'. */
  hostname?: string | undefined;
  /** A Unix socket, instead of port and hostname. */
  path?: string | undefined;
  /** Encrypts the connection: `{}` for a server whose certificate Node trusts (docs/tls.md). Default: it is plain. */
  tls?: TlsClientOptions | undefined;
}

/** Makes the owner of a connection out of its file slot, as soon as it is connected. */
export type MakeConnection<T> = (file: number) => T;

class Attempt<T> implements Owner {
  readonly #shard: Shard;
  readonly #make: MakeConnection<T>;
  readonly #address: Uint8Array | string;
  readonly #what: string;
  readonly #resolve: (connection: T) => void;
  readonly #reject: (reason: unknown) => void;
  readonly #id: number;
  readonly #operation: Operation; // SOCKET, then CONNECT
  #file = -1;
  #path = -1; // the index that names the path until the kernel has answered
  #aborted = false;

  constructor(
    shard: Shard,
    address: Uint8Array | string,
    what: string,
    make: MakeConnection<T>,
    resolve: (connection: T) => void,
    reject: (reason: unknown) => void,
  ) {
    this.#shard = shard;
    this.#address = address;
    this.#what = what;
    this.#make = make;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#id = shard.register(this);
    this.#operation = new Operation(shard, this.#id, 0);
    try {
      openSocketOrThrow(this.#operation, typeof address === 'string' ? AF_UNIX : (address[0] as number));
    } catch (error) {
      shard.unregister(this.#id);
      throw error;
    }
  }

  onEvent(_tag: number, result: number): void {
    this.#operation.ended();
    const isOpened = this.#file < 0;
    if (isOpened && result >= 0) {
      this.#file = result;
      if (this.#aborted) this.#fail(undefined);
      else this.#connect();
    } else if (!isOpened && result === 0 && !this.#aborted) {
      this.#leave();
      this.#resolve(this.#make(this.#file));
    } else this.#fail(systemError(isOpened ? 'socket' : 'connect', result, this.#what));
  }

  #connect(): void {
    const address = this.#address;
    if (typeof address === 'string') this.#connectPath(address);
    else this.#connectAddress(address);
  }

  #connectPath(path: string): void {
    try {
      this.#path = socketPathsOf(this.#shard).take(path);
      connectFileOrThrow(this.#operation, this.#file, this.#path, 0);
    } catch (error) {
      this.#fail(error);
    }
  }

  #connectAddress(address: Uint8Array): void {
    const shard = this.#shard;
    const { sendBuffers } = shard;
    const buffer = sendBuffers.take();
    if (buffer === 0) {
      sendBuffers.whenFree(() => {
        if (this.#aborted) this.#fail(undefined);
        else this.#connectAddress(address);
      });
      return;
    }
    shard.bytes.set(address, buffer);
    try {
      sendAtOnceOrThrow(shard, this.#file);
      connectFileOrThrow(this.#operation, this.#file, buffer, address.length);
    } catch (error) {
      this.#fail(error);
    }
    shard.whenSubmitted(() => sendBuffers.give(buffer)); // a peer that does not answer keeps no buffer from others
  }

  #leave(): void {
    if (this.#path >= 0) socketPathsOf(this.#shard).give(this.#path);
    this.#shard.unregister(this.#id);
  }

  #fail(error: unknown): void {
    if (this.#file >= 0) this.#shard.closeFile(this.#file);
    this.#leave();
    this.#reject(error);
  }

  onShutdown(): void {
    this.#reject(new FeatherstarError('FEATHERSTAR_CLOSED', 'the runtime closes'));
    this.abort();
  }

  /** The caller has been told. */
  abort(): void {
    this.#aborted = true;
    this.#operation.cancel();
  }
}

const CONNECT_CHECKS: Checks<ConnectOptions> = {
  port: integer(0, PORT_MAX),
  hostname: checkHostname,
  path: checkedLater,
  tls: checkTlsClient,
  ...WAIT_CHECKS,
};

/**
 * Connects to a server, and resolves to the connection. Rejects with FEATHERSTAR_SYSTEM (`error.errnoName`:
 * ECONNREFUSED, ETIMEDOUT, ENOENT, ...), FEATHERSTAR_DNS, FEATHERSTAR_NETWORK, FEATHERSTAR_TLS, FEATHERSTAR_TIMEOUT, or
 * the signal's reason.
 *
 * @example
 * const socket = await connect({ hostname: 'example.org', port: 7000, timeoutMs: 2000 });
 */
export async function connect(options: ConnectOptions): Promise<Socket> {
  const { hostname, port } = checkTarget(checkOptions(options, CONNECT_CHECKS));
  const shard = currentShard();
  const client = options.tls && new TlsClient(recordEngine(shard), options.tls, hostname);
  const make: MakeConnection<Connection> = (file) => new Connection(shard, file);
  return withDeadline(options, async (signal) => {
    const numeric = await abortable(resolveAddress(hostname), { signal });
    const connection = await connectTo(shard, { numeric, port, hostname }, signal, make);
    return new Socket(client === undefined ? connection : await secure(shard, connection, client, signal));
  });
}

/** Where to connect to. */
export interface Target {
  /** A numeric address, or `unix:/path`. */
  numeric: string;
  port: number;
  /** How errors call it. */
  hostname: string;
}

/** Connects to an address. Rejects with SYSTEM, NETWORK, CLOSED, or the signal's reason. */
export async function connectTo<T>(
  shard: Shard,
  { numeric, port, hostname }: Target,
  signal: AbortSignal | undefined,
  make: MakeConnection<T>,
): Promise<T> {
  checkReach(shard.network, 'connect', numeric, port);
  const address = numeric.startsWith('unix:') ? numeric.slice('unix:'.length) : encodeAddress(numeric, port);
  if (shard.closed) throw new FeatherstarError('FEATHERSTAR_CLOSED', 'the runtime was closed');
  const what = hostname.startsWith('unix:') ? hostname : `${hostname}:${port}`;
  return abortable<T>(
    (resolve, reject) => {
      const attempt = new Attempt(shard, address, what, make, resolve, reject);
      return () => attempt.abort();
    },
    { signal },
  );
}

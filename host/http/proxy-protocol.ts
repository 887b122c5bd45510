// The PROXY protocol of a server's connections (net/proxy-header.ts):
//
//   bytes --> ProxyIntake: the header, put together however it comes --> the rest to the connection
//
// Next: connection.ts.

import type { NetAddress } from '../hosts/host.js';
import { headerError, parseProxyHeader } from '../net/proxy-header.js';
import type { Shard } from '../shard/shard.js';
import { type Pace, StreamTransport } from '../shard/stream-transport.js';
import type { TransportUser } from '../shard/transport.js';
import type { Proxies } from './proxies.js';

/** Between a transport and its user: takes the header away. */
class ProxyIntake implements TransportUser {
  remote: NetAddress | undefined;
  transport: ProxiedTransport | undefined;
  readonly #user: TransportUser;
  readonly #server: ProxiedServer;
  #pending = Buffer.alloc(0);
  #isPast = false; // the header has come, or none is expected

  constructor(user: TransportUser, server: ProxiedServer) {
    this.#user = user;
    this.#server = server;
  }

  get mayReceive(): boolean {
    return !this.#isPast || this.#user.mayReceive;
  }

  onBuffer(at: number, end: number, buffer: number): void {
    const transport = this.transport as ProxiedTransport;
    if (!this.#isPast && !this.#server.proxies.trusts(transport.peerAddress)) this.#isPast = true;
    if (this.#isPast) {
      this.#user.onBuffer(at, end, buffer);
      return;
    }
    this.#pending = Buffer.concat([this.#pending, this.#server.shard.bytes.subarray(at, end)]);
    transport.release(buffer);
    this.#take(transport);
  }

  onBytes(bytes: Uint8Array): void {
    this.#user.onBytes(bytes);
  }

  #take(transport: ProxiedTransport): void {
    const header = parseProxyHeader(this.#pending);
    if (header === undefined) return;
    if (header === null) {
      this.#server.report(headerError(transport.peerAddress));
      transport.destroy();
      return;
    }
    this.remote = header.remote;
    this.#isPast = true;
    const rest = this.#pending.subarray(header.bytes);
    this.#pending = Buffer.alloc(0);
    if (rest.length !== 0) this.#user.onBytes(rest);
  }

  onPeerLeft(): void {
    this.#user.onPeerLeft();
  }

  onPeerEnd(): void {
    this.#user.onPeerEnd();
  }

  onSent(): void {
    this.#user.onSent();
  }

  onDeadline(): void {
    this.#user.onDeadline();
  }

  onClosed(): void {
    this.#user.onClosed();
  }

  toString(): string {
    return `${this.#user}`;
  }
}

interface ProxiedServer {
  readonly shard: Shard;
  readonly proxies: Proxies;
  report(error: unknown): void;
}

/** A connection of a proxy, whose remote is the client's address. */
export class ProxiedTransport extends StreamTransport {
  readonly #intake: ProxyIntake;

  constructor(server: ProxiedServer, file: number, pace: Pace, user: TransportUser) {
    const intake = new ProxyIntake(user, server);
    super(server.shard, file, pace, intake);
    this.#intake = intake;
    intake.transport = this;
  }

  /** The machine at the other end of the connection. */
  get peerAddress(): NetAddress | undefined {
    return super.remote;
  }

  override get remote(): NetAddress | undefined {
    return this.#intake.remote ?? super.remote;
  }
}

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
import { FirstBytes } from './first-bytes.js';
import type { Proxies } from './proxies.js';

/** Takes the header away. */
class ProxyIntake extends FirstBytes<ProxiedTransport> {
  remote: NetAddress | undefined;
  readonly #server: ProxiedServer;

  constructor(user: TransportUser, server: ProxiedServer) {
    super(server.shard, user);
    this.#server = server;
  }

  protected concerns(): boolean {
    return this.#server.proxies.trusts(this.transport.peerAddress);
  }

  protected look(bytes: Buffer): void {
    const { transport } = this;
    const header = parseProxyHeader(bytes);
    if (header === undefined) return;
    if (header === null) {
      this.#server.report(headerError(transport.peerAddress));
      transport.destroy();
      return;
    }
    this.remote = header.remote;
    this.giveWay(bytes.subarray(header.bytes));
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

// Connections of listen() that come through proxies: each gets its client's address before a program sees it.
//
//   accepted --> a trusted peer? --no--> to the program
//                     | yes
//                     +--> reads the PROXY header --> its address, and the bytes behind it --> to the program
//                                 +--> malformed, too late, or the peer has left: closed
//
// Connections are read side by side, so a peer that sends nothing keeps no other from the program.
//
// Next: listener.ts.

import { withDeadline } from '../base/abortable.js';
import { optionError } from '../base/errors.js';
import { type Checks, checkedLater, checkOptions } from '../base/options.js';
import { WarningLimit } from '../base/warning-limit.js';
import { monotonicNs, type NetAddress } from '../hosts/host.js';
import type { Connection } from './connection.js';
import { headerError, parseProxyHeader } from './proxy-header.js';
import { TrustedPeers } from './trusted-peers.js';

const HEADER_MS = 10_000; // from the connection to all of its header

/** Which proxies stand in front of a listener. */
export interface ListenProxyOptions {
  /**
   * The proxies: addresses, networks (`'10.0.0.0/8'`), and `'unix'` for peers on a Unix socket. Or how many stand in a
   * row, 1 to 16, whatever their addresses are.
   */
  trust: readonly string[] | number;
  /** Trusted peers begin each connection with a header of the PROXY protocol, version 1 or 2. */
  expectProtocol: true;
}

const CHECKS: Checks<ListenProxyOptions> = { trust: checkedLater, expectProtocol: checkedLater };

/** Throws OPTION. */
export function checkListenProxy(name: string, given: unknown): TrustedPeers {
  const { trust, expectProtocol } = checkOptions(given as ListenProxyOptions, CHECKS, name);
  if (expectProtocol !== true)
    throw optionError(`${name}.expectProtocol`, expectProtocol, 'true: a socket has no headers to tell of its client');
  return new TrustedPeers(trust, name);
}

export class ProxiedConnections {
  readonly #trusted: TrustedPeers;
  readonly #use: (connection: Connection) => void;
  readonly #reading = new Set<Connection>();
  readonly #warnings = new WarningLimit();

  /** `use` gets the connections whose client is known. */
  constructor(trusted: TrustedPeers, use: (connection: Connection) => void) {
    this.#trusted = trusted;
    this.#use = use;
  }

  add(connection: Connection): void {
    try {
      const peer = connection.remote;
      if (this.#trusted.trusts(peer)) this.#take(connection, peer);
      else this.#use(connection);
    } catch (error) {
      connection.close();
      this.#warn(error); // the kernel cannot tell whose it is
    }
  }

  #take(connection: Connection, peer: NetAddress | undefined): void {
    this.#reading.add(connection);
    const end = (isUsable: boolean) => {
      this.#reading.delete(connection);
      if (isUsable) this.#use(connection);
      else connection.close();
    };
    takeHeader(connection).then(
      (isHeader) => {
        if (isHeader === null) this.#warn(headerError(peer));
        end(isHeader === true);
      },
      () => end(false), // late, broken, or the listener closes: no program knows of the connection yet
    );
  }

  #warn(error: unknown): void {
    const unsaid = this.#warnings.next(monotonicNs());
    if (unsaid === undefined) return;
    const more = unsaid === 0 ? '' : ` (and ${unsaid} more like it before)`;
    process.emitWarning(`${error instanceof Error ? error.message : error}${more}`, 'Featherstar');
  }

  /** Closes the connections whose header has not come. */
  close(): void {
    for (const connection of this.#reading) connection.close();
  }
}

/** Resolves to true; to null if it is no header; to undefined if the peer has ended before its end. */
function takeHeader(connection: Connection): Promise<true | null | undefined> {
  return withDeadline({ timeoutMs: HEADER_MS }, async (signal) => {
    let pending = Buffer.alloc(0);
    for (let bytes = await connection.read({ signal }); bytes !== null; bytes = await connection.read({ signal })) {
      pending = Buffer.concat([pending, bytes]);
      const header = parseProxyHeader(pending);
      if (header === null) return null;
      if (header === undefined) continue;
      connection.behindProxy(header.remote, pending.subarray(header.bytes));
      return true;
    }
    return undefined;
  });
}

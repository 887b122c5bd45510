// How a client reaches its server: a connection of this shard, TLS over it for `wss:`, then the handshake.
//
// Next: client.ts.

import type { TLSSocket } from 'node:tls';
import { abortable, withDeadline } from '../base/abortable.js';
import { CONNECTION_BYTES } from '../core/layout.js';
import { resolveAddress } from '../net/address.js';
import { connectTo } from '../net/connect.js';
import { handshake } from '../net/tls-connect.js';
import type { Shard } from '../shard/shard.js';
import { StreamTransport } from '../shard/stream-transport.js';
import type { Transport, TransportUser } from '../shard/transport.js';
import { TlsClient } from '../tls/client-context.js';
import { TlsTransport } from '../tls/tls-transport.js';
import { NO_RAW_USER, TransportStream } from '../tls/transport-stream.js';
import { type ClientAgreement, type ClientRequest, Opening } from './client-handshake.js';
import type { ClientSettings } from './client-options.js';

const PORTS: Readonly<Record<string, number>> = { 'ws:': 80, 'wss:': 443 };
const PACE = { ns: 60e9, bytes: 15_360 }; // that of serve(): 256 bytes a second

/** A connection, and the memory of its file slot for the state of a parser. */
interface ReachedServer {
  readonly transport: Transport;
  readonly frames: number;
}

/** A connection whose server has agreed. */
export interface Opened extends ReachedServer {
  readonly agreement: ClientAgreement;
  /** Bytes that have come behind the response. */
  readonly rest: Uint8Array;
}

/**
 * Connects, and calls `onOpen` as soon as the server has agreed: frames may follow at once. Rejects with SYSTEM, DNS,
 * NETWORK, TLS, WEBSOCKET, TIMEOUT, CLOSED, or the signal's reason.
 */
export function openWebSocket(
  shard: Shard,
  url: URL,
  settings: ClientSettings,
  request: ClientRequest,
  onOpen: (opened: Opened) => void,
  signal: AbortSignal,
): Promise<void> {
  return withDeadline({ signal, timeoutMs: settings.connectTimeoutMs }, async (until) => {
    let reached: ReachedServer | undefined;
    let isOpen = false;
    const opening = new Opening(shard, request, (agreement, rest) => {
      if (until?.aborted) return;
      isOpen = true;
      onOpen({ ...(reached as ReachedServer), agreement, rest });
    });
    try {
      reached = await reach(shard, url, settings, opening, until);
      await abortable(opening.attach(reached.transport), { signal: until });
    } catch (error) {
      if (isOpen) return; // its time was over at the same moment
      reached?.transport.destroy();
      throw error;
    }
  });
}

async function reach(
  shard: Shard,
  url: URL,
  settings: ClientSettings,
  user: TransportUser,
  signal: AbortSignal | undefined,
): Promise<ReachedServer> {
  const hostname = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const numeric = await abortable(resolveAddress(hostname), { signal });
  const target = { numeric, port: Number(url.port || PORTS[url.protocol]), hostname };
  const open = (file: number, of: TransportUser) => new StreamTransport(shard, file, PACE, of);
  if (url.protocol === 'ws:')
    return connectTo(shard, target, signal, (file) => ({
      transport: open(file, user),
      frames: frameStateOf(shard, file),
    }));
  const client = new TlsClient('node:tls', settings.tls, hostname);
  const { stream, frames } = await connectTo(shard, target, signal, (file) => ({
    stream: new TransportStream(shard, NO_RAW_USER, (raw) => open(file, raw)),
    frames: frameStateOf(shard, file),
  }));
  const make = (socket: TLSSocket) => new TlsTransport(shard, socket, stream, user);
  return { transport: await handshake(stream, client, signal, make), frames };
}

/** The connection is the only user of its slot. */
function frameStateOf(shard: Shard, file: number): number {
  return shard.base + shard.header.connectionsOffset + file * CONNECTION_BYTES;
}

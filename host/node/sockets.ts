// The sockets of featherstar/node, with the types of node:net.

import type { NetConnectOpts, Socket as NetSocket, SocketConstructorOpts } from 'node:net';
import type { Socket } from '../net/socket.js';
import { connectArguments, NodeSocket as Implementation, type NodeSocketOptions } from './node-socket.js';
import { SocketHandle } from './socket-handle.js';

/**
 * The constructor of a socket with the interface of `net.Socket`: `connect()` connects it. It is for libraries that
 * want to do so themselves. Throws FEATHERSTAR_NO_SHARD in a thread that is no shard.
 */
export const NodeSocket = Implementation as unknown as new (options?: SocketConstructorOpts) => NetSocket;

/**
 * Connects to a server, as `net.createConnection()` does, by a connection of this shard. The socket emits 'connect', or
 * 'error' with Node's codes (ECONNREFUSED, ENOTFOUND, ...) and this library's error as `cause`. Throws
 * FEATHERSTAR_NO_SHARD in a thread that is no shard, and FEATHERSTAR_OPTION for `localAddress`, `localPort` and
 * `onread`.
 *
 * @example
 * const agent = new http.Agent();
 * agent.createConnection = createConnection;
 */
export function createConnection(options: NetConnectOpts, onConnect?: () => void): NetSocket;
/** Connects to a port of a host, by default of this machine. */
export function createConnection(port: number, host?: string, onConnect?: () => void): NetSocket;
/** Connects to a Unix socket. */
export function createConnection(path: string, onConnect?: () => void): NetSocket;
export function createConnection(...args: unknown[]): NetSocket {
  const [options] = connectArguments(args);
  return new Implementation(options as NodeSocketOptions).connect(...args) as unknown as NetSocket;
}

/**
 * A stream with the interface of `net.Socket` over a connection of `featherstar/net`, which belongs to the stream from
 * now on. So a connection that was handed over can be given to a library.
 *
 * @example
 * export const onSocket = (socket) => httpServer.emit('connection', nodeSocketOf(socket));
 */
export function nodeSocketOf(socket: Socket, options: SocketConstructorOpts = {}): NetSocket {
  const stream = new Implementation(options as NodeSocketOptions);
  stream.attach(new SocketHandle(socket, stream));
  return stream as unknown as NetSocket;
}

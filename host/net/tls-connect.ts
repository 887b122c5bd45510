// How connections over TLS begin: those that connect() has made, and those that a listener has accepted.
//
// Next: ../tls/terminator.ts.

import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { abortable } from '../base/abortable.js';
import { FeatherstarError } from '../base/errors.js';
import { WarningLimit } from '../base/warning-limit.js';
import { monotonicNs } from '../hosts/host.js';
import type { Shard } from '../shard/shard.js';
import type { HandshakeLimits, OpenHandshake } from '../tls/handshake-limits.js';
import { contextOptions, type TlsClientOptions, type TlsServerOptions, tlsError } from '../tls/options.js';
import { recordEngine } from '../tls/record-engine.js';
import { RecordTerminator } from '../tls/record-terminator.js';
import { Terminators } from '../tls/terminators.js';
import { NO_RAW_USER } from '../tls/transport-stream.js';
import { RecordSocket } from './record-socket.js';
import type { SocketTransport } from './socket.js';
import { SocketStream } from './socket-stream.js';
import { TlsConnection } from './tls-connection.js';

/** Makes a connection of net/ secure. Rejects with TLS, or with the signal's reason; then it is closed. */
export async function secure(
  shard: Shard,
  below: SocketTransport,
  hostname: string,
  options: TlsClientOptions,
  signal: AbortSignal | undefined,
): Promise<TlsConnection> {
  const stream = new SocketStream(below, NO_RAW_USER);
  return handshake(stream, hostname, options, signal, (socket) => new TlsConnection(shard, socket, stream, below));
}

/**
 * Does the client's side of a handshake over a stream of encrypted bytes. `make` gets the socket as soon as it is
 * secure. Rejects with TLS, or with the signal's reason; then the stream is destroyed.
 */
export async function handshake<T>(
  stream: Duplex,
  hostname: string,
  options: TlsClientOptions,
  signal: AbortSignal | undefined,
  make: (socket: TLSSocket) => T,
): Promise<T> {
  let socket: TLSSocket | undefined;
  try {
    return await abortable<T>(
      (resolve, reject) => {
        const opened = connect(clientOptions(stream, hostname, options));
        socket = opened;
        opened.once('secureConnect', () => resolve(make(opened)));
        opened.on('error', (error) => reject(tlsError('the handshake failed', error)));
        opened.once('close', () => reject(new FeatherstarError('FEATHERSTAR_TLS', 'the peer has ended the handshake')));
        return () => {};
      },
      { signal },
    );
  } catch (error) {
    socket?.destroy();
    stream.destroy();
    throw error;
  }
}

function clientOptions(socket: Duplex, hostname: string, options: TlsClientOptions): ConnectionOptions {
  const { servername = isIP(hostname) === 0 && !hostname.startsWith('unix:') ? hostname : '', alpn, session } = options;
  return {
    ...contextOptions(options),
    socket,
    host: hostname,
    servername,
    rejectUnauthorized: options.rejectUnauthorized ?? true,
    ...(alpn === undefined ? {} : { ALPNProtocols: [...alpn] }),
    ...(session === undefined ? {} : { session: Buffer.from(session) }),
  };
}

/** The server's side: the connections of a listener. */
export class TlsAcceptor {
  readonly #shard: Shard;
  readonly #terminators: Terminators;
  readonly #arrive: (connection: SocketTransport) => void;
  readonly #open = new Set<{ destroy(): void }>(); // handshakes
  readonly #warnings = new WarningLimit();

  constructor(shard: Shard, options: TlsServerOptions, arrive: (connection: SocketTransport) => void) {
    this.#shard = shard;
    this.#terminators = new Terminators(recordEngine(shard), options, (error) => this.#warn(error));
    this.#arrive = arrive;
  }

  add(below: SocketTransport): void {
    const { current } = this.#terminators;
    if (current instanceof RecordTerminator) {
      const socket = new RecordSocket(this.#shard, current.connect(), below);
      const handshake = new SocketHandshake(socket, current, (isSecure) => {
        this.#open.delete(handshake);
        if (isSecure) this.#arrive(socket);
      });
      this.#open.add(handshake);
      return;
    }
    const handshake = current.accept((user) => new SocketStream(below, user), {
      onSecure: (socket, stream) => {
        this.#open.delete(handshake);
        stream.clearDeadline();
        this.#arrive(new TlsConnection(this.#shard, socket, stream, below));
      },
      onFailed: () => this.#open.delete(handshake),
    });
    this.#open.add(handshake);
  }

  setSecureContext(options: TlsServerOptions): void {
    this.#terminators.setSecureContext(options);
  }

  #warn(error: unknown): void {
    const unsaid = this.#warnings.next(monotonicNs());
    if (unsaid === undefined) return;
    const more = unsaid === 0 ? '' : ` (and ${unsaid} more errors before)`;
    process.emitWarning(`the sni function of a listener failed: ${error}${more}`, 'Featherstar');
  }

  /** Ends the handshakes that are under way. */
  close(): void {
    for (const handshake of [...this.#open]) handshake.destroy();
  }
}

/** A handshake by the addon, with the limits of all handshakes. */
class SocketHandshake implements OpenHandshake {
  readonly #socket: RecordSocket;
  readonly #limits: HandshakeLimits;
  readonly #onOver: (isSecure: boolean) => void;
  readonly #timer: NodeJS.Timeout;
  #isOver = false;

  /** `onOver`: it has succeeded, or the connection is closed. Not called before the constructor has returned. */
  constructor(socket: RecordSocket, terminator: RecordTerminator, onOver: (isSecure: boolean) => void) {
    this.#socket = socket;
    this.#limits = terminator.limits;
    this.#onOver = onOver;
    this.#timer = setTimeout(() => this.destroy(), terminator.limits.timeoutNs / 1e6);
    this.#limits.add(this);
    socket.shakeHands(terminator).then(
      () => this.#end(true),
      () => this.destroy(),
    );
  }

  #end(isSecure: boolean): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#limits.remove(this);
    this.#onOver(isSecure);
  }

  /** The reason goes to no one: a listener tells nothing of clients that could not connect. */
  fail(): void {
    this.destroy();
  }

  destroy(): void {
    if (this.#isOver) return;
    this.#end(false);
    this.#socket.close();
  }
}

// How connections over TLS begin: those that connect() has made, and those that a listener has accepted.
//
// Next: ../tls/terminator.ts.

import type { Duplex } from 'node:stream';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { abortable } from '../base/abortable.js';
import { FeatherstarError } from '../base/errors.js';
import { WarningLimit } from '../base/warning-limit.js';
import { monotonicNs } from '../hosts/host.js';
import type { Shard } from '../shard/shard.js';
import type { TlsClient } from '../tls/client-context.js';
import { TimedHandshake } from '../tls/handshake-limits.js';
import { contextOptions, type TlsServerOptions, tlsError } from '../tls/options.js';
import { type RecordConnection, recordEngine } from '../tls/record-engine.js';
import { RecordTerminator } from '../tls/record-terminator.js';
import { Terminators } from '../tls/terminators.js';
import { NO_RAW_USER } from '../tls/transport-stream.js';
import type { DecryptedSocket } from './decrypted-socket.js';
import { RecordSocket } from './record-socket.js';
import type { SocketTransport } from './socket.js';
import { SocketStream } from './socket-stream.js';
import { TlsConnection } from './tls-connection.js';

/** Makes a connection of net/ secure. Rejects with TLS, or with the signal's reason; then it is closed. */
export async function secure(
  shard: Shard,
  below: SocketTransport,
  client: TlsClient,
  signal: AbortSignal | undefined,
): Promise<DecryptedSocket> {
  let records: RecordConnection | undefined;
  try {
    records = client.openRecords();
  } catch (error) {
    below.close();
    throw error;
  }
  if (records === undefined) {
    const stream = new SocketStream(below, NO_RAW_USER);
    const make = (socket: TLSSocket) => new TlsConnection(shard, socket, stream, below, client.label);
    return handshake(stream, client, signal, make);
  }
  const socket = new RecordSocket(shard, records, below, client.label);
  try {
    await abortable(socket.shakeHandsWith(client), { signal });
    return socket;
  } catch (error) {
    socket.close();
    throw error;
  }
}

/**
 * Does the client's side of a handshake by node:tls, over a stream of encrypted bytes. `make` gets the socket as soon
 * as it is secure. Rejects with TLS, or with the signal's reason; then the stream is destroyed.
 */
export async function handshake<T>(
  stream: Duplex,
  client: TlsClient,
  signal: AbortSignal | undefined,
  make: (socket: TLSSocket) => T,
): Promise<T> {
  let socket: TLSSocket | undefined;
  try {
    return await abortable<T>(
      (resolve, reject) => {
        const opened = connect(clientOptions(stream, client));
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

function clientOptions(socket: Duplex, { options, hostname, servername, session, mustBeTrusted }: TlsClient) {
  const result: ConnectionOptions = {
    ...contextOptions(options),
    socket,
    host: hostname,
    servername,
    rejectUnauthorized: mustBeTrusted,
  };
  if (options.alpn !== undefined) result.ALPNProtocols = [...options.alpn];
  if (session !== undefined) result.session = Buffer.from(session);
  return result;
}

/** The receiver of connections after their handshakes. */
export interface AcceptedUser<B extends SocketTransport> {
  onSecure(connection: DecryptedSocket, below: B): void;
  /** `below` closes right behind this. */
  onFailed?(error: unknown, below: B): void;
}

/** The server's side: the connections of a listener. */
export class TlsAcceptor<B extends SocketTransport> {
  readonly #shard: Shard;
  protected readonly terminators: Terminators;
  protected readonly open = new Set<{ destroy(): void }>(); // handshakes
  readonly #user: AcceptedUser<B>;
  readonly #warnings = new WarningLimit();

  constructor(shard: Shard, options: TlsServerOptions, user: AcceptedUser<B>) {
    this.#shard = shard;
    this.terminators = new Terminators(recordEngine(shard), options, (error) => this.#warn(error));
    this.#user = user;
  }

  /** Handshakes that are under way. */
  get openHandshakes(): number {
    return this.open.size;
  }

  add(below: B): void {
    const { current } = this.terminators;
    const user = this.#user;
    if (current instanceof RecordTerminator) {
      const socket = new RecordSocket(this.#shard, current.connect(), below);
      const handshake = new SocketHandshake(socket, current, (error) => {
        this.open.delete(handshake);
        if (error === undefined) user.onSecure(socket, below);
        else user.onFailed?.(error, below);
      });
      this.open.add(handshake);
      return;
    }
    const handshake = current.accept((rawUser) => new SocketStream(below, rawUser), {
      onSecure: (socket, stream) => {
        this.open.delete(handshake);
        stream.clearDeadline();
        user.onSecure(new TlsConnection(this.#shard, socket, stream, below), below);
      },
      onFailed: (error) => {
        this.open.delete(handshake);
        user.onFailed?.(error, below);
      },
    });
    this.open.add(handshake);
  }

  setSecureContext(options: TlsServerOptions): void {
    this.terminators.setSecureContext(options);
  }

  #warn(error: unknown): void {
    const unsaid = this.#warnings.next(monotonicNs());
    if (unsaid === undefined) return;
    const more = unsaid === 0 ? '' : ` (and ${unsaid} more errors before)`;
    process.emitWarning(`the sni function of a listener failed: ${error}${more}`, 'Featherstar');
  }

  /** Ends the handshakes that are under way. */
  close(): void {
    for (const handshake of [...this.open]) handshake.destroy();
  }
}

/** A handshake by the addon, with the limits of all handshakes. */
class SocketHandshake extends TimedHandshake {
  readonly #socket: RecordSocket;
  readonly #onOver: (error: unknown) => void;

  /** `onOver`: it has succeeded, or the connection closes. Not called before the constructor has returned. */
  constructor(socket: RecordSocket, terminator: RecordTerminator, onOver: (error: unknown) => void) {
    super(terminator.limits);
    this.#socket = socket;
    this.#onOver = onOver;
    this.begin();
    socket.shakeHands(terminator).then(
      () => {
        if (this.end()) onOver(undefined);
      },
      (error) => this.fail(error),
    );
  }

  fail(error: unknown): void {
    if (!this.end()) return;
    this.#onOver(error);
    this.#socket.close();
  }
}

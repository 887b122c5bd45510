// The handshakes of a server of featherstar/node, by both engines:
//
//   file --> RecordAccept --> RecordHandle   the addon
//       \--> TlsAcceptor  --> SocketHandle   node:tls, over a Connection of net/
//
// Next: record-handle.ts, ../net/tls-connect.ts.

import type { NetAddress } from '../hosts/host.js';
import { Connection } from '../net/connection.js';
import { TlsAcceptor } from '../net/tls-connect.js';
import type { Shard } from '../shard/shard.js';
import { handshakeError, TimedHandshake } from '../tls/handshake-limits.js';
import type { TlsInfo } from '../tls/info.js';
import type { TlsServerOptions } from '../tls/options.js';
import { RecordTerminator } from '../tls/record-terminator.js';
import type { Handle, HandleUser } from './handle.js';
import { addressIfKnown } from './node-socket.js';
import { type HandshakeHandleUser, RecordHandle } from './record-handle.js';
import { SecureHandle } from './secure-socket.js';
import { SocketHandle } from './socket-handle.js';

/** The server. */
export interface SecureAcceptorUser {
  /** `handleFor` makes the handle of the socket. */
  onSecure(tls: TlsInfo, handleFor: (user: HandleUser) => Handle): void;
  /** The connection closes right behind this. */
  onFailed(error: unknown, handleFor: (user: HandleUser) => Handle): void;
}

export class SecureAcceptor extends TlsAcceptor<Connection> {
  readonly #shard: Shard;
  readonly #user: SecureAcceptorUser;

  constructor(shard: Shard, options: TlsServerOptions, user: SecureAcceptorUser) {
    super(shard, options, {
      onSecure: (socket, below) => user.onSecure(socket.tls, (of) => new SecureHandle(socket, below, of)),
      onFailed: (error, below) => user.onFailed(error, (of) => new SocketHandle(below, of)),
    });
    this.#shard = shard;
    this.#user = user;
  }

  /** Begins a handshake. */
  addFile(file: number): void {
    const { current } = this.terminators;
    if (current instanceof RecordTerminator) {
      this.open.add(new RecordAccept(this.#shard, file, current, this.#user, (accept) => this.open.delete(accept)));
      return;
    }
    const connection = new Connection(this.#shard, file);
    askAddress(connection);
    this.add(connection);
  }
}

/** The connection keeps the address, for onFailed(), when it may be closed. */
function askAddress(connection: { readonly remote: NetAddress | undefined }): void {
  addressIfKnown(() => connection.remote);
}

/** One connection by the addon until it is secure. */
class RecordAccept extends TimedHandshake implements HandshakeHandleUser {
  readonly #handle: RecordHandle;
  readonly #terminator: RecordTerminator;
  readonly #user: SecureAcceptorUser;
  readonly #onOver: (accept: RecordAccept) => void;

  constructor(
    shard: Shard,
    file: number,
    terminator: RecordTerminator,
    user: SecureAcceptorUser,
    onOver: (accept: RecordAccept) => void,
  ) {
    super(terminator.limits);
    this.#terminator = terminator;
    this.#user = user;
    this.#onOver = onOver;
    this.#handle = new RecordHandle(shard, file, terminator, this);
    askAddress(this.#handle);
    this.begin();
  }

  onSecure(): void {
    const { tls } = this.#handle;
    if (this.#terminator.needsCertificate && !tls.isAuthorized) {
      this.fail(handshakeError(`the client's certificate is not accepted: ${tls.authorizationError}`));
    } else if (this.end()) this.#user.onSecure(tls, (user) => this.#handOn(user));
  }

  #handOn(user: HandleUser): Handle {
    this.#handle.user = user;
    return this.#handle;
  }

  protected override end(): boolean {
    const isFirst = super.end();
    if (isFirst) this.#onOver(this);
    return isFirst;
  }

  fail(error: unknown): void {
    if (!this.end()) return;
    this.#user.onFailed(error, (user) => this.#handOn(user));
    this.#handle.close();
  }

  onPeerEnd(): void {
    this.fail(handshakeError('the client has left'));
  }

  onBroken(error: unknown): void {
    this.fail(error);
  }

  onShutdown(): void {
    this.destroy();
  }

  // --- what a handshake does not ask for -----------------------------------------------------------------------------

  onBytes(): void {}
  onWritten(): void {}
  onEndSent(): void {}
}

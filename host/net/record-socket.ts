// One connection over TLS whose records the addon encrypts and decrypts, over another connection.
//
//   Socket --> RecordSocket --> RecordConnection (the addon) --> Connection
//
// Next: tls-connect.ts, how it begins.

import type { WaitOptions } from '../base/abortable.js';
import { inTime } from '../base/in-time.js';
import { ownCopy } from '../base/own-bytes.js';
import type { Shard } from '../shard/shard.js';
import type { TlsClient } from '../tls/client-context.js';
import { handshakeError } from '../tls/handshake-limits.js';
import { tlsError } from '../tls/options.js';
import { ENDED, FAILED, PART_BYTES, type RecordConnection, UNREAD_REPLIES } from '../tls/record-engine.js';
import { RecordInfo } from '../tls/record-info.js';
import type { RecordTerminator } from '../tls/record-terminator.js';
import { DecryptedSocket } from './decrypted-socket.js';
import { type SocketTransport, socketClosed } from './socket.js';

const ALERT_MS = 2000;
const NO_BYTES = new Uint8Array(0);

export class RecordSocket extends DecryptedSocket {
  readonly tls: RecordInfo;
  readonly #connection: RecordConnection;
  #resume: (() => void) | undefined; // receiving goes on
  #peerEnded = false; // close_notify has come
  #replyBytes = 0; // of OpenSSL, of all replies
  #sentReplyBytes = 0;

  /** `label`: that of its sessions, if it is a client. */
  constructor(shard: Shard, connection: RecordConnection, below: SocketTransport, label?: Uint8Array) {
    super(shard, below);
    this.#connection = connection;
    this.tls = new RecordInfo(connection, label);
  }

  // --- the handshake -------------------------------------------------------------------------------------------------

  /** Does the server's side. Rejects with TLS; then the alert that says why is out. */
  async shakeHands(terminator: RecordTerminator): Promise<void> {
    let bytes = await this.below.read();
    if (bytes !== null) await new Promise<void>((resolve) => terminator.limits.inTurn(resolve));
    while (!this.#connection.isSecure) {
      if (this.isClosed) throw socketClosed();
      if (bytes === null) throw handshakeError('the client has left');
      await this.#decrypt(bytes, terminator).catch((error) => {
        throw handshakeError(error.message);
      });
      if (this.#hasLeftEarly) throw handshakeError('the client has left');
      if (!this.#connection.isSecure) bytes = await this.below.read();
    }
    if (terminator.needsCertificate && !this.tls.isAuthorized) {
      throw handshakeError(`the client's certificate is not accepted: ${this.tls.authorizationError}`);
    }
    this.#receive().catch((error) => this.#break(error));
  }

  /** Does the client's side. Rejects with TLS. */
  async shakeHandsWith(client: TlsClient): Promise<void> {
    try {
      await this.#decrypt(NO_BYTES); // the client has the first word
      while (!this.#connection.isSecure) {
        const bytes = await this.below.read();
        if (this.isClosed) throw socketClosed();
        if (bytes === null) throw endedEarly();
        await this.#decrypt(bytes);
        if (this.#hasLeftEarly) throw endedEarly();
      }
      const error = this.tls.checkServer(client.expectedName);
      if (error !== undefined && client.mustBeTrusted) throw error;
    } catch (error) {
      throw tlsError('the handshake failed', error);
    }
    this.#receive().catch((error) => this.#break(error));
  }

  /** The peer has sent close_notify in the middle of the handshake. The connection below may stay open. */
  get #hasLeftEarly(): boolean {
    return this.#peerEnded && !this.#connection.isSecure;
  }

  // --- reading -------------------------------------------------------------------------------------------------------

  async #receive(): Promise<void> {
    while (!this.#peerEnded) {
      if (this.arrived.isFull) await new Promise<void>((resolve) => (this.#resume = resolve));
      if (this.isClosed) return;
      const bytes = await this.below.read();
      if (bytes === null) {
        this.cutOff();
        return;
      }
      await this.#decrypt(bytes);
    }
  }

  /** Decrypts, and sends what the addon has to say to it. */
  async #decrypt(bytes: Uint8Array, terminator?: RecordTerminator): Promise<void> {
    if (this.isClosed) return;
    const connection = this.#connection;
    const wasSecure = connection.isSecure;
    const { outcome, plain } = connection.receive(bytes, (name) => terminator?.sni.listed(name));
    const { outputBytes } = connection;
    const error = outcome === FAILED ? connection.failure : undefined; // another call may fail meanwhile
    if (plain !== undefined) this.arrived.push(Buffer.from(plain.buffer));
    if (outcome === ENDED) {
      this.#peerEnded = true;
      this.arrived.end();
    }
    if (outputBytes === 0 && error === undefined) return;
    const sending = this.below.write(ownCopy(connection.output, 0, outputBytes));
    if (error !== undefined) {
      const alert = sending.then(() => this.below.end());
      await inTime(alert, ALERT_MS).catch(() => {}); // a peer that reads gets the alert that says why
      throw error;
    }
    if (wasSecure) this.#reply(sending);
    else await sending;
  }

  /** The reader does not wait for the peer to take a reply: the peer may be a slow reader of something large. */
  #reply(sending: Promise<void>): void {
    const bytes = this.#connection.outputBytes;
    this.#replyBytes += bytes;
    const isTooMuch = this.#connection.repliesTooMuch(this.#replyBytes, this.#sentReplyBytes);
    sending.then(
      () => {
        this.#sentReplyBytes += bytes;
      },
      (error) => this.#break(error),
    );
    if (isTooMuch) throw new Error(UNREAD_REPLIES);
  }

  protected onRoom(): void {
    this.#resume?.();
  }

  // --- writing -------------------------------------------------------------------------------------------------------

  protected async encrypt(bytes: Uint8Array, options: WaitOptions): Promise<void> {
    const writes: Promise<void>[] = []; // all of them begin now, so no other write comes between them
    for (let at = 0; at < bytes.length; at += PART_BYTES) {
      const encrypted = this.#connection.encrypt(bytes, at, Math.min(at + PART_BYTES, bytes.length));
      if (encrypted === undefined) throw this.#break(this.#connection.failure);
      writes.push(this.below.write(encrypted, options));
    }
    await Promise.all(writes);
  }

  protected async finish(): Promise<void> {
    const count = this.#connection.end();
    await this.below.write(ownCopy(this.#connection.output, 0, count));
    await this.below.end();
  }

  /** Closes it. Returns the error that reads and writes reject with. */
  #break(cause: unknown): unknown {
    if (!this.isClosed) this.fail(tlsError('the connection is broken', cause));
    return this.error ?? socketClosed();
  }

  protected free(): void {
    this.#connection.close();
    this.#resume?.();
  }
}

/** The error of node:tls for a server that ends the connection in the middle of the handshake. */
function endedEarly(): Error {
  const text = 'Client network socket disconnected before secure TLS connection was established';
  return Object.assign(new Error(text), { code: 'ECONNRESET' });
}

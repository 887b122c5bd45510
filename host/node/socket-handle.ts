// A connection that is a Socket of featherstar/net already, or one over TLS: a Handle over its promises. It reads one
// buffer at a time.
//
// Next: node-socket.ts.

import { FeatherstarError } from '../base/errors.js';
import type { NetAddress } from '../hosts/host.js';
import type { SocketTransport } from '../net/socket.js';
import type { Handle, HandleUser, Piece } from './handle.js';

/** A Socket, or what it works through. */
type PromisedSocket = Pick<SocketTransport, 'remote' | 'local' | 'read' | 'write' | 'end' | 'close'>;

export class SocketHandle implements Handle {
  writtenBytes = 0;
  readonly #socket: PromisedSocket;
  readonly #user: HandleUser;
  #wantsBytes = false;
  #isReading = false;
  #isClosed = false;

  constructor(socket: PromisedSocket, user: HandleUser) {
    this.#socket = socket;
    this.#user = user;
  }

  get remote(): NetAddress | undefined {
    return this.#socket.remote;
  }

  get local(): NetAddress | undefined {
    return this.#socket.local;
  }

  readStart(): void {
    this.#wantsBytes = true;
    if (!this.#isReading) void this.#read();
  }

  readStop(): void {
    this.#wantsBytes = false;
  }

  async #read(): Promise<void> {
    this.#isReading = true;
    try {
      while (this.#wantsBytes && !this.#isClosed) {
        const bytes = await this.#socket.read();
        if (this.#isClosed) return;
        if (bytes === null) {
          this.#wantsBytes = false;
          this.#user.onPeerEnd();
        } else this.#user.onBytes(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#isReading = false;
    }
  }

  write(pieces: readonly Piece[]): boolean {
    void this.#write(pieces);
    return false;
  }

  async #write(pieces: readonly Piece[]): Promise<void> {
    try {
      for (const { chunk, encoding } of pieces) {
        const bytes = typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk;
        this.writtenBytes += bytes.length;
        await this.#socket.write(bytes);
      }
    } catch (error) {
      this.#fail(error);
      return;
    }
    if (!this.#isClosed) this.#user.onWritten();
  }

  end(): void {
    this.#socket.end().then(
      () => {
        if (!this.#isClosed) this.#user.onEndSent();
      },
      (error) => this.#fail(error),
    );
  }

  /** The runtime closes its sockets without an error of their own. */
  #fail(error: unknown): void {
    if (this.#isClosed) return;
    this.close();
    if (FeatherstarError.is(error) && error.code === 'FEATHERSTAR_CLOSED') this.#user.onShutdown();
    else this.#user.onBroken(error);
  }

  close(): void {
    this.#isClosed = true;
    this.#socket.close();
  }
}

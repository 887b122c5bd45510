// The decrypted bytes of a connection over TLS, between their arrival and the program that reads them.
//
// Next: decrypted-socket.ts.

import { abortable, type WaitOptions } from '../base/abortable.js';
import { FeatherstarError } from '../base/errors.js';
import { checkWait } from '../base/options.js';
import { readIsOpen, socketClosed } from './socket.js';

const HIGH_WATER_BYTES = 65_536;

interface BytesWaiter {
  resolve: (bytes: Uint8Array | null) => void;
  reject: (reason: unknown) => void;
}

export class ArrivedBytes {
  #error: unknown; // why reads reject, once the bytes are read
  readonly #onRoom: () => void;
  readonly #pieces: Uint8Array[] = [];
  #bytes = 0;
  #reader: BytesWaiter | undefined;
  #hasEnded = false;

  /** `onRoom`: more bytes are welcome again. */
  constructor(onRoom: () => void) {
    this.#onRoom = onRoom;
  }

  get isReading(): boolean {
    return this.#reader !== undefined;
  }

  /** Whether so many bytes wait that no more are welcome. */
  get isFull(): boolean {
    return this.#bytes > HIGH_WATER_BYTES;
  }

  push(bytes: Uint8Array): void {
    const reader = this.#reader;
    this.#reader = undefined;
    if (reader !== undefined) {
      reader.resolve(bytes);
      return;
    }
    this.#pieces.push(bytes);
    this.#bytes += bytes.length;
  }

  /** The next read gets these first. */
  unread(bytes: Uint8Array): void {
    this.#pieces.unshift(bytes);
    this.#bytes += bytes.length;
  }

  /** The peer has sent its last byte. */
  end(): void {
    this.#hasEnded = true;
    this.#reader?.resolve(null);
    this.#reader = undefined;
  }

  /** The peer has ended the connection without close_notify. */
  cutOff(): void {
    const text = 'the peer has ended the connection without close_notify: bytes may be missing';
    this.fail(new FeatherstarError('FEATHERSTAR_TLS', text));
  }

  /** Nothing more comes. The first error counts. */
  fail(error: unknown): void {
    this.#error ??= error;
    this.rejectReader(this.#error);
  }

  /** The open read rejects. */
  rejectReader(error: unknown): void {
    this.#reader?.reject(error);
    this.#reader = undefined;
  }

  /** `isClosed`: by the program. */
  async read(options: WaitOptions, isClosed: boolean): Promise<Uint8Array | null> {
    checkWait(options);
    const bytes = this.#pieces.shift();
    if (bytes !== undefined) {
      const wasFull = this.isFull;
      this.#bytes -= bytes.length;
      if (wasFull && !this.isFull) this.#onRoom();
      return bytes;
    }
    if (this.#error !== undefined) throw this.#error;
    if (this.#hasEnded) return null;
    if (isClosed) throw socketClosed();
    if (this.#reader !== undefined) throw readIsOpen();
    return abortable<Uint8Array | null>((resolve, reject) => {
      this.#reader = { resolve, reject };
      return () => {
        this.#reader = undefined;
      };
    }, options);
  }
}

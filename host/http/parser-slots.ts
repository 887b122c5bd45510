// Linear memory for the parser's state of requests that have no file slot: those of HTTP/2. Slots are cut out of send
// buffers, which are given back when no slot is in use.

import { CONNECTION_BYTES } from '../core/layout.js';
import { perShard } from '../shard/per-shard.js';
import type { Shard } from '../shard/shard.js';

export class ParserSlots {
  static readonly of = perShard((shard) => new ParserSlots(shard));

  readonly #shard: Shard;
  #buffers: number[] = [];
  #free: number[] = [];
  #used = 0;

  constructor(shard: Shard) {
    this.#shard = shard;
  }

  /** An address of CONNECTION_BYTES, or 0: there is no room. */
  take(): number {
    if (this.#free.length === 0) this.#addBuffer();
    const at = this.#free.pop();
    if (at === undefined) return 0;
    this.#used++;
    return at;
  }

  #addBuffer(): void {
    const { sendBuffers, header } = this.#shard;
    const buffer = sendBuffers.takeLasting();
    if (buffer === 0) return;
    this.#buffers.push(buffer);
    for (let at = buffer; at + CONNECTION_BYTES <= buffer + header.sendBufferBytes; at += CONNECTION_BYTES) {
      this.#free.push(at);
    }
  }

  give(at: number): void {
    this.#used--;
    this.#free.push(at);
    if (this.#used !== 0) return;
    for (const buffer of this.#buffers) this.#shard.sendBuffers.giveLasting(buffer);
    this.#buffers = [];
    this.#free = [];
  }
}

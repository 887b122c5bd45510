// Which of a shard's peers run. A peer that has died is down at once for every caller. Open calls to it are rejected
// behind the next turn, which still reads the replies that it had sent. Then nothing is left here, and it may be
// started again.
//
//   up --down()--> dying --the next turn--> buried --up()--> up
//
// Next: call.ts, whose calls they are.

import { HEADER_STATES, MESH, ShardState } from '../core/layout.js';
import type { Shard } from '../shard/shard.js';

export class Peers {
  readonly #shard: Shard;
  readonly #forget: (peer: number) => void;
  readonly #isDown: boolean[] = [];
  readonly #dying = new Set<number>();
  readonly #lives: number[];
  readonly #onDown = new Set<(peer: number) => void>();

  /** `forget`: rejects what is open at a peer, and gives its slots back. */
  constructor(shard: Shard, shardCount: number, forget: (peer: number) => void) {
    this.#shard = shard;
    this.#forget = forget;
    this.#lives = new Array(shardCount).fill(0);
    const states = new Int32Array(shard.memory.buffer, HEADER_STATES, shardCount);
    states.forEach((state, peer) => {
      this.#isDown[peer] = state === ShardState.STOPPED; // died before this shard was started again
    });
  }

  isDown(peer: number): boolean {
    return this.#isDown[peer] as boolean;
  }

  /** How many lives of a peer have ended: who asked for something may be an earlier one than who runs now. */
  life(peer: number): number {
    return this.#lives[peer] as number;
  }

  /** Calls back when a peer is gone. Returns a function that takes that back. */
  onDown(callback: (peer: number) => void): () => void {
    this.#onDown.add(callback);
    return () => this.#onDown.delete(callback);
  }

  down(peer: number): void {
    if (this.#isDown[peer]) return;
    this.#isDown[peer] = true;
    this.#dying.add(peer);
    const shard = this.#shard;
    if (shard.closed) this.close();
    else shard.beforeNextTurn(() => queueMicrotask(() => this.#bury(peer)), true); // they run behind the turn
  }

  /** Nothing is left here of a peer that died, or of one that is about to be known to have. */
  whenBuried(peer: number): Promise<void> {
    if (this.#isDown[peer] && !this.#dying.has(peer)) return Promise.resolve();
    return new Promise((resolve) => {
      const off = this.onDown((gone) => {
        if (gone !== peer) return;
        off();
        resolve();
      });
    });
  }

  /** A peer that was buried runs again. */
  up(peer: number): void {
    this.#isDown[peer] = false;
  }

  /** This shard takes no more turns. */
  close(): void {
    for (const peer of this.#dying) this.#bury(peer);
  }

  #bury(peer: number): void {
    if (!this.#dying.delete(peer)) return;
    this.#shard.core.peerDown(peer);
    this.#forget(peer);
    (this.#lives[peer] as number)++;
    this.#clearRing(peer, this.#shard.index);
    this.#clearRing(this.#shard.index, peer);
    for (const callback of [...this.#onDown]) callback(peer);
  }

  /** A dead shard writes and reads no ring, so both of the pair's are ours; the next life begins with empty ones. */
  #clearRing(from: number, to: number): void {
    const { bytes, header } = this.#shard;
    const at = MESH + (from * header.shardCount + to) * header.ringBytes;
    bytes.fill(0, at, at + header.ringBytes);
  }
}

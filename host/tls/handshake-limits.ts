// The limits of the handshakes of a server: how long one may take, how many may be under way, how many begin at once.
//
// A handshake costs a shard up to a millisecond. A thousand clients that come at once would hold up the others for a
// second. So not more than TURN_HANDSHAKES begin in one round of the event loop. A client that stops in the middle
// keeps its place until its time is over. If there are too many, the oldest one is ended.
//
// Next: terminator.ts.

import { FeatherstarError } from '../base/errors.js';
import type { TlsServerOptions } from './options.js';

const HANDSHAKE_MS = 10_000;
const HANDSHAKES = 1024;
const TURN_HANDSHAKES = 8;

/** A handshake that is under way. */
export interface OpenHandshake {
  /** Closes it. */
  fail(error: FeatherstarError): void;
}

export class HandshakeLimits {
  readonly timeoutNs: number;
  readonly #most: number;
  readonly #open = new Set<OpenHandshake>(); // the oldest one first
  readonly #waiting: (() => void)[] = []; // those that have not begun
  #begun = 0; // in this round of the event loop
  #isCounting = false;

  constructor({ handshakeTimeoutMs = HANDSHAKE_MS, maxHandshakes = HANDSHAKES }: TlsServerOptions) {
    this.timeoutNs = handshakeTimeoutMs * 1e6;
    this.#most = maxHandshakes;
  }

  /** A handshake begins. The oldest one is ended if there are too many. */
  add(handshake: OpenHandshake): void {
    if (this.#open.size >= this.#most) {
      const [oldest] = this.#open;
      oldest?.fail(handshakeError('another client needs the place: more handshakes than maxHandshakes are under way'));
    }
    this.#open.add(handshake);
  }

  /** A handshake is over. */
  remove(handshake: OpenHandshake): void {
    this.#open.delete(handshake);
  }

  /** Calls `go` now, or in a later round if enough have begun in this one. */
  inTurn(go: () => void): void {
    if (this.#begun >= TURN_HANDSHAKES || this.#waiting.length !== 0) {
      this.#waiting.push(go);
      return;
    }
    this.#begun++;
    this.#count();
    go();
  }

  #count(): void {
    if (this.#isCounting) return;
    this.#isCounting = true;
    setImmediate(() => {
      this.#isCounting = false;
      this.#begun = 0;
      for (const go of this.#waiting.splice(0, TURN_HANDSHAKES)) {
        this.#begun++;
        go();
      }
      if (this.#begun !== 0) this.#count();
    });
  }
}

/** A handshake that counts from begin() to end(), and fails when its time is over. */
export abstract class TimedHandshake implements OpenHandshake {
  readonly #limits: HandshakeLimits;
  #timer: NodeJS.Timeout | undefined;
  #isOver = false;

  constructor(limits: HandshakeLimits) {
    this.#limits = limits;
  }

  abstract fail(error: unknown): void;

  protected begin(): void {
    this.#timer = setTimeout(() => this.fail(handshakeTimeout()), this.#limits.timeoutNs / 1e6);
    this.#limits.add(this);
  }

  /** False: it was over before. */
  protected end(): boolean {
    if (this.#isOver) return false;
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#limits.remove(this);
    return true;
  }

  destroy(): void {
    this.fail(handshakeError('the server closes'));
  }
}

export function handshakeError(text: string): FeatherstarError {
  return new FeatherstarError('FEATHERSTAR_TLS', `a handshake failed: ${text}`);
}

export function handshakeTimeout(): FeatherstarError {
  return new FeatherstarError('FEATHERSTAR_TIMEOUT', 'a client did not end its handshake in time');
}

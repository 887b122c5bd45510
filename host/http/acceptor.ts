// The listening side of a server: it accepts connections, and ends without losing one that the kernel has completed.
//
//   OPEN --close()--> DRAINING --drainNs--> SETTLING --settleNs--> STOPPING --> SWEEPING --> CLOSED
//
// The kernel does the handshake of a connection, and the client may send its request, before any process accepts it.
// Until then it waits in the listener's queue, and closing the listener resets what is there. Hence the order:
//
//   DRAINING   it accepts as before
//   SETTLING   the kernel begins no more handshakes (host.endHandshakes). Those under way end, and are accepted. By one
//              of its two ways they inherit that the listener hears no client, which each has to lose (host.hearAll)
//   STOPPING   accepting is cancelled. A connection that comes at this moment stays in the queue
//   SWEEPING   one more accept looks at the queue, and is cancelled behind that look
//   CLOSED     the slot of the listener is closed, and its port is free
//
// Other processes may accept from a socket that was given (Bound.isShared). So what waits there is left to them, and
// neither SETTLING nor SWEEPING takes place.
//
// A host without endHandshakes() (portable) accepts by itself, one connection in each round of its event loop. There
// SETTLING goes on until rounds bring none, and the slot is closed while accepting goes on. A connection is lost only
// if it comes between that host's last look and the end.
//
// Next: server.ts.

import type { Bound } from '../hosts/host.js';
import { Operation, Timer } from '../shard/operation.js';
import { accept, acceptOrThrow } from '../shard/ops.js';
import type { Owner } from '../shard/owners.js';
import type { Shard } from '../shard/shard.js';

const ACCEPTED = 0; // tags
const RETRY = 1;
const DUE = 2;

const OPEN = 0; // states
const DRAINING = 1;
const SETTLING = 2;
const STOPPING = 3;
const SWEEPING = 4;
const CLOSED = 5;

const RETRY_NS = 1e8;
const ROUND_NS = 1e6;
const QUIET_ROUNDS = 2; // timers of ROUND_NS: the event loop has looked at the queue between two of them

/** The receiver of connections. */
export interface AcceptorUser {
  /** `file`: its slot. */
  onConnection(file: number): void;
  /** Accepting has failed, perhaps for want of a file slot. */
  onShortage(): void;
}

export class Acceptor implements Owner {
  private readonly shard: Shard;
  private readonly bound: Bound;
  private readonly user: AcceptorUser;
  private readonly id: number;
  private readonly accepting: Operation;
  private readonly retrying: Timer; // accepting had failed
  private nodeRetry: NodeJS.Timeout | undefined; // likewise, when all timers are in use
  private readonly due: Timer; // the end of DRAINING or SETTLING
  private settleNs = 0;
  private roundsNs = 0;
  private roundsEndNs = 0;
  private quietRounds = 0; // one after the other
  private state = OPEN;
  private isSlotOpen = true;
  private hearsNone = false; // the listener, and what comes from it
  private onClosed: (() => void) | undefined;

  /** Throws FULL if no operation is left. Then the listener is closed. */
  constructor(shard: Shard, bound: Bound, user: AcceptorUser) {
    this.shard = shard;
    this.bound = bound;
    this.user = user;
    this.id = shard.register(this);
    this.accepting = new Operation(shard, this.id, ACCEPTED);
    this.retrying = new Timer(shard, this.id, RETRY);
    this.due = new Timer(shard, this.id, DUE);
    try {
      acceptOrThrow(this.accepting, bound.slot, bound.isShared !== true);
    } catch (error) {
      bound.unlink?.();
      this.finish();
      throw error;
    }
  }

  /** A connection, the end of accepting, or a time that is over. */
  onEvent(tag: number, result: number, flags: number): void {
    if (tag === ACCEPTED) this.onAccepted(result, flags);
    else if (tag === RETRY) {
      this.retrying.ended();
      this.again();
    } else {
      this.due.ended();
      if (this.state === DRAINING) this.settle();
      else if (this.state === SETTLING) this.onSettled();
    }
  }

  private onAccepted(result: number, flags: number): void {
    this.accepting.ended(flags);
    this.quietRounds = 0;
    if (result >= 0) {
      if (this.hearsNone) this.shard.host.hearAll?.(result);
      this.user.onConnection(result);
    } else if (this.state < SETTLING) this.user.onShortage();
    if (this.accepting.isOpen) return;
    if (this.state >= STOPPING) this.onStopped();
    else if (result >= 0) this.again();
    else this.retryLater();
  }

  /** Accepts again if that had failed: a file slot may be free now. */
  again(): void {
    if (!this.accepting.isOpen && this.state < STOPPING) this.accept();
  }

  private accept(): void {
    accept(this.accepting, this.bound.slot, this.bound.isShared !== true);
  }

  /** Mostly -ENFILE. A connection that goes frees a slot, and calls again(); but sockets of net/ hold slots as well. */
  private retryLater(): void {
    if (this.retrying.isOpen || this.nodeRetry !== undefined || this.retrying.tryArm(RETRY_NS)) return;
    this.nodeRetry = setTimeout(() => {
      this.nodeRetry = undefined;
      this.again();
    }, RETRY_NS / 1e6);
  }

  /**
   * Accepts for `drainNs` more, then ends. Resolves when no connection comes any more, and the port is free.
   * `roundsNs`: how long SETTLING may go on because each round brings one.
   */
  close(drainNs: number, settleNs: number, roundsNs: number): Promise<void> {
    if (this.state === CLOSED) return Promise.resolve(); // the runtime was faster
    return new Promise((resolve) => {
      this.onClosed = resolve;
      this.settleNs = settleNs;
      this.roundsNs = roundsNs;
      this.state = DRAINING;
      if (drainNs === 0 || !this.due.tryArm(drainNs)) this.settle();
    });
  }

  private settle(): void {
    this.state = SETTLING;
    this.bound.unlink?.();
    if (this.bound.isShared === true) {
      this.stop();
      return;
    }
    this.hearsNone = this.shard.host.endHandshakes?.(this.bound.slot) ?? false;
    this.roundsEndNs = this.shard.nowNs + this.settleNs + this.roundsNs;
    if (this.settleNs === 0 || !this.due.tryArm(this.settleNs)) this.stop();
  }

  private onSettled(): void {
    const { host, nowNs } = this.shard;
    const isQuiet = this.quietRounds === QUIET_ROUNDS;
    const looksAgain = !isQuiet && host.endHandshakes === undefined && nowNs < this.roundsEndNs;
    this.quietRounds++;
    if (!looksAgain || !this.due.tryArm(ROUND_NS)) this.stop();
  }

  private stop(): void {
    const sweeps = this.bound.isShared === true || this.shard.host.endHandshakes !== undefined;
    this.state = sweeps ? STOPPING : SWEEPING;
    if (!sweeps) this.closeSlot();
    if (!this.accepting.isOpen) this.onStopped();
    else if (sweeps) this.accepting.cancel();
  }

  private onStopped(): void {
    if (this.state === STOPPING && this.bound.isShared !== true) {
      this.state = SWEEPING;
      this.accept();
      this.accepting.cancel();
    } else this.finish();
  }

  private closeSlot(): void {
    if (!this.isSlotOpen) return;
    this.isSlotOpen = false;
    this.shard.closeFile(this.bound.slot);
  }

  private finish(): void {
    if (this.state === CLOSED) return;
    this.state = CLOSED;
    this.retrying.disarm();
    this.due.disarm();
    clearTimeout(this.nodeRetry);
    this.closeSlot();
    this.shard.unregister(this.id);
    this.onClosed?.();
  }

  /** The runtime has waited long enough. */
  onShutdown(): void {
    if (this.state < SETTLING) this.bound.unlink?.();
    this.accepting.cancel();
    this.finish();
  }
}

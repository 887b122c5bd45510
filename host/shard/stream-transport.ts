// The bytes and the ends of one stream socket (TCP or Unix): receiving, sending, deadlines, and how the connection
// ends. It knows nothing of messages: a user (http/connection.ts) gets the bytes and decides what they mean.
//
//   OPEN --finish()--> FINISHING --all is sent--> LINGERING --the peer's end, or time--> CLOSED
//                          \--all is sent, and the peer has nothing more to say--> CLOSED
//   any --reset, error, a peer that is too slow, destroy()--> CLOSED
//
// A slow peer must take some bytes in each stretch of time, or the connection is closed (Pace). Without that a peer
// could keep what waits for it in memory for ever by taking a byte now and then.
//
// FINISHING and LINGERING receive and drop what the peer still sends. Otherwise a peer that sends before it reads would
// wait for ever. And bytes that are unread at close make the kernel reset the connection, so the peer loses what it was
// sent. Each state is ended by:
//
//   OPEN       the user; its deadline; a reset. While nothing is received a poll watches for the reset, and the end.
//   FINISHING  the last byte is out; the peer is slower than its pace; it sends LINGER_BYTES
//   LINGERING  the peer's end; LINGER_SILENCE_NS without a byte; LINGER_BYTES; LINGER_NS in all
//   CLOSED     the last event of each operation, after which its number is free (owners.ts)
//
// After CLOSED only the last events of its operations come in; then nothing refers to the transport any more.
//
// Next: stream-socket.ts.

import { Errno, POLLERR, POLLHUP, SMALL_BUFFERS } from '../core/kernel.js';
import { type ChunkUse, COPIED, KEPT, REFUSED } from '../hosts/host.js';
import { Operation, Timer } from './operation.js';
import { watchEnds } from './ops.js';
import type { Shard } from './shard.js';
import { FIRST_TAG, StreamSocket } from './stream-socket.js';
import type { Transport, TransportUser } from './transport.js';

const TIMER = FIRST_TAG; // tags
const WATCHED = FIRST_TAG + 1;

const OPEN = 0; // states
const FINISHING = 1;
const LINGERING = 2;
const CLOSED = 3;
const STATES = ['open', 'finishing', 'lingering', 'closed'];

const DIRECT_BYTES = 16_384; // of a body's rest; fewer come through a receive buffer, which saves a turn

const LINGER_SILENCE_NS = 2e9;
const LINGER_NS = 30e9;
const LINGER_BYTES = 67_108_864;

/** How slow a peer may be: while bytes wait for room in the socket, it must take `bytes` in each `ns`. */
export interface Pace {
  readonly ns: number;
  readonly bytes: number;
}

export class StreamTransport extends StreamSocket implements Transport {
  /** The peer has ended its side. Bytes from before may be still to come. */
  peerLeft = false;
  /** The peer has sent its last byte, and it has come. */
  peerEnded = false;

  user: TransportUser;
  private readonly pace: Pace;
  private state = OPEN;
  private readonly watching: Operation;
  private peerIsDone = false; // it was said so by finish()
  private lingerBytes = 0; // came since finish()
  private lingerEndNs = 0;
  private readonly timer: Timer;
  private firesNs = Number.POSITIVE_INFINITY;
  private deadlineNs = Number.POSITIVE_INFINITY;
  private paceDueNs = Number.POSITIVE_INFINITY; // until then ...
  private paceGoalBytes = 0; // ... the peer must have taken this many of all bytes
  private isPaceOver = false; // it is over: what there is room for goes out once more

  constructor(shard: Shard, file: number, pace: Pace, user: TransportUser) {
    super(shard, file);
    this.pace = pace;
    this.user = user;
    this.watching = new Operation(shard, this.id, WATCHED);
    this.timer = new Timer(shard, this.id, TIMER);
  }

  /** For reports of what a shard has open. */
  override toString(): string {
    return `${this.user}, ${STATES[this.state]}`;
  }

  protected onOther(tag: number, result: number, flags: number): void {
    if (tag === TIMER) this.onTimer();
    else this.onWatched(result, flags);
  }

  // --- receiving -----------------------------------------------------------------------------------------------------

  /** Receives from now on, if more bytes are welcome. */
  receive(): void {
    if (this.receiving.isOpen || this.peerEnded || this.state === CLOSED) return;
    if (this.state === OPEN && !this.user.mayReceive) return;
    if (this.state !== OPEN || !this.prefersDirect || this.user.expectsHead === undefined) this.startReceiving(true);
    else if ((this.user.targetBytes ?? 0) >= DIRECT_BYTES) this.startDirect();
    else if (!this.user.expectsHead || this.hasMore) this.startReceiving(false);
    else this.startReceiving(false, SMALL_BUFFERS); // a head; the body behind it can go where it belongs
  }

  protected override makeTarget(): Uint8Array | null | undefined {
    const target = this.state === OPEN ? this.user.takeTarget?.() : undefined;
    if (target === null) this.watch();
    return target;
  }

  protected onReceived(result: number, buffer: number, target?: Uint8Array): void {
    if (result > 0) {
      if (target !== undefined) {
        if (this.state === OPEN) this.user.onTarget?.(target, result, true);
        else this.countLinger(result);
      } else if (this.state === OPEN) {
        const bytes = this.takeBytes(buffer);
        const at = this.shard.recvBufferAt(buffer);
        if (bytes === undefined) this.user.onBuffer(at, at + result, buffer);
        else this.user.onBytes(bytes);
      } else this.drop(buffer, result);
    }
    if (this.state === CLOSED) return;
    if (result === 0) this.onPeerEnd();
    else if (result < 0 && result !== Errno.ENOBUFS && result !== Errno.ECANCELED) this.destroy();
    // ENOBUFS: buffers go back with the same enter that takes the new receive, so this does not spin.
    else if (!this.receiving.isOpen) this.receive();
    if (!this.receiving.isOpen) this.watch();
  }

  /** Bytes of a body, which its reader wants. */
  protected override onChunk(chunk: Uint8Array, isOwn: boolean): ChunkUse {
    const { user } = this;
    if (this.state !== OPEN || (user.targetBytes ?? 0) < chunk.length) return REFUSED;
    const isKept = user.onTarget?.(chunk, chunk.length, isOwn);
    if (this.state === OPEN && !user.mayReceive) this.pause();
    return isKept ? KEPT : COPIED;
  }

  private onPeerEnd(): void {
    this.peerEnded = true;
    this.peerLeft = true;
    if (this.state === OPEN) this.user.onPeerEnd();
    else if (this.state === LINGERING) this.destroy();
  }

  /** No code reads these bytes: they came after finish(). */
  private drop(buffer: number, bytes: number): void {
    this.release(buffer);
    this.countLinger(bytes);
  }

  private countLinger(bytes: number): void {
    this.lingerBytes += bytes;
    if (this.lingerBytes > LINGER_BYTES) this.destroy();
    else if (this.state === LINGERING) this.lingerOn();
  }

  // Without an open receive the kernel tells nothing of the peer, so a poll does.
  private watch(): void {
    if (!this.watching.isOpen && this.state === OPEN) watchEnds(this.watching, this.file);
  }

  private onWatched(result: number, flags: number): void {
    this.watching.ended(flags);
    if (this.state === CLOSED) return;
    if (result < 0 || (result & (POLLERR | POLLHUP)) !== 0) this.destroy();
    else {
      this.peerLeft = true; // of the three ends, this one is left
      if (this.state === OPEN) this.user.onPeerLeft();
      this.watch(); // the kernel ends a poll if its completions overflow
    }
  }

  // --- sending -------------------------------------------------------------------------------------------------------

  protected onSending(isWhole: boolean): void {
    if (this.state === CLOSED) this.user.onSent();
    else if (!isWhole) this.destroy();
    else {
      this.watchPace();
      if (this.state === OPEN || this.state === FINISHING) this.user.onSent();
      if (this.state === FINISHING && this.out.isIdle) this.afterLast();
    }
  }

  /** A stretch begins when the socket is full, and the next one when enough was taken. */
  private watchPace(): void {
    const { out, pace } = this;
    if (!out.isBehind) {
      this.paceDueNs = Number.POSITIVE_INFINITY;
      this.paceGoalBytes = 0;
      this.isPaceOver = false;
    } else if (out.sentBytes >= this.paceGoalBytes) {
      this.paceGoalBytes = out.sentBytes + pace.bytes;
      this.paceDueNs = this.shard.nowNs + pace.ns;
      this.isPaceOver = false;
      if (this.paceDueNs < this.firesNs) this.armTimer(pace.ns);
    } else if (this.isPaceOver && out.waitsForRoom) this.destroy();
  }

  /** The peer may have taken enough though the poll has not told: a send tells. */
  private onPaceOver(): void {
    if (this.isPaceOver) return;
    this.isPaceOver = true;
    this.out.tryRoom();
  }

  // --- the end -------------------------------------------------------------------------------------------------------

  /**
   * Sends what is queued, then FIN, and closes when the peer has ended too. The user has nothing more to say.
   * `peerIsDone`: neither has the peer. Then closing loses nothing, and is all that is needed.
   */
  finish(peerIsDone = false): void {
    if (this.state !== OPEN) return;
    this.state = FINISHING;
    this.peerIsDone = peerIsDone;
    if (!peerIsDone) this.receive();
    if (this.out.isIdle) this.afterLast();
    else {
      this.out.hurry();
      this.clearDeadline(); // what is queued goes out, or the pace ends it
    }
  }

  /** All is out. Closing now could make the kernel throw away what the peer has not read, if it still sends. */
  private afterLast(): void {
    if (this.peerEnded || this.peerIsDone) {
      this.destroy();
      return;
    }
    this.state = LINGERING;
    this.sendEnd();
    this.lingerEndNs = this.shard.nowNs + LINGER_NS;
    this.lingerOn();
  }

  private lingerOn(): void {
    this.setDeadline(Math.min(LINGER_SILENCE_NS, this.lingerEndNs - this.shard.nowNs));
  }

  protected onShut(): void {} // the peer's end is what it waits for

  /** Closes at once; what is queued is lost. */
  destroy(): void {
    if (this.state === CLOSED) return;
    this.state = CLOSED;
    this.timer.disarm();
    this.watching.cancel();
    this.closeSocket();
    this.user.onClosed();
  }

  onShutdown(): void {
    this.destroy();
  }

  // --- time ----------------------------------------------------------------------------------------------------------

  // One timer, moved lazily: a deadline that moves on costs a store; the timer looks at it when it fires.
  /** From now on; it takes the place of the last one. */
  setDeadline(ns: number): void {
    this.deadlineNs = this.shard.nowNs + ns;
    if (this.deadlineNs < this.firesNs) this.armTimer(ns);
  }

  clearDeadline(): void {
    this.deadlineNs = Number.POSITIVE_INFINITY;
  }

  private armTimer(ns: number): void {
    const { shard } = this;
    if (this.state === CLOSED) return;
    if (this.timer.isOpen && !this.timer.disarm()) return; // it fires now
    if (!this.timer.tryArm(ns)) {
      shard.beforeNextTurn(() => this.destroy(), true); // a connection that nothing would ever end is not kept
      return;
    }
    this.firesNs = shard.nowNs + ns;
  }

  private onTimer(): void {
    this.timer.ended();
    this.firesNs = Number.POSITIVE_INFINITY;
    if (this.state === CLOSED) return;
    const { nowNs } = this.shard;
    const leftNs = Math.min(this.deadlineNs, this.paceDueNs) - nowNs;
    if (leftNs > 0) {
      this.armTimer(Math.min(leftNs, this.pace.ns));
      return;
    }
    if (this.paceDueNs <= nowNs) {
      this.armTimer(this.pace.ns); // for the deadline: the pace ends with a send
      this.onPaceOver();
    }
    if (this.deadlineNs > nowNs) return;
    if (this.state === OPEN) this.user.onDeadline();
    else this.destroy(); // it does not close
  }
}

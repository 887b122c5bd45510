// TCP and Unix sockets of the portable host: streams answer what the core asked of the kernel.
//
// Reading: what the stream pushes goes into receive buffers while a receive is armed. A receive into large ones gets a
// chunk that the stream does not need any more as it is. The first chunk that finds no receive is kept, and the stream
// is paused. So a slow reader holds one chunk here and at most READ_AHEAD_BYTES in the stream.
// Then its peer's TCP window is full. Writing: a send is copied once, when the stream gets it, and completes when the
// kernel has taken it. The next one waits in linear memory until then, or gets -EAGAIN if it may not wait
// (MSG_DONTWAIT). So a peer that does not read costs one send.
//
// Large chunks have two short cuts, without a submission, a completion or a turn. A sink takes a chunk where the stream
// has read it, while a receive into large buffers stays open. And sendAtOnce() copies bytes into memory that is used
// again and again, and hands them to the stream, if that has nothing else.
//
// libuv reads a socket up to 32 times before it looks at others or at timers, if each read fills the whole array. The
// program runs behind each read. So after FULL_CHUNKS of them the stream rests until the platform's other events had
// their turn.
//
// Ends: Node does not tell of a reset while a stream is paused or its peer has ended. So while the ends are watched the
// stream is probed, by a write of nothing, every PROBE_MS. An end behind unread bytes shows only when they are read.
//
// Closing: what a send was still writing is written, then FIN goes out, for LINGER_MS at most without progress. Every
// open operation completes with -ECANCELED at once. A cancelled send may have been sent in part, as with the kernel.
//
// Next: portable.ts.

import { ownCopy } from '../base/own-bytes.js';
import { platform } from '../base/platform-timers.js';
import {
  CQE_BUFFER,
  CQE_BUFFER_SHIFT,
  END_EVENTS,
  Errno,
  LARGE_BUFFERS,
  POLLOUT,
  POLLRDHUP,
  SHUT_RD,
  SHUT_WR,
} from '../core/kernel.js';
import { type ChunkSink, type ChunkUse, KEPT, type NetAddress, REFUSED } from './host.js';
import { type Op, type OpOwner, type PortableWindow, SCRATCH_BYTES } from './portable-window.js';
import {
  type ConnectTarget,
  READ_AHEAD_BYTES,
  type Stream,
  type StreamOwner,
  type StreamServer,
  type Streams,
} from './streams.js';

const LINGER_MS = 30_000;
const PROBE_MS = 500;
const SINK_BYTES = 16_384; // chunks from here on are handed to sinks
const FULL_CHUNKS = 4; // that come in a row

type SocketState = 'idle' | 'connecting' | 'open' | 'closed';

export class PortableSocket implements OpOwner, StreamOwner {
  readonly #window: PortableWindow;
  readonly #lingering: Set<Stream>;
  readonly #stream: Stream;
  #state: SocketState;
  #receives: Op[] = [];
  #sends: Op[] = [];
  #connect: Op | undefined;
  #watch: Op | undefined; // one at a time
  #room: Op | undefined; // likewise
  #probe: NodeJS.Timeout | undefined;
  #chunk: Buffer | undefined; // came while no receive was armed, or did not fit
  #chunkAt = 0;
  #isPaused: boolean;
  #fullChunks = 0; // in a row, since the stream has rested
  #isWriting = false; // a send is with the stream and not yet with the kernel
  #written: Op | undefined; // that send, unless it was cancelled
  #peerEnded = false;
  #ended = false;
  #error = 0; // happened, and no operation has been told

  /** A connection that was accepted, or one that is still to be made. */
  constructor(window: PortableWindow, lingering: Set<Stream>, stream: Stream, state: 'idle' | 'open') {
    this.#window = window;
    this.#lingering = lingering;
    this.#stream = stream;
    this.#state = state;
    this.#isPaused = true;
    stream.attach(this);
  }

  get remote(): NetAddress | undefined {
    return this.#stream.remote;
  }

  get local(): NetAddress | undefined {
    return this.#stream.local;
  }

  keepAlive(isOn: boolean, idleMs: number): void {
    this.#stream.setKeepAlive(isOn, idleMs);
  }

  // --- reading -------------------------------------------------------------------------------------------------------

  /** `sink`: see Windows. */
  receive(op: Op, sink: ChunkSink | undefined): void {
    if (this.#state === 'idle') {
      this.#window.finish(op, Errno.ENOTCONN);
      return;
    }
    if (op.bufGroup === LARGE_BUFFERS) op.sink = sink;
    this.#window.open(op, this);
    this.#receives.push(op);
    this.#giveReceived();
    if (this.#isPaused && this.#receives.length !== 0) {
      this.#isPaused = false;
      this.#stream.resume();
    }
  }

  onData(chunk: Buffer, isOwn: boolean): boolean {
    if (this.#state === 'closed') return false;
    const isFull = this.#stream.readsInRow && chunk.length === READ_AHEAD_BYTES;
    if (!isFull) this.#fullChunks = 0;
    else if (++this.#fullChunks === FULL_CHUNKS) this.#rest();
    if (chunk.length >= SINK_BYTES) {
      const use = this.#give(chunk, isOwn);
      if (use !== REFUSED) return use === KEPT;
    }
    const kept = this.#chunk?.subarray(this.#chunkAt);
    const ownsChunk = isOwn || kept !== undefined;
    this.#chunk = kept === undefined ? chunk : Buffer.concat([kept, chunk]);
    this.#chunkAt = 0;
    this.#giveReceived(ownsChunk);
    if (this.#chunk !== undefined) {
      if (!ownsChunk) this.#keepChunk(this.#chunk);
      if (!this.#isPaused) this.#stream.pause();
      this.#isPaused = true;
    }
    if (isFull) this.#window.turnNow(); // the sink may take those behind it
    return isOwn; // perhaps: it may wait here, or in the window
  }

  /** Other sockets and timers come first. */
  #rest(): void {
    this.#fullChunks = 0;
    if (this.#isPaused) return;
    this.#stream.pause();
    platform.setImmediate(() => {
      if (!this.#isPaused && this.#state !== 'closed') this.#stream.resume();
    });
  }

  /** Gives a chunk to the sink of the open receive. If it takes the chunk, no event is needed. */
  #give(chunk: Buffer, isOwn: boolean): ChunkUse {
    const op = this.#receives[0];
    if (op?.sink === undefined) return REFUSED; // an open receive has got all that was kept
    this.#window.setClock();
    const bytes = isOwn ? new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length) : chunk;
    return op.sink.takeChunk(bytes, isOwn, op.told);
  }

  /** The stream reads the next bytes to where the chunk lies. */
  #keepChunk(chunk: Buffer): void {
    this.#chunk = Buffer.from(ownCopy(chunk, this.#chunkAt, chunk.length).buffer);
    this.#chunkAt = 0;
  }

  onEnd(): void {
    this.#peerEnded = true;
    this.#giveReceived();
    this.#tellWatch(POLLRDHUP);
    this.#tellRoom(POLLRDHUP); // the kernel tells of it whatever a poll has asked for
  }

  // --- the ends ------------------------------------------------------------------------------------------------------

  /** Tells of the peer's end and of a reset, until it is cancelled. */
  watch(op: Op): void {
    if (this.#watch !== undefined) {
      this.#window.finish(op, Errno.EOPNOTSUPP);
      return;
    }
    this.#window.open(op, this);
    this.#watch = op;
    if (this.#stream.isDestroyed) this.#tellWatch(END_EVENTS);
    else {
      if (this.#peerEnded) this.#tellWatch(POLLRDHUP);
      const stream = this.#stream;
      if (stream.probe !== undefined) this.#probe = setInterval(() => stream.probe?.(), PROBE_MS).unref();
    }
  }

  #tellWatch(events: number): void {
    if (this.#watch !== undefined) this.#window.more(this.#watch, events, 0);
  }

  #endWatch(): void {
    clearInterval(this.#probe);
    this.#probe = undefined;
    this.#watch = undefined;
  }

  /** Hands on what there is: bytes first, then an error, then the end. A chunk that was kept is its own. */
  #giveReceived(ownsChunk = true): void {
    while (this.#receives.length !== 0) {
      const op = this.#receives[0] as Op;
      if (this.#chunk !== undefined) {
        if (this.#fill(op, this.#chunk, ownsChunk)) this.#receives.shift();
      } else if (this.#error !== 0 || this.#peerEnded) {
        this.#receives.shift();
        this.#window.finish(op, this.#error);
        this.#error = 0;
      } else return;
    }
  }

  /** Hands a part of the chunk to where the operation wants it. True: that was its last completion. */
  #fill(op: Op, chunk: Buffer, ownsChunk: boolean): boolean {
    const window = this.#window;
    const from = this.#chunkAt;
    let end = op.len === 0 ? chunk.length : Math.min(chunk.length, from + op.len);
    let buffer = 0;
    if (!op.picksBuffer) chunk.copy(op.memory, op.ptr, from, end);
    else if (op.bufGroup === LARGE_BUFFERS && ownsChunk) buffer = window.keepBytes(chunk.subarray(from, end));
    else {
      buffer = window.takeBuffer(op.bufGroup);
      if (buffer >= 0) {
        end = Math.min(end, from + window.bufferBytes[op.bufGroup as 0 | 1]);
        chunk.copy(window.bytes, window.bufferAt(buffer), from, end);
      } else if (op.bufGroup === LARGE_BUFFERS) buffer = window.keepBytes(ownCopy(chunk, from, end));
    }
    if (buffer < 0) {
      window.finish(op, Errno.ENOBUFS);
      return true;
    }
    const count = end - from;
    this.#chunkAt = end;
    if (this.#chunkAt === chunk.length) this.#chunk = undefined;
    const flags = op.picksBuffer ? CQE_BUFFER | (buffer << CQE_BUFFER_SHIFT) : 0;
    if (op.isMultishot) window.more(op, count, flags);
    else window.finish(op, count, flags);
    return !op.isMultishot;
  }

  // --- writing -------------------------------------------------------------------------------------------------------

  /** See ShardHost. */
  sendAtOnce(bytes: Uint8Array): number {
    const window = this.#window;
    if (this.#state !== 'open' || this.#ended || this.#error !== 0) return 0;
    let sent = 0;
    while (!this.#isWriting && sent < bytes.length) {
      const count = Math.min(SCRATCH_BYTES, bytes.length - sent);
      const copy = window.copyBytes(bytes, sent, count);
      this.#isWriting = !this.#stream.write(copy);
      if (this.#isWriting) window.keepCopy(copy);
      sent += count;
    }
    return sent;
  }

  /** `isNow`: it is decided at once, so it may be with Node when it completes; while one is, the next gets -EAGAIN. */
  send(op: Op, isNow: boolean): void {
    if (this.#refuses(op)) return;
    if (op.len === 0) this.#window.finish(op, 0);
    else if (this.#isWriting) {
      if (isNow) this.#window.finish(op, Errno.EAGAIN);
      else this.#enqueue(op);
    } else if (this.#write(op, isNow) || isNow) this.#window.finish(op, op.len);
    else {
      this.#written = op;
      this.#enqueue(op);
    }
  }

  /** Decided at once, like send(). Lent bytes are not copied: the stream may read them until it has written them. */
  sendLent(op: Op, headBytes: number, lent: Uint8Array[]): void {
    if (this.#refuses(op)) return;
    if (this.#isWriting) {
      this.#window.finish(op, Errno.EAGAIN);
      return;
    }
    const head = this.#window.copyOf(op, headBytes);
    if (headBytes !== 0) lent.unshift(head);
    this.#isWriting = !this.#stream.writeAll(lent);
    if (this.#isWriting) this.#window.keepCopy(head);
    this.#window.finish(op, op.len);
  }

  /** Whether nothing can be sent; then the operation has been told why. */
  #refuses(op: Op): boolean {
    if (this.#state === 'idle') this.#window.finish(op, Errno.ENOTCONN);
    else if (this.#error !== 0) {
      this.#window.finish(op, this.#error);
      this.#error = 0;
    } else if (this.#ended) this.#window.finish(op, Errno.EPIPE);
    else return false;
    return true;
  }

  /** Tells that there is room, now and whenever the stream has written what it had, until it is cancelled. */
  watchRoom(op: Op): void {
    if (this.#room !== undefined) {
      this.#window.finish(op, Errno.EOPNOTSUPP);
      return;
    }
    this.#window.open(op, this);
    this.#room = op;
    if (this.#state === 'closed' || this.#stream.isDestroyed) this.#tellRoom(POLLOUT | END_EVENTS);
    else if (this.#ended || !this.#isWriting) this.#tellRoom(POLLOUT);
    else if (this.#peerEnded) this.#tellRoom(POLLRDHUP);
  }

  #tellRoom(events: number): void {
    if (this.#room !== undefined) this.#window.more(this.#room, events, 0);
  }

  #enqueue(op: Op): void {
    this.#window.open(op, this);
    this.#sends.push(op);
  }

  /**
   * Hands the bytes of a send to the stream. True: the kernel has them. A block belongs to its owner until the send has
   * ended, so its bytes are not copied. Other bytes are copied, because they may be reused while the stream still has
   * them.
   */
  #write(op: Op, isNow: boolean): boolean {
    const isShared = this.#isBlock(op) && !isNow;
    const bytes = isShared ? op.memory.subarray(op.ptr, op.ptr + op.len) : this.#window.copyOf(op, op.len);
    if (this.#stream.write(bytes)) return true;
    if (!isShared) this.#window.keepCopy(bytes);
    this.#isWriting = true;
    return false;
  }

  #isBlock(op: Op): boolean {
    return op.memory === this.#window.blocks;
  }

  onWritten(): void {
    if (this.#state === 'closed') return; // close() has told all owners
    this.#isWriting = false;
    const done = this.#written;
    this.#written = undefined;
    if (done !== undefined) {
      this.#sends.shift();
      this.#window.finish(done, done.len);
    }
    while (this.#sends.length !== 0) {
      const op = this.#sends[0] as Op;
      if (!this.#write(op, false)) {
        this.#written = op;
        return;
      }
      this.#sends.shift();
      this.#window.finish(op, op.len);
    }
    this.#tellRoom(POLLOUT);
  }

  shutdown(op: Op): void {
    const how = op.len;
    if (this.#state !== 'open') this.#window.finish(op, Errno.ENOTCONN);
    else {
      if (how !== SHUT_WR) this.onEnd();
      if (how !== SHUT_RD) this.#end();
      this.#window.finish(op, 0);
    }
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#tellRoom(POLLOUT);
    const first = this.#written === undefined ? 0 : 1; // what the stream has already goes out before FIN
    for (const op of this.#sends.splice(first)) this.#window.finish(op, Errno.EPIPE);
    this.#stream.end();
  }

  // --- life ----------------------------------------------------------------------------------------------------------

  connect(op: Op, target: ConnectTarget): void {
    if (this.#state !== 'idle') {
      this.#window.finish(op, Errno.EISCONN);
      return;
    }
    this.#state = 'connecting';
    this.#connect = op;
    this.#window.open(op, this);
    this.#stream.connect(target);
  }

  onConnect(): void {
    const op = this.#connect;
    if (this.#state !== 'connecting' || op === undefined) return;
    this.#state = 'open';
    this.#connect = undefined;
    this.#window.finish(op, 0);
  }

  /** The connection is over. A second time, or after both ends, all is known already. */
  onBroken(errno: number): void {
    if (this.#state === 'closed') return;
    this.#state = 'open'; // as long as operations may come: receives and sends report its state
    this.#ended = true;
    const ops = this.#sends.splice(0);
    if (this.#connect !== undefined) ops.push(this.#connect);
    this.#connect = undefined;
    this.#written = undefined;
    if (!this.#peerEnded) this.#error = errno;
    this.#peerEnded = true;
    for (const op of ops) this.#window.finish(op, errno);
    this.#tellRoom(POLLOUT | END_EVENTS);
    this.#giveReceived();
    if (ops.length !== 0) this.#error = 0; // an error is told once; then receives see the end, and sends EPIPE
    clearInterval(this.#probe);
    this.#tellWatch(END_EVENTS);
  }

  cancel(op: Op): void {
    if (op === this.#connect) {
      this.#connect = undefined;
      this.#stream.destroy();
    } else if (op === this.#written) {
      if (this.#isBlock(op)) return; // too late: the stream still reads it
      this.#written = undefined;
      this.#sends.shift();
    } else if (op === this.#watch) this.#endWatch();
    else if (op === this.#room) this.#room = undefined;
    else if (!remove(this.#receives, op)) remove(this.#sends, op);
    this.#window.finish(op, Errno.ECANCELED);
  }

  /** Gives the file slot up. */
  close(): void {
    if (this.#state === 'closed') return;
    const lingers = this.#state === 'open' && this.#isWriting && !this.#stream.isDestroyed;
    const isRead = lingers && this.#written !== undefined && this.#isBlock(this.#written);
    const late = isRead ? this.#sends.shift() : undefined; // the stream still reads it
    const ops = [...this.#receives.splice(0), ...this.#sends.splice(0)];
    if (this.#connect !== undefined) ops.push(this.#connect);
    if (this.#watch !== undefined) ops.push(this.#watch);
    if (this.#room !== undefined) ops.push(this.#room);
    this.#room = undefined;
    this.#endWatch();
    this.#state = 'closed';
    this.#chunk = undefined;
    for (const op of ops) this.#window.finish(op, Errno.ECANCELED);
    if (lingers) this.#linger(this.#stream, late);
    else this.#stream.destroy();
  }

  #linger(stream: Stream, late: Op | undefined): void {
    this.#lingering.add(stream);
    stream.linger(LINGER_MS, () => {
      this.#lingering.delete(stream);
      if (late !== undefined) this.#window.finish(late, Errno.ECANCELED);
    });
  }
}

function remove(ops: Op[], op: Op): boolean {
  const at = ops.indexOf(op);
  if (at >= 0) ops.splice(at, 1);
  return at >= 0;
}

const GONE = -2;

/** Takes a slot for a new connection of a listener, or returns -1. */
export type Adopt = (stream: Stream) => number;

export class PortableListener implements OpOwner {
  readonly server: StreamServer;
  /** Runs when it closes: it removes the file of a Unix socket, where Node does not. */
  onClose: (() => void) | undefined;
  readonly #window: PortableWindow;
  readonly #backlog: number;
  readonly #adopt: Adopt;
  #accepts: Op[] = [];
  #waiting: Stream[] = []; // accepted, and not yet requested
  #closed = false;

  constructor(window: PortableWindow, streams: Streams, backlog: number, adopt: Adopt) {
    this.#window = window;
    this.#backlog = backlog;
    this.#adopt = adopt;
    this.server = streams.serve(
      (stream) => this.#onStream(stream),
      (errno) => this.#onError(errno),
    );
  }

  #onError(errno: number): void {
    const op = this.#accepts.shift();
    if (op !== undefined) this.#window.finish(op, errno);
  }

  accept(op: Op): void {
    this.#window.open(op, this);
    this.#accepts.push(op);
    this.#giveAccepted();
  }

  #onStream(stream: Stream): void {
    if (this.#closed || (this.#accepts.length === 0 && this.#waiting.length >= this.#backlog)) {
      stream.destroy();
      return;
    }
    this.#waiting.push(stream);
    this.#giveAccepted();
  }

  #giveAccepted(): void {
    while (this.#waiting.length !== 0 && this.#accepts.length !== 0) {
      const op = this.#accepts[0] as Op;
      const slot = (this.#waiting[0] as Stream).isDestroyed ? GONE : this.#adopt(this.#waiting[0] as Stream);
      if (slot >= 0 || slot === GONE) this.#waiting.shift();
      if (slot === GONE) continue;
      if (slot >= 0 && op.isMultishot) this.#window.more(op, slot, 0);
      else {
        this.#accepts.shift();
        this.#window.finish(op, slot >= 0 ? slot : Errno.ENFILE); // the connection waits for the next accept
      }
    }
  }

  cancel(op: Op): void {
    remove(this.#accepts, op);
    this.#window.finish(op, Errno.ECANCELED);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.server.close();
    this.onClose?.();
    for (const stream of this.#waiting.splice(0)) stream.destroy();
    for (const op of this.#accepts.splice(0)) this.#window.finish(op, Errno.ECANCELED);
  }
}

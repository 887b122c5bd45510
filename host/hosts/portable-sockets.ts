// TCP and Unix sockets of the portable host: node:net answers what the core asked of the kernel.
//
// Reading: what Node pushes ('data') goes into receive buffers while a receive is armed. The first chunk that finds
// none is kept and the socket paused, so a slow reader holds one chunk here and at most READ_AHEAD_BYTES in Node, and
// then its peer's TCP window is full. Writing: a send is copied once, when it is handed to Node, and completes when the
// kernel has taken it; the next one waits in linear memory until then, or gets -EAGAIN if it may not wait
// (MSG_DONTWAIT). So a peer that does not read costs one send.
//
// Closing: what a send was still writing is written, then FIN goes out, for LINGER_MS at most without progress. Every
// open operation completes with -ECANCELED at once. A cancelled send may have been sent in part, as with the kernel.
//
// Next: portable.ts.

import { Server, type Socket } from 'node:net';
import {
  CQE_BUFFER,
  CQE_BUFFER_SHIFT,
  Errno,
  errnoOf,
  type Op,
  type OpOwner,
  type PortableWindow,
} from './portable-window.js';

export const READ_AHEAD_BYTES = 65_536;
const LINGER_MS = 30_000;
const NOTHING = new Uint8Array(0);

const SHUT_RD = 0;
const SHUT_WR = 1;
export const SHUT_RDWR = 2;

type State = 'idle' | 'connecting' | 'open' | 'closed';

/** Where a socket goes: what `socket.connect` takes. */
export type Target = { host: string; port: number } | { path: string };

export class PortableSocket implements OpOwner {
  readonly #window: PortableWindow;
  readonly #lingering: Set<Socket>;
  readonly #socket: Socket;
  #state: State;
  #receives: Op[] = [];
  #sends: Op[] = [];
  #connect: Op | undefined;
  #chunk: Buffer | undefined; // came while no receive was armed, or did not fit
  #chunkAt = 0;
  #isPaused: boolean;
  #isWriting = false; // a send is with Node and not yet with the kernel
  #written: Op | undefined; // that send, unless it was cancelled
  #peerEnded = false;
  #ended = false;
  #error = 0; // happened, and no operation has been told

  /** A connection that was accepted, and is paused; or a socket that is not connected yet. */
  constructor(window: PortableWindow, lingering: Set<Socket>, socket: Socket, state: 'idle' | 'open') {
    this.#window = window;
    this.#lingering = lingering;
    this.#socket = socket;
    this.#state = state;
    this.#isPaused = true;
    socket.pause(); // before 'data' is listened to, which would let it flow
    socket.unref(); // what keeps the thread alive is the shard
    socket.on('data', (chunk: Buffer) => this.#onData(chunk));
    socket.on('end', () => this.#onEnd());
    socket.on('error', (error) => this.#onBroken(errnoOf(error)));
    socket.on('close', () => this.#onBroken(Errno.ECONNRESET));
  }

  // --- reading -------------------------------------------------------------------------------------------------------

  receive(op: Op): void {
    if (this.#state === 'idle') {
      this.#window.finish(op, Errno.ENOTCONN);
      return;
    }
    this.#window.open(op, this);
    this.#receives.push(op);
    this.#giveReceived();
    if (this.#isPaused && this.#receives.length !== 0) {
      this.#isPaused = false;
      this.#socket.resume();
    }
  }

  #onData(chunk: Buffer): void {
    if (this.#state === 'closed') return;
    this.#chunk = this.#chunk === undefined ? chunk : Buffer.concat([this.#chunk.subarray(this.#chunkAt), chunk]);
    this.#chunkAt = 0;
    this.#giveReceived();
    if (this.#chunk === undefined || this.#isPaused) return;
    this.#isPaused = true;
    this.#socket.pause();
  }

  #onEnd(): void {
    this.#peerEnded = true;
    this.#giveReceived();
  }

  /** Hands on what there is: bytes first, then an error, then the end. */
  #giveReceived(): void {
    while (this.#receives.length !== 0) {
      const op = this.#receives[0];
      if (this.#chunk !== undefined) {
        if (this.#fill(op, this.#chunk)) this.#receives.shift();
      } else if (this.#error !== 0 || this.#peerEnded) {
        this.#receives.shift();
        this.#window.finish(op, this.#error);
        this.#error = 0;
      } else return;
    }
  }

  /** Copies a part of the chunk to where the operation wants it. True: that was its last completion. */
  #fill(op: Op, chunk: Buffer): boolean {
    const window = this.#window;
    const buffer = op.picksBuffer ? window.takeBuffer() : 0;
    if (buffer < 0) {
      window.finish(op, Errno.ENOBUFS);
      return true;
    }
    const room = op.picksBuffer ? window.bufferBytes : op.len;
    const limit = op.picksBuffer && op.len !== 0 ? Math.min(room, op.len) : room;
    const count = Math.min(limit, chunk.length - this.#chunkAt);
    const at = op.picksBuffer ? window.bufferAt(buffer) : op.ptr;
    chunk.copy(window.bytes, at, this.#chunkAt, this.#chunkAt + count);
    this.#chunkAt += count;
    if (this.#chunkAt === chunk.length) this.#chunk = undefined;
    const flags = op.picksBuffer ? CQE_BUFFER | (buffer << CQE_BUFFER_SHIFT) : 0;
    if (op.isMultishot) window.more(op, count, flags);
    else window.finish(op, count, flags);
    return !op.isMultishot;
  }

  // --- writing -------------------------------------------------------------------------------------------------------

  /** `isNow`: it is decided at once, so it may be with Node when it completes; while one is, the next gets -EAGAIN. */
  send(op: Op, isNow: boolean): void {
    if (this.#state === 'idle') this.#window.finish(op, Errno.ENOTCONN);
    else if (this.#error !== 0) {
      this.#window.finish(op, this.#error);
      this.#error = 0;
    } else if (this.#ended) this.#window.finish(op, Errno.EPIPE);
    else if (op.len === 0) this.#window.finish(op, 0);
    else if (this.#isWriting) {
      if (isNow) this.#window.finish(op, Errno.EAGAIN);
      else this.#enqueue(op);
    } else if (this.#write(op) || isNow) this.#window.finish(op, op.len);
    else {
      this.#written = op;
      this.#enqueue(op);
    }
  }

  #enqueue(op: Op): void {
    this.#window.open(op, this);
    this.#sends.push(op);
  }

  /** Hands the bytes of a send to Node. True: the kernel has them. */
  #write(op: Op): boolean {
    const socket = this.#socket;
    const copy = this.#window.copyOf(op);
    socket.write(copy);
    if (socket.writableLength === 0 && socket.errored === null) return true;
    this.#window.keepCopy(copy);
    this.#isWriting = true;
    socket.write(NOTHING, this.#onWritten); // writes keep their order, so this one says when all is out
    return false;
  }

  readonly #onWritten = (error?: Error | null): void => {
    if (error || this.#state === 'closed') return; // 'error' or close() have told everybody
    this.#isWriting = false;
    const done = this.#written;
    this.#written = undefined;
    if (done !== undefined) {
      this.#sends.shift();
      this.#window.finish(done, done.len);
    }
    while (this.#sends.length !== 0) {
      const op = this.#sends[0];
      if (!this.#write(op)) {
        this.#written = op;
        return;
      }
      this.#sends.shift();
      this.#window.finish(op, op.len);
    }
  };

  shutdown(op: Op): void {
    const how = op.len;
    if (this.#state !== 'open') this.#window.finish(op, Errno.ENOTCONN);
    else {
      if (how !== SHUT_WR) this.#onEnd();
      if (how !== SHUT_RD) this.#end();
      this.#window.finish(op, 0);
    }
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    const first = this.#written === undefined ? 0 : 1; // what Node has already goes out before FIN
    for (const op of this.#sends.splice(first)) this.#window.finish(op, Errno.EPIPE);
    this.#socket.end();
  }

  // --- life ----------------------------------------------------------------------------------------------------------

  connect(op: Op, target: Target): void {
    if (this.#state !== 'idle') {
      this.#window.finish(op, Errno.EISCONN);
      return;
    }
    this.#state = 'connecting';
    this.#connect = op;
    this.#window.open(op, this);
    this.#socket.once('connect', () => {
      if (this.#state !== 'connecting') return;
      this.#state = 'open';
      this.#connect = undefined;
      this.#window.finish(op, 0);
    });
    this.#socket.connect(target);
  }

  /** The connection is over. 'close' comes after 'error' or after both ends: then all is known already. */
  #onBroken(errno: number): void {
    if (this.#state === 'closed') return;
    this.#state = 'open'; // as far as anybody may still ask: receives and sends tell what has become of it
    this.#ended = true;
    const ops = this.#sends.splice(0);
    if (this.#connect !== undefined) ops.push(this.#connect);
    this.#connect = undefined;
    this.#written = undefined;
    if (!this.#peerEnded) this.#error = errno;
    this.#peerEnded = true;
    for (const op of ops) this.#window.finish(op, errno);
    this.#giveReceived();
    if (ops.length !== 0) this.#error = 0; // an error is told once; then receives see the end, and sends EPIPE
  }

  cancel(op: Op): void {
    if (op === this.#connect) {
      this.#connect = undefined;
      this.#socket.destroy();
    } else if (op === this.#written) {
      this.#written = undefined;
      this.#sends.shift();
    } else if (!remove(this.#receives, op)) remove(this.#sends, op);
    this.#window.finish(op, Errno.ECANCELED);
  }

  /** Gives the file slot up. */
  close(): void {
    if (this.#state === 'closed') return;
    const ops = [...this.#receives.splice(0), ...this.#sends.splice(0)];
    if (this.#connect !== undefined) ops.push(this.#connect);
    const isOpen = this.#state === 'open';
    this.#state = 'closed';
    this.#chunk = undefined;
    for (const op of ops) this.#window.finish(op, Errno.ECANCELED);
    if (isOpen && this.#socket.writableLength !== 0 && !this.#socket.destroyed) this.#linger();
    else this.#socket.destroy();
  }

  #linger(): void {
    const socket = this.#socket;
    this.#lingering.add(socket);
    socket.on('close', () => this.#lingering.delete(socket));
    socket.setTimeout(LINGER_MS, () => socket.destroy());
    socket.ref(); // bytes that were taken are sent, even if the thread has nothing else to do
    socket.end(() => socket.destroy());
  }
}

function remove(ops: Op[], op: Op): boolean {
  const at = ops.indexOf(op);
  if (at >= 0) ops.splice(at, 1);
  return at >= 0;
}

const GONE = -2;

/** What a listener asks for: a slot for a new connection, or -1. */
export type Adopt = (socket: Socket) => number;

export class PortableListener implements OpOwner {
  readonly server: Server;
  /** Removes the file of a Unix socket, where Node does not. */
  unlink: (() => void) | undefined;
  readonly #window: PortableWindow;
  readonly #backlog: number;
  readonly #adopt: Adopt;
  #accepts: Op[] = [];
  #waiting: Socket[] = []; // accepted by Node, and nobody has asked for them yet; paused
  #closed = false;

  constructor(window: PortableWindow, backlog: number, adopt: Adopt) {
    this.#window = window;
    this.#backlog = backlog;
    this.#adopt = adopt;
    const options = { allowHalfOpen: true, noDelay: true, pauseOnConnect: true, highWaterMark: READ_AHEAD_BYTES };
    this.server = new Server(options, (socket) => this.#onConnection(socket));
    this.server.unref();
  }

  /** Errors of accepting, once it listens. */
  watch(): void {
    this.server.on('error', (error) => {
      const op = this.#accepts.shift();
      if (op !== undefined) this.#window.finish(op, errnoOf(error));
    });
  }

  accept(op: Op): void {
    this.#window.open(op, this);
    this.#accepts.push(op);
    this.#giveAccepted();
  }

  #onConnection(socket: Socket): void {
    if (this.#closed || (this.#accepts.length === 0 && this.#waiting.length >= this.#backlog)) {
      socket.destroy();
      return;
    }
    this.#waiting.push(socket);
    this.#giveAccepted();
    if (this.#waiting.length === 0) return;
    socket.unref();
    socket.on('error', ignore);
  }

  #giveAccepted(): void {
    while (this.#waiting.length !== 0 && this.#accepts.length !== 0) {
      const op = this.#accepts[0];
      const slot = this.#waiting[0].destroyed ? GONE : this.#adopt(this.#waiting[0]);
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
    this.unlink?.();
    for (const socket of this.#waiting.splice(0)) socket.destroy();
    for (const op of this.#accepts.splice(0)) this.#window.finish(op, Errno.ECANCELED);
  }
}

/** A connection that nobody has asked for has broken: it is passed over when somebody does. */
function ignore(): void {}

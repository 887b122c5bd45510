// UDP sockets of the portable host: node:dgram performs the operations that the core submits.
//
//   'message' --> giveReceived() --> receive buffer: header, sender's sockaddr, bytes   (as IORING_OP_RECVMSG has them)
//   send() --> a copy, with Node until the kernel has taken it --> completion
//
// Node cannot pause a socket's datagrams. Those that come while no receive is open, or no buffer is free, are kept, up
// to WAITING_MAX. More are dropped, as the kernel does when its own queue is full.
//
// Next: portable-gate.ts.

import type { RemoteInfo, Socket } from 'node:dgram';
import { networkInterfaces } from 'node:os';
import { CQE_BUFFER, CQE_BUFFER_SHIFT, Errno, MSG_TRUNC, POLLOUT, SMALL_BUFFERS } from '../core/kernel.js';
import { encodeAddress } from '../net/address.js';
import { errnoOf, type Op, type OpOwner, type PortableWindow } from './portable-window.js';

const WAITING_MAX = 256; // datagrams
const SENDING_MAX = 64; // sends that Node has and the kernel has not
const HEADER_BYTES = 16; // struct io_uring_recvmsg_out
const NAME_BYTES = 28; // sockaddr_in6, the longest one

interface HeldDatagram {
  bytes: Buffer;
  from: RemoteInfo;
}

export interface DatagramAddress {
  host: string;
  port: number;
}

export class PortableDatagrams implements OpOwner {
  readonly #window: PortableWindow;
  readonly #socket: Socket;
  #receives: Op[] = [];
  #sends = new Set<Op>();
  #polls: Op[] = [];
  #waiting: HeldDatagram[] = [];
  #error = 0; // happened, and no receive has been told
  #isClosed = false;
  #sender = ''; // whose sockaddr #name is
  #name: Uint8Array = new Uint8Array(0);

  constructor(window: PortableWindow, socket: Socket) {
    this.#window = window;
    this.#socket = socket;
    socket.unref(); // what keeps the thread alive is the shard
  }

  /** Once it is bound. */
  watch(): void {
    this.#socket.on('message', (bytes, from) => this.#onMessage(bytes, from));
    this.#socket.on('error', (error) => {
      this.#error = errnoOf(error);
      this.#giveReceived();
    });
  }

  // --- receiving -----------------------------------------------------------------------------------------------------

  receive(op: Op): void {
    this.#window.open(op, this);
    this.#receives.push(op);
    this.#giveReceived();
  }

  #onMessage(bytes: Buffer, from: RemoteInfo): void {
    if (this.#isClosed || this.#waiting.length >= WAITING_MAX) return;
    this.#waiting.push({ bytes, from });
    this.#giveReceived();
  }

  #giveReceived(): void {
    while (this.#receives.length !== 0 && (this.#waiting.length !== 0 || this.#error !== 0)) {
      const op = this.#receives[0] as Op;
      const buffer = this.#waiting.length === 0 ? -1 : this.#window.takeBuffer(SMALL_BUFFERS);
      if (buffer >= 0) {
        const count = this.#fill(buffer, this.#waiting.shift() as HeldDatagram);
        this.#window.more(op, count, CQE_BUFFER | (buffer << CQE_BUFFER_SHIFT));
        continue;
      }
      this.#receives.shift();
      this.#window.finish(op, this.#waiting.length === 0 ? this.#error : Errno.ENOBUFS);
      if (this.#waiting.length === 0) this.#error = 0;
    }
  }

  #fill(buffer: number, { bytes, from }: HeldDatagram): number {
    const window = this.#window;
    const at = window.bufferAt(buffer);
    const count = Math.max(0, Math.min(bytes.length, window.bufferBytes[SMALL_BUFFERS] - HEADER_BYTES - NAME_BYTES));
    const name = this.#nameOf(from);
    window.bytes.writeUInt32LE(name.length, at);
    window.bytes.writeUInt32LE(0, at + 4);
    window.bytes.writeUInt32LE(count, at + 8);
    window.bytes.writeUInt32LE(count < bytes.length ? MSG_TRUNC : 0, at + 12);
    window.bytes.set(name, at + HEADER_BYTES);
    bytes.copy(window.bytes, at + HEADER_BYTES + NAME_BYTES, 0, count);
    return HEADER_BYTES + NAME_BYTES + count;
  }

  /** The sender's sockaddr; the last one is kept, as most come in a row. */
  #nameOf({ address, port }: RemoteInfo): Uint8Array {
    const sender = `${address} ${port}`;
    if (sender !== this.#sender) {
      this.#sender = sender;
      this.#name = encodeAddress(numericZone(address), port);
    }
    return this.#name;
  }

  // --- sending -------------------------------------------------------------------------------------------------------

  /** Without `to`: to where it is connected. `isNow`: -EAGAIN while Node has as many as it may have. */
  send(op: Op, to: DatagramAddress | undefined, isNow: boolean): void {
    if (isNow && this.#sends.size >= SENDING_MAX) {
      this.#window.finish(op, Errno.EAGAIN);
      return;
    }
    const bytes = Buffer.from(op.memory.subarray(op.ptr, op.ptr + op.len)); // Node keeps it until it is sent
    this.#window.open(op, this);
    this.#sends.add(op);
    const onSent = (error: Error | null) => this.#settle(op, error);
    try {
      if (to === undefined) this.#socket.send(bytes, onSent);
      else this.#socket.send(bytes, to.port, to.host, onSent);
    } catch (error) {
      this.#settle(op, error);
    }
  }

  #settle(op: Op, error: unknown): void {
    if (!this.#sends.delete(op)) return;
    this.#window.finish(op, error ? errnoOf(error) : op.len);
    this.#endPolls();
  }

  /** Completes when Node has room for a send. */
  whenRoom(op: Op): void {
    this.#window.open(op, this);
    this.#polls.push(op);
    this.#endPolls();
  }

  #endPolls(): void {
    if (this.#sends.size < SENDING_MAX) for (const op of this.#polls.splice(0)) this.#window.finish(op, POLLOUT);
  }

  connect(op: Op, { host, port }: DatagramAddress): void {
    this.#window.open(op, this);
    this.#sends.add(op);
    try {
      this.#socket.connect(port, host, (error?: Error) => this.#settle(op, error));
    } catch (error) {
      this.#settle(op, error);
    }
  }

  // --- life ----------------------------------------------------------------------------------------------------------

  cancel(op: Op): void {
    if (!this.#sends.delete(op)) {
      this.#receives = this.#receives.filter((other) => other !== op);
      this.#polls = this.#polls.filter((other) => other !== op);
    }
    this.#window.finish(op, Errno.ECANCELED);
    this.#endPolls();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#socket.close();
    this.#waiting = [];
    const ops = [...this.#receives.splice(0), ...this.#sends, ...this.#polls.splice(0)];
    for (const op of ops) this.#window.finish(op, Errno.ECANCELED);
    this.#sends.clear();
  }
}

/** Node names an IPv6 zone as the system does (`fe80::1%eth0`); a sockaddr has its number. */
function numericZone(address: string): string {
  const [text, zone] = address.split('%');
  if (zone === undefined || /^\d+$/.test(zone)) return address;
  const own = networkInterfaces()[zone]?.find(({ family }) => family === 'IPv6') as { scopeid?: number } | undefined;
  return `${text}%${own?.scopeid ?? 0}`;
}

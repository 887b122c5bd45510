// UDP: datagrams of this shard. One multishot receive is open as long as the socket is; what it brings lies in a
// receive buffer (struct io_uring_recvmsg_out, the sender's sockaddr, the bytes), is copied, and waits in a queue of
// `queue` datagrams. One that finds the queue full is dropped and counted: the newest, as the kernel does it.
//
//   send() --> a send buffer: sockaddr, bytes --> SEND --> the kernel has taken it, or says why not
//                   ^                               |
//                   +-- room (POLL_ADD) <-- held <--+ EAGAIN: the socket is full
//
// A send holds its buffer from submission to completion, also when nobody waits for it any more. While the socket is
// full, sends are held as copies, without buffers, and go one after the other when it has room. A send that finds no
// buffer free waits for one, in order. Both are the backpressure.
//
// Next: udp-address.ts.

import type { AbortOptions } from '../base/abort.js';
import { abortable } from '../base/abortable.js';
import { FeatherstarError, optionError, systemError } from '../base/errors.js';
import { type Checks, checkBoolean, checkOptions, checkSignal, integer, signal } from '../base/options.js';
import { Queue } from '../base/queue.js';
import { CQE_BUFFER_SHIFT, Errno, MSG_TRUNC } from '../core/kernel.js';
import type { Bound } from '../hosts/host.js';
import { Operation } from '../shard/operation.js';
import { connectFileOrThrow, operationError, receiveDatagrams, sendDatagramOrThrow, whenRoom } from '../shard/ops.js';
import type { Owner } from '../shard/owners.js';
import { currentShard, type Shard } from '../shard/shard.js';
import { checkHostname, PORT_MAX } from './address.js';
import { checkReach } from './network-rules.js';
import { closedError } from './socket.js';
import { bindTarget, SenderNames, type Target, Targets } from './udp-address.js';

const RECEIVED = 0; // tags
const CONNECTED = 1;
const ROOM = 2;
const FIRST_SEND = 3; // and from here on: which of #sends
const NAME_BYTES = 28; // sockaddr_in6, the longest one
const HEADER_BYTES = 16 + NAME_BYTES; // before the bytes of a datagram that came
const ADDRESS_BYTES = 32; // before the bytes of one that goes
const NOTHING = new Uint8Array(0);
const QUEUE_DATAGRAMS = 1024;
const QUEUE_MAX = 65_536;

export interface UdpBindOptions extends AbortOptions {
  /** IPv4 or IPv6 address, or a name, which is resolved. Default '0.0.0.0'. */
  hostname?: string | undefined;
  /** 0: any free one. Default 0. */
  port?: number | undefined;
  /** Other shards may bind the port, too, and the kernel spreads senders over them. Default false. */
  reusePort?: boolean | undefined;
  /** Datagrams that may wait to be received, 1 to 65,536; default 1,024. */
  queue?: number | undefined;
}

export interface UdpTarget extends AbortOptions {
  /** An address or a name of the socket's family; not for a socket that is connected. */
  hostname?: string | undefined;
  /** 1 to 65535. */
  port?: number | undefined;
}

export interface Datagram {
  bytes: Uint8Array;
  /** The sender's. */
  address: string;
  port: number;
}

export interface UdpStats {
  received: number;
  /** The kernel has taken them. */
  sent: number;
  /** The queue was full. */
  dropped: number;
  /** Longer than maxBytes: not shown to anybody. */
  truncated: number;
}

interface Waiter {
  resolve: (datagram: Datagram | null) => void;
  reject: (reason: unknown) => void;
}

interface Sending {
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
  readonly what: string;
  readonly isConnect: boolean;
  readonly target: Target | undefined;
  data: Uint8Array; // a copy, while it waits for a buffer or for room
  bytes: number; // of it
  isOver: boolean; // who waited has been told
  buffer: number;
  operation: Operation | undefined; // while it is in the kernel's hands
}

/** A UDP socket: iterate over it for what comes. */
export class UdpSocket implements Owner {
  /** Where it is bound. */
  readonly address: string;
  readonly port: number;
  /** The longest datagram that can be sent or received here. */
  readonly maxBytes: number;
  readonly #shard: Shard;
  readonly #file: number;
  readonly #id: number;
  readonly #queueMax: number;
  readonly #names: SenderNames;
  readonly #targets: Targets;
  readonly #queue = new Queue<Datagram>();
  readonly #stats: UdpStats = { received: 0, sent: 0, dropped: 0, truncated: 0 };
  readonly #sends: { readonly operation: Operation; sending: Sending | undefined }[] = [];
  readonly #waiting = new Queue<Waiter>();
  readonly #unsubmitted = new Set<Sending>();
  readonly #held = new Queue<Sending>(); // the socket was full
  readonly #room: Operation; // waits until it has room
  #remote: Target | undefined;
  #connecting: Target | undefined;
  #connectSending: Sending | undefined;
  readonly #connectOperation: Operation;
  readonly #receiving: Operation;
  #openSends = 0; // the connect, too
  #error: unknown; // of receiving, and nobody has been told
  #closed = false;

  private constructor(shard: Shard, bound: Bound, address: string, queue: number) {
    const { recvBufferBytes, sendBufferBytes } = shard.header;
    this.#shard = shard;
    this.#file = bound.slot;
    this.#queueMax = queue;
    this.address = address;
    this.port = bound.port;
    this.maxBytes = Math.min(65_507, recvBufferBytes - HEADER_BYTES, sendBufferBytes - ADDRESS_BYTES);
    this.#names = new SenderNames(shard.bytes);
    this.#targets = new Targets(address.includes(':') ? 6 : 4);
    this.#id = shard.register(this);
    this.#receiving = new Operation(shard, this.#id, RECEIVED);
    this.#connectOperation = new Operation(shard, this.#id, CONNECTED);
    this.#room = new Operation(shard, this.#id, ROOM);
    receiveDatagrams(this.#receiving, this.#file);
  }

  /**
   * Opens a socket on this shard. Rejects with FEATHERSTAR_SYSTEM (`error.errnoName`: EADDRINUSE, EADDRNOTAVAIL, ...),
   * or with the signal's reason.
   */
  static async bind(options: UdpBindOptions = {}): Promise<UdpSocket> {
    checkOptions(options, BIND_CHECKS);
    const { hostname = '0.0.0.0', port = 0, reusePort = false, queue = QUEUE_DATAGRAMS, signal } = options;
    const shard = currentShard();
    signal?.throwIfAborted();
    const { bindDatagrams } = shard.host;
    if (bindDatagrams === undefined) {
      throw new FeatherstarError('FEATHERSTAR_HOST', `the host ${shard.host.name} has no UDP`);
    }
    const address = await abortable(bindTarget(hostname), { signal });
    if (shard.closed) throw new FeatherstarError('FEATHERSTAR_CLOSED', 'the runtime was closed');
    checkReach(shard.network, 'listen', address, port);
    const bound = await bindDatagrams.call(shard.host, { address, port, reusePort, isFirst: shard.index === 0 });
    if (shard.closed) throw new FeatherstarError('FEATHERSTAR_CLOSED', 'the runtime was closed');
    if (signal?.aborted) {
      shard.closeFile(bound.slot);
      throw signal.reason;
    }
    return new UdpSocket(shard, bound, address, queue);
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Where it is connected to. */
  get remote(): { address: string; port: number } | undefined {
    return this.#remote && { address: this.#remote.address, port: this.#remote.port };
  }

  get stats(): UdpStats {
    return { ...this.#stats };
  }

  // --- receiving -----------------------------------------------------------------------------------------------------

  /**
   * The next datagram, in the order of coming; null when the socket is closed. A connected socket's peer that is not
   * there is told here: FEATHERSTAR_SYSTEM with ECONNREFUSED.
   */
  async receive({ signal }: AbortOptions = {}): Promise<Datagram | null> {
    checkSignal(signal)?.throwIfAborted();
    const datagram = this.#queue.shift();
    if (datagram !== undefined) return datagram;
    if (this.#closed) return null;
    if (this.#error !== undefined) {
      const error = this.#error;
      this.#error = undefined;
      throw error;
    }
    if (!this.#receiving.isOpen) receiveDatagrams(this.#receiving, this.#file); // it had failed
    return abortable<Datagram | null>(
      (resolve, reject) => {
        const waiter = { resolve, reject };
        this.#waiting.push(waiter);
        return () => this.#waiting.takeWhere((other) => other === waiter);
      },
      { signal },
    );
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Datagram, void> {
    for (let one = await this.receive(); one !== null; one = await this.receive()) yield one;
  }

  onEvent(tag: number, result: number, flags: number): void {
    if (tag === RECEIVED) this.#onReceived(result, flags);
    else if (tag === ROOM) this.#onRoom(result);
    else if (tag === CONNECTED) this.#onConnected(result);
    else this.#onSent(tag - FIRST_SEND, result);
  }

  #onReceived(result: number, flags: number): void {
    this.#receiving.ended(flags);
    if (result >= 0) this.#take(result, flags >>> CQE_BUFFER_SHIFT);
    if (this.#receiving.isOpen || this.#closed) return;
    // An empty datagram ends a receive of many, and so does a moment without buffers: what is recycled goes back with
    // the same enter that takes the new receive. After any other error the next receive() begins anew.
    if (result >= 0 || result === Errno.ENOBUFS) receiveDatagrams(this.#receiving, this.#file);
    else {
      const error = operationError('recvmsg', result);
      const waiter = this.#waiting.shift();
      if (waiter === undefined) this.#error = error;
      else {
        waiter.reject(error);
        if (this.#waiting.length !== 0) receiveDatagrams(this.#receiving, this.#file);
      }
    }
  }

  #take(result: number, buffer: number): void {
    const shard = this.#shard;
    const at = shard.base + shard.header.recvOffset + buffer * shard.header.recvBufferBytes;
    const isWhole = (shard.bytes[at + 12] & MSG_TRUNC) === 0;
    const length = result - HEADER_BYTES;
    if (this.#closed) {
      shard.core.recycle(buffer);
      return;
    }
    const waiter = this.#waiting.length !== 0;
    if (!isWhole || length > this.maxBytes) this.#stats.truncated++;
    else if (!waiter && this.#queue.length >= this.#queueMax) this.#stats.dropped++;
    else {
      const bytes = new Uint8Array(length);
      bytes.set(shard.bytes.subarray(at + HEADER_BYTES, at + result)); // of its own: the kernel gets the buffer back
      const datagram = { bytes, address: this.#names.addressAt(at + 16), port: this.#names.portAt(at + 16) };
      this.#stats.received++;
      if (waiter) this.#waiting.shift()?.resolve(datagram);
      else this.#queue.push(datagram);
    }
    shard.core.recycle(buffer);
  }

  // --- sending -------------------------------------------------------------------------------------------------------

  /**
   * Sends one datagram; the bytes are copied. Resolves when the kernel has taken it, which is not when it arrives.
   * Rejects with FEATHERSTAR_SYSTEM: EMSGSIZE beyond `maxBytes`, ENETUNREACH, EHOSTUNREACH, ... An abort ends the wait;
   * what the kernel has is sent all the same.
   */
  async send(bytes: Uint8Array | string, options: UdpTarget = {}): Promise<void> {
    const { signal } = checkOptions(options, TARGET_CHECKS);
    signal?.throwIfAborted();
    const data = typeof bytes === 'string' ? Buffer.from(bytes, 'utf8') : bytes;
    if (!(data instanceof Uint8Array)) throw optionError('bytes', bytes, 'a string or a Uint8Array');
    const target = this.#targetOf(options);
    if (target instanceof Promise) {
      const copy = new Uint8Array(data); // callers may use theirs again
      const resolved = await abortable(target, { signal });
      return this.#begin(copy, resolved, signal);
    }
    return this.#begin(data, target, signal);
  }

  #targetOf(options: UdpTarget): Target | Promise<Target> | undefined {
    const { hostname, port } = options;
    if (this.#remote === undefined) return this.#targets.find(hostname, port);
    if (hostname === undefined && port === undefined) return undefined;
    throw optionError('hostname', hostname, 'left out: the socket is connected');
  }

  /** From now on it sends to this peer, and receives from it only. Once; then `remote` is set. */
  async connect(options: UdpTarget): Promise<void> {
    const { hostname, port, signal } = checkOptions(options, TARGET_CHECKS);
    signal?.throwIfAborted();
    const target = await abortable(Promise.resolve(this.#targets.find(hostname, port)), { signal });
    if (this.#remote !== undefined || this.#connecting !== undefined) {
      throw new FeatherstarError('FEATHERSTAR_STATE', 'the socket is connected already');
    }
    this.#connecting = target;
    await this.#begin(NOTHING, target, signal, true);
  }

  async #begin(data: Uint8Array, target: Target | undefined, signal: AbortSignal | undefined, isConnect = false) {
    if (this.#closed) throw closedError();
    const what = (target ?? (this.#remote as Target)).what;
    if (data.length > this.maxBytes) throw systemError('sendto', Errno.EMSGSIZE, what);
    await abortable<void>(
      (resolve, reject) => {
        const bytes = data.length;
        const outcome = { resolve, reject, isOver: false };
        const sending: Sending = { ...outcome, what, isConnect, target, data, bytes, buffer: 0, operation: undefined };
        if (this.#held.length === 0 || isConnect) this.#submit(sending);
        else this.#hold(sending, new Uint8Array(data));
        return () => this.#giveUp(sending);
      },
      { signal },
    );
  }

  /** What is sent is copied before this returns. */
  #submit(sending: Sending): void {
    const shard = this.#shard;
    const { isConnect, target, data } = sending;
    const at = shard.sendBuffers.takeLasting();
    if (at === 0) {
      sending.data = new Uint8Array(data);
      this.#unsubmitted.add(sending);
      shard.sendBuffers.whenLastingFree(() => {
        this.#unsubmitted.delete(sending);
        if (!sending.isOver) this.#submit(sending);
      });
      return;
    }
    const addressBytes = target?.bytes.length ?? 0;
    if (target !== undefined) shard.bytes.set(target.bytes, at);
    shard.bytes.set(data, at + ADDRESS_BYTES);
    sending.data = NOTHING; // it is the caller's again
    try {
      if (isConnect) this.#stageConnect(sending, at, addressBytes);
      else this.#stageSend(sending, at, addressBytes, data.length);
    } catch (error) {
      shard.sendBuffers.giveLasting(at);
      if (isConnect) this.#connecting = undefined;
      sending.isOver = true;
      sending.reject(error);
      return;
    }
    sending.buffer = at;
    this.#openSends++;
  }

  #stageConnect(sending: Sending, at: number, addressBytes: number): void {
    connectFileOrThrow(this.#connectOperation, this.#file, at, addressBytes);
    sending.operation = this.#connectOperation;
    this.#connectSending = sending;
  }

  #stageSend(sending: Sending, at: number, addressBytes: number, bytes: number): void {
    let place = this.#openSends === 0 ? this.#sends[0] : this.#sends.find((one) => one.sending === undefined);
    if (place === undefined) {
      const operation = new Operation(this.#shard, this.#id, FIRST_SEND + this.#sends.length);
      place = { operation, sending: undefined };
      this.#sends.push(place);
    }
    sendDatagramOrThrow(place.operation, this.#file, at, addressBytes, at + ADDRESS_BYTES, bytes);
    sending.operation = place.operation;
    place.sending = sending;
  }

  #onConnected(result: number): void {
    const sending = this.#connectSending as Sending;
    this.#connectSending = undefined;
    this.#afterSending(sending);
    if (result >= 0) this.#remote = this.#connecting;
    this.#connecting = undefined;
    if (!sending.isOver) this.#settle(sending, 'connect', result);
    this.#submitHeld();
  }

  /** The kernel is done with its operation and its buffer. */
  #afterSending(sending: Sending): void {
    sending.operation?.ended();
    sending.operation = undefined;
    this.#openSends--;
    this.#shard.sendBuffers.giveLasting(sending.buffer);
    sending.buffer = 0;
  }

  #onSent(index: number, result: number): void {
    const shard = this.#shard;
    const place = this.#sends[index];
    const sending = place.sending as Sending;
    const { buffer, bytes, isOver } = sending;
    place.sending = undefined;
    if (result === Errno.EAGAIN && !isOver) {
      const from = buffer + ADDRESS_BYTES;
      const data = new Uint8Array(shard.bytes.subarray(from, from + bytes));
      this.#afterSending(sending);
      this.#hold(sending, data);
      return;
    }
    this.#afterSending(sending);
    if (result >= 0) this.#stats.sent++;
    if (!isOver) this.#settle(sending, 'sendto', result);
    this.#submitHeld();
  }

  #settle(sending: Sending, syscall: string, result: number): void {
    sending.isOver = true;
    if (result >= 0) sending.resolve();
    else sending.reject(systemError(syscall, result, sending.what));
  }

  // --- a full socket -------------------------------------------------------------------------------------------------

  /** Keeps a send until the socket has room. */
  #hold(sending: Sending, data: Uint8Array): void {
    sending.data = data;
    this.#held.push(sending);
    if (!this.#room.isOpen && this.#openSends === 0) whenRoom(this.#room, this.#file);
  }

  #onRoom(result: number): void {
    this.#room.ended();
    if (result >= 0) this.#submitHeld();
    else for (const sending of this.#held.takeAll()) if (!sending.isOver) this.#settle(sending, 'poll', result);
  }

  /** One after the other: each tells whether there is room for the next. */
  #submitHeld(): void {
    while (this.#held.length !== 0 && this.#openSends === 0 && !this.#room.isOpen) {
      const sending = this.#held.shift() as Sending;
      if (!sending.isOver) this.#submit(sending);
    }
  }

  /** Whoever waited has been told. */
  #giveUp(sending: Sending): void {
    if (sending.isOver) return;
    sending.isOver = true;
    if (sending.operation !== undefined) sending.operation.cancel();
    else if (this.#unsubmitted.has(sending) && this.#connecting?.what === sending.what) this.#connecting = undefined;
  }

  // --- life ----------------------------------------------------------------------------------------------------------

  /** Closes at once. What waits to be received is thrown away: who waits for more gets null; open sends reject. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#queue.clear();
    this.#receiving.cancel();
    this.#room.cancel();
    this.#connectOperation.cancel();
    for (const { operation } of this.#sends) operation.cancel();
    this.#shard.closeFile(this.#file);
    this.#shard.unregister(this.#id);
    const inKernel = [this.#connectSending, ...this.#sends.map(({ sending }) => sending)];
    for (const sending of [...inKernel, ...this.#unsubmitted, ...this.#held.takeAll()]) {
      if (sending === undefined || sending.isOver) continue;
      sending.isOver = true;
      sending.reject(closedError());
    }
    for (const waiter of this.#waiting.takeAll()) waiter.resolve(null);
  }

  onShutdown(): void {
    this.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}

const BIND_CHECKS: Checks<UdpBindOptions> = {
  hostname: checkHostname,
  port: integer(0, PORT_MAX),
  reusePort: checkBoolean,
  queue: integer(1, QUEUE_MAX),
  signal,
};
const TARGET_CHECKS: Checks<UdpTarget> = { hostname: checkHostname, port: integer(1, PORT_MAX), signal };

// UDP: datagrams of this shard. One multishot receive is open as long as the socket is. Each datagram is in a receive
// buffer (struct io_uring_recvmsg_out, the sender's sockaddr, the bytes). It is copied, and waits in a queue of
// `capacity` datagrams. One that finds the queue full is dropped and counted: the newest, as the kernel does it.
//
//   send() --> a send buffer: sockaddr, bytes --> SEND --> the kernel has taken it, or says why not
//                   ^                               |
//                   +-- room (POLL_ADD) <-- held <--+ EAGAIN: the socket is full
//
// A send holds its buffer from submission to completion, even if no caller waits for it any more. While the socket is
// full, sends are held as copies, without buffers, and go one after the other when it has room. A send that finds no
// buffer free waits for one, in order. Both are the backpressure.
//
// Next: udp-address.ts.

import { abortable, type WaitOptions, withDeadline } from '../base/abortable.js';
import { FeatherstarError, optionError, systemError } from '../base/errors.js';
import { type Checks, checkBoolean, checkOptions, checkWait, integer, WAIT_CHECKS } from '../base/options.js';
import { Queue } from '../base/queue.js';
import { CQE_BUFFER_SHIFT, Errno, MSG_TRUNC } from '../core/kernel.js';
import type { Bound, NetAddress } from '../hosts/host.js';
import { Operation } from '../shard/operation.js';
import { connectFileOrThrow, operationError, receiveDatagrams, sendDatagramOrThrow, whenRoom } from '../shard/ops.js';
import { currentShard, type Shard } from '../shard/shard.js';
import { checkHostname, PORT_MAX } from './address.js';
import { checkReach } from './network-rules.js';
import { socketClosed } from './socket.js';
import { bindTarget, SenderNames, Targets, type UdpDestination } from './udp-address.js';

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

/** Options of `UdpSocket.bind()`. */
export interface UdpBindOptions extends WaitOptions {
  /** The own IPv4 or IPv6 address, or a name, which is resolved. Default '0.0.0.0'. */
  hostname?: string | undefined;
  /** The own port, 0 to 65,535. Default 0: any free one. */
  port?: number | undefined;
  /** Whether other shards may bind the port too: the kernel spreads senders over them. Default false. */
  reusePort?: boolean | undefined;
  /** How many datagrams may wait to be received, 1 to 65,536; default 1,024. Later ones are dropped. */
  capacity?: number | undefined;
}

/** Where a datagram goes, or a socket connects to. */
export interface UdpTarget extends WaitOptions {
  /** An address or a name of the socket's family. Not for a socket that is connected. */
  hostname?: string | undefined;
  /** 1 to 65,535. */
  port?: number | undefined;
}

/** A datagram that was received. */
export interface Datagram {
  /** Its content. The array is the caller's own. */
  readonly bytes: Uint8Array;
  /** The address of the sender. */
  readonly remote: NetAddress;
}

/** The counters of a UDP socket since it was opened. */
export interface UdpStats {
  /** How many datagrams were received, also those that wait in the queue. */
  received: number;
  /** How many datagrams the kernel has taken. */
  sent: number;
  /** How many were dropped because the queue was full. */
  dropped: number;
  /** How many were dropped because they were longer than `maxBytes`. */
  truncated: number;
}

interface DatagramWaiter {
  resolve: (datagram: Datagram | null) => void;
  reject: (reason: unknown) => void;
}

interface Sending {
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
  readonly what: string;
  readonly isConnect: boolean;
  readonly target: UdpDestination | undefined;
  data: Uint8Array; // a copy, while it waits for a buffer or for room
  bytes: number; // of it
  isOver: boolean; // who waited has been told
  buffer: number;
  operation: Operation | undefined; // while it is in the kernel's hands
}

interface SendPlace {
  readonly operation: Operation;
  sending: Sending | undefined;
}

/**
 * A UDP socket of this shard. A loop over it gets the datagrams.
 *
 * @example
 * await using socket = await UdpSocket.bind({ port: 5353 });
 * for await (const { bytes, remote } of socket) await socket.send(bytes, remote);
 */
export class UdpSocket {
  /** The own address. */
  readonly hostname: string;
  /** The own port. */
  readonly port: number;
  /** The length of the longest datagram that can be sent or received. */
  readonly maxBytes: number;
  readonly #shard: Shard;
  readonly #file: number;
  readonly #id: number;
  readonly #queueMax: number;
  readonly #names: SenderNames;
  readonly #targets: Targets;
  readonly #queue = new Queue<Datagram>();
  readonly #stats: UdpStats = { received: 0, sent: 0, dropped: 0, truncated: 0 };
  readonly #sends: SendPlace[] = [];
  readonly #waiting = new Queue<DatagramWaiter>();
  readonly #unsubmitted = new Set<Sending>();
  readonly #held = new Queue<Sending>(); // the socket was full
  readonly #room: Operation; // waits until it has room
  #remote: UdpDestination | undefined;
  #connecting: UdpDestination | undefined;
  #connectSending: Sending | undefined;
  readonly #connectOperation: Operation;
  readonly #receiving: Operation;
  #openSends = 0; // the connect, too
  #error: unknown; // of receiving, and not reported yet
  #closed = false;

  private constructor(shard: Shard, bound: Bound, address: string, capacity: number) {
    const { recvBufferBytes, sendBufferBytes } = shard.header;
    this.#shard = shard;
    this.#file = bound.slot;
    this.#queueMax = capacity;
    this.hostname = address;
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
   * FEATHERSTAR_DNS, FEATHERSTAR_NETWORK, FEATHERSTAR_TIMEOUT, or the signal's reason.
   */
  static async bind(options: UdpBindOptions = {}): Promise<UdpSocket> {
    checkOptions(options, BIND_CHECKS);
    return withDeadline(options, (signal) => UdpSocket.#bind(options, signal));
  }

  static async #bind(options: UdpBindOptions, signal: AbortSignal | undefined): Promise<UdpSocket> {
    const { hostname = '0.0.0.0', port = 0, reusePort = false, capacity = QUEUE_DATAGRAMS } = options;
    const shard = currentShard();
    const { bindDatagrams } = shard.host;
    if (bindDatagrams === undefined) {
      throw new FeatherstarError('FEATHERSTAR_HOST', `the host ${shard.host.name} has no UDP`);
    }
    const address = await abortable(bindTarget(hostname), { signal });
    if (shard.closed) throw new FeatherstarError('FEATHERSTAR_CLOSED', 'the runtime was closed');
    checkBuffers(shard);
    checkReach(shard.network, 'listen', address, port);
    const bound = await bindDatagrams.call(shard.host, { address, port, reusePort, isFirst: shard.index === 0 });
    if (shard.closed) throw new FeatherstarError('FEATHERSTAR_CLOSED', 'the runtime was closed');
    if (signal?.aborted) {
      shard.closeFile(bound.slot);
      throw signal.reason;
    }
    return new UdpSocket(shard, bound, address, capacity);
  }

  /** Whether the socket is closed. */
  get isClosed(): boolean {
    return this.#closed;
  }

  /** The address that the socket is connected to, or undefined. */
  get remote(): NetAddress | undefined {
    return this.#remote && { hostname: this.#remote.address, port: this.#remote.port };
  }

  /** The counters of the socket so far. */
  get stats(): UdpStats {
    return { ...this.#stats };
  }

  // --- receiving -----------------------------------------------------------------------------------------------------

  /**
   * Resolves to the next datagram, in the order of arrival, or to null when the socket is closed. Rejects with
   * FEATHERSTAR_SYSTEM (ECONNREFUSED if the peer of a connected socket is not there), FEATHERSTAR_TIMEOUT, or the
   * signal's reason.
   */
  async receive(options: WaitOptions = {}): Promise<Datagram | null> {
    checkWait(options);
    const datagram = this.#queue.shift();
    if (datagram !== undefined) return datagram;
    if (this.#closed) return null;
    if (this.#error !== undefined) {
      const error = this.#error;
      this.#error = undefined;
      throw error;
    }
    if (!this.#receiving.isOpen) receiveDatagrams(this.#receiving, this.#file); // it had failed
    return abortable<Datagram | null>((resolve, reject) => {
      const waiter = { resolve, reject };
      this.#waiting.push(waiter);
      return () => this.#waiting.takeWhere((other) => other === waiter);
    }, options);
  }

  /** The datagrams, until the socket is closed. Leaving the loop leaves it open. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Datagram, void> {
    for (let one = await this.receive(); one !== null; one = await this.receive()) yield one;
  }

  /** @internal */
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
    // An empty datagram ends a multishot receive, and so does a moment without buffers. Recycled buffers go back with
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
    const at = shard.recvBufferAt(buffer);
    const isWhole = ((shard.bytes[at + 12] as number) & MSG_TRUNC) === 0;
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
      const remote = { hostname: this.#names.addressAt(at + 16), port: this.#names.portAt(at + 16) };
      const datagram = { bytes, remote };
      this.#stats.received++;
      if (waiter) this.#waiting.shift()?.resolve(datagram);
      else this.#queue.push(datagram);
    }
    shard.core.recycle(buffer);
  }

  // --- sending -------------------------------------------------------------------------------------------------------

  /**
   * Sends one datagram; the bytes are copied. Resolves when the kernel has taken it, before it arrives. Rejects
   * with FEATHERSTAR_SYSTEM (EMSGSIZE beyond `maxBytes`, ENETUNREACH, EHOSTUNREACH, ...), FEATHERSTAR_DNS,
   * FEATHERSTAR_TIMEOUT, FEATHERSTAR_CLOSED, or the signal's reason. If the kernel has the datagram already, it is sent
   * in spite of an abort.
   */
  async send(bytes: Uint8Array | string, options: UdpTarget = {}): Promise<void> {
    checkOptions(options, TARGET_CHECKS);
    return withDeadline(options, (signal) => this.#send(bytes, options, signal));
  }

  #send(bytes: Uint8Array | string, options: UdpTarget, signal: AbortSignal | undefined): Promise<void> {
    const data = typeof bytes === 'string' ? Buffer.from(bytes, 'utf8') : bytes;
    if (!(data instanceof Uint8Array)) throw optionError('bytes', bytes, 'a string or a Uint8Array');
    const target = this.#targetOf(options);
    if (target instanceof Promise) {
      const copy = new Uint8Array(data); // callers may use theirs again
      return abortable(target, { signal }).then((resolved) => this.#begin(copy, resolved, signal));
    }
    return this.#begin(data, target, signal);
  }

  #targetOf(options: UdpTarget): UdpDestination | Promise<UdpDestination> | undefined {
    const { hostname, port } = options;
    if (this.#remote === undefined) return this.#targets.find(hostname, port);
    if (hostname === undefined && port === undefined) return undefined;
    throw optionError('hostname', hostname, 'left out: the socket is connected');
  }

  /**
   * Connects the socket: from now on it sends to this peer and receives from it only, and `remote` is set. Can be
   * called once. Rejects like `send()`.
   */
  async connect(options: UdpTarget): Promise<void> {
    checkOptions(options, TARGET_CHECKS);
    return withDeadline(options, (signal) => this.#connect(options, signal));
  }

  async #connect({ hostname, port }: UdpTarget, signal: AbortSignal | undefined): Promise<void> {
    const target = await abortable(Promise.resolve(this.#targets.find(hostname, port)), { signal });
    if (this.#remote !== undefined || this.#connecting !== undefined) {
      throw new FeatherstarError('FEATHERSTAR_STATE', 'the socket is connected already');
    }
    this.#connecting = target;
    await this.#begin(NOTHING, target, signal, true);
  }

  async #begin(
    data: Uint8Array,
    target: UdpDestination | undefined,
    signal: AbortSignal | undefined,
    isConnect = false,
  ) {
    if (this.#closed) throw socketClosed();
    const what = (target ?? (this.#remote as UdpDestination)).what;
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

  /** The bytes are copied before this returns. */
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
    const place = this.#sends[index] as SendPlace;
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

  /** Waiting callers have been told. */
  #giveUp(sending: Sending): void {
    if (sending.isOver) return;
    sending.isOver = true;
    if (sending.operation !== undefined) sending.operation.cancel();
    else if (this.#unsubmitted.has(sending) && this.#connecting?.what === sending.what) this.#connecting = undefined;
  }

  // --- life ----------------------------------------------------------------------------------------------------------

  /**
   * Closes the socket at once. Datagrams in the queue are dropped, callers of `receive()` get null, and open sends
   * reject with FEATHERSTAR_CLOSED.
   */
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
      sending.reject(socketClosed());
    }
    for (const waiter of this.#waiting.takeAll()) waiter.resolve(null);
  }

  /** @internal */
  onShutdown(): void {
    this.close();
  }

  /** Calls `close()`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}

/** Both kinds of buffers have room for an address and a byte. */
function checkBuffers({ header }: Shard): void {
  const least = { recvBufferBytes: HEADER_BYTES + 1, sendBufferBytes: ADDRESS_BYTES + 1 };
  for (const [name, bytes] of Object.entries(least)) {
    const has = header[name as keyof typeof least];
    if (has < bytes) throw optionError(`limits.${name}`, has, `at least ${bytes}, for UDP`);
  }
}

const BIND_CHECKS: Checks<UdpBindOptions> = {
  hostname: checkHostname,
  port: integer(0, PORT_MAX),
  reusePort: checkBoolean,
  capacity: integer(1, QUEUE_MAX),
  ...WAIT_CHECKS,
};
const TARGET_CHECKS: Checks<UdpTarget> = { hostname: checkHostname, port: integer(1, PORT_MAX), ...WAIT_CHECKS };

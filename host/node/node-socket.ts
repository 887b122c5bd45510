// A socket with the interface of node:net, for libraries that were written for it: a Duplex over a connection of this
// shard.
//
//   library <-- events, Duplex --> NodeSocket <-- callbacks --> Handle (handle.ts) <-- operations --> the shard
//
// It has its handle at once (from a NetServer, or by nodeSocketOf()), or when connect() has reached the peer. Until
// then a write waits.
//
// Reading begins by itself, as in Node. Bytes go into the stream until its buffer is full. Then the handle stops, and
// the window of TCP makes the peer wait.
//
// Next: dial.ts, which connects.

import { type AddressInfo, isIPv6 } from 'node:net';
import { Duplex } from 'node:stream';
import { FeatherstarError, optionError } from '../base/errors.js';
import { platform } from '../base/platform-timers.js';
import type { NetAddress } from '../hosts/host.js';
import { holdersOn } from '../shard/holders.js';
import { currentShard, type Shard } from '../shard/shard.js';
import { checkDial, type Dialer, type DialOptions, dial } from './dial.js';
import { type Handle, type HandleUser, type Piece, StreamHandle } from './handle.js';
import { IdleTimer } from './idle-timer.js';
import { codedError, nodeError } from './node-errors.js';

type StreamCallback = (error?: Error | null) => void;

/** Options of a socket, of those that node:net has. */
export interface NodeSocketOptions {
  allowHalfOpen?: boolean | undefined;
  highWaterMark?: number | undefined;
  signal?: AbortSignal | undefined;
  keepAlive?: boolean | undefined;
  keepAliveInitialDelay?: number | undefined;
}

/** Options of connect() and createConnection(). */
export interface NodeConnectOptions extends NodeSocketOptions, DialOptions {
  timeout?: number | null | undefined;
  onread?: unknown;
}

const IDLE_MAX_MS = 2 ** 31 - 1;

export class NodeSocket extends Duplex implements HandleUser {
  connecting = false;
  bytesRead = 0;
  timeout: number | undefined;
  autoSelectFamilyAttemptedAddresses: string[] | undefined;

  readonly #shard: Shard;
  #handle: Handle | undefined;
  #aborter: AbortController | undefined; // of the attempt to connect
  #writtenBytes = 0; // when it was closed
  #onConnected: (() => void)[] = [];
  #onWritten: StreamCallback | undefined;
  #onEndSent: StreamCallback | undefined;
  #idle: IdleTimer | undefined;
  #keepAliveMs = -1; // below 0: off, as sockets begin
  #isRef = true;
  #holds = false; // it is counted among what keeps the process alive

  constructor({ allowHalfOpen = false, highWaterMark, signal }: NodeSocketOptions = {}) {
    super({
      decodeStrings: false,
      emitClose: false, // the event has an argument, as in Node
      ...(highWaterMark === undefined ? {} : { highWaterMark }),
      ...(signal === undefined ? {} : { signal }),
    });
    this.#shard = currentShard();
    if (allowHalfOpen) return;
    this.allowHalfOpen = false;
    this.once('end', () => {
      this.allowHalfOpen = true; // or Node would end it in this turn: TLS over this stream still has to say goodbye
      platform.setImmediate(() => this.#endWithPeer());
    });
  }

  #endWithPeer(): void {
    this.allowHalfOpen = false;
    this.write = writeAfterPeerEnd as typeof this.write;
    if (this.writable) this.end();
  }

  // --- connecting ----------------------------------------------------------------------------------------------------

  connect(...args: unknown[]): this {
    const [options, onConnect] = connectArguments(args);
    checkDial(options);
    if (options.onread) throw optionError('onread', options.onread, "left out: listen to 'data'");
    if (this.destroyed || this.connecting || this.#handle !== undefined) {
      const text = 'the socket was connected before: make a new one';
      throw new FeatherstarError('FEATHERSTAR_STATE', text);
    }
    if (onConnect !== undefined) this.once('connect', onConnect);
    if (options.keepAlive) this.setKeepAlive(true, options.keepAliveInitialDelay);
    if (options.timeout) this.setTimeout(options.timeout);
    this.connecting = true;
    this.#hold();
    const aborter = new AbortController();
    this.#aborter = aborter;
    dial(this.#shard, options, this.#dialer(), aborter.signal).catch((error) => {
      if (!aborter.signal.aborted) this.#fail(error);
    });
    return this;
  }

  #dialer(): Dialer {
    return {
      onFile: (file) => this.attach(new StreamHandle(this.#shard, file, this)),
      onLookup: (error, address, family, host) => {
        if (!this.destroyed) this.emit('lookup', error, address, family, host);
      },
    };
  }

  /** It has its connection from now on, and reads. */
  attach(handle: Handle): void {
    this.#handle = handle;
    this.#aborter = undefined;
    if (this.#keepAliveMs >= 0) handle.keepAlive?.(true, this.#keepAliveMs);
    if (this.destroyed) {
      handle.close();
      return;
    }
    const wasConnecting = this.connecting;
    this.connecting = false;
    this.#hold();
    if (wasConnecting) {
      this.#idle?.touch();
      this.emit('connect');
      this.emit('ready');
    }
    for (const then of this.#onConnected.splice(0)) then();
    if (!this.destroyed && !this.isPaused()) this.read(0);
  }

  get pending(): boolean {
    return this.#handle === undefined || this.connecting;
  }

  get readyState(): string {
    if (this.connecting) return 'opening';
    if (this.#handle === undefined || this.destroyed) return 'closed';
    if (this.readable && this.writable) return 'open';
    if (this.readable) return 'readOnly';
    return this.writable ? 'writeOnly' : 'closed';
  }

  // --- reading -------------------------------------------------------------------------------------------------------

  override _read(): void {
    if (this.#handle !== undefined) this.#handle.readStart();
    else if (this.connecting) this.#onConnected.push(() => this._read());
  }

  onBytes(bytes: Buffer): void {
    this.bytesRead += bytes.length;
    this.#idle?.touch();
    if (!this.push(bytes)) this.#handle?.readStop();
  }

  /** Bytes may have come in the same turn. Their readers are asynchronous, and write before they hear of the end. */
  onPeerEnd(): void {
    platform.setImmediate(() => {
      if (this.destroyed) return;
      this.push(null);
      this.read(0); // 'end' comes now if no bytes wait, also to a stream that is paused
    });
  }

  // --- writing -------------------------------------------------------------------------------------------------------

  override _write(chunk: Uint8Array | string, encoding: BufferEncoding, done: StreamCallback): void {
    this.#write([{ chunk, encoding }], done);
  }

  override _writev(pieces: Piece[], done: StreamCallback): void {
    this.#write(pieces, done);
  }

  #write(pieces: readonly Piece[], done: StreamCallback): void {
    const handle = this.#handle;
    if (handle === undefined) {
      this.#onWritten = done; // until it is connected, only destroy() calls it
      if (this.connecting) this.#onConnected.push(() => this.#write(pieces, done));
      else done(codedError('ERR_SOCKET_CLOSED', 'Socket is closed'));
      return;
    }
    this.#idle?.touch();
    this.#onWritten = done;
    if (handle.write(pieces)) this.onWritten();
  }

  onWritten(): void {
    const done = this.#onWritten;
    this.#onWritten = undefined;
    this.#idle?.touch();
    done?.();
  }

  override _final(done: StreamCallback): void {
    if (this.#handle !== undefined) {
      this.#onEndSent = done;
      this.#handle.end();
    } else if (this.connecting) this.#onConnected.push(() => this._final(done));
    else done();
  }

  onEndSent(): void {
    const done = this.#onEndSent;
    this.#onEndSent = undefined;
    done?.();
  }

  get bytesWritten(): number {
    return (this.#handle?.writtenBytes ?? this.#writtenBytes) + (this.#handle === undefined ? this.writableLength : 0);
  }

  get bufferSize(): number | undefined {
    return this.#handle === undefined ? undefined : this.writableLength;
  }

  // --- the end -------------------------------------------------------------------------------------------------------

  onBroken(error: unknown): void {
    const syscall = FeatherstarError.is(error) && error.syscall === 'write' ? 'write' : 'read';
    this.#fail(nodeError(error, syscall));
  }

  onShutdown(): void {
    this.destroy();
  }

  #fail(error: unknown): void {
    this.destroy(error as Error);
  }

  override _destroy(error: Error | null, done: StreamCallback): void {
    this.connecting = false;
    this.#hold();
    this.#idle?.stop();
    this.#aborter?.abort();
    this.#onConnected = [];
    const handle = this.#handle;
    if (handle !== undefined) {
      this.#writtenBytes = handle.writtenBytes;
      handle.close();
    }
    const ended = error ?? codedError('ERR_STREAM_DESTROYED', 'The socket was closed before it was written');
    const waiting = [this.#onWritten, this.#onEndSent];
    this.#onWritten = undefined;
    this.#onEndSent = undefined;
    for (const callback of waiting) callback?.(ended);
    done(error);
    const emitClose = () => this.emit('close', error !== null);
    if (handle === undefined) process.nextTick(emitClose);
    else platform.setImmediate(() => platform.setImmediate(emitClose)); // as in Node, behind this turn's own immediates
  }

  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once('finish', () => this.destroy());
  }

  resetAndDestroy(): this {
    return this.destroy();
  }

  // --- what libraries look at ----------------------------------------------------------------------------------------

  setTimeout(ms: number, onTimeout?: () => void): this {
    if (typeof ms !== 'number' || !(ms >= 0) || ms === Number.POSITIVE_INFINITY) {
      throw codedError('ERR_OUT_OF_RANGE', `msecs must be a non-negative finite number, got ${ms}`, RangeError);
    }
    if (this.destroyed) return this;
    this.timeout = Math.min(ms, IDLE_MAX_MS);
    if (ms !== 0) this.#idle ??= new IdleTimer(() => this.emit('timeout'));
    this.#idle?.set(this.timeout);
    if (onTimeout !== undefined) {
      if (ms === 0) this.removeListener('timeout', onTimeout);
      else this.once('timeout', onTimeout);
    }
    return this;
  }

  /** Small writes are sent at once in any case. */
  setNoDelay(): this {
    return this;
  }

  setKeepAlive(isOn = false, idleMs = 0): this {
    const wanted = isOn === true ? idleMs : -1;
    if (wanted === this.#keepAliveMs) return this; // an http.Agent says so with each request
    this.#keepAliveMs = wanted;
    this.#handle?.keepAlive?.(isOn === true, idleMs);
    return this;
  }

  /** While the runtime is unref'd, a connection keeps the process alive unless it is unref'd itself. */
  ref(): this {
    this.#isRef = true;
    this.#hold();
    return this;
  }

  unref(): this {
    this.#isRef = false;
    this.#hold();
    return this;
  }

  #hold(): void {
    const holds = this.#isRef && !this.destroyed && (this.connecting || this.#handle !== undefined);
    if (holds === this.#holds) return;
    this.#holds = holds;
    if (holds) holdersOn(this.#shard).add();
    else holdersOn(this.#shard).remove();
  }

  get remoteAddress(): string | undefined {
    return this.#peer?.hostname;
  }

  get remotePort(): number | undefined {
    return this.#peer?.port;
  }

  get remoteFamily(): string | undefined {
    return familyOf(this.remoteAddress);
  }

  get #peer(): NetAddress | undefined {
    return addressIfKnown(() => this.#handle?.remote);
  }

  get localAddress(): string | undefined {
    return addressIfKnown(() => this.#handle?.local)?.hostname;
  }

  get localPort(): number | undefined {
    return addressIfKnown(() => this.#handle?.local)?.port;
  }

  get localFamily(): string | undefined {
    return familyOf(this.localAddress);
  }

  address(): AddressInfo | Record<string, never> {
    const { localAddress: address, localPort: port, localFamily: family } = this;
    return address === undefined ? {} : { address, port: port as number, family: family as string };
  }
}

/** Takes the place of write() when the peer has ended a socket that may not be half open: with Node's error code. */
function writeAfterPeerEnd(this: NodeSocket, chunk: unknown, ...more: (BufferEncoding | StreamCallback)[]): boolean {
  if (!this.writableEnded) return Duplex.prototype.write.call(this, chunk, ...(more as [BufferEncoding]));
  const error = codedError('EPIPE', 'This socket has been ended by the other party');
  const done = more.find((each) => typeof each === 'function');
  if (done !== undefined) process.nextTick(done, error);
  this.destroy(error);
  return false;
}

export function familyOf(address: string | undefined): string | undefined {
  if (address === undefined) return undefined;
  return isIPv6(address) ? 'IPv6' : 'IPv4';
}

/** Kernels before 6.7 cannot tell it to a ring. Libraries do not expect that asking throws. */
export function addressIfKnown(ask: () => NetAddress | undefined): NetAddress | undefined {
  try {
    return ask();
  } catch (error) {
    if (FeatherstarError.is(error) && error.errnoName === 'EOPNOTSUPP') return undefined;
    throw error;
  }
}

/** The three forms of arguments that connect() has. */
export function connectArguments(args: unknown[]): [NodeConnectOptions, (() => void) | undefined] {
  const last = args.at(-1);
  const onConnect = typeof last === 'function' ? (last as () => void) : undefined;
  const [first, second] = args;
  if (typeof first === 'object' && first !== null) return [first as NodeConnectOptions, onConnect];
  if (typeof first === 'string' && !(Number(first) >= 0)) return [{ path: first }, onConnect];
  const host = typeof second === 'string' ? { host: second } : {};
  return [{ port: first as number, ...host }, onConnect];
}

// The portable host: no addon, only Node's public APIs, so it runs wherever Node, Bun or Deno runs. In the place of
// io_uring, node:net, timers and MessagePorts perform the submissions.
//
//   socket, port or timer event --> turn-loop.ts --> portable-gate.ts, portable-window.ts, the core
//
// Next: turn-loop.ts.

import { createSocket, type Socket as DatagramSocket, type SocketOptions } from 'node:dgram';
import { isIP } from 'node:net';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { FeatherstarError, systemError } from '../base/errors.js';
import { platform } from '../base/platform-timers.js';
import { Errno } from '../core/kernel.js';
import { bunStreams } from './bun-streams.js';
import { listeningAt } from './given-sockets.js';
import type { Directories, GivenListeners, Parking, ShardHost, Windows } from './host.js';
import {
  alignClock,
  type Bound,
  type DatagramOptions,
  type DoorbellToken,
  descriptorName,
  type HostListenOptions,
  listenClosedError,
  type MessagePortLike,
  type NetAddress,
  placeOf,
} from './host.js';
import { nodeStreams } from './node-streams.js';
import { PortableGate } from './portable-gate.js';
import type { PortableListener } from './portable-sockets.js';
import { errnoOf, PortableWindow } from './portable-window.js';
import type { Streams } from './streams.js';
import { type LoopPlatform, TurnLoop } from './turn-loop.js';
import { bindPath } from './unix-path.js';

const TIMER_MAX_MS = 2 ** 31 - 1;
const GIVEN_BACKLOG = 4096; // Node tells the kernel one in any case; this is systemd's, which net.core.somaxconn limits

const taken = new Set<number>(); // descriptors that a server of this thread has

/** Ticks run when all microtasks have. */
const PLATFORM: LoopPlatform = {
  soon: (run) => void platform.setImmediate(run),
  afterMicrotasks: (run) => process.nextTick(run),
};

const streams: Streams = process.versions.bun === undefined ? nodeStreams : bunStreams;

/** Whether several sockets can share a port here, and the kernel spreads connections over them. */
function canReusePort(): boolean {
  if (process.platform !== 'linux' && process.platform !== 'freebsd') return false;
  if (process.versions.bun !== undefined || 'Deno' in globalThis) return true;
  const [major, minor] = process.versions.node.split('.').map(Number) as [number, number];
  return major > 22 || (major === 22 && minor >= 12);
}

export class PortableHost implements ShardHost {
  readonly name = 'portable';
  readonly fileSlots: number;
  /** Node has reusePort since 22.12; without it the second shard that listens on a port gets EADDRINUSE. */
  readonly sharesPorts = canReusePort();
  readonly movesFiles = false;
  readonly keepsLentBytes = true;
  readonly directories: Directories;
  readonly given: GivenListeners = { look: listeningAt, take: (fd, unreachableMs) => this.#take(fd, unreachableMs) };
  readonly #shard: number;
  readonly #window: PortableWindow;
  readonly #gate: PortableGate;
  readonly #doorbells = new Map<number, MessagePort>();
  readonly #peers: (MessagePortLike | undefined)[] = [];
  readonly #loop: TurnLoop;
  /** The loop's own: the core imports it as it is. */
  readonly enter: () => void;
  #isClosed = false;
  #keepAlive: NodeJS.Timeout | undefined;

  constructor(windows: Windows) {
    alignClock();
    this.#shard = windows.shard;
    this.#window = new PortableWindow(
      windows,
      () => this.#loop.schedule(),
      () => this.#loop.runNow(),
    );
    this.#gate = new PortableGate(windows, this.#window, streams, this.#peers);
    this.fileSlots = this.#gate.fileSlots;
    this.directories = this.#gate.files;
    this.#loop = new TurnLoop(windows, this.#window, (count) => this.#gate.take(count), PLATFORM);
    this.enter = this.#loop.enter;
  }

  // --- life ----------------------------------------------------------------------------------------------------------

  start(turn: () => void, core: Parking): void {
    this.ref();
    this.#loop.start(turn, core);
  }

  poke(): void {
    this.#loop.poke();
  }

  ref(): void {
    if (this.#isClosed) return;
    this.#keepAlive ??= setInterval(() => {}, TIMER_MAX_MS); // a handle, not a tick: it fires every 24 days
  }

  unref(): void {
    clearInterval(this.#keepAlive);
    this.#keepAlive = undefined;
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.unref();
    this.#loop.close();
    this.#gate.close();
    for (const port of this.#doorbells.values()) port.close();
    this.#peers.length = 0;
  }

  // --- peers ---------------------------------------------------------------------------------------------------------

  doorbell(peer: number): DoorbellToken {
    if (peer === this.#shard) return -1; // a shard does not ring its own doorbell
    const { port1, port2 } = new MessageChannel();
    port1.on('message', this.#loop.schedule);
    port1.unref();
    this.#doorbells.get(peer)?.close();
    this.#doorbells.set(peer, port1);
    return port2;
  }

  setPeer(peer: number, token: DoorbellToken | undefined): void {
    if (typeof token === 'number') throw new FeatherstarError('FEATHERSTAR_INTERNAL', 'a portable peer is a port');
    this.#peers[peer] = token;
  }

  // --- listening -----------------------------------------------------------------------------------------------------

  /** A server of Node's on all addresses listens at once, and every other one a tick later. */
  listen(options: HostListenOptions): Bound | Promise<Bound> {
    const { address, port, backlog, unreachableMs } = options;
    const what = placeOf(options);
    const path = address.startsWith('unix:') ? address.slice('unix:'.length) : undefined;
    const isAddress = path === undefined ? isIP(address) !== 0 : path !== '';
    if (!isAddress) throw systemError('listen', Errno.EINVAL, what);
    if (this.#isClosed) throw listenClosedError();
    const listener = this.#gate.listener(backlog, unreachableMs);
    const slot = this.#gate.grant(listener);
    if (slot < 0) throw systemError('listen', Errno.ENFILE, what);
    const reusePort = options.reusePort && this.sharesPorts;
    const bind = () => {
      if (this.#isClosed) throw listenClosedError();
      return listener.server.listen({ host: address, port, reusePort, backlog });
    };
    let bound: Promise<unknown> | undefined;
    if (path !== undefined) bound = this.#bindPath(listener, path, backlog, what);
    else if (reusePort && options.isFirst && port !== 0) bound = probe(address, port).then(bind);
    else bound = bind();
    const done = () => ({ slot, port: path === undefined ? listener.server.port : 0 });
    if (bound === undefined) return done();
    return bound.then(done, (error) => {
      this.#gate.withdraw(slot);
      throw listenError(error, what);
    });
  }

  async #bindPath(listener: PortableListener, path: string, backlog: number, what: string): Promise<void> {
    const begin = async () => {
      if (this.#isClosed) throw listenClosedError();
      try {
        await listener.server.listen({ path, backlog });
      } catch (error) {
        throw listenError(error, what);
      }
    };
    listener.onClose = (await bindPath(path, begin)).unlink;
  }

  remoteOf(file: number): NetAddress | undefined {
    return this.#gate.remoteOf(file);
  }

  localOf(file: number): NetAddress | undefined {
    return this.#gate.localOf(file);
  }

  keepAlive(file: number, isOn: boolean, idleMs: number): void {
    this.#gate.keepAlive(file, isOn, idleMs);
  }

  /**
   * Node closes the descriptor with its server, so two servers must not have the same one: it would be closed twice,
   * and the second time it could be another file's. So shard 0 alone takes descriptors, each of them once.
   */
  async #take(fd: number, unreachableMs: number | undefined): Promise<Bound> {
    const what = descriptorName(fd);
    if (this.#shard !== 0) {
      const text = `${what}: on the portable host only shard 0 can accept from a descriptor`;
      throw new FeatherstarError('FEATHERSTAR_HOST', text);
    }
    if (taken.has(fd)) throw systemError('listen', Errno.EADDRINUSE, what);
    const { port } = listeningAt(fd);
    const listener = this.#gate.listener(GIVEN_BACKLOG, unreachableMs);
    const slot = this.#gate.grant(listener);
    if (slot < 0) throw systemError('listen', Errno.ENFILE, what);
    taken.add(fd);
    listener.onClose = () => taken.delete(fd);
    try {
      await listener.server.listen({ fd, backlog: GIVEN_BACKLOG });
    } catch (error) {
      this.#gate.withdraw(slot);
      throw listenError(error, what);
    }
    return { slot, port };
  }

  sendAtOnce(file: number, bytes: Uint8Array): number {
    return this.#gate.sendAtOnce(file, bytes);
  }

  receivedBytes(buffer: number): Uint8Array | undefined {
    return this.#window.takeBytes(buffer);
  }

  setSocketPath(index: number, path: string | undefined): void {
    this.#gate.socketPaths[index] = path;
  }

  async bindDatagrams(options: DatagramOptions): Promise<Bound> {
    const reusePort = options.reusePort && this.sharesPorts;
    if (reusePort && options.isFirst && options.port !== 0) {
      const alone = openDatagrams(options, false);
      await bindDatagramSocket(alone, options); // rejects if another listener is there
      alone.close();
    }
    if (this.#isClosed) throw listenClosedError();
    const socket = openDatagrams(options, reusePort);
    const file = this.#gate.datagrams(socket);
    const slot = this.#gate.grant(file);
    if (slot < 0) {
      file.close();
      throw systemError('bind', Errno.ENFILE, placeOf(options));
    }
    try {
      await bindDatagramSocket(socket, options);
    } catch (error) {
      this.#gate.withdraw(slot);
      throw error;
    }
    file.watch();
    return { slot, port: socket.address().port };
  }
}

/** The reason why a listener was not bound. */
function listenError(error: unknown, what: string): FeatherstarError {
  return FeatherstarError.is(error) ? error : systemError('listen', errnoOf(error), what);
}

/** Node knows reusePort since 22.12, its types here not yet. An address is not looked up, so nothing waits for it. */
function openDatagrams({ address }: DatagramOptions, reusePort: boolean): DatagramSocket {
  const family = isIP(address);
  type Lookup = (error: null, address: string, family: number) => void;
  const lookup = (host: string, _options: unknown, callback: Lookup) => callback(null, host, isIP(host));
  const options = { type: family === 6 ? 'udp6' : 'udp4', lookup, ...(reusePort ? { reusePort } : {}) };
  return createSocket(options as SocketOptions);
}

function bindDatagramSocket(socket: DatagramSocket, options: DatagramOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const onClose = () => reject(listenClosedError());
    const onError = (error: unknown) => {
      socket.off('close', onClose);
      reject(systemError('bind', errnoOf(error), placeOf(options)));
    };
    socket.once('error', onError);
    socket.once('close', onClose);
    socket.bind({ address: options.address, port: options.port, exclusive: true }, () => {
      socket.off('error', onError);
      socket.off('close', onClose);
      resolve();
    });
  });
}

/**
 * Rejects if another process listens there: a socket that does not share its port cannot be bound beside one that does.
 */
async function probe(host: string, port: number): Promise<void> {
  const server = streams.serve(
    (stream) => stream.destroy(),
    () => {},
  );
  await server.listen({ host, port, reusePort: false, backlog: 1 });
  server.close();
}

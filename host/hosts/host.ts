// The seam. A host supplies one shard with a kernel. It takes submissions out of the shard's window and puts
// completions into it. It calls `turn` when there is something to do, and lets the thread sleep when there is not. It
// makes no scheduling decision. Everything else goes through the windows (assembly/layout.ts), so that is all there is.
//
// Hosts: uring.ts is the kernel itself. In portable.ts node:net and others perform the same submissions. The simulated
// host of host/sim/ is only for tests, which use it by simulate().

import { FeatherstarError } from '../base/errors.js';
import type { Core } from '../core/core-module.js';
import type { Header } from '../core/layout.js';
import type { NetworkRules } from '../net/network-rules.js';
import type { OpenNativeTls } from '../tls/record-engine.js';

/** Which host runs the shards: io_uring, Node's own I/O, the simulator, or a web page. */
export type HostName = 'uring' | 'portable' | 'sim' | 'browser';

/** File slots below this are for listeners; accepted and connected sockets take the lowest free one behind them. */
export const GRANT_SLOTS = 16;

/**
 * Bytes of JavaScript's that a send may read where they lie. For each file slot: the piece, or the pieces, that its
 * open SENDMSG names (ops.ts, sendLent).
 */
export type LentBytes = (Uint8Array | readonly Uint8Array[] | undefined)[];

/** Pieces that one SENDMSG can name (host/native/ring.h). */
export const LENT_PIECES = 32;

/** The sink did not take the chunk. */
export const REFUSED = 0;
/** The sink has copied the bytes that it needs. */
export const COPIED = 1;
/** The sink has kept the array of the chunk, or a copy if the array was not the sink's. */
export const KEPT = 2;
export type ChunkUse = typeof REFUSED | typeof COPIED | typeof KEPT;

/** A connection that takes large chunks without an event, if its host has a stream of the platform's. */
export interface ChunkSink {
  /**
   * A receive is open, and these bytes have come behind `told` events of it. Unless they are refused, they are taken,
   * and the receive stays open. `isOwn`: they are the sink's; else they are only there until it returns.
   */
  takeChunk(chunk: Uint8Array, isOwn: boolean, told: number): ChunkUse;
}

/** One shard's part of linear memory, and the memory of blocks: the two regions that a submission can name. */
export interface Windows {
  readonly memory: WebAssembly.Memory;
  /** Addresses from BLOCK_SPACE on; may be empty. */
  readonly blocks: ArrayBufferLike;
  readonly header: Header;
  /** The shard's base; offsets in `header` count from it. */
  readonly base: number;
  readonly shard: number;
  readonly lent: LentBytes;
  /** Where received bytes go, by file slots: see ops.ts, receiveInto(). */
  readonly targets: (Uint8Array | undefined)[];
  /** Those of open connections, by file slots. */
  readonly sinks: (ChunkSink | undefined)[];
  /** The part of the network that it may reach; undefined: all. */
  readonly network?: NetworkRules | undefined;
}

export interface HostListenOptions {
  /** Numeric IPv4 or IPv6 address, or `unix:/path`. */
  address: string;
  port: number;
  backlog: number;
  /** Several shards listen on one port and the kernel spreads connections over them. */
  reusePort: boolean;
  /** This is the first shard to listen there: EADDRINUSE if any other process does, even one that shares ports too. */
  isFirst: boolean;
  /** The kernel gives up a peer that confirms nothing for so long: its connection is reset. Default: when it likes. */
  unreachableMs?: number | undefined;
}

export interface DatagramOptions {
  /** Numeric IPv4 or IPv6 address. */
  address: string;
  port: number;
  reusePort: boolean;
  isFirst: boolean;
}

export function listenClosedError(): FeatherstarError {
  return new FeatherstarError('FEATHERSTAR_CLOSED', 'the runtime was closed while it began to listen');
}

/** How errors call it. */
export function placeOf({ address, port }: { address: string; port: number }): string {
  if (address.startsWith('unix:')) return address;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** The address of a peer. It can be given to `send()` and `connect()` as it is. */
export interface NetAddress {
  /** A numeric IPv4 or IPv6 address. */
  readonly hostname: string;
  /** 1 to 65,535; 0 if a proxy that told the address did not tell the port. */
  readonly port: number;
}

/** A listening socket. */
export interface Bound {
  slot: number;
  port: number;
  /** Whether other shards, or other processes, may accept from the same socket. */
  isShared?: boolean | undefined;
  /** Removes the file of a Unix socket, before its slot is closed. Without it the host does so by itself. */
  unlink?: (() => void) | undefined;
}

/** Where a socket listens: a numeric address or `unix:/path`, and a port, 0 for a path. */
export interface ListeningAt {
  address: string;
  port: number;
}

/** Sockets that listen already: another program has opened them, and has given this process the descriptors. */
export interface GivenListeners {
  /** Throws SYSTEM if the descriptor is no stream socket that listens. Nothing is changed, nothing closed. */
  look(fd: number): ListeningAt;
  /** Accepts from it from now on. `unreachableMs`: see HostListenOptions. Throws or rejects with SYSTEM or HOST. */
  take(fd: number, unreachableMs: number | undefined): Bound | Promise<Bound>;
}

/** How errors call a descriptor. */
export function descriptorName(fd: number): string {
  return `fd ${fd}`;
}

/** Unix sockets that a shard can be connecting to at the same time (host/native/ring.h). */
export const SOCKET_PATHS = 64;

/** An entry of a directory. */
export interface DirectoryEntry {
  /** Its name, without the path. */
  name: string;
  /** The kind of file; a link is not followed. */
  kind: FileKind;
}

/** The kinds of things that a name in a directory can stand for. */
export type FileKind = 'file' | 'directory' | 'link' | 'other';

/**
 * The directories that a shard was granted, by index: submissions that name files name one of these. At most
 * DIRECTORY_SLOTS; errors are negative numbers, as the kernel's.
 */
export interface Directories {
  /**
   * `parent`: an index; then the path stays beneath it, and crosses no mount unless `crossMounts`. Else it is any path
   * of this machine. ENODEV: it does not lie in a file system that stores files.
   */
  open(path: string, parent?: number, crossMounts?: boolean): number;
  /** The caller makes sure that no operation in it is open. */
  close(index: number): void;
  /**
   * Its entries, without . and .., in no order. io_uring has no operation for this. Rejects with a FeatherstarError.
   */
  list(index: number): Promise<DirectoryEntry[]>;
  /** The text of a link with this name in it. io_uring has no operation for this. Rejects with a FeatherstarError. */
  readLink(index: number, name: string): Promise<string>;
}

/** The token with which a peer rings this shard's doorbell. Goes from thread to thread by postMessage. */
export type DoorbellToken = number | MessagePortLike;

export interface MessagePortLike {
  postMessage(message: unknown): void;
}

/** Whether a turn is wanted, and whether the shard may sleep: the core's exports of assembly/park.ts. */
export type Parking = Pick<Core, 'wantsTurn' | 'trySleep' | 'awake'>;

/** The host's side of one shard, made in the shard's own thread. */
export interface ShardHost {
  readonly name: HostName;
  /** Whether several shards can listen on one port. If not, one of them listens for all. */
  readonly sharesPorts: boolean;
  /** Whether a file can be put into a slot of a peer (MSG_RING); node:net's sockets stay in their thread. */
  readonly movesFiles: boolean;
  /** Whether a send of lent bytes that has succeeded may still read them: the platform's stream has them. */
  readonly keepsLentBytes: boolean;
  /** Whether it receives into bytes that are lent. Without it every receive needs a receive buffer. */
  readonly receivesIntoLent?: boolean;
  /** File slots: submissions name files by these numbers only. */
  readonly fileSlots: number;
  /** The import `uring.enter`: takes what is staged, without waiting. */
  enter(): void;
  /** From now on calls `turn` whenever `core` wants one: for completions, mail, a deadline or more work. */
  start(turn: () => void, core: Parking): void;
  /** Something was staged between turns: a host that has no other way to notice takes a look soon. */
  poke(): void;
  /** Opens a listening socket. Throws or rejects with a FeatherstarError that names the cause. Callers await. */
  listen(options: HostListenOptions): Bound | Promise<Bound>;
  /**
   * The kernel begins no more connections for a listener that listen() has opened; those that it has begun still come.
   * A client hears nothing then, and tries again. Returns whether connections that are accepted from now on need
   * hearAll(). Without it the host cannot do that.
   */
  endHandshakes?(slot: number): boolean;
  /** A connection has inherited that its listener hears no clients: now it hears its own. */
  hearAll?(file: number): void;
  /** Without it the host takes no descriptors. */
  readonly given?: GivenListeners;
  /** The address of a name, where the host has its own names; else the system is asked. */
  resolve?(hostname: string): string;
  /** Opens a UDP socket that is bound. Without it the host has none. */
  bindDatagrams?(options: DatagramOptions): Bound | Promise<Bound>;
  /** The path that a CONNECT with `index` connects to; undefined: to nothing any more. Without it: no Unix sockets. */
  setSocketPath?(index: number, path: string | undefined): void;
  /**
   * The address of the peer of a socket in a slot. Undefined: it is a Unix socket, or the host does not know it any
   * more. Throws SYSTEM if the kernel cannot tell (EOPNOTSUPP before Linux 6.7).
   */
  remoteOf?(file: number): NetAddress | undefined;
  /** The socket's own address, likewise (EOPNOTSUPP before Linux 6.8). */
  localOf?(file: number): NetAddress | undefined;
  /**
   * Whether TCP probes the peer of a socket that was silent for `idleMs`; 0: the system's time. No effect where the
   * kernel cannot (Linux before 6.8, Unix sockets). Without it, the host has no such probes.
   */
  keepAlive?(file: number, isOn: boolean, idleMs: number): void;
  /**
   * The bytes that the number of a receive buffer stands for, if the platform has read them into an array of its own.
   * They belong to the caller, and the number stands for nothing any more. Without it, or if undefined, they lie in
   * linear memory.
   */
  receivedBytes?(buffer: number): Uint8Array | undefined;
  /**
   * Sends a copy of bytes without a submission, as many as it can: returns their count. It is less if the platform's
   * stream still has others; then a submission sends the rest. Nothing else may be staged for the file.
   */
  sendAtOnce?(file: number, bytes: Uint8Array): number;
  /** Without it the host has no files. */
  readonly directories?: Directories;
  /** TLS by the addon. Undefined, or without it: it has no OpenSSL to call. */
  openTls?: OpenNativeTls;
  /** The token with which a peer wakes this shard. A second one for the same peer takes the place of the first. */
  doorbell(peer: number): DoorbellToken;
  /** How this shard wakes `peer`; undefined: not any more. */
  setPeer(peer: number, token: DoorbellToken | undefined): void;
  /** Whether this shard keeps its thread alive. */
  ref(): void;
  unref(): void;
  /** Cancels what is open, closes all files, gives everything back. */
  close(): void;
}

export interface HostFactory {
  readonly name: HostName;
  /** Why it was picked, or why not the other one; part of the line that a server prints. */
  readonly reason: string;
  open(windows: Windows): ShardHost;
}

/** Also while a test has replaced the global one. */
const platformNow = performance.now.bind(performance);

/** CLOCK_MONOTONIC in ns, the clock of all deadlines and of every host on one machine. */
export function monotonicNs(): number {
  return virtualNs === undefined ? platformNow() * 1e6 + clockOffsetNs : virtualNs();
}

let virtualNs: (() => number) | undefined;

/** The simulator's clock from now on; undefined: the real one again. */
export function useClock(clock: (() => number) | undefined): void {
  virtualNs = clock;
}

// performance.now() counts from a different moment in each thread; process.hrtime() does not, but is slower. The
// difference is measured with performance.now() read first. So this clock is never behind the kernel's, and ahead by
// less than the shortest of the tries. A deadline that is computed from it is never early.
function offsetTo(readNs: () => number): number {
  let offsetNs = 0;
  let shortestNs = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 8; i++) {
    const before = platformNow();
    const ns = readNs();
    const tookNs = (platformNow() - before) * 1e6;
    if (tookNs >= shortestNs) continue;
    shortestNs = tookNs;
    offsetNs = ns - before * 1e6;
  }
  return offsetNs;
}

const ORIGIN_MS = Date.UTC(2026, 0, 1);
const hasOwnClocks = 'Bun' in globalThis || 'Deno' in globalThis; // there hrtime() counts from the thread's start, too

/** This clock is the same in all threads. Where hrtime() is not, by the wall clock of each thread's start. */
function processNs(): number {
  if (hasOwnClocks) return (performance.timeOrigin - ORIGIN_MS + platformNow()) * 1e6;
  const [seconds, ns] = process.hrtime();
  return seconds * 1e9 + ns;
}

let clockOffsetNs = offsetTo(processNs);

/** Each host says which clock its thread goes by. `readNs`: the kernel's own, if the platform has it. */
export function alignClock(readNs = processNs): void {
  clockOffsetNs = offsetTo(readNs);
}

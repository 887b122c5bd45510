// The core as the host sees it: compiled once per process, instantiated once per shard over the shared memory. Where
// the bytes come from and who instantiates them, the platform says: core.ts on Node, browser/platform.ts in a page.

import { FeatherstarError, optionError } from '../base/errors.js';
import {
  ABI_VERSION,
  BLOCK_ENTRY_BYTES,
  BLOCK_UNIT,
  type Header,
  type Limits,
  readHeader,
  writeLimits,
} from './layout.js';

/** The exports of core.wasm; assembly/index.ts says what each does. Results below 0 are codes. */
export interface Core {
  plan(): number;
  boot(shard: number, nowNs: number): void;
  stop(): void;
  turn(): number;
  wantsTurn(): number;
  trySleep(isBusy: number): number;
  awake(): void;
  flush(): void;
  startShard(shard: number): number;
  wasi_thread_start(tid: number, shard: number): void;
  firstTask(): number;
  nextTask(): number;
  spawnHost(group: number, owner: number): number;
  setShares(group: number, shares: number): number;
  armTimer(deadlineNs: number, kind: number, owner: number): number;
  cancelTimer(index: number, generation: number): number;
  submit(
    opcode: number,
    sqeFlags: number,
    ioprio: number,
    file: number,
    off: number,
    ptr: number,
    len: number,
    opFlags: number,
    fileIndex: number,
    owner: number,
    tag: number,
    bufGroup: number,
  ): number;
  extend(index: number, generation: number, bytes: number): number;
  cancelOp(index: number, generation: number): number;
  closeFile(file: number): number;
  recycle(buffer: number): void;
  hurry(): void;
  openOps(): number;
  mayPost(peer: number, kind: number): number;
  post(peer: number): number;
  payloadTake(bytes: number): number;
  holdRequest(peer: number): void;
  beginRequest(peer: number): void;
  peerDown(peer: number): void;
  arenaRelease(payload: number): void;
  arenaUsed(): number;
  http_limits(headBytes: number, headerCount: number, targetBytes: number): void;
  http_reset(connection: number): void;
  http_parse(connection: number, ptr: number, len: number): number;
  http_body(connection: number, ptr: number, len: number): number;
  http_head(out: number, template: number, templateBytes: number, contentLength: number): number;
  http_date(out: number, epochSeconds: number): number;
  ws_reset(connection: number, flags: number, maxBytes: number): void;
  ws_parse(connection: number, ptr: number, len: number): number;
}

export interface CoreImports {
  enter(): void;
  threadSpawn(arg: number): number;
}

/** Sizes for a server; untouched pages cost nothing, so they are generous. */
export const DEFAULT_LIMITS: Limits = {
  ringSlots: 1024,
  creditCount: 256,
  callSlots: 262_144,
  sqeSlots: 256,
  cqeSlots: 1024,
  readySlots: 4096,
  opSlots: 65_536,
  timerSlots: 262_144,
  taskSlots: 65_536,
  connectionSlots: 16_400,
  recvBufferCount: 64,
  recvBufferBytes: 4096,
  largeRecvBufferCount: 16,
  largeRecvBufferBytes: 65_536,
  sendBufferCount: 4096,
  sendBufferBytes: 4096,
  arenaBytes: 4_194_304,
  scratchBytes: 262_144,
};

const PAGE_BYTES = 65_536;
const PAGES_MAX = 65_535; // 4 GiB, but for one page: no end of a region is 2 ** 32

/** The difference between a file on a server and a page. */
export interface Platform {
  compile(): WebAssembly.Module;
  instantiate(module: WebAssembly.Module, imports: object): object;
}

let platform: Platform | undefined;
let compiled: WebAssembly.Module | undefined;

/** Says where core.wasm comes from. */
export function usePlatform(its: Platform): void {
  platform = its;
}

function thePlatform(): Platform {
  if (platform === undefined) {
    const text = 'usePlatform() has not been called: the location of core.wasm is unknown';
    throw new FeatherstarError('FEATHERSTAR_INTERNAL', text);
  }
  return platform;
}

export function coreModule(): WebAssembly.Module {
  compiled ??= thePlatform().compile();
  return compiled;
}

export function instantiateCore(module: WebAssembly.Module, memory: WebAssembly.Memory, imports: CoreImports): Core {
  const exports = thePlatform().instantiate(module, {
    env: { memory },
    uring: { enter: imports.enter },
    wasi: { 'thread-spawn': imports.threadSpawn },
  });
  // A plain copy: exports are in V8's dictionary mode, where each use is a hash lookup (15 ns a call).
  return { ...(exports as Core) };
}

/** How many bytes a shard takes with these limits. */
export function planShardBytes(shardCount: number, limits: Limits): number {
  return readHeader(sketchOf(shardCount, limits).sketch).shardBytes;
}

/** A memory of so many pages that all threads share, and that never grows. Throws FEATHERSTAR_MEMORY, or HOST. */
export function sharedMemory(pages: number): WebAssembly.Memory {
  if (typeof WebAssembly === 'undefined') {
    throw new FeatherstarError('FEATHERSTAR_HOST', 'there is no WebAssembly: start Node without --jitless');
  }
  try {
    return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  } catch (cause) {
    const text =
      `no shared memory of ${pages * PAGE_BYTES} bytes is available: ${(cause as Error).message}. Raise the limit of ` +
      'addresses (ulimit -v: V8 reserves about 10 GiB for each memory, however small), or lower shards, ' +
      'memoryPerShard, sharedBytes or limits';
    throw new FeatherstarError('FEATHERSTAR_MEMORY', text, { cause });
  }
}

function sketchOf(shardCount: number, limits: Limits): { sketch: WebAssembly.Memory; pages: number } {
  const sketch = sharedMemory(1);
  writeLimits(sketch, shardCount, limits);
  const pages = planIn(sketch);
  if (pages === 0)
    throw optionError('limits', `for ${shardCount} shards`, 'such that all of them fit into 4 GiB together');
  return { sketch, pages };
}

/** Pages of linear memory for the table of so many bytes of blocks in all. */
function tablePages(blockBytes: number): number {
  return Math.ceil(((blockBytes / BLOCK_UNIT) * BLOCK_ENTRY_BYTES) / PAGE_BYTES);
}

/** The most bytes of blocks that each shard can have; whole pages. Their table lies in what its limits leave. */
export function sharedBytesMost(shardCount: number, limits: Limits): number {
  const tableBytes = (PAGES_MAX - sketchOf(shardCount, limits).pages) * PAGE_BYTES;
  const most = Math.min(PAGES_MAX * PAGE_BYTES, (tableBytes / BLOCK_ENTRY_BYTES) * BLOCK_UNIT);
  return Math.floor(most / shardCount / PAGE_BYTES) * PAGE_BYTES;
}

/** The two memories of a runtime. */
export interface Memories {
  /** Linear memory: what the core has planned, and behind it the table of blocks (block-pool.ts). */
  readonly memory: WebAssembly.Memory;
  readonly header: Header;
  /** The block memory: `sharedBytes` for each shard. */
  readonly blocks: ArrayBufferLike;
}

/**
 * Asks the core how large its memory has to be, makes it, and writes the plan into it. Makes the memory of blocks, of
 * which the core knows nothing. Neither ever grows: other threads' views would be stale, and the kernel's addresses
 * too.
 */
export function makeMemory(shardCount: number, limits: Limits, sharedBytes = 0): Memories {
  const blockBytes = shardCount * sharedBytes;
  const memory = sharedMemory(sketchOf(shardCount, limits).pages + tablePages(blockBytes));
  writeLimits(memory, shardCount, limits);
  planIn(memory);
  const header = readHeader(memory);
  if (header.abiVersion !== ABI_VERSION) {
    const text = `core.wasm speaks ABI ${header.abiVersion}, the host ${ABI_VERSION}: the package is mixed up`;
    throw new FeatherstarError('FEATHERSTAR_INTERNAL', text);
  }
  return { memory, header, blocks: sharedMemory(blockBytes / PAGE_BYTES).buffer };
}

function planIn(memory: WebAssembly.Memory): number {
  const never = () => {
    throw new FeatherstarError('FEATHERSTAR_INTERNAL', 'plan() must not call an import');
  };
  return instantiateCore(coreModule(), memory, { enter: never, threadSpawn: never }).plan();
}

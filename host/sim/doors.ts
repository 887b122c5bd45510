// Doors of a simulated program to the real world: shut. A function behind one depends on more than the seed, or ends at
// a time that the world does not know.
//
// Each door has a sentence that says what to use instead. A door is open to code outside of a shard's turn. Those of
// files are in node-fs.ts.
//
// Next: globals.ts.

import childProcess from 'node:child_process';
import cluster from 'node:cluster';
import crypto from 'node:crypto';
import dgram from 'node:dgram';
import dns from 'node:dns';
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import net from 'node:net';
import perfHooks from 'node:perf_hooks';
import tls from 'node:tls';
import { promisify } from 'node:util';
import workers from 'node:worker_threads';
import zlib from 'node:zlib';
import { FeatherstarError } from '../base/errors.js';
import type { AnyFunction } from '../calls/remote.js';
import { isOtherRuntime, type Replacement, stage, switched } from './replace.js';

interface Door {
  readonly target: object;
  readonly names: readonly string[];
  /** The function's name in the message. */
  readonly what: (name: string) => string;
  /** The remedy. */
  readonly instead: string;
}

const words = (text: string): string[] => text.split(' ');
const of = (module: string) => (name: string) => `${name}() of node:${module}`;
const plain = (name: string) => `${name}()`;

const ZIP_STREAMS = 'Gzip Gunzip Deflate Inflate DeflateRaw InflateRaw Unzip BrotliCompress BrotliDecompress';
const KEYS = 'generateKeyPair generateKeyPairSync generateKey generateKeySync generatePrime generatePrimeSync';
const RESOLVES =
  'lookupService resolve resolve4 resolve6 resolveAny resolveCaa resolveCname resolveMx resolveNaptr ' +
  'resolveNs resolvePtr resolveSoa resolveSrv resolveTxt reverse';

export function functionsOf(target: object, except: readonly string[] = []): string[] {
  const isDoor = (name: string) => {
    const own = Object.getOwnPropertyDescriptor(target, name) as PropertyDescriptor;
    // Deno computes some functions. On Node, asking for a property that is computed may print a warning.
    const value = isOtherRuntime ? Reflect.get(target, name) : own.value;
    return typeof value === 'function' && !name.startsWith('_') && !except.includes(name);
  };
  return Object.getOwnPropertyNames(target).filter(isDoor);
}

const DENO_NETWORK = 'connect connectTls listen listenTls listenDatagram serve';
const DENO_PROCESSES = 'Command run spawn spawnAndWait spawnAndWaitSync';
const DENO_FILES =
  'open create readFile readTextFile writeFile writeTextFile stat lstat readDir mkdir remove rename copyFile ' +
  'truncate makeTempDir makeTempFile symlink link readLink realPath chmod chown utime';

const withSync = (text: string): string[] => words(text).flatMap((name) => [name, `${name}Sync`]);

const USE_CHANNEL = 'Use a Channel, a call to a shard, or setImmediate()';
const USE_SHARD = 'Use a shard, or do the work before simulate()';
const NAME_MACHINES = 'Name the machines in the option "hosts"; featherstar/net resolves these names';
const END_BY = 'Return from the program or throw; kill(0) of world.host(name) ends the process of a machine';

interface BunFunctions {
  readonly dns: object;
  readonly password: object;
}

/** The own functions of Bun and Deno. Their HTTP does not use node:net, so it is refused, too. */
function doorsOfRuntime(instead: string): Door[] {
  if (!isOtherRuntime) return [];
  const { Bun, Deno } = globalThis as { Bun?: BunFunctions; Deno?: object };
  const made: Door[] = [
    { target: http, names: ['createServer', 'Server', 'ClientRequest'], what: of('http'), instead },
  ];
  const clocks = 'Use setTimeout()';
  const files = 'Use featherstar/fs, or node:fs by its default import';
  if (Bun !== undefined) {
    const { dns: bunNames, password } = Bun;
    const what = (name: string) => `Bun.${name}()`;
    const ofNames = (name: string) => `Bun.dns.${name}()`;
    const ofPasswords = (name: string) => `Bun.password.${name}()`;
    const hashes = 'Use scrypt() of node:crypto, which the simulation allows';
    made.push({ target: Bun, names: words('serve listen connect udpSocket'), what, instead });
    made.push({ target: Bun, names: words('spawn spawnSync $'), what, instead: USE_SHARD });
    made.push({ target: Bun, names: words('sleep sleepSync'), what, instead: clocks });
    made.push({ target: Bun, names: words('file write'), what, instead: files });
    const lookups = words(`lookup prefetch ${RESOLVES}`);
    made.push({ target: bunNames, names: lookups, what: ofNames, instead: NAME_MACHINES });
    made.push({ target: password, names: withSync('hash verify'), what: ofPasswords, instead: hashes });
  }
  if (Deno !== undefined) {
    const what = (name: string) => `Deno.${name}()`;
    const signals = 'Use process.on()';
    made.push({ target: Deno, names: words(DENO_NETWORK), what, instead });
    made.push({ target: Deno, names: ['resolveDns'], what, instead: NAME_MACHINES });
    made.push({ target: Deno, names: words(DENO_PROCESSES), what, instead: USE_SHARD });
    made.push({ target: Deno, names: words('exit kill chdir'), what, instead: END_BY });
    made.push({ target: Deno, names: words('addSignalListener removeSignalListener'), what, instead: signals });
    made.push({ target: Deno, names: [...withSync(DENO_FILES), 'watchFs', 'openKv'], what, instead: files });
  }
  return made;
}

function doors(): Door[] {
  const sockets = 'Use featherstar/net, or featherstar/node for a library that takes a socket';
  const made = isOtherRuntime
    ? sockets
    : 'Make it while the simulation runs, and by node:net itself, not by a subclass';
  const plainText = 'TLS draws random numbers without a seed: use connections without it in the simulation';
  const resolves = [...words(RESOLVES), ...(isOtherRuntime ? ['lookup'] : [])];
  return [
    {
      target: globalThis,
      names: ['WebSocket', 'EventSource', ...(isOtherRuntime ? ['fetch'] : [])],
      what: plain,
      instead: 'Use WebSocket of featherstar/http, world.connect(), or a library over node:net as ws is',
    },
    { target: globalThis, names: ['Worker'], what: plain, instead: USE_SHARD },
    ...doorsOfRuntime(sockets),
    {
      target: globalThis,
      names: ['MessageChannel', 'BroadcastChannel'],
      what: plain,
      instead: USE_CHANNEL,
    },
    {
      target: globalThis,
      names: ['CompressionStream', 'DecompressionStream'],
      what: plain,
      instead: 'Use gzip(bytes, callback) of node:zlib',
    },
    { target: net.Socket.prototype, names: ['connect'], what: () => 'a connection of node:net', instead: made },
    { target: net.Server.prototype, names: ['listen'], what: () => 'a server of node:net', instead: made },
    {
      target: dgram.Socket.prototype,
      names: ['bind', 'send', 'connect'],
      what: of('dgram'),
      instead: 'Use bindUdp() of featherstar/net',
    },
    { target: dns, names: resolves, what: of('dns'), instead: NAME_MACHINES },
    { target: dns.promises, names: resolves, what: of('dns/promises'), instead: NAME_MACHINES },
    { target: tls, names: ['connect', 'createServer', 'TLSSocket', 'Server'], what: of('tls'), instead: plainText },
    { target: https, names: ['request', 'get', 'createServer', 'Server'], what: of('https'), instead: plainText },
    { target: http2, names: ['connect', 'createServer', 'createSecureServer'], what: of('http2'), instead: sockets },
    { target: childProcess, names: functionsOf(childProcess), what: of('child_process'), instead: USE_SHARD },
    { target: cluster, names: ['fork'], what: of('cluster'), instead: USE_SHARD },
    { target: workers, names: ['Worker'], what: of('worker_threads'), instead: USE_SHARD },
    {
      target: workers,
      names: ['MessageChannel', 'BroadcastChannel'],
      what: of('worker_threads'),
      instead: USE_CHANNEL,
    },
    {
      target: crypto,
      names: words(KEYS),
      what: of('crypto'),
      instead: 'Make keys before simulate(): they come from a generator that has no seed',
    },
    {
      target: zlib,
      names: words(ZIP_STREAMS).flatMap((name) => [name, `create${name}`]),
      what: of('zlib'),
      instead: 'Use gzip(bytes, callback) or gzipSync(bytes), which the simulation allows',
    },
    {
      target: process,
      names: ['exit', 'abort', 'reallyExit', 'chdir', 'dlopen'],
      what: (name) => `process.${name}()`,
      instead: END_BY,
    },
    {
      target: Atomics,
      names: ['wait', 'waitAsync'],
      what: (name) => `Atomics.${name}()`,
      instead: 'All shards share one thread: use a Channel or a call',
    },
    {
      target: perfHooks,
      names: ['monitorEventLoopDelay'],
      what: of('perf_hooks'),
      instead: 'Time in the simulation is virtual: runtime().stats() has the turns of a shard',
    },
  ];
}

export function refuse(what: string, instead: string, why = 'what it does depends on more than the seed'): never {
  const text = `${what} leaves the simulation: ${why}. ${instead}`;
  throw new FeatherstarError('FEATHERSTAR_SIMULATION', text);
}

function shut({ target, names, what, instead }: Door): Replacement[] {
  return names.flatMap((name) => {
    const made = switched(target, name, () => refuse(what(name), instead));
    for (const { value } of made) shutPromised(value as AnyFunction, () => refuse(what(name), instead));
    return made;
  });
}

/** promisify() takes another function in place of some, such as exec(). That one is refused, too. */
function shutPromised(door: AnyFunction, refuseIt: () => never): void {
  const real = Reflect.get(door, promisify.custom) as AnyFunction | undefined;
  if (real === undefined) return;
  const value = (...args: never[]) => (stage() === undefined ? real(...args) : new Promise(refuseIt));
  Object.defineProperty(door, promisify.custom, { value, configurable: true });
}

/** A request of Bun or Deno stays in the simulation if `createConnection` gives it a socket. */
function requestsWithSocket(): Replacement[] {
  if (!isOtherRuntime) return [];
  const instead = 'Give it the option createConnection of featherstar/node, or use featherstar/net';
  return (['request', 'get'] as const).flatMap((name) => {
    const real = http[name] as AnyFunction;
    return switched(http, name, (...args: unknown[]) => {
      const hasSocket = args.some((each) => typeof (each as http.RequestOptions)?.createConnection === 'function');
      return hasSocket ? real.apply(http, args as never) : refuse(of('http')(name), instead);
    });
  });
}

export function shutDoors(): Replacement[] {
  return [...doors().flatMap(shut), ...requestsWithSocket()];
}

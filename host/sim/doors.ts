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
import http2 from 'node:http2';
import https from 'node:https';
import net from 'node:net';
import perfHooks from 'node:perf_hooks';
import tls from 'node:tls';
import workers from 'node:worker_threads';
import zlib from 'node:zlib';
import { FeatherstarError } from '../base/errors.js';
import { isOtherRuntime, type Replacement, switched } from './replace.js';

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
    const { value } = Object.getOwnPropertyDescriptor(target, name) as PropertyDescriptor;
    return typeof value === 'function' && !name.startsWith('_') && !except.includes(name);
  };
  return Object.getOwnPropertyNames(target).filter(isDoor);
}

const USE_CHANNEL = 'Use a Channel, a call to a shard, or setImmediate()';

function doors(): Door[] {
  const sockets = 'Use featherstar/net, or featherstar/node for a library that takes a socket';
  const made = isOtherRuntime
    ? sockets
    : 'Make it while the simulation runs, and by node:net itself, not by a subclass';
  const threads = 'Use a shard, or do the work before simulate()';
  const plainText = 'TLS draws random numbers without a seed: use connections without it in the simulation';
  const resolves = [...words(RESOLVES), ...(isOtherRuntime ? ['lookup'] : [])];
  const names = 'Name the machines in the option "hosts"; featherstar/net resolves these names';
  return [
    {
      target: globalThis,
      names: ['WebSocket', 'EventSource', ...(isOtherRuntime ? ['fetch'] : [])],
      what: plain,
      instead: 'Use WebSocket of featherstar/http, world.connect(), or a library over node:net as ws is',
    },
    { target: globalThis, names: ['Worker'], what: plain, instead: threads },
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
    { target: dns, names: resolves, what: of('dns'), instead: names },
    { target: dns.promises, names: resolves, what: of('dns/promises'), instead: names },
    { target: tls, names: ['connect', 'createServer', 'TLSSocket', 'Server'], what: of('tls'), instead: plainText },
    { target: https, names: ['request', 'get', 'createServer', 'Server'], what: of('https'), instead: plainText },
    { target: http2, names: ['connect', 'createServer', 'createSecureServer'], what: of('http2'), instead: sockets },
    { target: childProcess, names: functionsOf(childProcess), what: of('child_process'), instead: threads },
    { target: cluster, names: ['fork'], what: of('cluster'), instead: threads },
    { target: workers, names: ['Worker'], what: of('worker_threads'), instead: threads },
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
      names: ['exit', 'abort', 'reallyExit', 'kill', 'chdir', 'dlopen'],
      what: (name) => `process.${name}()`,
      instead: 'Return from the program or throw; world.kill() ends a shard, and world.signal() sends a signal',
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
  return names.flatMap((name) => switched(target, name, () => refuse(what(name), instead)));
}

export function shutDoors(): Replacement[] {
  return doors().flatMap(shut);
}

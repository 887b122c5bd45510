// node:net, node:http, node:dns and fetch() of a simulated program: Node's own interfaces over the simulated network.
// So a library that was written for Node, and a service that never heard of this one, run in a world.
//
//   library --> net.connect(), net.createServer() --> sockets of featherstar/node --> the shard --> the world
//   library --> http.request(), http.createServer(), fetch() --> Node's own HTTP, over such sockets
//
// On Node only: Bun and Deno have no HTTP that takes a socket. There, these are refused (doors.ts).
//
// Invariant: nothing that outlives a world decides anything in the next one. So each world has an http.globalAgent of
// its own, and each shard of it has a dispatcher for fetch().
//
// Next: replace.ts; host/node/sockets.ts.

import dns from 'node:dns';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { resolveError } from '../base/errors.js';
import type { AnyFunction } from '../calls/remote.js';
import { makeHttpServer } from '../node/http-server.js';
import { listenArguments } from '../node/listening.js';
import { NetServer } from '../node/net-server.js';
import { nodeError } from '../node/node-errors.js';
import { connectArguments, NodeSocket, type NodeSocketOptions } from '../node/node-socket.js';
import {
  bound,
  type Callback,
  isOtherRuntime,
  onStage,
  type Replacement,
  stage,
  switched,
  type Undo,
} from './replace.js';
import type { Place } from './world.js';

const LOOKUP_US = 500; // the longest time until a name is resolved

type AnyClass = new (...args: never[]) => object;

function connection(...args: unknown[]): NodeSocket {
  const [options] = connectArguments(args);
  return new NodeSocket(options as NodeSocketOptions).connect(...args);
}

/** Shards of other machines than their shard 0's do not ask that one for a port. */
function listenOptions(args: unknown[]): unknown[] {
  const [options, onListening] = listenArguments(args);
  const { world, place } = onStage();
  const exclusive =
    options.exclusive === true || world.machines.of(place.index) !== world.machines.of(place.range.base);
  return [{ ...options, exclusive }, ...(onListening === undefined ? [] : [onListening])];
}

class WorldNetServer extends NetServer {
  override listen(...args: unknown[]): this {
    return super.listen(...listenOptions(args));
  }
}

/** `new` makes such a server, too. */
function WorldHttpServer(...args: Parameters<typeof makeHttpServer>) {
  const server = makeHttpServer(...args) as http.Server;
  const { listen } = server as unknown as { listen: (...args: unknown[]) => http.Server };
  server.listen = (...args: unknown[]) => listen(...listenOptions(args));
  return server;
}

/** Node writes the real date into responses, and closes idle connections in the order of their places in memory. */
function withoutChance(server: http.Server): http.Server {
  const opened = new Map<unknown, number>();
  server.prependListener('connection', (socket: NodeSocket) => {
    opened.set(socket, opened.size === 0 ? 0 : Math.max(...opened.values()) + 1);
    socket.once('close', () => opened.delete(socket));
  });
  server.once('listening', () => orderConnections(server, opened));
  return server.prependListener('request', (_request: unknown, response: http.ServerResponse) => {
    response.sendDate = false;
    response.setHeader('Date', new Date().toUTCString());
  });
}

type ConnectionList = Record<'idle' | 'all', () => { socket: unknown }[]>;

/** Node's own list of a server's connections tells them in the order in which they were opened. */
function orderConnections(server: http.Server, opened: ReadonlyMap<unknown, number>): void {
  const name = Object.getOwnPropertySymbols(server).find((symbol) => symbol.description === 'http.server.connections');
  const list = (server as unknown as Record<symbol, ConnectionList>)[name as symbol] as ConnectionList;
  const placeOf = ({ socket }: { socket: unknown }) => opened.get(socket) ?? -1;
  for (const which of ['idle', 'all'] as const) {
    const told = list[which].bind(list);
    list[which] = () => told().sort((a, b) => placeOf(a) - placeOf(b));
  }
}

/** A class that makes objects of another class in a shard's turn. `instanceof` knows both. */
function switchedClass(target: object, name: string, Simulated: AnyClass, prepare = (made: object) => made) {
  const Real = (target as Record<string, unknown>)[name] as AnyClass;
  const made = switched(target, name, function create(this: unknown, ...args: never[]): unknown {
    if (this instanceof Real && !isBare(this, Real)) return (Real as unknown as AnyFunction).apply(this, args);
    return prepare(new Simulated(...args));
  });
  for (const { value } of made) {
    Object.defineProperty(value, Symbol.hasInstance, {
      value: (each: unknown) => each instanceof Real || each instanceof Simulated,
    });
  }
  return made;
}

/** Whether `new` has made it for the class itself. */
function isBare(made: object, Real: AnyClass): boolean {
  return Object.getPrototypeOf(made) === Real.prototype;
}

function sockets(): Replacement[] {
  const server = (...args: never[]) => new WorldNetServer(...args);
  return [
    ...switched(net, 'connect', connection as never),
    ...switched(net, 'createConnection', connection as never),
    ...switched(http.Agent.prototype, 'createConnection', connection as never),
    ...switched(net, 'createServer', server as never),
    ...switchedClass(net, 'Socket', NodeSocket as never),
    ...switchedClass(net, 'Stream', NodeSocket as never),
    ...switchedClass(net, 'Server', WorldNetServer as never),
  ];
}

function httpServers(): Replacement[] {
  const server = (...args: never[]) =>
    withoutChance(WorldHttpServer(...(args as unknown as Parameters<typeof makeHttpServer>)));
  return [
    ...switched(http, 'createServer', server as never),
    ...switchedClass(http, 'Server', WorldHttpServer as never, withoutChance as never),
  ];
}

// --- names -----------------------------------------------------------------------------------------------------------

interface LookupOptions {
  all?: boolean;
  family?: number | string;
}

function found(hostname: string, { all, family }: LookupOptions): unknown[] {
  const { world } = onStage();
  const asked = Number(String(family ?? 0).replace('IPv', ''));
  try {
    const address = net.isIP(hostname) === 0 ? world.machines.resolve(hostname) : hostname;
    const own = net.isIP(address);
    if (asked !== 0 && asked !== own) throw resolveError(hostname);
    return all ? [null, [{ address, family: own }]] : [null, address, own];
  } catch (error) {
    return [nodeError(error, 'getaddrinfo', { hostname })];
  }
}

function lookup(hostname: string, given: unknown, callback?: Callback): void {
  const { world, place } = onStage();
  const done = (callback ?? given) as Callback;
  const options = typeof given === 'number' ? { family: given } : typeof given === 'object' ? given : {};
  const result = found(hostname, (options ?? {}) as LookupOptions);
  const call = bound(() => done(...result));
  world.after(LOOKUP_US, () => world.post(place, call));
}

function lookupLater(hostname: string, options: LookupOptions | number = {}): Promise<unknown> {
  return new Promise((resolve, reject) => {
    lookup(hostname, options, (error, address, family) => {
      if (error !== null) reject(error);
      else resolve(Array.isArray(address) ? address : { address, family });
    });
  });
}

// --- fetch() ---------------------------------------------------------------------------------------------------------

const DISPATCHERS = ['2', '1'].map((version) => Symbol.for(`undici.globalDispatcher.${version}`)); // newest first
const dispatchers = new WeakMap<Place, object>();
const CLIENT_MS = 30;
let warm: Promise<unknown> | undefined;

/** A shard's own connections. `fetch()` makes the first dispatcher of the process, whose class this is. */
function dispatcherOf(place: Place): object {
  const own = dispatchers.get(place);
  if (own !== undefined) return own;
  const globals = globalThis as unknown as Record<symbol, object | undefined>;
  const shared = DISPATCHERS.map((name) => globals[name]).find((each) => each !== undefined) as object;
  const made = new (shared.constructor as AnyClass)();
  dispatchers.set(place, made);
  return made;
}

/**
 * Node loads its HTTP client late, and the client compiles its parser in another thread, which nothing tells. So a
 * larger module is compiled behind it, and a little time passes.
 */
async function loadClient(fetch: AnyFunction): Promise<void> {
  await fetch(...(['data:,'] as never[]));
  await WebAssembly.compile(readFileSync(new URL('../../core.wasm', import.meta.url)));
  await new Promise((resolve) => setTimeout(resolve, CLIENT_MS));
}

function fetches(): Replacement[] {
  const real = globalThis.fetch as unknown as AnyFunction;
  return switched(globalThis, 'fetch', (async (input: unknown, options: object = {}) => {
    const { world, place } = onStage();
    await world.loads.run(() => {
      warm ??= loadClient(real);
      return warm;
    });
    return real(...([input, { dispatcher: dispatcherOf(place), ...options }] as never[]));
  }) as never);
}

/** An agent whose connections belong to the shard that asks. */
class WorldAgent extends http.Agent {
  override getName(options?: never): string {
    const { index, life } = (stage()?.place ?? { index: -1, life: -1 }) as Place;
    return `${index}.${life}:${super.getName(options)}`;
  }
}

/** A world's own http.globalAgent. Returns how to put the real one back. */
export function freshAgent(): Undo {
  if (isOtherRuntime) return () => {};
  const { globalAgent } = http;
  http.globalAgent = new WorldAgent({ keepAlive: true, timeout: 5000, scheduling: 'lifo' }); // as Node makes its own
  return () => {
    http.globalAgent = globalAgent;
  };
}

export function nodeNetwork(): Replacement[] {
  if (isOtherRuntime) return [];
  return [
    ...sockets(),
    ...httpServers(),
    ...fetches(),
    ...switched(dns, 'lookup', lookup as never),
    ...switched(dns.promises, 'lookup', lookupLater as never),
  ];
}

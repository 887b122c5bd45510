// Response, Headers, Request and fetch of this thread, while it serves. Frameworks write `new Response(...)`, and mean
// the global one: with ours in its place they are as fast as a handler that imports ours.
//
//   Response, Headers   our classes, of which the platform's objects are instances, too
//   Request, fetch      the platform's, behind a Proxy: it takes requests of a server, which are none of the platform's
//
// A program can see no difference in names, lengths, prototypes or instanceof. When the last server of the thread has
// closed, the platform's come back. Objects of ours work on, and so do modules that have kept our classes.
//
// Next: response.ts.

import { FeatherHeaders } from './headers.js';
import { PlatformHeaders, PlatformRequest, PlatformResponse } from './platform.js';
import { FeatherRequest } from './request.js';
import { FeatherResponse } from './response.js';

interface Replaced {
  readonly target: object;
  readonly name: string;
  readonly ours: unknown;
  readonly before: PropertyDescriptor;
}

type Input = RequestInfo | URL;

/** A request of a server becomes one of the platform. Its body stays behind if `init` has another. */
function platformInput(input: Input | FeatherRequest, init: RequestInit | undefined): Input {
  return FeatherRequest.is(input) ? FeatherRequest.onPlatform(input, init?.body != null) : input;
}

const RequestProxy = new Proxy(PlatformRequest, {
  construct(target, args, newTarget) {
    if (args.length !== 0) args[0] = platformInput(args[0], args[1]);
    if (FeatherRequest.is(args[1])) args[1] = FeatherRequest.onPlatform(args[1], false); // new Request(url, request)
    return Reflect.construct(target, args, newTarget);
  },
});

function fetchProxy(platformFetch: typeof fetch): typeof fetch {
  return new Proxy(platformFetch, {
    apply(target, self, args) {
      if (args.length !== 0) args[0] = platformInput(args[0], args[1]);
      const result: unknown = Reflect.apply(target, self, args);
      return result instanceof Promise ? result.then(asOurs) : result;
    },
  });
}

/** Gives a response of the platform the prototype that `Response.prototype` is now. */
function asOurs(response: unknown): unknown {
  if (Object.getPrototypeOf(response) === PlatformResponse.prototype)
    Object.setPrototypeOf(response as object, FeatherResponse.prototype);
  return response;
}

let replaced: Replaced[] = [];
const users = new Set<ServerOfShard>();

/** A server. The shard of a simulated program can end without closing it. */
interface ServerOfShard {
  readonly shard: { readonly closed: boolean };
}

function putInPlace(target: object, name: string, ours: unknown): void {
  const before = Object.getOwnPropertyDescriptor(target, name);
  if (before === undefined || !before.configurable) return;
  const { enumerable } = before;
  Object.defineProperty(target, name, {
    value: ours,
    writable: true,
    configurable: true,
    enumerable: enumerable === true,
  });
  replaced.push({ target, name, ours, before });
}

/** `ours` for the platform's own class; a class of the program's stays. */
function replaceClass(name: 'Response' | 'Request' | 'Headers', platforms: { prototype: object }, ours: unknown): void {
  if (globalThis[name] !== platforms) return;
  putInPlace(globalThis, name, ours);
  putInPlace(platforms.prototype, 'constructor', ours);
}

/** Puts ours in the place of the platform's, until endReplaced() was called for the last server. */
export function beginReplaced(server: ServerOfShard): void {
  users.add(server);
  if (replaced.length !== 0) return;
  replaceClass('Response', PlatformResponse, FeatherResponse);
  replaceClass('Headers', PlatformHeaders, FeatherHeaders);
  replaceClass('Request', PlatformRequest, RequestProxy);
  if (typeof globalThis.fetch === 'function') putInPlace(globalThis, 'fetch', fetchProxy(globalThis.fetch));
}

export function endReplaced(server: ServerOfShard): void {
  users.delete(server);
  for (const each of users) if (each.shard.closed) users.delete(each);
  if (users.size !== 0) return;
  for (const { target, name, ours, before } of replaced) {
    const isOurs = Reflect.get(target, name) === ours; // if not, the program has replaced it since
    if (isOurs) Object.defineProperty(target, name, before);
  }
  replaced = [];
}

Object.defineProperty(FeatherRequest.prototype, 'constructor', {
  value: RequestProxy,
  writable: true,
  configurable: true,
});

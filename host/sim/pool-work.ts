// Pure work that Node gives to its pool of threads: its result depends on nothing but its arguments, so a simulated
// program may have it. When the result comes is the seed's business.
//
//   pooled()      does the work at once, as the synchronous function does, and calls back later
//   unhurried()   lets the real function work while the world stands still, and settles later
//
// Next: globals.ts.

import crypto from 'node:crypto';
import zlib from 'node:zlib';
import { FeatherstarError } from '../base/errors.js';
import type { AnyFunction } from '../calls/remote.js';
import { bound, type Callback, onStage, type Replacement, switched } from './replace.js';

const POOL_US = 1000; // the longest time until a result comes

/** Work that calls back if its last argument is a function, and else returns its result. */
export function pooled(work: AnyFunction): AnyFunction {
  return (...args: unknown[]) => {
    const callback = args.at(-1);
    if (typeof callback !== 'function') return work(...(args as never[]));
    const { world, place } = onStage();
    let result: unknown[];
    try {
      result = [null, work(...(args.slice(0, -1) as never[]))];
    } catch (error) {
      if (isArgumentError(error)) throw error;
      result = [error];
    }
    const call = bound(() => (callback as Callback)(...result));
    world.after(POOL_US, () => world.post(place, call));
    return undefined;
  };
}

function isArgumentError(error: unknown): boolean {
  return /^ERR_(INVALID|OUT_OF_RANGE|MISSING)/.test(String((error as NodeJS.ErrnoException).code));
}

/** A function that returns a promise for work that needs nothing but its arguments. */
function unhurried(real: AnyFunction): AnyFunction {
  return function (this: unknown, ...args: never[]): Promise<unknown> {
    const { world, place } = onStage();
    const working = Promise.resolve(real.apply(this, args));
    working.catch(() => {}); // load() tells it, unless the shard has died meanwhile
    const later = () => new Promise<void>((resolve) => void world.after(POOL_US, () => world.post(place, resolve)));
    return world.loads
      .run(() => working)
      .then(
        (value) => later().then(() => value),
        (error) => later().then(() => Promise.reject(error)),
      );
  };
}

function unhurriedAll(target: object, names: readonly string[]): Replacement[] {
  return names.flatMap((name) => {
    const real = (target as Record<string, unknown>)[name];
    return typeof real === 'function' ? switched(target, name, unhurried(real as AnyFunction)) : [];
  });
}

// --- node:zlib and node:crypto --------------------------------------------------------------------------------------

const ZIPS = 'deflate inflate gzip gunzip unzip deflateRaw inflateRaw brotliCompress brotliDecompress'.split(' ');
const DERIVATIONS = ['pbkdf2', 'scrypt', 'hkdf'];
const SIGNATURES = ['sign', 'verify'];

/** `gzip()` by `gzipSync()`. */
function bySync(target: object, names: readonly string[]): Replacement[] {
  return names.flatMap((name) => {
    const sync = (target as Record<string, unknown>)[`${name}Sync`];
    return typeof sync === 'function' ? switched(target, name, pooled(sync as AnyFunction)) : [];
  });
}

// --- crypto.subtle ---------------------------------------------------------------------------------------------------

const SUBTLE = 'digest verify decrypt importKey exportKey deriveBits deriveKey wrapKey unwrapKey'.split(' ');
const RANDOM_ALGORITHMS = ['ECDSA', 'RSA-PSS', 'RSA-OAEP', 'ECDH', 'RSASSA-PKCS1-V1_5', 'ED25519', 'X25519'];
const PURE_SIGNATURES = ['HMAC', 'RSASSA-PKCS1-V1_5', 'ED25519'];
const BLOCK_BITS: Record<string, number> = { 'SHA-1': 512, 'SHA-256': 512, 'SHA-384': 1024, 'SHA-512': 1024 };

interface Algorithm {
  name: string;
  length?: number;
  hash?: string | { name: string };
}

function algorithmName(algorithm: Algorithm | string): string {
  return (typeof algorithm === 'string' ? algorithm : algorithm.name).toUpperCase();
}

function refuseRandom(name: string, what: string): never {
  const text = `${what} with ${name} leaves the simulation: its result is random`;
  throw new FeatherstarError('FEATHERSTAR_SIMULATION', `${text}. Use keys that were made before, and HMAC or AES`);
}

function subtles(): Replacement[] {
  const subtle = crypto.webcrypto.subtle as unknown as SubtleCrypto;
  const { importKey } = subtle;
  const sign = unhurried(subtle.sign as AnyFunction);
  const encrypt = unhurried(subtle.encrypt as AnyFunction);
  const makeKey = unhurried(importKey as AnyFunction);

  async function generateKey(this: unknown, given: Algorithm, extractable: boolean, usages: string[]) {
    const name = algorithmName(given);
    if (RANDOM_ALGORITHMS.includes(name)) refuseRandom(name, 'crypto.subtle.generateKey()');
    const hash = typeof given.hash === 'object' ? given.hash.name : given.hash;
    const bits = given.length ?? BLOCK_BITS[String(hash).toUpperCase()] ?? 256;
    const bytes = globalThis.crypto.getRandomValues(new Uint8Array(bits / 8));
    return makeKey.apply(this, ['raw', bytes, given, extractable, usages] as never);
  }

  async function signChecked(this: unknown, given: Algorithm | string, ...rest: unknown[]) {
    const name = algorithmName(given);
    if (!PURE_SIGNATURES.includes(name)) refuseRandom(name, 'crypto.subtle.sign()');
    return sign.apply(this, [given, ...rest] as never);
  }

  async function encryptChecked(this: unknown, given: Algorithm | string, ...rest: unknown[]) {
    const name = algorithmName(given);
    if (name === 'RSA-OAEP') refuseRandom(name, 'crypto.subtle.encrypt()');
    return encrypt.apply(this, [given, ...rest] as never);
  }

  return [
    ...unhurriedAll(subtle, SUBTLE),
    ...switched(subtle, 'generateKey', generateKey as never),
    ...switched(subtle, 'sign', signChecked as never),
    ...switched(subtle, 'encrypt', encryptChecked as never),
  ];
}

export function poolWork(): Replacement[] {
  return [
    ...bySync(zlib, ZIPS),
    ...bySync(crypto, DERIVATIONS),
    ...SIGNATURES.flatMap((name) => {
      const real = (crypto as unknown as Record<string, AnyFunction>)[name] as AnyFunction;
      return switched(
        crypto,
        name,
        pooled((...args: never[]) => real(...args)),
      );
    }),
    ...subtles(),
    ...unhurriedAll(WebAssembly, ['compile', 'instantiate']),
  ];
}

// The platform's own classes, and how an object of ours can stand for one of theirs.
//
// serve() may replace the globals (globals.ts), so this file keeps the originals: it is loaded before that.

export const PlatformResponse: typeof Response = globalThis.Response;
export const PlatformRequest: typeof Request = globalThis.Request;
export const PlatformHeaders: typeof Headers = globalThis.Headers;

/** Handles a promise whose outcome is told elsewhere. */
export function doNothing(): void {}

const isOrdinaryInstance = Function.prototype[Symbol.hasInstance];

/**
 * Puts `ours` before `theirs` in the chain of prototypes, so that our objects are instances of the platform's class.
 * Members have the attributes that the platform's have: `for (const name in response)` finds them.
 */
export function extendPlatform(ours: { prototype: object }, theirs: { prototype: object }, name: string): void {
  Object.setPrototypeOf(ours.prototype, theirs.prototype);
  Object.defineProperty(ours, 'name', { value: name, configurable: true });
  for (const target of [ours, ours.prototype]) {
    for (const key of Object.getOwnPropertyNames(target)) {
      if (key === 'constructor') continue;
      const descriptor = Object.getOwnPropertyDescriptor(target, key) as PropertyDescriptor;
      if (typeof descriptor.value === 'function' || descriptor.get !== undefined)
        Object.defineProperty(target, key, { ...descriptor, enumerable: true });
    }
  }
  Object.defineProperty(ours, Symbol.hasInstance, {
    value(this: unknown, value: unknown) {
      return isOrdinaryInstance.call(this === ours ? theirs : this, value); // this: a subclass, perhaps
    },
  });
  Object.defineProperty(ours.prototype, Symbol.toStringTag, { value: name, configurable: true });
}

/** Makes node:util show an object as the name of the class and `contentOf(object)`, like an object of the platform. */
export function showAs(prototype: object, name: string, contentOf: (ours: object) => object): void {
  Object.defineProperty(prototype, Symbol.for('nodejs.util.inspect.custom'), {
    value(this: object, _depth: number, options: object, inspect: (value: object, options: object) => string) {
      return `${name} ${inspect(contentOf(this), options)}`;
    },
    writable: true,
    configurable: true,
  });
}

/**
 * Some platforms keep the state of an object under symbols (Node: streams; Node 20: requests and responses; Deno: all).
 * There their functions accept an object of ours, if each of these symbols leads to `realOf(object)`. That is an object
 * of theirs, made when it is needed. Returns false if the platform keeps its state elsewhere.
 */
export function forwardSymbols(prototype: object, blank: object, realOf: (ours: object) => object): boolean {
  const symbols = Object.getOwnPropertySymbols(blank);
  for (const symbol of symbols) {
    Object.defineProperty(prototype, symbol, {
      get() {
        return Reflect.get(realOf(this), symbol);
      },
      set(value) {
        Reflect.set(realOf(this), symbol, value);
      },
      configurable: true,
    });
  }
  return symbols.length !== 0;
}

/**
 * Makes the members of `ours` work for objects of the platform, so that such an object may get `ours` as its prototype.
 * A member that only the platform has is called on an object of the platform. A getter of `ours` works for both.
 */
export function shareMembers(
  ours: object,
  theirs: object,
  isOurs: (value: unknown) => boolean,
  toPlatform: (value: object) => object,
): void {
  for (const key of Object.getOwnPropertyNames(theirs)) {
    if (key === 'constructor') continue;
    const their = Object.getOwnPropertyDescriptor(theirs, key) as PropertyDescriptor;
    const our = Object.getOwnPropertyDescriptor(ours, key);
    if (our?.get !== undefined) continue;
    const both = {
      get [key](): unknown {
        return their.get?.call(isOurs(this) ? toPlatform(this) : this);
      },
    };
    const calls = {
      [key](...args: unknown[]): unknown {
        if (!isOurs(this)) return their.value.apply(this, args);
        return our === undefined ? their.value.apply(toPlatform(this), args) : our.value.apply(this, args);
      },
    };
    Object.defineProperty(calls[key], 'length', { value: their.value?.length, configurable: true });
    const shared = their.get === undefined ? calls : both;
    const { get, value } = Object.getOwnPropertyDescriptor(shared, key) as PropertyDescriptor;
    Object.defineProperty(ours, key, { ...their, ...(get === undefined ? { value } : { get }) });
  }
}

// biome-ignore-all lint/complexity/noArguments: an argument that is missing is a TypeError, and undefined is text

// The headers of a request or a response: the web's Headers class, for the price of an array.
//
//   #lines:   key, name, value,  key, name, value, ...     one triple for each header line, in order
//
// The name is what the program or the client wrote, and goes to the wire. The key is the name in lower case, which all
// lookups compare. Names and values are checked once, when they come in, so that the writer only has to join them.
//
// Next: response.ts and request.ts, which have such headers; writer.ts, which sends them.

import { extendPlatform, forwardSymbols, PlatformHeaders, showAs } from './platform.js';

/** The forms in which a response takes its headers. */
export type HeadersValue = Headers | Iterable<readonly [string, string]> | Record<string, string>;

const TRIPLE = 3;
const KNOWN_NAMES_MAX = 512;
const KEPT_VALUE_MAX = 256; // characters
const OTHER_VALUES_MAX = 4; // a name with more has a value of its own in each response

/** A token of HTTP (RFC 9110 5.6.2). */
export const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what the fetch standard forbids in a value
const BAD_VALUE = /[\x00\r\n\u0100-\uffff]/;
const OUTER_SPACE = /^[\t\n\r ]+|[\t\n\r ]+$/g;
const SP = 0x20;
const TILDE = 0x7e;
const NO_LINES: readonly never[] = [];
const SET_COOKIE = 'set-cookie';
const TYPE = 'content-type';
const SECRETS = new Set([SET_COOKIE, 'cookie', 'authorization', 'proxy-authorization']); // none of these is kept

/** A name that was checked. */
interface KnownName {
  readonly key: string;
  /** A value that was checked, too. Most names have the same value in every response. */
  value: string;
  /** So many values were another one. */
  otherValues: number;
}

const knownNames = new Map<string, KnownName>();

/** Looks a name up, or checks it. Throws TypeError if it is no token. */
function knownName(name: string): KnownName {
  const known = knownNames.get(name);
  if (known !== undefined) return known;
  if (!TOKEN.test(name)) throw new TypeError(`a header name must be a token (RFC 9110 5.6.2), got ${quoted(name)}`);
  const key = ownText(name.toLowerCase());
  const found = { key, value: '', otherValues: SECRETS.has(key) ? OTHER_VALUES_MAX : 0 };
  if (knownNames.size < KNOWN_NAMES_MAX) knownNames.set(ownText(name), found);
  return found;
}

/** The name of a header in lower case. Throws TypeError if it is no token. */
function keyOf(name: string): string {
  return knownName(name).key;
}

/** A copy: engines make a slice that keeps all of the text alive from which it was cut. */
function ownText(latin1: string): string {
  return Buffer.from(latin1, 'latin1').toString('latin1');
}

/**
 * A value of this name as text, without white space around it. Throws TypeError if it cannot be in a header. The first
 * values of a name are kept, because comparing costs less than checking, and most values come again.
 */
function checkedValue(name: KnownName, value: string): string {
  if (value === name.value) return value;
  const checked = plainValue(value);
  if (checked.length > KEPT_VALUE_MAX || name.otherValues === OTHER_VALUES_MAX) return checked;
  name.otherValues++;
  name.value = ownText(checked);
  return checked;
}

function plainValue(value: string): string {
  const end = value.length;
  if (end === 0) return value;
  for (let i = 0; i < end; i++) {
    const code = value.charCodeAt(i);
    if (code < SP || code > TILDE) return cleanValue(value);
  }
  const hasSpace = value.charCodeAt(0) === SP || value.charCodeAt(end - 1) === SP;
  return hasSpace ? cleanValue(value) : value;
}

function cleanValue(value: string): string {
  const text = value.replace(OUTER_SPACE, '');
  if (!BAD_VALUE.test(text)) return text;
  throw new TypeError(`a header value must be Latin-1 text without NUL, CR and LF, got ${quoted(value)}`);
}

function quoted(text: string): string {
  return JSON.stringify(text.length <= 80 ? text : `${text.slice(0, 80)}...`);
}

function needArguments(count: number, needed: number, method: string): void {
  if (count < needed) throw new TypeError(`Headers.${method}() needs ${needed} arguments, got ${count}`);
}

function push(lines: string[], name: unknown, value: unknown): void {
  const text = `${name}`; // throws for a symbol, as it should
  const known = knownName(text);
  lines.push(known.key, text, checkedValue(known, `${value}`));
}

function fill(lines: string[], init: unknown): void {
  if ((typeof init !== 'object' && typeof init !== 'function') || init === null)
    throw new TypeError(`headers must be an object or pairs, got ${init === null ? 'null' : typeof init}`);
  const iterator = (init as Partial<Iterable<unknown>>)[Symbol.iterator];
  if (iterator == null) {
    for (const name of Object.keys(init)) push(lines, name, (init as Record<string, unknown>)[name]);
    for (const symbol of Object.getOwnPropertySymbols(init))
      if (Object.prototype.propertyIsEnumerable.call(init, symbol)) push(lines, symbol, '');
  } else {
    if (typeof iterator !== 'function') throw new TypeError('headers must be an object or pairs, and are not iterable');
    for (const pair of init as Iterable<unknown>) fillPair(lines, pair);
  }
}

function fillPair(lines: string[], pair: unknown): void {
  const parts = typeof pair === 'object' && pair !== null ? [...(pair as Iterable<unknown>)] : [];
  if (parts.length !== 2) throw new TypeError('each pair of headers must have a name and a value, and no more');
  push(lines, parts[0], parts[1]);
}

/** Headers of ours whose iterator is ours, too. */
function isPlainHeaders(init: unknown): init is FeatherHeaders {
  if (typeof init !== 'object' || init === null || !isFeatherHeaders(init)) return false;
  return (init as Partial<Iterable<unknown>>)[Symbol.iterator] === entries;
}

let linesOf: (headers: FeatherHeaders) => readonly string[];
let pairsOf: (headers: FeatherHeaders) => readonly Pair[];
let withLines: (lines: string[], isImmutable: boolean) => FeatherHeaders;
let isFeatherHeaders: (value: object) => value is FeatherHeaders;

type Pair = [name: string, value: string];

/** Adds a content type, unless there is one. */
export function addType(headers: FeatherHeaders, type: string): void {
  const lines = linesOf(headers) as string[];
  const known = knownName(TYPE);
  if (lineAt(lines, known.key, 0) === -1) lines.push(known.key, TYPE, checkedValue(known, type));
}

/** Headers that behave as the platform's do, and are instances of them. */
export class FeatherHeaders {
  #lines: string[] = [];
  #isImmutable = false;
  #pairs: Pair[] | undefined; // for iteration, until the next change

  static {
    linesOf = (headers) => headers.#lines;
    pairsOf = (headers) => {
      headers.#pairs ??= combined(headers.#lines);
      return headers.#pairs;
    };
    withLines = (lines, isImmutable) => {
      const headers = new FeatherHeaders(NO_LINES);
      headers.#lines = lines;
      headers.#isImmutable = isImmutable;
      return headers;
    };
    isFeatherHeaders = (value): value is FeatherHeaders => #lines in value;
  }

  constructor(init: HeadersValue | readonly never[] = NO_LINES) {
    if (init === NO_LINES) return;
    if (isPlainHeaders(init)) this.#lines = [...linesOf(init)];
    else fill(this.#lines, init);
  }

  append(name: string, value: string): void {
    needArguments(arguments.length, 2, 'append');
    const lines: string[] = [];
    push(lines, name, value);
    this.#change();
    this.#lines.push(...lines);
  }

  delete(name: string): void {
    needArguments(arguments.length, 1, 'delete');
    const key = keyOf(`${name}`);
    this.#change();
    this.#remove(key, 0);
  }

  get(name: string): string | null {
    needArguments(arguments.length, 1, 'get');
    return combinedValue(this.#lines, keyOf(`${name}`)) ?? null;
  }

  has(name: string): boolean {
    needArguments(arguments.length, 1, 'has');
    return lineAt(this.#lines, keyOf(`${name}`), 0) !== -1;
  }

  set(name: string, value: string): void {
    needArguments(arguments.length, 2, 'set');
    const text = `${name}`;
    const known = knownName(text);
    const checked = checkedValue(known, `${value}`);
    this.#change();
    const lines = this.#lines;
    const { key } = known;
    const at = lineAt(lines, key, 0);
    if (at === -1) lines.push(key, text, checked);
    else {
      lines[at + 1] = text;
      lines[at + 2] = checked;
      this.#remove(key, at + TRIPLE);
    }
  }

  getSetCookie(): string[] {
    const found: string[] = [];
    const lines = this.#lines;
    for (let at = lineAt(lines, SET_COOKIE, 0); at !== -1; at = lineAt(lines, SET_COOKIE, at + TRIPLE))
      found.push(lines[at + 2] as string);
    return found;
  }

  keys(): IterableIterator<string> {
    return iterate(linesOf(this) && this, NAMES) as IterableIterator<string>;
  }

  values(): IterableIterator<string> {
    return iterate(linesOf(this) && this, VALUES) as IterableIterator<string>;
  }

  entries(): IterableIterator<[string, string]> {
    return iterate(linesOf(this) && this, PAIRS) as IterableIterator<[string, string]>;
  }

  forEach(callback: (value: string, name: string, headers: Headers) => void, thisArg: unknown = undefined): void {
    pairsOf(this);
    if (typeof callback !== 'function') throw new TypeError(`forEach() needs a function, got ${typeof callback}`);
    for (let i = 0; i < pairsOf(this).length; i++) {
      const [name, value] = pairsOf(this)[i] as Pair;
      callback.call(thisArg, value, name, this as unknown as Headers);
    }
  }

  #remove(key: string, from: number): void {
    const lines = this.#lines;
    for (let at = lineAt(lines, key, from); at !== -1; at = lineAt(lines, key, at)) lines.splice(at, TRIPLE);
  }

  #change(): void {
    if (this.#isImmutable) throw new TypeError('these headers are immutable: copy them with new Headers(headers)');
    this.#pairs = undefined;
  }
}

export { isFeatherHeaders, linesOf, withLines };

/** A copy that can be changed. */
export function copyOf(headers: FeatherHeaders): FeatherHeaders {
  return withLines([...linesOf(headers)], false);
}

/** Where the next line with this key begins; -1: nowhere. */
function lineAt(lines: readonly string[], key: string, from: number): number {
  for (let at = from; at < lines.length; at += TRIPLE) if (lines[at] === key) return at;
  return -1;
}

/** All values of a key, joined by commas; undefined if there is none. */
export function combinedValue(lines: readonly string[], key: string): string | undefined {
  let found: string | undefined;
  for (let at = lineAt(lines, key, 0); at !== -1; at = lineAt(lines, key, at + TRIPLE))
    found = found === undefined ? lines[at + 2] : `${found}, ${lines[at + 2]}`;
  return found;
}

/** Sorted by key. Lines of one key are one pair, but each cookie is a pair of its own. */
function combined(lines: readonly string[]): Pair[] {
  const pairs: Pair[] = [];
  for (let at = 0; at < lines.length; at += TRIPLE) pairs.push([lines[at] as string, lines[at + 2] as string]);
  pairs.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  let count = 0;
  for (const pair of pairs) {
    const last = pairs[count - 1];
    if (last !== undefined && last[0] === pair[0] && pair[0] !== SET_COOKIE) last[1] = `${last[1]}, ${pair[1]}`;
    else pairs[count++] = pair;
  }
  pairs.length = count;
  return pairs;
}

// --- iteration: a change of the headers shows in a loop that runs, as the standard wants it --------------------------

const NAMES = 0;
const VALUES = 1;
const PAIRS = 2;

class HeadersIterator {
  #headers: FeatherHeaders;
  #kind: number;
  #next = 0;

  constructor(headers: FeatherHeaders, kind: number) {
    this.#headers = headers;
    this.#kind = kind;
  }

  next(): IteratorResult<unknown> {
    const pair = pairsOf(this.#headers)[this.#next];
    if (pair === undefined) return { value: undefined, done: true };
    this.#next++;
    return { value: this.#kind === PAIRS ? [...pair] : pair[this.#kind], done: false };
  }
}

const iteratorPrototype = Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]()));
Object.setPrototypeOf(HeadersIterator.prototype, iteratorPrototype);
Reflect.deleteProperty(HeadersIterator.prototype, 'constructor');
Object.defineProperties(HeadersIterator.prototype, {
  next: { enumerable: true },
  [Symbol.toStringTag]: { value: 'Headers Iterator', configurable: true },
});

function iterate(headers: FeatherHeaders, kind: number): unknown {
  return new HeadersIterator(headers, kind);
}

function toPlatform(headers: object): Headers {
  return new PlatformHeaders(pairsOf(headers as FeatherHeaders) as Pair[]);
}

const { entries } = FeatherHeaders.prototype;
Object.defineProperty(FeatherHeaders.prototype, Symbol.iterator, {
  value: entries,
  writable: true,
  configurable: true,
});
extendPlatform(FeatherHeaders, PlatformHeaders, 'Headers');
forwardSymbols(FeatherHeaders.prototype, new PlatformHeaders(), toPlatform);
showAs(FeatherHeaders.prototype, 'Headers', (headers) => Object.fromEntries(pairsOf(headers as FeatherHeaders)));

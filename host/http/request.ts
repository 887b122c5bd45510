// The request as a handler sees it: the shape of the web's Request, made lazily. The parser has checked the head. Here
// it is one string, cut only where a caller asks. A request owns its bytes: it may be kept as long as you like.
//
// It is no Request of the platform's, which costs more than all else of a small request. One is made where it is
// needed: for clone(), and for `new Request(request)` and `fetch(request)` (globals.ts).

import type { NetAddress } from '../hosts/host.js';
import { type RequestBody, usedError } from './body.js';
import { type Addressed, fieldOf, type Head, hrefOf, linesOfHead, pathOf } from './head.js';
import { type FeatherHeaders, withLines } from './headers.js';
import { forwardSymbols, PlatformRequest, PlatformResponse } from './platform.js';

const METHODS = ['', 'GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH'];

// Not for the next server (RFC 9110 7.6.1), and Node's fetch() refuses some of them.
const OF_CONNECTION = new Set(['connection', 'expect', 'keep-alive', 'transfer-encoding', 'upgrade']);
const LENGTH = 'content-length';

/** The part of a connection that a request uses. */
export interface RequestExchange extends Addressed {
  clientOf(head: Head): NetAddress | undefined;
  abortSignal(): AbortSignal;
}

/**
 * A request, as `fetch(request)` gets it. It is a `Request` of the platform, whose members are made when they are asked
 * for; `path` and `header()` are the cheap ones.
 */
export class FeatherRequest {
  readonly #head: Head;
  readonly #body: RequestBody | undefined;
  readonly #exchange: RequestExchange;
  #url: string | undefined;
  #headers: FeatherHeaders | undefined;
  #platform: Request | undefined; // once it was cloned; it has the body then

  /** @internal */
  constructor(head: Head, body: RequestBody | undefined, exchange: RequestExchange) {
    this.#head = head;
    this.#body = body;
    this.#exchange = exchange;
  }

  /** The method, such as 'GET'. */
  get method(): string {
    const { methodId, text, start, methodStart, methodEnd } = this.#head;
    return METHODS[methodId] || text.slice(start + methodStart, start + methodEnd);
  }

  /** Equals `new URL(request.url).pathname`, but makes no URL object in most cases. Not in the web's Request. */
  get path(): string {
    return pathOf(this.#head, this.#exchange);
  }

  /** The absolute URL, as the URL standard writes it: `http://`, the Host header, and the target. */
  get url(): string {
    this.#url ??= hrefOf(this.#head, this.#exchange);
    return this.#url;
  }

  /** One header without building a Headers object; undefined if it is absent. Upper and lower case are the same. */
  header(name: string): string | undefined {
    if (this.#headers !== undefined) return this.#headers.get(name) ?? undefined;
    return fieldOf(this.#head, name.toLowerCase());
  }

  /** The client's address, without the port (`info.remote` has both). Not in the web's Request; srvx has it. */
  get ip(): string | undefined {
    return this.#exchange.clientOf(this.#head)?.hostname;
  }

  /** @internal Whether it is a request of a server. */
  static is(value: unknown): value is FeatherRequest {
    return typeof value === 'object' && value !== null && #head in value;
  }

  /** @internal A Request of the platform in its place. It takes the body, unless the caller has another. */
  static onPlatform(request: FeatherRequest, hasBody: boolean): Request {
    if (!hasBody) request.#platform ??= platformRequest(request, request.#body, true);
    return request.#platform ?? platformRequest(request, request.#body, false);
  }

  /** @internal The client's address, if it is a request of a server. */
  static remoteOf(request: object): NetAddress | undefined {
    return #exchange in request ? request.#exchange.clientOf(request.#head) : undefined;
  }

  /** All headers. */
  get headers(): Headers {
    this.#headers ??= withLines(linesOfHead(this.#head), false);
    return this.#headers as unknown as Headers;
  }

  /** Aborts when the client goes away before it has its answer. */
  get signal(): AbortSignal {
    return this.#exchange.abortSignal();
  }

  /** The body as a stream, or null if there is none. */
  get body(): ReadableStream<Uint8Array> | null {
    return this.#platform !== undefined ? this.#platform.body : (this.#body?.stream ?? null);
  }

  /** Whether the body was read, or is being read. */
  get bodyUsed(): boolean {
    return this.#platform?.bodyUsed ?? this.#body?.isDisturbed ?? false;
  }

  /**
   * The fields behind a body in chunks, when all of the body has come: read it before. Empty if there are none. Rejects
   * like `bytes()`. Fields that belong before a body are left out, such as Content-Length. Not in the web's Request.
   *
   * @example
   * const bytes = await request.bytes();
   * const checksum = (await request.trailers).get('x-checksum');
   */
  get trailers(): Promise<Headers> {
    return this.#body?.trailers ?? Promise.resolve(withLines([], false) as unknown as Headers);
  }

  /**
   * A Request of the platform's, with a body of its own: what one of the two has read waits in memory for the other.
   * Throws FEATHERSTAR_BODY if the body was read, TypeError for what no Request can be: TRACE, or a body with GET.
   */
  clone(): Request {
    if (this.bodyUsed) throw usedError();
    return FeatherRequest.onPlatform(this, false).clone();
  }

  /** The whole body. Rejects with FEATHERSTAR_BODY if it breaks off, or was read before. */
  async bytes(): Promise<Uint8Array> {
    if (this.#platform === undefined) return this.#body === undefined ? new Uint8Array(0) : this.#body.bytes();
    if (this.#platform.bodyUsed) throw usedError();
    return new Uint8Array(await this.#platform.arrayBuffer());
  }

  /** The whole body. Rejects like `bytes()`. */
  async arrayBuffer(): Promise<ArrayBuffer> {
    return (await this.bytes()).buffer as ArrayBuffer;
  }

  /** The whole body, decoded from UTF-8. Rejects like `bytes()`. */
  async text(): Promise<string> {
    if (this.#platform === undefined) return this.#body === undefined ? '' : this.#body.text();
    return decoder.decode(await this.bytes());
  }

  /** The whole body, parsed as JSON. Rejects like `bytes()`, and with a SyntaxError. */
  async json(): Promise<unknown> {
    return JSON.parse(await this.text());
  }

  /** The whole body as a Blob. Rejects like `bytes()`. */
  async blob(): Promise<Blob> {
    return new Blob([(await this.bytes()) as BlobPart], { type: this.header('content-type') ?? '' });
  }

  /** The whole body as form data. Rejects like `bytes()`. */
  async formData(): Promise<FormData> {
    const type = this.header('content-type') ?? '';
    return new PlatformResponse((await this.bytes()) as BodyInit, { headers: { 'content-type': type } }).formData();
  }
}

const decoder = new TextDecoder();

/** Not a private method: with one, each request would carry a mark more. */
function platformRequest(request: FeatherRequest, body: RequestBody | undefined, takesBody: boolean): Request {
  const { method, signal, url } = request;
  const init = takesBody && body !== undefined ? { body: body.stream, duplex: 'half' } : {};
  const isOther = !takesBody && body !== undefined;
  const headers = [...request.headers].filter(([name]) => !OF_CONNECTION.has(name) && !(isOther && name === LENGTH));
  return new PlatformRequest(url, { method, headers, signal, ...init } as RequestInit);
}

// `request instanceof Request` holds, as frameworks expect it of what their handler gets. The other members of a
// Request (cache, mode, referrer, ...) are for clients. Here they have the values of a new Request. Methods that only
// the platform has are called on a Request of the platform.
const blank = new PlatformRequest('http://localhost/');
const toPlatform = (request: object) => FeatherRequest.onPlatform(request as FeatherRequest, false);
for (const [name, { get, value }] of Object.entries(Object.getOwnPropertyDescriptors(PlatformRequest.prototype))) {
  if (Object.hasOwn(FeatherRequest.prototype, name)) continue;
  function forwarded(this: FeatherRequest, ...args: unknown[]): unknown {
    return value.apply(toPlatform(this), args);
  }
  const constant = Reflect.get(blank, name);
  const member = typeof value === 'function' ? { value: forwarded } : { get: () => constant };
  if (get !== undefined || typeof value === 'function')
    Object.defineProperty(FeatherRequest.prototype, name, { ...member, configurable: true });
}
Object.setPrototypeOf(FeatherRequest.prototype, PlatformRequest.prototype);
forwardSymbols(FeatherRequest.prototype, blank, toPlatform);

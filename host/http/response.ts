// The web's Response, for the price of an object with a few fields. It is an instance of the platform's Response, and
// does all that one does. Objects of the platform are made when only they can do what is asked: a real stream, a form.
//
//   new Response('text')       #source: string           the writer copies it to the socket's buffer
//   .body                      #source: BodyStream       lazy; the writer still finds the text in it
//   new Response(readable)     #source: ReadableStream   Details.platform reads it
//
// Bytes are not copied: until they are sent, the handler must not change them. Nothing else differs from the standard.
//
// Next: body-stream.ts, headers.ts; globals.ts, which puts this class in the place of the global Response.

import { FeatherstarError } from '../base/errors.js';
import type { ByteStream } from './body-reads.js';
import { bodyStream, isStreamUsed, type RawBody, rawBody, takenStream, takeStream } from './body-stream.js';
import { addType, copyOf, FeatherHeaders, type HeadersValue, linesOf, withLines } from './headers.js';
import { extendPlatform, forwardSymbols, PlatformResponse, shareMembers, showAs } from './platform.js';

/** The values that a response takes as its body. */
export type BodyValue =
  | string
  | Uint8Array
  | ArrayBuffer
  | ArrayBufferView
  | Blob
  | FormData
  | URLSearchParams
  | ReadableStream<Uint8Array>
  | AsyncIterable<Uint8Array | string>
  | null
  | undefined;

/** Options of a response. */
export interface ResponseOptions {
  /** The status, 200 to 599; default 200. */
  status?: number | undefined;
  /** The text behind the status. Default: the usual one. */
  statusText?: string | undefined;
  /** The headers. */
  headers?: HeadersValue | undefined;
}

/** Where the bytes of a body come from. */
export type Source = RawBody | Blob | ByteStream | null;

interface Extracted {
  source: Source;
  type: string;
  platform?: Response;
}

/** The parts that a small response does without. */
interface Details {
  status: number;
  statusText: string;
  headers: FeatherHeaders | undefined;
  platform: Response | undefined; // reads a source that is a stream
}

const TEXT_TYPE = 'text/plain;charset=UTF-8';
const JSON_TYPE = 'application/json';
const FORM_TYPE = 'application/x-www-form-urlencoded;charset=UTF-8';
const BAD_STATUS_TEXT = /[^\t\x20-\x7e\x80-\xff]/;
const BYTE_ORDER_MARK = 0xfeff;
const SWITCHING = 101;
const REDIRECTS = [301, 302, 303, 307, 308];
const NO_OPTIONS: ResponseOptions = {};
const EMPTY = new Uint8Array(0);

const encoder = new TextEncoder();
const decoder = new TextDecoder();

// The getters work for the platform's objects, too (platform.ts), and so cost more than the rest of a small response.
let sourceOf: (response: FeatherResponse) => Source;
let statedLines: (response: FeatherResponse) => readonly string[] | undefined;
let impliedTypeOf: (response: FeatherResponse) => string;
let statusOf: (response: FeatherResponse) => number;
let statusTextOf: (response: FeatherResponse) => string;
let isFeatherResponse: (value: unknown) => value is FeatherResponse;

// Not private methods: with one, each object would carry a mark more.
let setBody: (response: FeatherResponse, body: Exclude<BodyValue, string>) => void;
let setOptions: (response: FeatherResponse, options: ResponseOptions) => void;
let detailsOf: (response: FeatherResponse) => Details;
let takeBody: (response: FeatherResponse) => Promise<RawBody>;
let toPlatform: (response: object) => Response;

/**
 * A response: the web's class, faster to make and to send than the platform's. Handlers may return both.
 *
 * @example
 * return Response.json({ ok: true }, { status: 201 });
 */
export class FeatherResponse {
  #source: Source = null;
  #impliedType = ''; // the content type, until there are headers
  #details: Details | undefined = undefined;

  static {
    isFeatherResponse = (value): value is FeatherResponse =>
      typeof value === 'object' && value !== null && #source in value;
    sourceOf = (response) => {
      const source = response.#source;
      return isStream(source) ? (rawBody(source) ?? source) : source;
    };
    statedLines = (response) => response.#details?.headers && linesOf(response.#details.headers);
    impliedTypeOf = (response) => response.#impliedType;
    statusOf = (response) => (response.#details === undefined ? 200 : response.#details.status);
    statusTextOf = (response) => (response.#details === undefined ? '' : response.#details.statusText);
    detailsOf = (response) => {
      response.#details ??= { status: 200, statusText: '', headers: undefined, platform: undefined };
      return response.#details;
    };
    setBody = (response, body) => {
      if (body === null || body instanceof Uint8Array) {
        response.#source = body;
        return;
      }
      const { source, type, platform } = extract(body);
      response.#source = source;
      response.#impliedType = type;
      if (platform !== undefined) detailsOf(response).platform = platform;
    };
    setOptions = (response, options) => {
      if (options == null) return;
      if (typeof options !== 'object' && typeof options !== 'function')
        throw new TypeError(`the options of a Response must be an object, got ${typeof options}`);
      const { headers, status, statusText } = options;
      const details = detailsOf(response);
      if (status !== undefined) details.status = checkedStatus(status);
      if (statusText !== undefined) details.statusText = checkedText(statusText);
      if (headers !== undefined) details.headers = withType(new FeatherHeaders(headers), response.#impliedType);
      if (response.#source !== null && hasNoBody(details.status))
        throw new TypeError(`a response with status ${details.status} has no body: give null`);
    };
    takeBody = async (response) => {
      const source = sourceOf(response);
      if (source === null) return EMPTY;
      if (isStream(source)) {
        const platform = response.#details?.platform ?? new PlatformResponse(source);
        return new Uint8Array(await platform.arrayBuffer());
      }
      if (isStream(response.#source)) takeStream(response.#source);
      else response.#source = takenStream();
      return source instanceof Blob ? new Uint8Array(await source.arrayBuffer()) : source;
    };
    toPlatform = (response) => {
      if (statusOf(response as FeatherResponse) === 0) return PlatformResponse.error(); // throws for other objects
      const { body, status, statusText, headers } = response as FeatherResponse;
      const details = detailsOf(response as FeatherResponse);
      details.platform = new PlatformResponse(body, { status, statusText, headers: [...headers] });
      return details.platform;
    };
  }

  /** Throws RangeError for a status that no response has, and TypeError for all else that the standard forbids. */
  constructor(body: BodyValue = null, options: ResponseOptions = NO_OPTIONS) {
    if (typeof body === 'string') {
      this.#source = body;
      this.#impliedType = TEXT_TYPE;
    } else setBody(this, body);
    if (options !== NO_OPTIONS) setOptions(this, options);
  }

  /** Makes a response of a value as JSON, with its content type. */
  static json(value: unknown, options: ResponseOptions = NO_OPTIONS): FeatherResponse {
    const text = JSON.stringify(value);
    if (text === undefined) throw new TypeError(`JSON has no ${typeof value}`);
    const response = new FeatherResponse(text);
    response.#impliedType = JSON_TYPE;
    if (options !== NO_OPTIONS) setOptions(response, options);
    return response;
  }

  /** Makes a response that redirects to `url`; `status` is 302 by default. */
  static redirect(url: string | URL, status = 302): FeatherResponse {
    // A relative URL has a base in a page, and in runtimes that were given one: the platform knows it.
    const location = URL.canParse(url) ? new URL(url).href : PlatformResponse.redirect(url).headers.get('location');
    if (!REDIRECTS.includes(status))
      throw new RangeError(`a redirect has status ${REDIRECTS.join(', ')}, got ${status}`);
    const response = new FeatherResponse(null, { status });
    detailsOf(response).headers = withLines(['location', 'location', location as string], true);
    return response;
  }

  /** Makes a response that stands for a network error. A handler cannot return it. */
  static error(): FeatherResponse {
    const response = new FeatherResponse();
    const details = detailsOf(response);
    details.status = 0;
    details.headers = withLines([], true);
    return response;
  }

  // The getters look for themselves whether `this` is an object of the platform: shareMembers() makes slower ones.

  /** 'default', or 'error' for `Response.error()`. */
  get type(): 'basic' | 'cors' | 'default' | 'error' | 'opaque' | 'opaqueredirect' {
    if (!isFeatherResponse(this)) return ofPlatform(this, 'type');
    return statusOf(this) === 0 ? 'error' : 'default';
  }

  /** Empty: only a response of `fetch()` has a URL. */
  get url(): string {
    return isFeatherResponse(this) ? '' : ofPlatform(this, 'url');
  }

  /** False: only a response of `fetch()` can be redirected. */
  get redirected(): boolean {
    return isFeatherResponse(this) ? false : ofPlatform(this, 'redirected');
  }

  /** The status code. */
  get status(): number {
    return isFeatherResponse(this) ? statusOf(this) : ofPlatform(this, 'status');
  }

  /** Whether the status is 200 to 299. */
  get ok(): boolean {
    if (!isFeatherResponse(this)) return ofPlatform(this, 'ok');
    const status = statusOf(this);
    return status >= 200 && status < 300;
  }

  /** The text behind the status. */
  get statusText(): string {
    return isFeatherResponse(this) ? statusTextOf(this) : ofPlatform(this, 'statusText');
  }

  /** Changes to it count until the handler returns. */
  get headers(): Headers {
    if (!isFeatherResponse(this)) return ofPlatform(this, 'headers');
    const details = detailsOf(this);
    details.headers ??= withType(new FeatherHeaders(), this.#impliedType);
    return details.headers as unknown as Headers;
  }

  /** The body as a stream, or null. */
  get body(): ReadableStream<Uint8Array> | null {
    if (!isFeatherResponse(this)) return ofPlatform(this, 'body');
    if (this.#source === null || isStream(this.#source)) return this.#source;
    const stream = this.#source instanceof Blob ? this.#source.stream() : bodyStream(this.#source);
    this.#source = stream;
    if (isStreamUsed(stream) === undefined) detailsOf(this).platform = new PlatformResponse(stream);
    return stream;
  }

  /** Whether the body was read, or is being read. */
  get bodyUsed(): boolean {
    if (!isFeatherResponse(this)) return ofPlatform(this, 'bodyUsed');
    if (!isStream(this.#source)) return false;
    return this.#details?.platform?.bodyUsed ?? isStreamUsed(this.#source) ?? false;
  }

  /** Another response with the same status, headers and body. Throws TypeError if the body was read. */
  clone(): FeatherResponse {
    const copy = new FeatherResponse();
    const source = sourceOf(this);
    if (isStream(source)) {
      const details = detailsOf(this);
      details.platform ??= new PlatformResponse(source);
      const platform = details.platform.clone(); // throws if it was read
      this.#source = details.platform.body;
      detailsOf(copy).platform = platform;
      copy.#source = platform.body;
    } else {
      if (source !== this.#source) takeStream(this.#source as ByteStream);
      this.#source = source;
      copy.#source = source;
    }
    copy.#impliedType = this.#impliedType;
    if (this.#details === undefined) return copy;
    const { status, statusText, headers } = this.#details;
    Object.assign(detailsOf(copy), { status, statusText, headers: headers && copyOf(headers) });
    return copy;
  }

  /** The body as text. */
  async text(): Promise<string> {
    return textOfBody(await takeBody(this));
  }

  /** The body, parsed as JSON. */
  async json(): Promise<unknown> {
    return JSON.parse(textOfBody(await takeBody(this)));
  }

  /** The body as bytes, which are the caller's. */
  async bytes(): Promise<Uint8Array> {
    if (!isFeatherResponse(this)) return new Uint8Array(await (this as Response).arrayBuffer()); // on a Node without it
    return bytesOfBody(await takeBody(this));
  }

  /** The body as an ArrayBuffer, which is the caller's. */
  async arrayBuffer(): Promise<ArrayBuffer> {
    return bytesOfBody(await takeBody(this)).buffer as ArrayBuffer;
  }

  /** The body as a Blob of the content type. */
  async blob(): Promise<Blob> {
    return (await bodyOnPlatform(this)).blob();
  }

  /** The body as form data. */
  async formData(): Promise<FormData> {
    return (await bodyOnPlatform(this)).formData();
  }
}

export { impliedTypeOf, isFeatherResponse, sourceOf, statedLines, statusOf, statusTextOf };

extendPlatform(FeatherResponse, PlatformResponse, 'Response');
// Each async handler's promise looks for a `then` here. Without this, V8 compares it with every member of three
// prototypes, which costs as much as all else of the response.
Object.defineProperty(FeatherResponse.prototype, 'then', { value: undefined, writable: true, configurable: true });
shareMembers(FeatherResponse.prototype, PlatformResponse.prototype, isFeatherResponse, toPlatform);
forwardSymbols(FeatherResponse.prototype, new PlatformResponse(null), toPlatform);
showAs(FeatherResponse.prototype, 'Response', (response) => {
  const { status, statusText, headers, body, bodyUsed, ok, redirected, type, url } = response as FeatherResponse;
  return { status, statusText, headers, body, bodyUsed, ok, redirected, type, url };
});

/** A member of an object of the platform that has our prototype. */
function ofPlatform<Name extends keyof Response>(response: never, name: Name): Response[Name] {
  return Reflect.get(PlatformResponse.prototype, name, response);
}

/** The body with its content type: what the platform needs for a Blob or a form. */
async function bodyOnPlatform(response: FeatherResponse): Promise<Response> {
  const type = response.headers.get('content-type');
  const bytes = bytesOfBody(await takeBody(response)) as BodyInit; // text would have a content type
  return new PlatformResponse(bytes, type === null ? {} : { headers: { 'content-type': type } });
}

function isStream(source: Source): source is ByteStream {
  return typeof source === 'object' && source instanceof ReadableStream;
}

function checkedStatus(status: unknown): number {
  const number = Number(status) & 0xffff; // Web IDL's unsigned short
  if (number >= 200 && number <= 599) return number;
  throw new RangeError(`status must be from 200 to 599, got ${String(status)}`);
}

function checkedText(statusText: unknown): string {
  const text = `${statusText}`;
  if (!BAD_STATUS_TEXT.test(text)) return text;
  throw new TypeError(`statusText must be printable Latin-1 text, got ${JSON.stringify(text)}`);
}

export function hasNoBody(status: number): boolean {
  return status === 204 || status === 205 || status === 304;
}

function withType(headers: FeatherHeaders, type: string): FeatherHeaders {
  if (type !== '') addType(headers, type);
  return headers;
}

/** Text as the bytes say it: a lone surrogate has none, and a byte order mark is not text. */
function textOfBody(body: RawBody): string {
  if (typeof body !== 'string') return decoder.decode(body);
  return wellFormed(body.charCodeAt(0) === BYTE_ORDER_MARK ? body.slice(1) : body);
}

function wellFormed(text: string): string {
  return (text as string & { toWellFormed(): string }).toWellFormed(); // ES2024
}

/** A copy, which the caller may keep. */
function bytesOfBody(body: RawBody): Uint8Array {
  return typeof body === 'string' ? encoder.encode(body) : new Uint8Array(body);
}

function extract(body: Exclude<BodyValue, string | Uint8Array | null>): Extracted {
  if (body === undefined) return { source: null, type: '' };
  if (ArrayBuffer.isView(body))
    return { source: new Uint8Array(body.buffer, body.byteOffset, body.byteLength), type: '' };
  if (body instanceof ArrayBuffer) return { source: new Uint8Array(body), type: '' };
  if (body instanceof URLSearchParams) return { source: String(body), type: FORM_TYPE };
  if (body instanceof Blob) return { source: body, type: body.type };
  if (body instanceof ReadableStream) return ofStream(body);
  if (body instanceof FormData) {
    const platform = new PlatformResponse(body);
    return { source: platform.body, type: platform.headers.get('content-type') ?? '', platform };
  }
  if (typeof body === 'object' && Symbol.asyncIterator in body) return ofStream(streamFrom(body));
  return { source: `${body as string}`, type: TEXT_TYPE };
}

function ofStream(stream: ByteStream): Extracted {
  if (rawBody(stream) !== undefined) return { source: stream, type: '' };
  return { source: stream, type: '', platform: new PlatformResponse(stream) }; // throws if it was read
}

/** Not ReadableStream.from(), which not every platform has, and which takes no text. */
function streamFrom(chunks: AsyncIterable<Uint8Array | string>): ByteStream {
  const iterator = chunks[Symbol.asyncIterator]();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { value, done } = await iterator.next();
        if (done) controller.close();
        else controller.enqueue(typeof value === 'string' ? encoder.encode(value) : value);
      },
      async cancel(reason) {
        await iterator.return?.(reason);
      },
    },
    { highWaterMark: 0 },
  );
}

/** Converts the result of a handler, which is no response of ours, to something that can be written. */
export function asResponse(value: unknown): FeatherResponse | Response {
  if (!(value instanceof PlatformResponse)) return copyOfForeign(value);
  return value.status === 0 ? sendable(FeatherResponse.error()) : value;
}

/** Stands for an upgrade: its connection leaves HTTP. Its handler returns it; it is sent by no other way. */
export function switchingResponse(): FeatherResponse {
  const response = new FeatherResponse();
  detailsOf(response).status = SWITCHING;
  return response;
}

/** Throws OPTION for `Response.error()`, and for the response of another request's upgrade. */
export function sendable(response: FeatherResponse): FeatherResponse {
  const status = statusOf(response);
  if (status > SWITCHING) return response;
  const what = status === 0 ? 'Response.error()' : 'what info.upgrade() of another request has returned';
  throw new FeatherstarError('FEATHERSTAR_OPTION', `fetch must return a Response, not ${what}`);
}

/**
 * Copies a response of another implementation, such as the package undici: its class is not the platform's, but it has
 * the same members. Everything that it says is checked as if the handler said it.
 */
function copyOfForeign(value: unknown): FeatherResponse {
  const foreign = (typeof value === 'object' && value !== null ? value : {}) as Partial<Response>;
  const { status, statusText, headers, body } = foreign;
  if (typeof status !== 'number' || typeof headers?.forEach !== 'function' || body === undefined) {
    const kind = value === null ? 'null' : typeof value;
    throw new FeatherstarError('FEATHERSTAR_OPTION', `fetch must return a Response, not ${kind}`);
  }
  const pairs: [string, string][] = [];
  headers.forEach((text, name) => {
    pairs.push([name, text]);
  });
  return new FeatherResponse(body, { status, statusText, headers: pairs });
}

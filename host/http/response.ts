// The answer as a handler makes it: the shape of the web's Response at a tenth of its cost. The global Response works
// as well (hono, Bun and Deno code run unchanged); it takes the slower road in writer.ts.

import { FeatherstarError, optionError } from '../base/errors.js';

/** The values that a response takes as its body. */
export type BodyValue = string | Uint8Array | ArrayBuffer | ReadableStream<Uint8Array> | null | undefined;

/** The forms in which a response takes its headers. */
export type HeadersValue = Headers | Record<string, string> | [string, string][];

/** Options of a response. */
export interface ResponseOptions {
  /** The status, 200 to 599; default 200. */
  status?: number | undefined;
  /** The text behind the status. Default: the usual one. */
  statusText?: string | undefined;
  /** The headers. */
  headers?: HeadersValue | undefined;
}

const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what a field value may not hold (RFC 9110 5.5)
const BAD_VALUE = /[\x00-\x08\x0a-\x1f\x7f\u0100-\uffff]/;

/**
 * A response, with the constructor of the platform's `Response`, which handlers may return too. This one is faster to
 * make and to send.
 *
 * @example
 * return Response.json({ ok: true }, { status: 201 });
 */
export class FeatherResponse {
  /** The status code. */
  readonly status: number;
  /** The text behind the status. */
  readonly statusText: string;
  /** @internal The body as given, for the writer. */
  readonly rawBody: BodyValue;
  /** @internal The headers as given, for the writer. */
  readonly rawHeaders: HeadersValue | undefined;
  #headers: Headers | undefined;

  /** `body`: text, bytes, a stream or nothing. Throws FEATHERSTAR_OPTION for a wrong status or body. */
  constructor(body?: BodyValue, options?: ResponseOptions) {
    this.rawBody = body;
    if (options === undefined) {
      this.status = 200;
      this.statusText = '';
      this.rawHeaders = undefined;
      return;
    }
    const { status = 200, statusText = '', headers } = options;
    if (!Number.isInteger(status) || status < 200 || status > 599) throw optionError('status', status, '200 to 599');
    if (statusText !== '' && BAD_VALUE.test(statusText))
      throw optionError('statusText', statusText, 'printable Latin-1');
    this.status = status;
    this.statusText = statusText;
    this.rawHeaders = headers;
  }

  /** Makes a response of a value as JSON, with its content type. */
  static json(value: unknown, options: ResponseOptions = {}): FeatherResponse {
    const headers = new Headers(options.headers);
    if (!headers.has('content-type')) headers.set('content-type', 'application/json');
    return new FeatherResponse(JSON.stringify(value), { ...options, headers });
  }

  /** Makes a response that redirects to `url`; `status` is 302 by default. */
  static redirect(url: string | URL, status = 302): FeatherResponse {
    if (![301, 302, 303, 307, 308].includes(status)) throw optionError('status', status, '301, 302, 303, 307 or 308');
    return new FeatherResponse(null, { status, headers: { location: String(new URL(url)) } });
  }

  /** Whether the status is 200 to 299. */
  get ok(): boolean {
    return this.status < 300;
  }

  /** Changes to it count until the handler returns. */
  get headers(): Headers {
    this.#headers ??= new Headers(this.rawHeaders);
    return this.#headers;
  }

  /** @internal Calls `visit` for each header, checked. Throws OPTION for one that would break the message. */
  eachHeader(visit: (name: string, value: string) => void): void {
    const headers = this.#headers ?? this.rawHeaders;
    if (headers === undefined) return;
    if (headers instanceof Headers) {
      headers.forEach((value, name) => {
        visit(name, value);
      });
      return;
    }
    const entries = Array.isArray(headers) ? headers : Object.entries(headers);
    for (const [name, value] of entries) {
      if (!NAME.test(name)) throw optionError('header name', name, 'a token');
      if (typeof value !== 'string' || BAD_VALUE.test(value))
        throw optionError(`header ${name}`, value, 'Latin-1 text');
      visit(name, value);
    }
  }

  /** @internal Whether there are headers. */
  get hasHeaders(): boolean {
    return this.rawHeaders !== undefined || this.#headers !== undefined;
  }

  /** The body as text. */
  async text(): Promise<string> {
    return new Response(this.rawBody as BodyInit).text();
  }

  /** The body, parsed as JSON. */
  async json(): Promise<unknown> {
    return JSON.parse(await this.text());
  }

  /** The body as a stream, or null. */
  get body(): ReadableStream<Uint8Array> | null {
    if (this.rawBody == null) return null;
    return new Response(this.rawBody as BodyInit).body as ReadableStream<Uint8Array>;
  }
}

/** Converts the result of a handler to something that can be written. */
export function asResponse(value: unknown): FeatherResponse | Response {
  if (value instanceof FeatherResponse) return value;
  if (value instanceof Response) return value;
  const kind = value === null ? 'null' : typeof value;
  throw new FeatherstarError('FEATHERSTAR_OPTION', `fetch must return a Response, not ${kind}`);
}
